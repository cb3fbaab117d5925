#include "profiling/make_family.h"

#include "base/atomic_file.h"
#include "base/hash.h"
#include "base/units.h"
#include "model/model.h"
#include "profiling/accuracy.h"
#include "profiling/check_tasks.h"
#include "profiling/content_key.h"
#include "profiling/machine.h"
#include "profiling/settle_family.h"
#include "profiling/training_data.h"
#include "scaling/exits.h"
#include "scaling/measure.h"
#include "scaling/slim.h"

#include <rtmdl/error.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace rtmdl {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kCalibrationSets = 64;
constexpr double kRounding = 1e-9;        // 95 of 100 inputs are 95 %, however the figures were rounded
constexpr const char* kQuick = "source";  // the recipe of the source's own levels
constexpr std::string_view kExits =
    "exits 2 of ";  // of those with early exits of a level; raise when they would differ

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

}  // namespace

class FamilyMaker::Work {
 public:
  Work(Engine& engine, const TaskFile& file, const Workspace& workspace, const ScaleTasksOptions& options,
       const Context& context)
      : engine_(engine),
        file_(file),
        workspace_(workspace),
        options_(options),
        context_(context),
        store_(workspace.store()),
        deadline_(options.budget > Duration::zero() ? MonotonicClock::now() + options.budget : Time::max()) {}

