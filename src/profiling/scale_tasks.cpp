#include "profiling/scale_tasks.h"

#include "base/units.h"
#include "model/model.h"
#include "profiling/accuracy.h"
#include "profiling/check_tasks.h"
#include "profiling/content_key.h"
#include "profiling/machine.h"
#include "profiling/settle_family.h"
#include "profiling/store.h"
#include "scaling/calibrate.h"

#include <rtmdl/error.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <limits>
#include <mutex>
#include <optional>
#include <thread>

#include <fmt/format.h>

namespace rtmdl {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kCalibrationSets = 64;
constexpr double kRounding = 1e-9;  // 95 of 100 inputs are 95 %, however the figures were rounded

/// A context that stops when the outer one does, or at a time.
class StopAt {
 public:
  StopAt(const Context& outer, Time deadline) : context_(outer) {
    context_.stop = &stop_;
    watcher_ = std::jthread([this, stop = outer.stop, deadline](const std::stop_token& done) {
      std::mutex mutex;
      std::condition_variable_any wake;
      std::unique_lock lock(mutex);
      while (!done.stop_requested()) {
        if ((stop && stop->load(std::memory_order_relaxed)) || MonotonicClock::now() >= deadline) stop_.store(true);
        wake.wait_for(lock, done, std::chrono::milliseconds(20), [] { return false; });
      }
    });
  }
  [[nodiscard]] Context& context() { return context_; }

 private:
  std::atomic<bool> stop_{false};
  Context context_;
  std::jthread watcher_;
};

/// A task's family and where its figures came from.
struct Family {
  std::string key;
  StoredFamily stored;
  std::vector<SourceIndices> indices;  ///< by variant: where its weights came from, if it was made just now
  bool reused = false;
  bool finished = true;
};

class Scaling {
 public:
  Scaling(Engine& engine, const TaskFile& file, const Workspace& workspace, const ScaleTasksOptions& options,
          const Context& context)
      : engine_(engine),
        file_(file),
        workspace_(workspace),
        options_(options),
        context_(context),
        store_(workspace.store()),
        deadline_(options.budget > Duration::zero() ? MonotonicClock::now() + options.budget : Time::max()) {}

  std::vector<TaskVariants> run() {
    remove_abandoned_scratch(workspace_.variants());
    for (std::size_t t = 0; t < file_.tasks.size(); ++t)
      families_.push_back(context_.stopping() ? unfinished() : find_or_make(t, true));
    if (context_.stopping()) return deliver();
    StorageChoice choice = choose();
    const std::vector<bool> damaged = storage_->damaged(choice.keep);
    if (std::find(damaged.begin(), damaged.end(), true) != damaged.end()) {
      for (std::size_t t = 0; t < families_.size(); ++t)
        if (damaged[t] && families_[t].reused) families_[t] = find_or_make(t, false);
      if (context_.stopping()) return deliver();
      choice = choose();
    }
    settle(choice);
    return deliver(&choice);
  }

 private:
  static Family unfinished() {
    Family family;
    family.finished = false;
    return family;
  }

  Family find_or_make(std::size_t t, bool may_reuse) {
    const TaskSpec& task = file_.tasks[t];
    AccuracyEvaluator evaluator(engine_, task, options_.seed);
    Family family;
    family.key = family_key(task, evaluator.source().fingerprint(), engine_.version(), machine_id(), hashes_);
    if (may_reuse)
      if (std::optional<StoredFamily> known = store_.family(family.key)) {
        family.stored = std::move(*known);
        family.reused = true;
        context_.debug(
            fmt::format("{}: found in the workspace, {} variant(s)", task.name, family.stored.variants.size()));
        return family;
      }
    if (!checked_) check_tasks(engine_, file_, options_.seed);
    checked_ = true;
    try {
      make(t, evaluator, family);
    } catch (const Stopped&) {
      family.finished = false;
    }
    if (!context_.stopping()) note_layout(task, workspace_, family.indices, family.stored);
    if (family.finished) store_.put_family(family.key, task.name, family.stored);
    return family;
  }

