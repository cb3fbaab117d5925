#include "cli/session.h"

#include "base/atomic_file.h"
#include "base/thread_placement.h"
#include "base/units.h"
#include "calibration/calibrate.h"
#include "calibration/correction_store.h"
#include "calibration/planned_run.h"
#include "planning/fewer_cores.h"
#include "planning/policies.h"
#include "planning/proof.h"
#include "planning/ranks.h"
#include "planning/relax.h"
#include "planning/source_load.h"
#include "profiling/machine.h"
#include "runtime/compiled_plan.h"
#include "scaling/load_fine_tuner.h"

#include <rtmdl/error.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <exception>
#include <mutex>
#include <new>

#include <fmt/format.h>

namespace rtmdl {
namespace {

/// A name that is none is refused before anything is made.
void require_task(const TaskFile& file, const std::string& name) {
  PlanProblem names;
  for (const TaskSpec& task : file.tasks) names.tasks.emplace_back().name = task.name;
  try {
    static_cast<void>(find_task(names, name));
  } catch (const Error& e) {
    bad_input(std::string("--explain: ") + e.what());
  }
}

}  // namespace

int report_failure() noexcept {
  try {
    throw;
  } catch (const Error& e) {
    std::fprintf(stderr, "rtmdl: %s\n", e.what());
    return static_cast<int>(e.code());
  } catch (const Interrupted& e) {
    std::fprintf(stderr, "rtmdl: %s\n", e.what());
    return kInterrupted;
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "rtmdl: out of memory\n");
  } catch (const std::exception& e) {
    std::fprintf(stderr, "rtmdl: internal error, please report it: %s\n", e.what());
  }
  return static_cast<int>(ErrorCode::internal);
}

Session::Session(const Options& options, Exchange* exchange)
    : options_(options), exchange_(exchange), console_(options.verbose), context_(console_.context(options.seed)) {
  file_ = TaskFile::load(options.tasks);
  if (!options.settings.empty()) {
    TaskFile changed = TaskFile::load(options.tasks, options.settings);
    if (std::all_of(options.settings.begin(), options.settings.end(), only_planning)) written_ = std::move(file_);
    file_ = std::move(changed);
  }
  check_cores();
  check_changes();
  if (options.calibrate && options.cores) bad_input("--calibrate plays on the box as it is: leave --cores out");
  if (!options.log.empty() && options.mpi) bad_input("--log is of a search in one process: leave --mpi out");
  if (options.calibrate && options.mpi) bad_input("--calibrate and --mpi: one after the other");
  if (!options.explain.empty()) require_task(file_, options.explain);
  workspace_ = std::make_unique<Workspace>(options.workspace.empty() ? Workspace::default_folder(options.tasks)
                                                                     : options.workspace);
  engine_ = make_onnxruntime_engine();
}

Session::~Session() = default;

void Session::check_cores() const {
  if (!options_.cores) return;
  try {
    require_cores(file_.processors, *options_.cores);
  } catch (const Error& e) {
    bad_input(fmt::format("--cores: {}", e.what()));
  }
}

void Session::check_changes() {
  if (options_.changes.empty()) return;
  try {
    resolve_changes(options_.changes, file_);
  } catch (const Error& e) {
    bad_input(fmt::format("--change: {}", e.what()));
  }
}

LoadedOptions Session::loaded(const PolicyInfo& policy, const Choices& choices) {
  if (!options_.changes.empty()) return loaded_options(policy, problem(), choices);
  LoadedOptions loaded;
  loaded.choices = choices;
  return loaded;
}

std::unique_ptr<Requests> Session::requests(const PolicyInfo& policy, const LoadedOptions& loaded, bool fixed_order) {
  if (options_.changes.empty()) return nullptr;
  return make_requests(policy, loaded, options_.changes, plan_options(), fixed_order, context_);
}

