#include "cli/play.h"
#include "planning/predict.h"
#include "report/json.h"
#include "report/table.h"

#include <rtmdl/error.h>

#include <fmt/format.h>

#include <unistd.h>

namespace rtmdl {
namespace {

constexpr int kReplications = 16;

/// How much of the report is chance.
std::string replications_text(const RunReport& report) {
  std::string text = fmt::format("over {} seeds (mean ± its 95 % confidence interval):", kReplications);
  for (const TaskReport& t : report.tasks)
    text += fmt::format("{} {} {:.2f} ± {:.2f} %", &t == &report.tasks.front() ? "" : ",", t.name,
                        100 * t.mean_miss_rate.value_or(0), 100 * t.mean_miss_rate_95);
  return text;
}

}  // namespace

int simulate_verb(const Options& options) {
  Session session(options);
  const PolicyInfo& policy = session.policy();
  if (policy.system_defaults)
    bad_input(
        "--policy default cannot be simulated: it leaves every decision to the operating system; `rtmdl run --policy "
        "default` measures it");
  const PlanProblem& problem = session.problem();
  const Plan no_plan;
  const Plan& plan = policy.variants == VariantChoice::planned ? session.plan() : no_plan;
  const LoadedOptions loaded = session.loaded(policy, choices_for(policy, problem, plan));
  const Choices& choices = loaded.choices;
  const std::unique_ptr<Requests> requests = session.requests(policy, loaded, false);
  const Duration length = options.duration.value_or(std::chrono::seconds(60));
  RunReport report = predict(policy, problem, choices, length, options.seed, options.slowdowns, requests.get());
  const auto expected =
      expected_misses(policy, problem, choices, length, options.seed, kReplications, options.slowdowns, requests.get());
  for (std::size_t t = 0; t < report.tasks.size(); ++t) {
    report.tasks[t].mean_miss_rate = expected[t].mean;
    report.tasks[t].mean_miss_rate_95 = expected[t].half_width;
  }
  session.print(run_table(report, task_infos(session.file()), isatty(STDOUT_FILENO) == 1));
  session.print(replications_text(report));
  session.print_json(run_json(report));
  return options.strict && !within_limits(session, report) ? 3 : 0;
}

}  // namespace rtmdl
