#include "cli/session.h"

#include "base/units.h"
#include "planning/source_load.h"

#include <rtmdl/error.h>

#include <cstdio>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

namespace rtmdl {
void add_tasks(CLI::App& app, Options& o) {
  app.add_option("TASKS", o.tasks, "The task file (YAML)")->required();
  app.add_option("--workspace", o.workspace, "Folder for variants, profiles, plans and runs [TASKS with the ending .workspace]");
  app.add_flag("--json", o.json, "Print one JSON object on stdout and nothing else; messages go to stderr");
  app.add_flag("-v,--verbose", o.verbose, "Say more");
  app.add_option("--seed", o.seed, "Of every random choice: data splits, releases, searches")->capture_default_str();
}

void add_duration(CLI::App& app, Options& o, const std::string& what) { app.add_option("--duration", o.duration, what); }
void add_budget(CLI::App& app, Options& o) {
  app.add_option("--budget", o.budget, "Time that it may take, such as 10min; what is not done by then is left out");
}
void add_plan_options(CLI::App& app, Options& o) {
  app.add_option("--method", o.method, "Search: auto, exact, descent")->capture_default_str();
  app.add_option("--margin", o.margin, "Stretch measured times by this much while planning: room for what the profile did not see")->capture_default_str();
}
void add_load(CLI::App& app, Options& o) {
  app.add_option("--load", o.load,
                 "Play all tasks so much faster or slower (periods, deadlines, jitter alike) that their source models need this share of the "
                 "processors, such as 100% [as the task file says]");
}
void add_strict(CLI::App& app, Options& o) { app.add_flag("--strict", o.strict, "Exit status 3 if a task's limit is broken"); }

Duration duration_option(const std::string& name, const std::string& text) {
  Duration d{};
  try {
    d = parse_duration(text);
  } catch (const Error& e) {
    bad_input(fmt::format("{}: {}", name, e.what()));
  }
  if (d <= Duration::zero()) bad_input(fmt::format("{}: '{}' is out of range: more than 0 s is accepted", name, text));
  return d;
}

double fraction_option(const std::string& name, const std::string& text, double least, double most) {
  double x = 0;
  try {
    x = parse_fraction(text);
  } catch (const Error& e) {
    bad_input(fmt::format("{}: {}", name, e.what()));
  }
  if (!(x >= least && x <= most))
    bad_input(fmt::format("{}: '{}' is out of range: {} to {} is accepted", name, text, format_percent(least), format_percent(most)));
  return x;
}

Session::Session(const Options& options) : options_(options), console_(options.verbose), context_(console_.context(options.seed)) {
  // What is typed wrong is said before any work.
  if (!options.load.empty()) static_cast<void>(fraction_option("--load", options.load, 0.01, 10));
  static_cast<void>(fraction_option("--margin", options.margin, 0, 10));
  static_cast<void>(duration());
  static_cast<void>(budget());
  file_ = TaskFile::load(options.tasks);
  workspace_ = std::make_unique<Workspace>(options.workspace.empty() ? Workspace::default_folder(options.tasks) : options.workspace);
  engine_ = make_onnxruntime_engine();
}

Session::~Session() = default;

const std::vector<TaskVariants>& Session::variants() {
  if (!variants_) {
    ScaleTasksOptions o;
    o.budget = budget();
    o.seed = options_.seed;
    variants_ = scale_tasks(*engine_, file_, *workspace_, o, context_);
    check_complete("scaling");
  }
  return *variants_;
}

const std::vector<TaskProfile>& Session::profile() {
  if (!profile_) {
    ProfileOptions o;
    o.budget = budget();
    o.seed = options_.seed;
    const auto& family = variants();
    profile_ = profile_tasks(*engine_, file_, *workspace_, family, o, context_);
    check_complete("profiling");
  }
  return *profile_;
}

const PlanProblem& Session::problem() {
  if (problem_) return *problem_;
  const auto& measured = profile();
  if (!options_.load.empty()) {
    const double asked = fraction_option("--load", options_.load, 0.01, 10);
    const double written = source_load(file_, measured);
    if (!(written > 0)) bad_input("--load: no source model was profiled with one thread, so there is no load to start from");
    file_.stretch(written / asked);
    context_.info(fmt::format("as written, the source models need {} of the processors; played {:.3g} times as fast they need {}", format_percent(written),
                              asked / written, format_percent(asked)));
  }
  problem_ = make_problem(file_, measured);
  return *problem_;
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
  PlanOptions o;
  o.method = options_.method;
  o.simulated = simulated_length(problem());
  o.seed = options_.seed;
  if (!options_.budget.empty()) o.budget = budget();
  o.margin = fraction_option("--margin", options_.margin, 0, 10);
  const std::string key = plan_key(problem(), o);
  plan_ = load_plan(workspace_->plan(), problem(), key);
  if (plan_) {
    context_.debug("the plan in the workspace is up to date");
    return *plan_;
  }
  plan_ = rtmdl::plan(problem(), o, context_);
  if (!context_.stopping()) save_plan(workspace_->plan(), *plan_, problem(), key);
  return *plan_;
}

void Session::print(const std::string& text) const {
  if (options_.json) return;
  std::fputs(text.c_str(), stdout);
  if (text.empty() || text.back() != '\n') std::fputc('\n', stdout);
  std::fflush(stdout);
}

void Session::print_json(const std::string& json) const {
  if (!options_.json) return;
  std::fputs(json.c_str(), stdout);
  std::fputc('\n', stdout);
  std::fflush(stdout);
}

Duration Session::budget() const { return options_.budget.empty() ? Duration::zero() : duration_option("--budget", options_.budget); }

std::optional<Duration> Session::duration() const {
  if (options_.duration.empty()) return std::nullopt;
  return duration_option("--duration", options_.duration);
}

void Session::check_complete(const std::string& what) const {
  if (context_.stopping()) throw Interrupted(fmt::format("{} was interrupted; what is finished is kept, and the same command goes on from there", what));
}

}  // namespace rtmdl
