#include "data/sound_list.h"

#include "base/excerpt.h"
#include "data/copies.h"
#include "data/input_files.h"
#include "data/picture_labels.h"
#include "data/random.h"
#include "data/sources.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>

#include <fmt/format.h>

namespace rtmdl {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 8> kSoundExtensions{".wav",  ".flac", ".ogg", ".oga",
                                                           ".aiff", ".aif",  ".au",  ".mp3"};
constexpr std::size_t kEvaluatedShare = 5;  // one of so many files of a class

/// "03-01-06" as numbers; empty if it is anything else.
std::vector<int> numbers_in(const std::string& name) {
  std::vector<int> numbers;
  const char* at = name.data();
  const char* end = at + name.size();
  while (at < end) {
    int value = -1;
    const auto [next, ec] = std::from_chars(at, end, value);
    if (ec != std::errc{} || value < 0 || (next < end && *next != '-')) return {};
    numbers.push_back(value);
    at = next + 1;
  }
  return numbers;
}

/// The `count` numbers that a file's name consists of; number `which` is the class, from `first` on.
std::vector<int> parse_name(const ConfigNode& where, const fs::path& file, std::size_t count, std::size_t which,
                            int first, int classes, std::string_view pattern) {
  std::vector<int> numbers = numbers_in(file.stem().string());
  if (numbers.size() != count) where.fail(fmt::format("'{}' is not named {}", excerpt(file.string(), 200), pattern));
  if (numbers[which] < first || numbers[which] >= first + classes)
    where.fail(fmt::format("'{}' has the class {}; {} to {} is accepted", excerpt(file.string(), 200), numbers[which],
                           first, first + classes - 1));
  return numbers;
}

void add(SoundList& list, const fs::path& file, std::int32_t label, bool evaluates) {
  list.files.push_back(file);
  list.labels.push_back(label);
  list.evaluates.push_back(evaluates);
}

void list_urbansound8k(const ConfigNode& path, const ConfigNode& labels, SoundList& list) {
  constexpr int kFolds = 10, kClasses = 10;
  std::error_code ec;
  fs::path root = path.path();
  if (fs::is_directory(root / "audio", ec)) root /= "audio";
  for (int fold = 1; fold <= kFolds; ++fold) {
    const fs::path folder = root / fmt::format("fold{}", fold);
    if (!fs::is_directory(folder, ec)) continue;
    for (const fs::path& file : files_in(path, folder, kSoundExtensions))
      add(list, file, parse_name(labels, file, 4, 1, 0, kClasses, "fsID-classID-occurrence-slice.wav")[1],
          fold == kFolds);
  }
  if (list.files.empty())
    path.fail(fmt::format("'{}' holds no sounds in folders fold1 to fold10, as UrbanSound8K has them", root.string()));
}

void list_ravdess(const ConfigNode& path, const ConfigNode& labels, SoundList& list) {
  constexpr int kEmotions = 8, kFirstEvaluated = 21, kActors = 24;
  std::vector<fs::path> files = files_in(path, path.path(), kSoundExtensions);
  std::error_code ec;
  for (int actor = 1; actor <= kActors; ++actor) {
    const fs::path folder = path.path() / fmt::format("Actor_{:02}", actor);
    if (!fs::is_directory(folder, ec)) continue;
    const auto more = files_in(path, folder, kSoundExtensions);
    files.insert(files.end(), more.begin(), more.end());
  }
  if (files.empty())
    path.fail(fmt::format("'{}' holds no sounds, nor do folders Actor_01 to Actor_24 in it, as RAVDESS has them",
                          path.path().string()));
  for (const fs::path& file : files) {
    const auto numbers =
        parse_name(labels, file, 7, 2, 1, kEmotions, "with seven numbers, as 03-01-06-01-02-01-12.wav");
    if (numbers[6] < 1 || numbers[6] > kActors)
      labels.fail(
          fmt::format("'{}' has the actor {}; 1 to {} is accepted", excerpt(file.string(), 200), numbers[6], kActors));
    add(list, file, numbers[2] - 1, numbers[6] >= kFirstEvaluated);
  }
}

/// A seeded fifth of each class, at least one where there are two.
void choose_evaluated(SoundList& list, std::uint64_t seed) {
  const std::vector<std::size_t> original = originals_of(list.files);
  std::vector<std::vector<std::size_t>> of_class(static_cast<std::size_t>(list.classes));
  for (std::size_t f = 0; f < list.files.size(); ++f)
    if (original[f] == f) of_class[static_cast<std::size_t>(list.labels[f])].push_back(f);
  for (std::size_t c = 0; c < of_class.size(); ++c) {
    auto& files = of_class[c];
    Random random(seed, purpose::split, c);
    shuffle(files, random);
    const std::size_t count = files.size() < 2 ? 0 : std::max<std::size_t>(1, files.size() / kEvaluatedShare);
    for (std::size_t i = 0; i < count; ++i) list.evaluates[files[i]] = true;
  }
  for (std::size_t f = 0; f < list.files.size(); ++f) list.evaluates[f] = list.evaluates[original[f]];
}

void list_folders_of_classes(const ConfigNode& data, std::uint64_t seed, SoundList& list) {
  const ConfigNode path = data["path"], classes = data["classes"];
  const ClassNames names(classes);
  if (classes.present()) list.texts.push_back(classes.path());
  std::int32_t next = 0;
  for (const fs::path& folder : list_folders(path)) {
    const std::int32_t label = names.empty() ? next++ : names.find(folder.filename().string());
    if (label < 0)
      classes.fail(fmt::format("'{}' does not name the folder '{}'", classes.text(), folder.filename().string()));
    for (const fs::path& file : files_in(path, folder, kSoundExtensions)) add(list, file, label, false);
    list.classes = std::max(list.classes, label + 1);
  }
  if (list.files.empty()) path.fail(fmt::format("the sub-folders of '{}' hold no sounds", path.path().string()));
  choose_evaluated(list, seed);
}

}  // namespace

SoundList list_sounds(const ConfigNode& data, std::uint64_t seed) {
  const ConfigNode path = data["path"], labels = data["labels"];
  SoundList list;
  const std::string how =
      labels.present() ? labels.one_of({"none", "folders", "urbansound8k", "ravdess"}) : std::string("none");
  if (data["classes"].present() && how != "folders") data["classes"].fail("is for sounds with `labels: folders`");
  if (how == "none") list.files = list_files(path, kSoundExtensions, "sounds");
  else if (how == "folders") list_folders_of_classes(data, seed, list);
  else if (how == "ravdess") list_ravdess(path, labels, list);
  else list_urbansound8k(path, labels, list);
  for (const std::int32_t label : list.labels) list.classes = std::max(list.classes, label + 1);
  for (const bool evaluates : {false, true})
    if (how != "none" && std::count(list.evaluates.begin(), list.evaluates.end(), evaluates) == 0)
      path.fail(fmt::format("'{}' holds no sounds that {}; {}", path.path().string(),
                            evaluates ? "evaluate" : "may be learnt from",
                            how == "urbansound8k" ? "fold10 evaluates, fold1 to fold9 do not"
                            : how == "ravdess"    ? "actors 21 to 24 evaluate, 1 to 20 do not"
                                                  : "two files of a class are needed at least"));
  return list;
}

}  // namespace rtmdl
