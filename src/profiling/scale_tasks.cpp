#include "profiling/scale_tasks.h"

#include "base/units.h"
#include "profiling/make_family.h"
#include "profiling/storage_bound.h"
#include "scaling/calibrate.h"

#include <rtmdl/error.h>

#include <limits>
#include <set>

#include <fmt/format.h>

namespace rtmdl {
namespace {

namespace fs = std::filesystem;

class Scaling {
 public:
  Scaling(Engine& engine, const TaskFile& file, const Workspace& workspace, const ScaleTasksOptions& options,
          const Context& context)
      : file_(file), workspace_(workspace), context_(context), maker_(engine, file, workspace, options, context) {}

  std::vector<TaskVariants> run() {
    remove_abandoned_scratch(workspace_.variants());
    for (std::size_t t = 0; t < file_.tasks.size(); ++t)
      families_.push_back(context_.stopping() ? unfinished() : maker_.find_or_make(t));
    for (std::size_t t = 0; t < families_.size(); ++t) maker_.find_or_make_forms(t, families_[t]);
    if (context_.stopping()) return deliver(std::vector<bool>(files().size(), true));
    StorageChoice choice = choose();
    bool again = false;
    for (std::size_t t = 0; t < families_.size(); ++t)
      if (const auto lacking = families_[t].reused ? lacks_files(t, choice) : std::set<std::string>();
          !lacking.empty()) {
        maker_.make_again(t, families_[t], lacking);
        again = true;
      }
    if (again) choice = choose();
    std::vector<TaskVariants> tasks = deliver(choice.keep);
    remove_dropped(choice);
    return tasks;
  }

 private:
  static Family unfinished() {
    Family family;
    family.finished = false;
    return family;
  }

  [[nodiscard]] std::vector<StoredFile> files() const {
    std::vector<StoredFile> all;
    for (std::size_t t = 0; t < families_.size(); ++t)
      for (const StoredVariant& v : families_[t].stored.variants)
        all.push_back({static_cast<int>(t), v.content, v.bytes, v.accuracy, v.median.count(), v.id == "source"});
    return all;
  }

  [[nodiscard]] StorageChoice choose() const {
    const std::vector<StoredFile> all = files();
    StorageChoice choice = choose_within(all, file_.storage.value_or(std::numeric_limits<std::int64_t>::max()));
    if (!choice.fits)
      throw Error(ErrorCode::infeasible,
                  fmt::format("{}: storage: {} cannot hold one variant of each task; the least possible is {}",
                              file_.path.string(), format_bytes(*file_.storage), format_bytes(choice.least)));
    return choice;
  }

  /// Recipes of variants that are to be kept and whose file is not there any more, or is another.
  [[nodiscard]] std::set<std::string> lacks_files(std::size_t task, const StorageChoice& choice) {
    std::set<std::string> recipes;
    std::size_t i = 0;
    for (std::size_t t = 0; t < task; ++t) i += families_[t].stored.variants.size();
    for (const StoredVariant& v : families_[task].stored.variants) {
      if (choice.keep[i++] && FamilyMaker::ours(v) && !maker_.has_file(v)) recipes.insert(v.recipe);
    }
    return recipes;
  }

  std::vector<TaskVariants> deliver(const std::vector<bool>& keep) const {
    std::vector<TaskVariants> tasks;
    std::set<std::string> counted;
    std::size_t i = 0;
    for (std::size_t t = 0; t < families_.size(); ++t) {
      TaskVariants out;
      out.task = file_.tasks[t].name;
      out.refused = families_[t].stored.refused;
      out.reused = families_[t].reused;
      out.finished = families_[t].finished;
      for (const StoredVariant& s : families_[t].stored.variants) {
        if (!keep[i++]) {
          out.dropped.push_back(fmt::format("{}: dropped to stay within storage: {} ({})", s.id,
                                            format_bytes(file_.storage.value_or(0)), format_bytes(s.bytes)));
          context_.info(fmt::format("{}: {}", out.task, out.dropped.back()));
          continue;
        }
        Variant v;
        v.id = s.id;
        v.width = s.width;
        v.depth = s.depth;
        v.resolution = s.resolution;
        v.precision = s.precision;
        v.bytes = s.bytes;
        v.shared_bytes = counted.insert(s.content).second ? 0 : s.bytes;
        v.accuracy = s.accuracy;
        v.accuracy_loss = s.accuracy_loss;
        v.median = s.median;
        v.path = maker_.path_of(file_.tasks[t], s);
        v.shapes = s.shapes;
        v.note = s.note;
        out.variants.push_back(std::move(v));
      }
      tasks.push_back(std::move(out));
    }
    return tasks;
  }

  /// What the bound dropped leaves the disk too; the store remembers it, so that it is not tried again.
  void remove_dropped(const StorageChoice& choice) const {
    const std::vector<StoredFile> all = files();
    std::set<std::string> kept;
    for (std::size_t i = 0; i < all.size(); ++i)
      if (choice.keep[i]) kept.insert(all[i].content);
    for (std::size_t t = 0; t < families_.size(); ++t)
      for (const StoredVariant& v : families_[t].stored.variants) {
        std::error_code ignored;
        if (FamilyMaker::ours(v) && !kept.contains(v.content)) fs::remove(workspace_.folder() / v.location, ignored);
      }
  }

  const TaskFile& file_;
  const Workspace& workspace_;
  const Context& context_;
  FamilyMaker maker_;
  std::vector<Family> families_;
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
