#include "profiling/storage_bound.h"

#include <algorithm>
#include <map>
#include <tuple>

namespace rtmdl {
namespace {

std::int64_t bytes_of(const std::vector<StoredFile>& files, const std::vector<bool>& keep) {
  std::map<std::string, std::int64_t> distinct;
  for (std::size_t i = 0; i < files.size(); ++i)
    if (keep[i]) distinct[files[i].content] = files[i].bytes;
  std::int64_t sum = 0;
  for (const auto& [content, bytes] : distinct) sum += bytes;
  return sum;
}

bool beats(const StoredFile& a, const StoredFile& b) {
  if (a.median == 0 || b.median == 0) return false;
  const bool as_good = a.bytes <= b.bytes && a.accuracy >= b.accuracy && a.median <= b.median;
  return as_good && (a.bytes < b.bytes || a.accuracy > b.accuracy || a.median < b.median);
}

class Chooser {
 public:
  Chooser(const std::vector<StoredFile>& files, std::int64_t limit) : files_(files), limit_(limit) {
    choice_.keep.assign(files.size(), true);
    choice_.bytes = bytes_of(files, choice_.keep);
    find_least();
  }

  StorageChoice choose() {
    if (choice_.least > limit_) {
      choice_.keep = least_;
      choice_.bytes = choice_.least;
      choice_.fits = false;
      return choice_;
    }
    drop_while([&](std::size_t i) { return !files_[i].source && beaten(i); });
    drop_while([&](std::size_t i) { return !least_[i]; });
    return choice_;
  }

 private:
  void find_least() {
    least_.assign(files_.size(), false);
    std::map<int, std::size_t> smallest;
    for (std::size_t i = 0; i < files_.size(); ++i) {
      const auto [at, fresh] = smallest.try_emplace(files_[i].task, i);
      if (!fresh && files_[i].bytes < files_[at->second].bytes) at->second = i;
    }
    for (const auto& [task, i] : smallest) least_[i] = true;
    choice_.least = bytes_of(files_, least_);
  }

  [[nodiscard]] bool beaten(std::size_t i) const {
    for (std::size_t j = 0; j < files_.size(); ++j)
      if (j != i && choice_.keep[j] && files_[j].task == files_[i].task && beats(files_[j], files_[i])) return true;
    return false;
  }

  [[nodiscard]] std::int64_t freed_by(std::size_t i) const {
    for (std::size_t j = 0; j < files_.size(); ++j)
      if (j != i && choice_.keep[j] && files_[j].content == files_[i].content) return 0;
    return files_[i].bytes;
  }

  /// Drops candidates, the one that frees most first, until the bound is met or there are none.
  template <typename Candidate>
  void drop_while(const Candidate& candidate) {
    while (choice_.bytes > limit_) {
      // Most bytes; then those that free nothing alone because they share their file; then levels before sources; then
      // the later one.
      using Rank = std::tuple<std::int64_t, std::int64_t, bool, std::size_t>;
      Rank best{-1, 0, false, 0};
      for (std::size_t i = 0; i < files_.size(); ++i)
        if (choice_.keep[i] && candidate(i))
          best = std::max(best, Rank{freed_by(i), files_[i].bytes, !files_[i].source, i});
      if (std::get<0>(best) < 0) return;
      choice_.keep[std::get<3>(best)] = false;
      choice_.bytes = bytes_of(files_, choice_.keep);
    }
  }

  const std::vector<StoredFile>& files_;
  std::int64_t limit_;
  std::vector<bool> least_;
  StorageChoice choice_;
};

}  // namespace

StorageChoice choose_within(const std::vector<StoredFile>& files, std::int64_t limit) {
  return Chooser(files, limit).choose();
}

std::int64_t distinct_bytes(const std::vector<StoredFile>& files) {
  return bytes_of(files, std::vector<bool>(files.size(), true));
}

}  // namespace rtmdl
