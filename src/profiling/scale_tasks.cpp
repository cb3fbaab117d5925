#include "profiling/scale_tasks.h"

#include "base/units.h"
#include "profiling/make_family.h"
#include "profiling/settle_family.h"
#include "scaling/calibrate.h"

#include <rtmdl/error.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <set>

#include <fmt/format.h>

namespace rtmdl {
namespace {

class Scaling {
 public:
  Scaling(Engine& engine, const TaskFile& file, const Workspace& workspace, const ScaleTasksOptions& options,
          const Context& context)
      : file_(file), workspace_(workspace), context_(context), maker_(engine, file, workspace, options, context) {}

  std::vector<TaskVariants> run() {
    remove_abandoned_scratch(workspace_.variants());
    for (std::size_t t = 0; t < file_.tasks.size(); ++t)
      families_.push_back(context_.stopping() ? unfinished() : maker_.find_or_make(t));
    for (std::size_t t = 0; t < families_.size(); ++t) {
      maker_.find_or_make_forms(t, families_[t]);
      maker_.find_or_make_exits(t, families_[t]);
    }
    if (context_.stopping()) return deliver();
    StorageChoice choice = choose();
    if (make_lost_again(choice.keep)) choice = choose();
    if (context_.stopping()) return deliver();
    settle(choice);
    return deliver(&choice);
  }

 private:
  static Family unfinished() {
    Family family;
    family.finished = false;
    return family;
  }

  [[nodiscard]] StorageChoice choose() {
    std::vector<SettledFamily> all;
    for (std::size_t t = 0; t < families_.size(); ++t) {
      note_layout(file_.tasks[t], workspace_, families_[t].stored);
      all.push_back({&file_.tasks[t], families_[t].key, &families_[t].stored});
    }
    storage_.emplace(workspace_, maker_.hashes(), std::move(all));
    StorageChoice choice = storage_->choose(file_.storage.value_or(std::numeric_limits<std::int64_t>::max()));
    if (!choice.fits)
      throw Error(ErrorCode::infeasible,
                  fmt::format("{}: storage: {} cannot hold one variant of each task; the least possible is {}",
                              file_.path.string(), format_bytes(*file_.storage), format_bytes(choice.least)));
    return choice;
  }

  /// Variants that are to be kept and whose files are not there any more, or are others. False: there are none.
  bool make_lost_again(const std::vector<bool>& keep) {
    const std::vector<bool> damaged = storage_->damaged(keep);
    bool again = false;
    std::size_t i = 0;
    for (std::size_t t = 0; t < families_.size(); ++t) {
      Family& family = families_[t];
      std::set<std::string> recipes;
      for (const StoredVariant& v : family.stored.variants)
        if (damaged[i++] && family.reused) recipes.insert(v.recipe);
      if (recipes.empty()) continue;
      std::string layout =
          family.stored.layout;  // of levels that are dropped: what they share is known from there only
      maker_.make_again(t, family, recipes);
      if (family.stored.layout.empty()) family.stored.layout = std::move(layout);
      again = true;
    }
    return again;
  }

  /// New files first, then the store, then away with the old ones: a killed process leaves a store that is right.
  void settle(const StorageChoice& choice) {
    std::vector<std::string> before;
    for (const Family& family : families_) before.push_back(family.stored.settled);
    storage_->settle(choice.keep);
    for (std::size_t t = 0; t < families_.size(); ++t)
      if (families_[t].stored.settled != before[t]) maker_.keep(t, families_[t]);
    storage_->remove_unused(choice.keep, maker_.other_locations(families_));
    if (choice.hypervolume < choice.hypervolume_unbounded)
      context_.info(
          fmt::format("storage: {} are used{}; the bounds cost the accuracy-latency fronts {} of their hypervolume",
                      format_bytes(choice.bytes), file_.storage ? " of " + format_bytes(*file_.storage) : std::string(),
                      format_percent(1 - choice.hypervolume / choice.hypervolume_unbounded, 1)));
  }

  /// Without a choice (the work was stopped): all that there is.
  std::vector<TaskVariants> deliver(const StorageChoice* choice = nullptr) const {
    std::vector<LevelBytes> bytes;
    if (choice != nullptr) bytes = storage_->bytes(choice->keep);
    std::vector<TaskVariants> tasks;
    std::size_t i = 0;
    for (std::size_t t = 0; t < families_.size(); ++t) {
      TaskVariants out;
      out.task = file_.tasks[t].name;
      out.refused = families_[t].stored.refused;
      out.reused = families_[t].reused;
      out.finished = families_[t].finished;
      for (const StoredVariant& s : families_[t].stored.variants) {
        const std::size_t level = i++;
        if (choice != nullptr && !choice->keep[level]) {
          out.dropped.push_back(why_dropped(s, choice->pointless[level]));
          context_.info(fmt::format("{}: dropped {}", out.task, out.dropped.back()));
          continue;
        }
        Variant v;
        v.id = s.id;
        v.width = s.width;
        v.depth = s.depth;
        v.resolution = s.resolution;
        v.precision = s.precision;
        v.bytes = bytes.empty() ? s.bytes : bytes[level].bytes;
        v.shared_bytes = bytes.empty() ? 0 : bytes[level].shared;
        v.accuracy = s.accuracy;
        v.accuracy_loss = s.accuracy_loss;
        v.median = s.median;
        v.path = path_of(file_.tasks[t], workspace_, s);
        v.shapes = s.shapes;
        v.note = s.note;
        v.exits = s.exits;
        out.variants.push_back(std::move(v));
      }
      tasks.push_back(std::move(out));
    }
    return tasks;
  }

  [[nodiscard]] std::string why_dropped(const StoredVariant& v, const std::string& pointless) const {
    if (!pointless.empty()) return fmt::format("{}: {}", v.id, pointless);
    return fmt::format("{}: beyond storage: {} ({})", v.id, format_bytes(file_.storage.value_or(0)),
                       format_bytes(v.bytes));
  }

  const TaskFile& file_;
  const Workspace& workspace_;
  const Context& context_;
  FamilyMaker maker_;
  std::vector<Family> families_;
  std::optional<FamilyStorage> storage_;
};

}  // namespace

std::vector<TaskVariants> scale_tasks(Engine& engine, const TaskFile& file, const Workspace& workspace,
                                      const ScaleTasksOptions& options, const Context& context) {
  return Scaling(engine, file, workspace, options, context).run();
}

std::int64_t stored_bytes(const std::vector<TaskVariants>& tasks) {
  std::int64_t sum = 0;
  for (const TaskVariants& task : tasks)
    for (const Variant& v : task.variants) sum += v.bytes - v.shared_bytes;
  return sum;
}

}  // namespace rtmdl