const std::vector<TaskVariants>& Session::variants(bool forms) {
  if (!variants_) {
    ScaleTasksOptions o;
    LoadedFineTuner training;
    if (forms) training = load_fine_tuner();
    o.slim = forms;
    o.tuner = training.tuner.get();
    o.no_tuner = training.reason;
    o.budget = options_.budget.value_or(Duration::zero());
    o.seed = options_.seed;
    if (!lock_) lock_.emplace(*workspace_, context_);
    variants_ = scale_tasks(*engine_, profiled_file(), *workspace_, o, context_);
    check_complete("scaling");
  }
  return *variants_;
}

const std::vector<TaskProfile>& Session::profile() {
  if (!profile_) {
    ProfileOptions o;
    o.budget = options_.budget.value_or(Duration::zero());
    o.seed = options_.seed;
    if (!lock_) lock_.emplace(*workspace_, context_);
    const auto& family = variants();
    profile_ = profile_tasks(*engine_, profiled_file(), *workspace_, family, o, context_);
    lock_.reset();
    check_complete("profiling");
  }
  return *profile_;
}

const PlanProblem& Session::profiled_problem() {
  if (profiled_) return *profiled_;
  const auto& measured = profile();
  if (options_.load) {
    const double asked = *options_.load;
    // Of the file as written: the same stretch whatever is set, so that what-ifs can be compared.
    const double written = source_load(profiled_file(), measured);
    if (!(written > 0))
      bad_input("--load: no source model was profiled with one thread, so there is no load to start from");
    file_.stretch(written / asked);
    context_.info(
        fmt::format("as written, the source models need {} of the processors; played {:.3g} times as fast they need {}",
                    format_percent(written), asked / written, format_percent(asked)));
  }
  profiled_ = make_problem(file_, measured);
  if (!realtime_permitted()) {
    context_.debug("SCHED_FIFO is not permitted: planned without preemption, as it will run");
    for (PlanProcessor& p : profiled_->processors) p.preemptive = false;
  } else {
    for (std::size_t p = 0; p < file_.processors.size(); ++p)
      if (file_.processors[p].device == "cpu") profiled_->processors[p].realtime_share = realtime_share();
  }
  const int without_fit = set_execution_bounds(*profiled_, options_.execution_bound);
  if (without_fit > 0) {
    context_.warn(
        fmt::format("--execution-bound: {} stages have fewer than {} samples and no tail can be fitted; for "
                    "them it is the longest measured time + {}",
                    without_fit, kLeastSamplesForATail, format_percent(options_.execution_bound.margin, 0)));
  }
  return *profiled_;
}

const PlanProblem& Session::problem() {
  if (problem_) return *problem_;
  problem_ = profiled_problem();
  Store store(workspace_->store());
  correction_ = load_correction(store, {machine_id(), engine_->version()}, file_, profile(), context_);
  if (!correction_.empty())
    context_.debug(fmt::format("planning with what calibration showed of {} options", correction_.options.size()));
  apply(*problem_, correction_);
  if (options_.cores) problem_ = with_cores(*problem_, file_.processors, *options_.cores);
  return *problem_;
}

const ModelCorrection& Session::correction() {
  static_cast<void>(problem());
  return correction_;
}

void Session::correct(const ModelCorrection& correction) {
  Store store(workspace_->store());
  save_correction(store, {machine_id(), engine_->version()}, file_, profile(), correction);
  correction_ = correction;
  problem_ = profiled_problem();
  apply(*problem_, correction_);
  plan_.reset();
}

void Session::adopt(const Plan& plan) {
  plan_ = plan;
  keep_plan();
}

double Session::load() { return source_load(file_, profile()); }

const Plan& Session::plan() {
  if (!plan_) {
    best_plan();
    check_complete("planning");
  }
  return *plan_;
}

const Plan& Session::best_plan() {
  if (plan_) return *plan_;
  const PlanOptions o = plan_options();
  plan_ = load_plan(plan_path(), problem(), plan_key(problem(), o));
  if (plan_ && options_.log.empty() && (!exchange_ || plan_->ranks == exchange_->ranks())) {
    context_.debug("the plan in the workspace is up to date");
    return *plan_;
  }
  plan_ = exchange_              ? plan_with_ranks(*exchange_, problem(), o, context_)
          : options_.log.empty() ? rtmdl::plan(problem(), o, context_)
                                 : plan_and_log(o);
  keep_plan();
  return *plan_;
}