  void make(std::size_t t, AccuracyEvaluator& evaluator, Family& family) {
    const TaskSpec& task = file_.tasks[t];
    const double source = accuracy(evaluator, load_request(task, task.model), context_);
    if (source < task.accuracy.min - kRounding)
      task.where["accuracy"]["min"].fail(fmt::format(
          "the source model itself reaches {} {}, less than the {} asked for; accepted is at most what it reaches",
          task.accuracy.metric, format_percent(source), format_percent(task.accuracy.min)));
    const ScaleOutcome outcome = scale_one(t, evaluator, source);
    family.finished = outcome.finished;
    family.stored.refused = outcome.refused;
    for (const Variant& v : outcome.variants)
      add(task, family, v, v.path == task.model ? std::string(kSourceLocation) : location_of(v.path));
    for (std::size_t i = 0; i < task.variants.size() && !context_.stopping(); ++i)
      bring(task, i, source, evaluator, family);
    log(task, family);
  }

  ScaleOutcome scale_one(std::size_t t, AccuracyEvaluator& evaluator, double source) {
    const TaskSpec& task = file_.tasks[t];
    ScaleOutcome only_source;
    Variant unscaled;
    unscaled.id = "source";
    unscaled.path = task.model;
    unscaled.bytes = model_bytes(task.model);
    unscaled.accuracy = source;
    only_source.variants.push_back(unscaled);
    only_source.finished = false;
    if (context_.stopping()) return only_source;
    if (MonotonicClock::now() >= deadline_) {
      context_.warn(
          fmt::format("{}: the budget is spent; only the source model is there. Start again to go on", task.name));
      return only_source;
    }
    StopAt until(context_, deadline_);
    const double all = static_cast<double>(file_.tasks.size());
    until.context().progress = [&](const std::string& what, double fraction) {
      context_.report(fmt::format("{}: {}", task.name, what), (static_cast<double>(t) + fraction) / all);
    };
    ScaleRequest request;
    request.model = task.model;
    request.shapes = task.shapes;
    request.state = task.state;
    request.constants = task.inputs;
    request.calibration = evaluator.calibration_inputs(kCalibrationSets);
    request.calibration_at = [&](const std::vector<std::int64_t>& shape) {
      return evaluator.calibration_inputs(kCalibrationSets, shape);
    };
    request.accuracy = [&](const LoadRequest& candidate) { return accuracy(evaluator, candidate, until.context()); };
    request.accuracy_min = task.accuracy.min - kRounding;
    request.precisions = task.scale.precisions;
    request.resolutions = task.scale.resolutions;
    request.folder = workspace_.variants();
    fs::create_directories(request.folder);
    ScaleOutcome outcome =
        options_.scale ? options_.scale(engine_, request, until.context()) : scale(engine_, request, until.context());
    if (outcome.variants.empty()) outcome.variants = only_source.variants;
    if (!outcome.finished && !context_.stopping())
      context_.warn(
          fmt::format("{}: the budget is spent before all levels were tried. Start again to go on", task.name));
    return outcome;
  }

  /// A variant that the user brings along: only its accuracy is asked for.
  void bring(const TaskSpec& task, std::size_t i, double source, AccuracyEvaluator& evaluator, Family& family) {
    const fs::path& path = task.variants[i];
    Variant v;
    v.id = path.stem().string();
    const auto taken = [&](const StoredVariant& other) { return other.id == v.id; };
    for (int n = 2; std::any_of(family.stored.variants.begin(), family.stored.variants.end(), taken); ++n)
      v.id = fmt::format("{}-{}", path.stem().string(), n);
    v.path = path;
    v.precision = "brought";
    try {
      v.bytes = model_bytes(path);
      v.accuracy = accuracy(evaluator, load_request(task, path), context_);
    } catch (const Error& e) {
      if (e.code() != ErrorCode::bad_input) throw;
      task.where["variants"].fail(
          fmt::format("'{}' cannot stand in for the source model: {}", path.filename().string(), e.what()));
    }
    v.accuracy_loss = source > 0 ? std::max(0.0, (source - v.accuracy) / source) : 0;
    v.note = "brought along";
    if (v.accuracy < task.accuracy.min - kRounding) {
      family.stored.refused.push_back(fmt::format("{}: {} {} is below the {} asked for", v.id, task.accuracy.metric,
                                                  format_percent(v.accuracy), format_percent(task.accuracy.min)));
      return;
    }
    add(task, family, v, std::string(kBroughtLocation) + std::to_string(i));
  }

