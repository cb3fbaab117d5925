#include "cli/session.h"
#include "report/json.h"
#include "report/table.h"

#include <rtmdl/error.h>

#include <unistd.h>

namespace rtmdl {

int plan_verb(const Options& options) {
  Session session(options);
  const Plan& plan = session.best_plan();
  if (session.context().stopping())
    session.context().warn("the search was interrupted: this is the best strategy until then, and it is not kept");
  session.print(plan_table(plan, session.problem(), isatty(STDOUT_FILENO) == 1));
  session.print_json(plan_json(plan, session.problem()));
  if (!plan.feasible) throw Error(ErrorCode::infeasible, "no feasible strategy: " + plan.reason);
  return 0;
}

}  // namespace rtmdl
