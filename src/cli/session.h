#pragma once
/// What every verb shares: the task file, the workspace, the engine, messages and progress, ctrl-C.

#include "base/context.h"
#include "cli/console.h"
#include "cli/options.h"
#include "engine/engine.h"
#include "planning/model_correction.h"
#include "planning/plan_file.h"
#include "planning/planner.h"
#include "planning/policies.h"
#include "planning/problem_from_profile.h"
#include "planning/requests.h"
#include "profiling/profiler.h"
#include "profiling/scale_tasks.h"
#include "task/workspace.h"

#include "task/task_file.h"

#include <filesystem>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace rtmdl {

/// Ctrl-C before there was a result: exit status 130, as shells have it.
inline constexpr int kInterrupted = 130;
struct Interrupted : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Of the exception that is being handled: one line on stderr; returns the exit status.
int report_failure() noexcept;

class Session {
 public:
  /// With an exchange this is its rank 0, and plans are made with all ranks (planning/ranks.h).
  explicit Session(const Options& options, Exchange* exchange = nullptr);
  ~Session();

  [[nodiscard]] const Options& options() const { return options_; }
  [[nodiscard]] const Context& context() const { return context_; }
  [[nodiscard]] Engine& engine() { return *engine_; }
  [[nodiscard]] const TaskFile& file() const { return file_; }  ///< with --set and --weights
  [[nodiscard]] const Workspace& workspace() const { return *workspace_; }

  // Each makes what it needs first; what is in the workspace already is not made again.
  /// With `forms`, narrower and shallower forms as well, which takes long; else those that are in the workspace.
  const std::vector<TaskVariants>& variants(bool forms = false);
  const std::vector<TaskProfile>& profile();
  /// With --load, the times in file() are stretched here: look at them after.
  /// With what calibration has taught until now.
  const PlanProblem& problem();
  const PlanProblem& profiled_problem();  ///< without
  const ModelCorrection& correction();
  /// From now on; kept in the profile store.
  void correct(const ModelCorrection& correction);
  /// From now on, and kept: of problem() and plan_options().
  void adopt(const Plan& plan);
  [[nodiscard]] PlanOptions plan_options();
  [[nodiscard]] double load();  ///< source_load() of file()
  const Plan& plan();
  /// As plan(), but where ctrl-c ended the search the best found until then, which is not kept.
  const Plan& best_plan();
  /// What would make it feasible, in the plan if that is not feasible: best_plan() is called first.
  const Plan& plan_with_relaxations();
  /// Leaves plan() as programs open it (include/rtmdl/runtime.h), unless that is a what-if.
  void compile_plan();
  /// Of a policy that makes these choices: with --change what may run, else the choices alone.
  [[nodiscard]] LoadedOptions loaded(const PolicyInfo& policy, const Choices& choices);
  /// What is asked for; null: there is no --change.
  [[nodiscard]] std::unique_ptr<Requests> requests(const PolicyInfo& policy, const LoadedOptions& loaded,
                                                   bool fixed_order);
  [[nodiscard]] const PolicyInfo& policy() const;  ///< --policy, else what the task file says
  /// --set, --weights, --cores: what is planned is not what the file says, and plan.json is left as it is.
  [[nodiscard]] bool what_if() const { return !options_.settings.empty() || options_.cores; }

  /// Text for people: stdout, or nothing with --json. Throws Error(bad_input) if stdout takes it not (a full disk).
  void print(const std::string& text) const;
  /// One JSON object on stdout, if --json.
  void print_json(const std::string& json) const;
  /// To stdout, with a newline at the end. Throws as print() does.
  static void write(const std::string& text);
  /// Throws Interrupted if ctrl-C ended the work before it was complete.
  void check_complete(const std::string& what) const;

 private:
  Options options_;
  Exchange* exchange_;
  Console console_;
  Context context_;
  [[nodiscard]] std::filesystem::path plan_path() const;
  [[nodiscard]] const PolicyInfo& own_policy() const;
  void check_cores() const;
  void check_changes();
  Plan plan_and_log(PlanOptions options);
  /// Keeps the plan, if ctrl-c did not end what made it.
  void keep_plan();
  /// The file whose variants are made and measured: as written, unless settings change those.
  [[nodiscard]] const TaskFile& profiled_file() const { return written_ ? *written_ : file_; }

  TaskFile file_;
  std::optional<TaskFile> written_;  ///< without settings, where these only change the planning
  std::unique_ptr<Workspace> workspace_;
  std::unique_ptr<Engine> engine_;
  std::optional<WorkspaceLock> lock_;  ///< while variants are made and measured
  std::optional<std::vector<TaskVariants>> variants_;
  std::optional<std::vector<TaskProfile>> profile_;
  std::optional<PlanProblem> profiled_, problem_;
  ModelCorrection correction_;
  std::optional<Plan> plan_;
};

// One file per verb. Each returns the exit status.
int scale_verb(const Options& options);
int profile_verb(const Options& options);
int plan_verb(const Options& options);
int simulate_verb(const Options& options);
int run_verb(const Options& options);
int compare_verb(const Options& options);

}  // namespace rtmdl