  void add(const TaskSpec& task, Family& family, const Variant& v, const std::string& location) {
    StoredVariant s;
    s.id = v.id;
    s.location = location;
    s.content = hashes_.of(location == kSourceLocation ? task.model : v.path);
    s.precision = v.precision;
    s.note = v.note;
    s.width = v.width;
    s.depth = v.depth;
    s.resolution = v.resolution;
    s.bytes = v.bytes;
    s.accuracy = v.accuracy;
    s.accuracy_loss = v.accuracy_loss;
    s.median = v.median;
    s.shapes = v.shapes;
    family.stored.variants.push_back(std::move(s));
  }

  double accuracy(AccuracyEvaluator& evaluator, const LoadRequest& request, const Context& context) {
    const std::string key =
        accuracy_key(evaluator.task(), request, evaluator.source().fingerprint(), engine_.version(), hashes_);
    if (const std::optional<double> known = store_.accuracy(key)) return *known;
    const double measured = evaluator(request, context);
    store_.put_accuracy(key, measured);
    return measured;
  }

  void log(const TaskSpec& task, const Family& family) const {
    const StoredVariant& source = family.stored.variants.front();
    for (const StoredVariant& v : family.stored.variants) {
      std::string speed;
      if (v.id != source.id && v.median > Duration::zero() && source.median > Duration::zero())
        speed = fmt::format(" {:.1f}x faster,",
                            static_cast<double>(source.median.count()) / static_cast<double>(v.median.count()));
      context_.info(fmt::format("{}: {}{} {} {}, {}", task.name, v.id, speed, task.accuracy.metric,
                                format_percent(v.accuracy), format_bytes(v.bytes)));
    }
    for (const std::string& reason : family.stored.refused)
      context_.info(fmt::format("{}: not kept: {}", task.name, reason));
  }

  [[nodiscard]] std::string location_of(const fs::path& path) const {
    return path.lexically_relative(workspace_.folder()).string();
  }

  [[nodiscard]] StorageChoice choose() {
    std::vector<SettledFamily> all;
    for (std::size_t t = 0; t < families_.size(); ++t)
      all.push_back({&file_.tasks[t], families_[t].key, &families_[t].stored});
    storage_.emplace(workspace_, hashes_, std::move(all));
    StorageChoice choice = storage_->choose(file_.storage.value_or(std::numeric_limits<std::int64_t>::max()));
    if (!choice.fits)
      throw Error(ErrorCode::infeasible,
                  fmt::format("{}: storage: {} cannot hold one variant of each task; the least possible is {}",
                              file_.path.string(), format_bytes(*file_.storage), format_bytes(choice.least)));
    return choice;
  }

  /// New files first, then the store, then away with the old ones: a killed process leaves a store that is right.
  void settle(const StorageChoice& choice) {
    std::vector<std::string> before, keys;
    for (const Family& family : families_) before.push_back(family.stored.settled);
    storage_->settle(choice.keep);
    for (std::size_t t = 0; t < families_.size(); ++t) {
      const Family& family = families_[t];
      keys.push_back(family.key);
      if (family.finished && family.stored.settled != before[t])
        store_.put_family(family.key, file_.tasks[t].name, family.stored);
    }
    storage_->remove_unused(choice.keep, store_.locations_except(keys));
    if (choice.hypervolume < choice.hypervolume_unbounded)
      context_.info(fmt::format("storage: {} of {} are used; the accuracy-latency fronts lose {} of their hypervolume",
                                format_bytes(choice.bytes), format_bytes(*file_.storage),
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
          context_.info(fmt::format("{}: {}", out.task, out.dropped.back()));
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
        out.variants.push_back(std::move(v));
      }
      tasks.push_back(std::move(out));
    }
    return tasks;
  }

  [[nodiscard]] std::string why_dropped(const StoredVariant& v, const std::string& pointless) const {
    if (!pointless.empty()) return fmt::format("{}: dropped: {}", v.id, pointless);
    return fmt::format("{}: dropped to stay within storage: {} ({})", v.id, format_bytes(file_.storage.value_or(0)),
                       format_bytes(v.bytes));
  }

  Engine& engine_;
  const TaskFile& file_;
  const Workspace& workspace_;
  const ScaleTasksOptions& options_;
  const Context& context_;
  Store store_;
  ContentHashes hashes_;
  Time deadline_;
  std::vector<Family> families_;
  std::optional<FamilyStorage> storage_;
  bool checked_ = false;
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
