#include "cli/play.h"
#include "report/json.h"
#include "report/table.h"

#include <fmt/format.h>

#include <unistd.h>

namespace rtmdl {

int run_verb(const Options& options) {
  const PolicyInfo& policy = find_policy(options.policy);
  Session session(options);
  static_cast<void>(session.problem());  // --load changes the times in the task file
  const auto duration = options.duration;
  References references = make_references(session, duration);
  const RunOutcome outcome = play(session, policy, duration, references);
  session.print(run_table(outcome.report, task_infos(session.file()), isatty(STDOUT_FILENO) == 1));
  session.print(fmt::format("jobs:   {}\n{}", (session.workspace().runs() / (options.policy + ".csv")).string(),
                            trace_line(session, options.policy)));
  session.print_json(run_json(outcome.report));
  return options.strict && !within_limits(session, outcome.report) ? 3 : 0;
}

}  // namespace rtmdl
