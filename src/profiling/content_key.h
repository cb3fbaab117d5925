#pragma once
/// Keys of the profile store: a hash over everything that a stored value depends on, and nothing else.

#include "engine/engine.h"

#include "task/task_file.h"

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace rtmdl {

/// Named parts, hashed in the order given. Parts cannot run into each other: lengths are hashed too.
class ContentKey {
 public:
  explicit ContentKey(std::string_view kind);
  ContentKey& add(std::string_view name, std::string_view value);
  ContentKey& add(std::string_view name, const std::map<std::string, std::vector<std::int64_t>>& shapes);
  ContentKey& add(std::string_view name, const std::map<std::string, std::string>& pairs);
  ContentKey& add(std::string_view name, const std::map<std::string, double>& values);
  [[nodiscard]] std::string digest() const;  ///< 64 hexadecimal digits

 private:
  std::string text_;
};

/// SHA-256 of models, weights in other files included; each is read once (again when the size or modification time of
/// one of its files changes). However a level's weights are stored, its hash is that of the model. Not thread-safe.
class ContentHashes {
 public:
  /// Throws Error(bad_input) if a file cannot be read, or is not the one that a light level needs.
  [[nodiscard]] const std::string& of(const std::filesystem::path& model);

 private:
  struct Stamp {
    std::filesystem::path file;
    std::uintmax_t size = 0;
    std::filesystem::file_time_type changed;
    [[nodiscard]] static Stamp of(const std::filesystem::path& file);
    bool operator==(const Stamp&) const = default;
  };
  struct Entry {
    std::vector<Stamp> stamps;
    std::string hash;
  };
  std::map<std::filesystem::path, Entry> known_;
};

/// What a model's result on a frame depends on, besides the model: data, pre- and post-processing.
[[nodiscard]] std::string data_key(const TaskSpec& task, const std::string& fingerprint);

/// Of the accuracy of the model that `request` names, against the task's source model.
[[nodiscard]] std::string accuracy_key(const TaskSpec& task, const LoadRequest& request, const std::string& fingerprint,
                                       const std::string& engine_version, ContentHashes& hashes);

/// Of a task's variants: also depends on the machine, since levels are kept by measured time.
[[nodiscard]] std::string family_key(const TaskSpec& task, const std::string& fingerprint,
                                     const std::string& engine_version, const std::string& machine,
                                     ContentHashes& hashes);

}  // namespace rtmdl
