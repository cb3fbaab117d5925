#include "cli/session.h"
#include "planning/load_exchange.h"
#include "planning/ranks.h"
#include "planning/proof.h"
#include "report/json.h"
#include "report/proof_text.h"
#include "report/table.h"

#include <rtmdl/error.h>

#include <memory>

#include <fmt/format.h>
#include <unistd.h>

#include <optional>

namespace rtmdl {
namespace {

Proof proof_of(const std::string& task, const Plan& plan, const PlanProblem& problem) {
  Choices choices;
  for (const PlannedTask& t : plan.tasks) choices.push_back(t.choice);
  const std::size_t i = find_task(problem, task);
  return prove(problem, choices, i, plan.tasks.at(i).miss_rate);
}

}  // namespace

namespace {

int plan_and_print(const Options& options, Exchange* exchange) {
  Session session(options, exchange);
  const Plan& plan = session.best_plan();
  if (session.context().stopping())
    session.context().warn("the search was interrupted: this is the best strategy until then, and it is not kept");
  const bool colour = isatty(STDOUT_FILENO) == 1;
  std::optional<Proof> proof;
  if (!options.explain.empty()) proof = proof_of(options.explain, plan, session.problem());
  session.print(plan_table(plan, session.problem(), colour) + (proof ? "\n" + explain(*proof, colour) : ""));
  session.print_json(plan_json(plan, session.problem(), proof ? &*proof : nullptr));
  if (!plan.feasible) throw Error(ErrorCode::infeasible, "no feasible strategy: " + plan.reason);
  return 0;
}

/// The ranks that only search: they print nothing, but for a warning of a failure of their own.
int help_to_plan(Exchange& exchange, const Options& options) {
  Console console(false);
  Context context = console.context(options.seed);
  context.progress = nullptr;
  context.log = [log = context.log](LogLevel level, const std::string& message) {
    if (level == LogLevel::warning) log(level, message);
  };
  return follow(exchange, context);
}

int plan_over_ranks(const Options& options) {
  if (options.method != "auto" && options.method != "nsga2")
    bad_input(fmt::format("--mpi: method {} is for one process; nsga2 is for several", options.method));
  const std::unique_ptr<Exchange> exchange = load_mpi_exchange();
  if (exchange->rank() > 0) return help_to_plan(*exchange, options);
  int status = 0;
  try {
    status = plan_and_print(options, exchange.get());
  } catch (...) {
    status = report_failure();  // before the others end: mpirun ends all when one has failed
  }
  if (status == static_cast<int>(ErrorCode::internal)) exchange->abandon(status);  // who knows what the others wait for
  dismiss(*exchange, status);
  return status;
}

}  // namespace

int plan_verb(const Options& options) {
  return options.mpi ? plan_over_ranks(options) : plan_and_print(options, nullptr);
}

}  // namespace rtmdl
