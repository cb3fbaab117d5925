#pragma once
/// The families of all tasks on disk: what each set of levels needs, which set stays, and the files of those that do.
/// Shared weights are stored once and counted once (scaling/pack_family.h).

#include "profiling/content_key.h"
#include "profiling/storage_bound.h"
#include "profiling/store.h"
#include "scaling/family_layout.h"
#include "task/workspace.h"

#include "task/task_file.h"

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rtmdl {

/// StoredVariant::location of the task's own model, and of its i-th brought variant: this and i. All others are
/// relative to the workspace's folder.
inline constexpr std::string_view kSourceLocation = "source";
inline constexpr std::string_view kBroughtLocation = "brought ";

/// Made by us, in the workspace.
[[nodiscard]] bool is_ours(const StoredVariant& variant);
[[nodiscard]] std::filesystem::path path_of(const TaskSpec& task, const Workspace& workspace,
                                            const StoredVariant& variant);

/// A task's levels. Families of equal key are the same levels.
struct SettledFamily {
  const TaskSpec* task = nullptr;
  std::string key;
  StoredFamily* stored = nullptr;
};

/// What a level takes on disk.
struct LevelBytes {
  std::int64_t bytes = 0;   ///< alone
  std::int64_t shared = 0;  ///< of those, what the source or a level before it counts already
};

/// Finds out what the variants share, if there are some of which that is not known, and adds it to `family.layout`. The
/// contents of new variants become those that they have however they are stored (content_of() in
/// scaling/pack_family.h).
void note_layout(const TaskSpec& task, const Workspace& workspace, StoredFamily& family);

/// The levels of all tasks: one flag, or entry, per level, task by task. Not thread-safe. `families` must not change
/// but by settle().
class FamilyStorage {
 public:
  FamilyStorage(const Workspace& workspace, ContentHashes& hashes, std::vector<SettledFamily> families);

  /// Which of the levels that are to stay lack a file, or have another.
  [[nodiscard]] std::vector<bool> damaged(const std::vector<bool>& keep) const;
  /// Within `limit` and each task's `scale.storage`. `pointless` also tells what that took away.
  [[nodiscard]] StorageChoice choose(std::int64_t limit) const;
  /// Writes the files of the levels that stay and gives them their new locations; does nothing for families that are so
  /// already. Families that changed: those whose `settled` did. What no level needs any more is left for
  /// remove_unused(), which must wait until the store has the new locations.
  void settle(const std::vector<bool>& keep);
  /// After settle(): sums to what is on disk.
  [[nodiscard]] std::vector<LevelBytes> bytes(const std::vector<bool>& keep) const;
  /// Removes from the workspace's variants what neither a kept level nor a location in `others` needs.
  void remove_unused(const std::vector<bool>& keep, const std::vector<std::string>& others) const;

 private:
  struct Level {
    std::size_t family = 0, shared = 0;
    StoredVariant* variant = nullptr;
    int file = -1;  ///< of the shared layout; −1: the user's
  };
  /// Families of equal key: one layout, one weights file.
  struct Shared {
    std::vector<std::size_t> families;
    FamilyLayout layout;
    std::string layout_digest;
    std::string source;                                     ///< content of the tasks' model
    std::map<std::size_t, std::vector<std::string>> names;  ///< of the source's files, by the family whose model it is
  };
  /// What stays of one key.
  struct Kept {
    std::vector<int> files;
    std::optional<std::size_t> source;  ///< a family whose model it is
  };

  void add(std::size_t family, std::size_t shared);
  [[nodiscard]] std::vector<SharingGroup> groups() const;
  [[nodiscard]] std::int64_t limit_of(const std::vector<std::size_t>& levels) const;
  [[nodiscard]] Kept kept(std::size_t shared, const std::vector<bool>& keep) const;
  [[nodiscard]] const std::vector<std::string>& names(std::size_t shared, const Kept& kept) const;
  [[nodiscard]] std::int64_t bytes_of(const std::vector<std::size_t>& levels, const std::vector<bool>& keep) const;
  /// Whatever the files of what stays depend on, and where they are.
  [[nodiscard]] std::string state(std::size_t shared, const Kept& kept, const std::vector<bool>& keep) const;
  [[nodiscard]] std::filesystem::path path(const Level& level) const;
  [[nodiscard]] bool intact(const Level& level) const;

  const Workspace& workspace_;
  ContentHashes& hashes_;
  std::vector<SettledFamily> families_;
  std::vector<Level> levels_;
  std::vector<Shared> shared_;
};

}  // namespace rtmdl
