#include "cli/play.h"
#include "report/json.h"
#include "report/table.h"

#include <fmt/format.h>

#include <unistd.h>

namespace rtmdl {

int run_verb(const Options& options) {
  Session session(options);
  require_meter(session.file());
  const PolicyInfo& policy = session.policy();
  static_cast<void>(session.problem());  // --load changes the times in the task file
  const auto duration = options.duration;
  References references = make_references(session, duration);
  const RunOutcome outcome = play(session, policy, duration, references);
  session.print(run_table(outcome.report, task_infos(session.file()), isatty(STDOUT_FILENO) == 1));
  session.print(fmt::format("jobs:   {}\n{}",
                            (session.workspace().runs() / fmt::format("{}.csv", policy.name)).string(),
                            trace_line(session, std::string(policy.name))));
  session.print_json(run_json(outcome.report));
  return options.strict && !within_limits(session, outcome.report) ? 3 : 0;
}

}  // namespace rtmdl
