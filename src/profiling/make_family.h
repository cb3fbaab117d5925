#pragma once
/// One task's family of variants: made, or found in the workspace and completed. What is done is stored at once.

#include "engine/engine.h"
#include "profiling/content_key.h"
#include "profiling/scale_tasks.h"
#include "profiling/store.h"
#include "task/workspace.h"

#include <memory>
#include <set>
#include <string>
#include <vector>

namespace rtmdl {

/// A task's family and where its figures came from.
struct Family {
  std::string key;
  StoredFamily stored;
  std::vector<StoredVariant> others;  ///< of forms that the task file does not ask for (any more); they stay stored
  bool reused = false;
  bool finished = true;
};

/// The budget in the options begins to run when it is constructed. One thread at a time.
class FamilyMaker {
 public:
  /// References must outlive it.
  FamilyMaker(Engine& engine, const TaskFile& file, const Workspace& workspace, const ScaleTasksOptions& options,
              const Context& context);
  ~FamilyMaker();

  /// The source's own levels and those that the user brings along; of a family that is stored, its forms as well.
  [[nodiscard]] Family find_or_make(std::size_t task);
  /// Narrower and shallower forms and their levels, one after another, as far as options and budget allow.
  void find_or_make_forms(std::size_t task, Family& family);
  /// Levels with early exits, of tasks that ask for them (`scale.exits`), likewise.
  void find_or_make_exits(std::size_t task, Family& family);
  /// Makes again what these recipes made; forms and exits only if the options allow it, with a warning where not.
  void make_again(std::size_t task, Family& family, const std::set<std::string>& recipes);

  /// Writes the family to the store, if it is one that the next start may go on with.
  void keep(std::size_t task, const Family& family);
  /// Of all variants in the store that are not of these families' own.
  [[nodiscard]] std::vector<std::string> other_locations(const std::vector<Family>& families);
  [[nodiscard]] ContentHashes& hashes();

 private:
  class Work;
  std::unique_ptr<Work> work_;
};

}  // namespace rtmdl