  Family find_or_make(std::size_t t, bool may_reuse) {
    const TaskSpec& task = file_.tasks[t];
    AccuracyEvaluator evaluator(engine_, task, options_.seed);
    Family family;
    family.key = family_key(task, evaluator.source().fingerprint(), engine_.version(), machine_id(), hashes_);
    if (may_reuse)
      if (std::optional<StoredFamily> known = store_.family(family.key)) {
        family.stored = std::move(*known);
        family.reused = true;
        set_aside(task, family);
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
    if (family.finished) {
      family.stored.done.push_back(kQuick);
      keep(task, family);
    }
    return family;
  }

  /// Narrower and shallower forms and their levels, one after another; each is stored when it is done.
  void find_or_make_forms(std::size_t t, Family& family) {
    const TaskSpec& task = file_.tasks[t];
    std::vector<SlimLevel> wanted;
    for (const SlimLevel& level : slim_levels(task.scale.widths, task.scale.depths))
      if (!made(family, task, level)) wanted.push_back(level);
    if (!options_.slim || !family.finished || context_.stopping()) return;
    if (wanted.empty()) {
      if (fs::exists(forms_folder(family))) close_killed(task, family);
      return;
    }
    if (MonotonicClock::now() >= deadline_) {
      family.finished = false;
      context_.warn(
          fmt::format("{}: the budget is spent; {} narrower or shallower forms are not tried yet. Start "
                      "again to go on",
                      task.name, wanted.size()));
      return;
    }
    try {
      make_forms(t, family, wanted);
    } catch (const Stopped&) {
      family.finished = false;
    }
  }

  void find_or_make_exits(std::size_t t, Family& family) {
    const TaskSpec& task = file_.tasks[t];
    if (!task.scale.exits || !options_.slim || !family.finished) return;
    for (const StoredVariant& base : exit_bases(task, family)) {
      if (done(family, exits_recipe(base))) continue;
      family.finished = false;
      if (context_.stopping()) return;
      if (MonotonicClock::now() >= deadline_)
        return context_.warn(
            fmt::format("{}: the budget is spent; early exits are not tried yet. Start again to go on", task.name));
      try {
        make_exits(t, family, base);
      } catch (const Stopped&) {
      }
      if (!done(family, exits_recipe(base))) return;
      family.finished = true;
    }
  }

  void make_again(std::size_t t, Family& of, const std::set<std::string>& recipes) {
    const TaskSpec& task = file_.tasks[t];
    Family old = std::move(of);
    const auto lost = [&](const StoredVariant& v) { return recipes.contains(v.recipe); };
    std::erase_if(old.stored.variants, lost);
    std::erase_if(old.stored.done, [&](const std::string& recipe) { return recipes.contains(recipe); });
    if (recipes.contains(kQuick)) {
      Family family = find_or_make(t, false);
      if (family.finished) {
        auto& into = family.stored;
        into.variants.insert(into.variants.end(), old.stored.variants.begin(), old.stored.variants.end());
        into.done.insert(into.done.end(), old.stored.done.begin(), old.stored.done.end());
        family.others = std::move(old.others);
      }
      old = std::move(family);
    }
    of = std::move(old);
    if (of.finished) keep(task, of);
    find_or_make_forms(t, of);
    find_or_make_exits(t, of);
    for (const std::string& recipe : recipes)
      if (recipe.starts_with(kExits) && !done(of, recipe))
        context_.warn(fmt::format("{}: the files of early exits of {} are gone; `rtmdl scale` makes them again",
                                  task.name, recipe.substr(kExits.size())));
    for (const SlimLevel& level : slim_levels(task.scale.widths, task.scale.depths))
      for (const std::string& recipe : recipes_of(task, level))
        if (recipes.contains(recipe) && !made(of, task, level))
          context_.warn(
              fmt::format("{}: the files of {} are gone; `rtmdl scale` makes them again", task.name, level.id()));
  }

  /// What is not done with its quick part is made anew by the next start.
  void keep(std::size_t t, const Family& family) {
    if (done(family, kQuick)) keep(file_.tasks[t], family);
  }

  std::vector<std::string> other_locations(const std::vector<Family>& families) {
    std::vector<std::string> keys, locations;
    for (const Family& family : families) {
      keys.push_back(family.key);
      for (const StoredVariant& v : family.others) locations.push_back(v.location);
    }
    const auto more = store_.locations_except(keys);
    locations.insert(locations.end(), more.begin(), more.end());
    return locations;
  }

  ContentHashes& hashes() { return hashes_; }

 private:
  void keep(const TaskSpec& task, const Family& family) {
    StoredFamily all = family.stored;
    all.variants.insert(all.variants.end(), family.others.begin(), family.others.end());
    store_.put_family(family.key, task.name, all);
  }

  static void set_aside(const TaskSpec& task, Family& family) {
    std::set<std::string> wanted{kQuick};
    for (const SlimLevel& level : slim_levels(task.scale.widths, task.scale.depths))
      for (const std::string& recipe : recipes_of(task, level)) wanted.insert(recipe);
    auto& variants = family.stored.variants;
    const auto rest = std::stable_partition(variants.begin(), variants.end(), [&](const StoredVariant& v) {
      return wanted.contains(v.recipe) || (task.scale.exits && v.recipe.starts_with(kExits));
    });
    family.others.assign(std::make_move_iterator(rest), std::make_move_iterator(variants.end()));
    variants.erase(rest, variants.end());
  }

  void make_forms(std::size_t t, Family& family, const std::vector<SlimLevel>& wanted) {
    const TaskSpec& task = file_.tasks[t];
    AccuracyEvaluator evaluator(engine_, task, options_.seed);
    SlimOptions options;
    const std::unique_ptr<TrainingData> data = training_data(task, options.why_not_tuned);
    // The budget is shared evenly by the tasks that are left.
    const auto left = static_cast<std::int64_t>(file_.tasks.size() - t);
    const Time now = MonotonicClock::now();
    StopAt until(context_, deadline_ == Time::max() ? deadline_ : now + (deadline_ - now) / left);
    ScaleRequest request = request_for(t, evaluator, until.context());
    options.shared = task.scale.shared;
    for (const double width : task.scale.widths)
      if (width < 1) options.widths.push_back(width);
    options.tuning = tuning_for(task.scale.tuning);
    options.tuning.seed = options_.seed;
    Slimmer slimmer(engine_, request, options_.tuner, data.get(), options, forms_folder(task, family));
    say_what_is_coming(task, family, wanted, data.get(), options.why_not_tuned);
    for (std::size_t i = 0; i < wanted.size() && !until.context().stopping(); ++i) {
      const double all = static_cast<double>(wanted.size());
      Context context = until.context();
      context.progress = [&, i, all](const std::string& what, double fraction) {
        context_.report(fmt::format("{}: {}: {}", task.name, wanted[i].id(), what),
                        (static_cast<double>(i) + fraction) / all);
      };
      make_form(task, family, slimmer, request, wanted[i], context);
    }
    family.finished =
        std::all_of(wanted.begin(), wanted.end(), [&](const SlimLevel& level) { return made(family, task, level); });
    if (!family.finished && !context_.stopping())
      context_.warn(fmt::format("{}: the budget is spent before all forms were made. Start again to go on", task.name));
    if (!family.finished) return;
    close(task, family, request.calibration);
  }

  /// What is not finished of a family's forms, in a folder for each way of making them. It goes when all are done, so
  /// what is there then was left by a start that was killed just before.
  [[nodiscard]] fs::path forms_folder(const Family& family) const {
    return workspace_.folder() / "forms" / family.key.substr(0, 16);
  }
  [[nodiscard]] fs::path forms_folder(const TaskSpec& task, const Family& family) const {
    return forms_folder(family) / sha256(recipe_of(task, SlimLevel{}, options_.tuner != nullptr)).substr(0, 8);
  }

  void close(const TaskSpec& task, Family& family, const std::vector<InputSet>& calibration) {
    measure_together(task, family, calibration);
    if (context_.stopping()) return;
    std::error_code ignored;
    fs::remove_all(forms_folder(family), ignored);
  }

  void close_killed(const TaskSpec& task, Family& family) {
    AccuracyEvaluator evaluator(engine_, task, options_.seed);
    close(task, family, evaluator.calibration_inputs(kCalibrationSets));
  }

  /// Null, with the reason, if forms cannot be fine-tuned.
  [[nodiscard]] std::unique_ptr<TrainingData> training_data(const TaskSpec& task, std::string& why_not) {
    why_not = options_.tuner == nullptr ? options_.no_tuner : "";
    try {
      return open_training_data(task, load_inputs(task), options_.seed);
    } catch (const Error& e) {
      if (e.code() != ErrorCode::bad_input) throw;
      if (why_not.empty()) why_not = e.what();
      return nullptr;
    }
  }

  /// Levels were timed beside the source one form at a time; all of them in one loop are comparable with each other.
  void measure_together(const TaskSpec& task, Family& family, const std::vector<InputSet>& calibration) {
    std::vector<LoadRequest> requests;
    std::vector<InputSet> inputs;
    std::vector<StoredVariant*> timed;
    for (StoredVariant& v : family.stored.variants) {
      if (!fs::exists(path_of(task, workspace_, v))) continue;  // the storage bound dropped it
      if (!v.exits.none()) continue;                            // its time is a mean over jobs
      timed.push_back(&v);
      requests.push_back(load_request(task, path_of(task, workspace_, v), v.shapes));
      const bool whole = v.resolution == 1 && !calibration.empty();
      inputs.push_back(whole ? calibration.front() : InputSet());
    }
    const auto times = measure_times(engine_, requests, inputs, {}, context_);
    for (std::size_t i = 0; i < times.size(); ++i) timed[i]->median = quantile(times[i], 0.5);
    keep(task, family);
  }

  void make_form(const TaskSpec& task, Family& family, Slimmer& slimmer, ScaleRequest& request, const SlimLevel& level,
                 const Context& context) {
    Slimmer::Outcome made = slimmer.make(level, context);
    if (!made.finished) return;
    const std::string recipe = recipe_of(task, level, options_.tuner != nullptr);
    std::vector<std::string> refused;
    std::vector<StoredVariant> levels;
    if (made.form) {
      request.form = &*made.form;
      const ScaleOutcome outcome =
          options_.scale ? options_.scale(engine_, request, context) : scale(engine_, request, context);
      request.form = nullptr;
      if (!outcome.finished) return;
      refused = outcome.refused;
      for (const Variant& v : outcome.variants)
        if (v.path != task.model) levels.push_back(stored(task, v, location_of(v.path), recipe));
    } else {
      refused.push_back(fmt::format("{}: {}", level.id(), made.refused));
    }
    log(task, family.stored.variants.front(), levels, refused);
    auto& into = family.stored;
    const std::string before = recipe_of(task, level, false);  // of a start without libtorch
    std::erase_if(into.variants, [&](const StoredVariant& v) { return v.recipe == before; });
    into.variants.insert(into.variants.end(), levels.begin(), levels.end());
    into.refused.insert(into.refused.end(), refused.begin(), refused.end());
    into.done.push_back(recipe);
    keep(task, family);
  }

  static std::string exits_recipe(const StoredVariant& base) { return std::string(kExits) + base.id; }

  /// Of the source's own levels of full size the fastest of each precision that is asked for.
  static std::vector<StoredVariant> exit_bases(const TaskSpec& task, const Family& family) {
    const auto& wanted = task.scale.precisions;
    std::vector<StoredVariant> bases;
    for (const StoredVariant& v : family.stored.variants) {
      if (v.recipe != kQuick || v.resolution != 1 || v.precision == "fp16" ||
          std::count(wanted.begin(), wanted.end(), v.precision) == 0)
        continue;
      const auto same =
          std::find_if(bases.begin(), bases.end(), [&](const StoredVariant& b) { return b.precision == v.precision; });
      if (same == bases.end()) bases.push_back(v);
      else if (v.median < same->median) *same = v;
    }
    return bases;
  }

  void make_exits(std::size_t t, Family& family, const StoredVariant& base) {
    const TaskSpec& task = file_.tasks[t];
    StopAt until(context_, deadline_);
    Context& context = until.context();
    const std::string id = base.precision == "fp32" ? "exits" : base.id + "-exits";
    context.progress = [&](const std::string& what, double fraction) {
      context_.report(fmt::format("{}: {}: {}", task.name, id, what), fraction);
    };
    std::vector<std::string> refused;
    std::vector<StoredVariant> levels;
    bool finished = true;
    try {
      finished = add_exits(task, base, id, context, levels, refused);
    } catch (const Error& e) {  // the levels that are there run all the same
      if (e.code() != ErrorCode::bad_input) throw;
      refused.push_back(fmt::format("{}: {}", id, e.what()));
    }
    if (!finished) {
      if (!context_.stopping())
        context_.warn(
            fmt::format("{}: the budget is spent before early exits were made. Start again to go on", task.name));
      return;
    }
    log(task, family.stored.variants.front(), levels, refused);
    auto& into = family.stored;
    into.variants.insert(into.variants.end(), levels.begin(), levels.end());
    into.refused.insert(into.refused.end(), refused.begin(), refused.end());
    into.done.push_back(exits_recipe(base));
    keep(task, family);
  }

  /// False if it was stopped.
  bool add_exits(const TaskSpec& task, const StoredVariant& base, const std::string& id, const Context& context,
                 std::vector<StoredVariant>& levels, std::vector<std::string>& refused) {
    if (task.post_kind != "classes") {
      refused.push_back(
          fmt::format("{}: exits are of classifiers: `post: {{kind: classes}}`, not '{}'", id, task.post_kind));
      return true;
    }
    const fs::path model = path_of(task, workspace_, base);
    if (!fs::exists(model)) {
      refused.push_back(fmt::format("{}: the storage bound has dropped {}", id, base.id));
      return true;
    }
    AccuracyEvaluator evaluator(engine_, task, options_.seed);
    const std::vector<TensorSpec> inputs = load_inputs(task);
    const std::unique_ptr<TrainingData> unseen = open_unseen_data(task, inputs, options_.seed, 0),
                                        learnt = unseen ? open_unseen_data(task, inputs, options_.seed, 1)
                                                        : open_training_data(task, inputs, options_.seed);
    ExitsRequest request;
    request.at = load_request(task, model, base.shapes);
    request.data = learnt.get();
    request.unseen = unseen.get();
    request.labels = !evaluator.against_source() && learnt->labelled();
    request.folder = workspace_.variants();
    request.seed = options_.seed;
    const ExitsOutcome outcome = attach_exits(engine_, request, context);
    if (!outcome.finished) return false;
    for (const std::string& reason : outcome.refused) refused.push_back(fmt::format("{}: {}", id, reason));
    for (const ExitsLevel& level : outcome.levels) {
      StoredVariant v = base;
      v.recipe = exits_recipe(base);
      v.id = levels.empty() ? id : fmt::format("{}-{}", id, levels.size() + 1);
      score_level(task, level, evaluator, context, v);
      if (v.accuracy < task.accuracy.min - kRounding)
        refused.push_back(fmt::format("{}: {} {} is below the {} asked for", v.id, task.accuracy.metric,
                                      format_percent(v.accuracy, 2), format_percent(task.accuracy.min, 2)));
      else levels.push_back(std::move(v));
    }
    return true;
  }

  /// Writes it and fills in what is not the base's.
  void score_level(const TaskSpec& task, const ExitsLevel& level, AccuracyEvaluator& evaluator, const Context& context,
                   StoredVariant& v) {
    const std::string bytes = serialize(level.model);
    const fs::path path = workspace_.variants() / (sha256(bytes).substr(0, 16) + ".onnx");
    write_file_atomically(path, bytes);
    LoadRequest request = load_request(task, path, v.shapes);
    request.cuts = level.cuts;
    request.exits = level.rules;
    AccuracyEvaluator::ExitScores scores = evaluator.score_exits(request, context);
    const double source = accuracy(evaluator, load_request(task, task.model), context);
    v.accuracy = scores.accuracy;
    v.accuracy_loss = source > 0 ? std::max(0.0, (source - v.accuracy) / source) : 0;
    v.exits = std::move(scores.exits);
    v.location = location_of(path);
    v.content = hashes_.of(path);
    v.bytes = static_cast<std::int64_t>(bytes.size());
    double mean = 0, passed = 0;
    std::string exits;
    const std::vector<double> reach = v.exits.reach();
    for (std::size_t k = 0; k < reach.size(); ++k) {
      mean += reach[k] * level.unit_seconds[k];
      passed += level.unit_seconds[k];
      if (k < v.exits.at.size())
        exits += fmt::format("{}{} leave after {} of the time", k == 0 ? "" : ", ",
                             format_percent(v.exits.at[k].leaves, 0), format_percent(passed / level.whole_seconds, 0));
    }
    v.median =
        from_seconds(to_seconds(v.median) * mean / level.whole_seconds);  // the base's was measured beside others
    v.note = fmt::format("{}; {}", v.note, exits);
  }

  /// The grid and about how long it takes, before it begins: for each example a forward pass of the source and three of
  /// the form (forward, gradients of inputs and of weights), on all cores, at about half the speed of inference.
  void say_what_is_coming(const TaskSpec& task, const Family& family, const std::vector<SlimLevel>& wanted,
                          const TrainingData* data, const std::string& why_not_tuned) const {
    const double forward = to_seconds(family.stored.variants.front().median);
    const double cores = std::max<double>(1, static_cast<double>(available_cores().size()));
    double seconds = 0;
    std::string ids;
    for (const SlimLevel& level : wanted) {
      const double share = level.width * level.width * level.depth;
      if (data != nullptr)
        seconds +=
            std::min(to_seconds(task.scale.tuning.limit), 2 * (1 + 3 * share) * forward * task.scale.tuning.epochs *
                                                              static_cast<double>(data->size()) / cores);
      ids += (ids.empty() ? "" : ", ") + level.id();
    }
    const std::string forms = fmt::format("{}: {} narrower or shallower forms ({})", task.name, wanted.size(), ids);
    if (!why_not_tuned.empty())
      context_.warn(fmt::format("{}: cut and reconstructed, not fine-tuned: {}", forms, why_not_tuned));
    else if (task.scale.tuning.epochs == 0)
      context_.info(fmt::format("{}: cut and reconstructed, not fine-tuned, as scale.tuning.epochs asks", forms));
    else
      context_.info(
          fmt::format("{}, each fine-tuned on {} inputs: about {}, and as long again at most to measure and "
                      "quantise them",
                      forms, data->size(), format_duration(from_seconds(seconds))));
  }

  [[nodiscard]] std::vector<TensorSpec> load_inputs(const TaskSpec& task) {
    const auto loaded = engine_.load(load_request(task, task.model));
    return {loaded->inputs().begin(), loaded->inputs().end()};
  }

  static FineTuneOptions tuning_for(const TuningSpec& spec) {
    FineTuneOptions o;
    o.objective = spec.learn_from == "labels"   ? Objective::labels
                  : spec.learn_from == "source" ? Objective::distillation
                                                : Objective::automatic;
    o.epochs = spec.epochs;
    o.budget = spec.limit;
    o.learning_rate = spec.rate;
    o.batch = spec.batch;
    o.mixed_precision = true;
    o.augment_shift = spec.shift;
    o.augment_mirror = spec.mirror;
    return o;
  }

  static bool done(const Family& family, const std::string& recipe) {
    return std::find(family.stored.done.begin(), family.stored.done.end(), recipe) != family.stored.done.end();
  }

  /// What is shared, and by which widths: nothing by itself.
  static std::string shared_by(const ScaleSpec& scale) {
    return scale.shared > 0 ? fmt::format("{:g} of {} on one grid", scale.shared, fmt::join(scale.widths, " ")) : "0";
  }

  [[nodiscard]] static std::vector<std::string> recipes_of(const TaskSpec& task, const SlimLevel& level) {
    return {recipe_of(task, level, true), recipe_of(task, level, false)};
  }

  /// What was made without libtorch is made again once it is there.
  [[nodiscard]] bool made(const Family& family, const TaskSpec& task, const SlimLevel& level) const {
    return done(family, recipe_of(task, level, true)) ||
           (options_.tuner == nullptr && done(family, recipe_of(task, level, false)));
  }

  /// Everything that a form depends on besides the family's key.
  static std::string recipe_of(const TaskSpec& task, const SlimLevel& level, bool tuned) {
    const TuningSpec& t = task.scale.tuning;
    if (!tuned) return fmt::format("{} shared {} untuned", level.id(), shared_by(task.scale));
    return fmt::format("{} shared {} learn_from {} epochs {:g} limit {} rate {:g} batch {} shift {} mirror {}",
                       level.id(), shared_by(task.scale), t.learn_from, t.epochs, t.limit.count(), t.rate, t.batch,
                       t.shift, t.mirror);
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
    log(task, family.stored.variants.front(), family.stored.variants, family.stored.refused);
    if (family.stored.variants.size() == 1 && outcome.nearest)
      context_.info(fmt::format("{}: no level reaches the {} asked for; {} came nearest with {}", task.name,
                                format_percent(task.accuracy.min), outcome.nearest->id,
                                format_percent(outcome.nearest->accuracy, 2)));
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
    const ScaleRequest request = request_for(t, evaluator, until.context());
    ScaleOutcome outcome =
        options_.scale ? options_.scale(engine_, request, until.context()) : scale(engine_, request, until.context());
    if (outcome.variants.empty()) outcome.variants = only_source.variants;
    if (!outcome.finished && !context_.stopping())
      context_.warn(
          fmt::format("{}: the budget is spent before all levels were tried. Start again to go on", task.name));
    return outcome;
  }

  /// References to the evaluator and the context stay in it.
  ScaleRequest request_for(std::size_t t, AccuracyEvaluator& evaluator, const Context& context) {
    const TaskSpec& task = file_.tasks[t];
    ScaleRequest request;
    request.model = task.model;
    request.shapes = task.shapes;
    request.state = task.state;
    request.constants = task.inputs;
    request.calibration = evaluator.calibration_inputs(kCalibrationSets);
    request.calibration_at = [&evaluator](const std::vector<std::int64_t>& shape) {
      return evaluator.calibration_inputs(kCalibrationSets, shape);
    };
    request.accuracy = [this, &evaluator, &context](const LoadRequest& candidate) {
      return accuracy(evaluator, candidate, context);
    };
    request.accuracy_min = task.accuracy.min - kRounding;
    request.precisions = task.scale.precisions;
    request.resolutions = task.scale.resolutions;
    request.folder = workspace_.variants();
    fs::create_directories(request.folder);
    return request;
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
    family.stored.variants.push_back(stored(task, v, location, kQuick));
  }

  StoredVariant stored(const TaskSpec& task, const Variant& v, const std::string& location, const std::string& recipe) {
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
    s.recipe = recipe;
    return s;
  }

  double accuracy(AccuracyEvaluator& evaluator, const LoadRequest& request, const Context& context) {
    const std::string key =
        accuracy_key(evaluator.task(), request, evaluator.source().fingerprint(), engine_.version(), hashes_);
    if (const std::optional<double> known = store_.accuracy(key)) return *known;
    const double measured = evaluator(request, context);
    store_.put_accuracy(key, measured);
    return measured;
  }

  void log(const TaskSpec& task, const StoredVariant& source, const std::vector<StoredVariant>& variants,
           const std::vector<std::string>& refused) const {
    for (const StoredVariant& v : variants) {
      std::string speed;
      if (v.id != source.id && v.median > Duration::zero() && source.median > Duration::zero())
        speed = fmt::format(" {:.1f}x faster,",
                            static_cast<double>(source.median.count()) / static_cast<double>(v.median.count()));
      context_.info(fmt::format("{}: {}{} {} {}, {}", task.name, v.id, speed, task.accuracy.metric,
                                format_percent(v.accuracy), format_bytes(v.bytes)));
    }
    for (const std::string& reason : refused) context_.info(fmt::format("{}: not kept: {}", task.name, reason));
  }
  [[nodiscard]] std::string location_of(const fs::path& path) const {
    return path.lexically_relative(workspace_.folder()).string();
  }

  Engine& engine_;
  const TaskFile& file_;
  const Workspace& workspace_;
  const ScaleTasksOptions& options_;
  const Context& context_;
  Store store_;
  ContentHashes hashes_;
  Time deadline_;
  bool checked_ = false;
};

FamilyMaker::FamilyMaker(Engine& engine, const TaskFile& file, const Workspace& workspace,
                         const ScaleTasksOptions& options, const Context& context)
    : work_(std::make_unique<Work>(engine, file, workspace, options, context)) {}
FamilyMaker::~FamilyMaker() = default;

Family FamilyMaker::find_or_make(std::size_t task) { return work_->find_or_make(task, true); }
void FamilyMaker::find_or_make_forms(std::size_t task, Family& family) { work_->find_or_make_forms(task, family); }
void FamilyMaker::find_or_make_exits(std::size_t task, Family& family) { work_->find_or_make_exits(task, family); }
void FamilyMaker::make_again(std::size_t task, Family& family, const std::set<std::string>& recipes) {
  work_->make_again(task, family, recipes);
}
void FamilyMaker::keep(std::size_t task, const Family& family) { work_->keep(task, family); }
std::vector<std::string> FamilyMaker::other_locations(const std::vector<Family>& families) {
  return work_->other_locations(families);
}
ContentHashes& FamilyMaker::hashes() { return work_->hashes(); }

}  // namespace rtmdl
