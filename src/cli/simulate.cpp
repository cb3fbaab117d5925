#include "cli/play.h"
#include "planning/predict.h"
#include "report/json.h"
#include "report/table.h"

#include <rtmdl/error.h>

#include <unistd.h>

namespace rtmdl {
int simulate_verb(const Options& options) {
  const PolicyInfo& policy = find_policy(options.policy);
  if (policy.system_defaults)
    bad_input(
        "--policy default cannot be simulated: it leaves every decision to the operating system; `rtmdl run --policy "
        "default` measures it");
  Session session(options);
  const PlanProblem& problem = session.problem();
  const Plan no_plan;
  const Plan& plan = policy.variants == VariantChoice::planned ? session.plan() : no_plan;
  const RunReport report = predict(policy, problem, choices_for(policy, problem, plan),
                                   options.duration.value_or(std::chrono::seconds(60)), options.seed);
  session.print(run_table(report, task_infos(session.file()), isatty(STDOUT_FILENO) == 1));
  session.print_json(run_json(report));
  return options.strict && !within_limits(session, report) ? 3 : 0;
}

}  // namespace rtmdl
