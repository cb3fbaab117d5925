#pragma once
/// The bound on storage over all variants of all tasks: which files stay. Pure.

#include <cstdint>
#include <string>
#include <vector>

namespace rtmdl {

/// A variant as the bound sees it. Variants with the same `content` share one file, which counts once.
struct StoredFile {
  int task = 0;
  std::string content;
  std::int64_t bytes = 0;
  double accuracy = 1;
  std::int64_t median = 0;  ///< nanoseconds; 0: unknown
  bool source = false;
};

struct StorageChoice {
  std::vector<bool> keep;  ///< one per file given
  std::int64_t bytes = 0;  ///< of what is kept
  std::int64_t least = 0;  ///< the smallest variant of each task: no bound below this can be met
  bool fits = true;        ///< false: not even the least fits; `keep` is the least
};

/// Drops as few variants as it needs to: first those that another of their task beats in bytes, accuracy and time
/// (sources excepted), then whatever frees most bytes, sources last among equals. Each task keeps at least its
/// smallest. The same input gives the same choice.
[[nodiscard]] StorageChoice choose_within(const std::vector<StoredFile>& files, std::int64_t limit);

/// Bytes of the distinct contents.
[[nodiscard]] std::int64_t distinct_bytes(const std::vector<StoredFile>& files);

}  // namespace rtmdl