Plan Session::plan_and_log(PlanOptions options) {
  std::string lines = "fate,about,accuracy_loss,miss_rate";
  for (const PlanTask& task : problem().tasks)
    lines += fmt::format(",{0},{0} on,{0} threads,{0} segments,{0} priority", task.name);
  lines += '\n';
  std::mutex lock;
  options.log = [&](const CandidateFate& c) {
    const std::lock_guard<std::mutex> guard(lock);
    const auto& tasks = problem().tasks;
    lines += fmt::format("{},{},{:.6f},{:.6f}", c.fate, c.task < 0 ? "" : tasks[static_cast<std::size_t>(c.task)].name,
                         c.loss, c.miss_rate);
    for (std::size_t i = 0; i < tasks.size(); ++i) {
      const TaskOption& option = tasks[i].options[static_cast<std::size_t>(c.choices[i].option)];
      lines += fmt::format(",{},{},{},{},{}", option.variant, option.processor, option.threads, segments_of(option),
                           c.choices[i].priority);
    }
    lines += '\n';
  };
  Plan plan = rtmdl::plan(problem(), options, context_);
  write_file_atomically(options_.log, lines);
  return plan;
}

const Plan& Session::plan_with_relaxations() {
  best_plan();
  if (plan_->feasible || plan_->relaxations || context_.stopping()) return *plan_;
  plan_->relaxations = smallest_relaxations(problem(), *plan_, plan_options(), context_);
  keep_plan();
  return *plan_;
}

PlanOptions Session::plan_options() {
  PlanOptions o;
  o.method = options_.method;
  o.simulated = simulated_length(problem());
  o.seed = options_.seed;
  if (options_.budget) o.budget = *options_.budget;
  o.margin = options_.margin.value_or(correction().options.empty() ? kProfiledMargin : kCalibratedMargin);
  o.jobs = options_.jobs;
  if (exchange_) o.method = "nsga2";
  o.miss_weight = options_.miss_weight;
  return o;
}

std::filesystem::path Session::plan_path() const {
  return what_if() ? workspace_->folder() / "what-if.json" : workspace_->plan();
}

const PolicyInfo& Session::own_policy() const { return find_policy(file_.adapt ? "adaptive" : "rtmdl"); }

const PolicyInfo& Session::policy() const {
  return options_.policy.empty() ? own_policy() : find_policy(options_.policy);
}

void Session::keep_plan() {
  if (!context_.stopping()) save_plan(plan_path(), *plan_, problem(), plan_key(problem(), plan_options()));
}

void Session::compile_plan() {
  if (what_if() || context_.stopping()) return;
  const PolicyInfo& policy = own_policy();
  RunConfig config = make_run_config(file_, policy, problem(), choices_for(policy, problem(), *plan_), variants());
  if (!plan_->feasible)
    config.notes.insert(config.notes.begin(),
                        fmt::format("no strategy is feasible ({}); running the nearest", plan_->reason));
  save_compiled_plan(workspace_->folder() / kCompiledPlanFile, file_, config);
}

void Session::print(const std::string& text) const {
  if (!options_.json) write(text);
}

void Session::print_json(const std::string& json) const {
  if (options_.json) write(json);
}

void Session::write(const std::string& text) {
  std::fputs(text.c_str(), stdout);
  if (text.empty() || text.back() != '\n') std::fputc('\n', stdout);
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0)
    bad_input(fmt::format("standard output: cannot write: {}", std::strerror(errno)));
}

void Session::check_complete(const std::string& what) const {
  if (context_.stopping())
    throw Interrupted(
        fmt::format("{} was interrupted; what is finished is kept, and the same command goes on from there", what));
}

}  // namespace rtmdl
