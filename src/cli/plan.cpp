#include "base/atomic_file.h"
#include "cli/calibrate.h"
#include "cli/session.h"
#include "planning/load_exchange.h"
#include "planning/proof.h"
#include "planning/ranks.h"
#include "report/calibration.h"
#include "report/json.h"
#include "report/plan_page.h"
#include "report/proof_text.h"
#include "report/table.h"

#include <rtmdl/error.h>

#include <memory>
#include <optional>

#include <fmt/format.h>

#include <unistd.h>

namespace rtmdl {
namespace {

/// What is asked besides what the file says, as it was typed.
std::vector<std::string> changes(const Options& options) {
  std::vector<std::string> list;
  for (const Setting& setting : options.settings) list.push_back(setting.origin);
  if (options.cores) list.push_back(fmt::format("--cores {}", *options.cores));
  return list;
}

Proof proof_of(const std::string& task, const Plan& plan, const PlanProblem& problem) {
  const std::size_t i = find_task(problem, task);
  return prove(problem, choices_of(plan), i, plan.tasks.at(i).miss_rate);
}

int plan_and_print(const Options& options, Exchange* exchange) {
  Session session(options, exchange);
  const bool colour = isatty(STDOUT_FILENO) == 1;
  std::optional<Calibration> calibration;
  if (options.calibrate) {
    calibration = calibrate_session(session);
    session.check_complete("calibration");
    if (!options.log.empty()) session.best_plan();  // the last of its searches once more: that one is logged
    session.adopt(calibration->plan);
    session.print(calibration_table(*calibration, session.problem(), colour));
  }
  const Plan& plan = session.plan_with_relaxations();
  if (session.context().stopping())
    session.context().warn("the search was interrupted: this is the best strategy until then, and it is not kept");
  session.compile_plan();
  const std::string name = session.what_if() ? "what-if" : "plan";
  const std::filesystem::path page = session.workspace().folder() / (name + ".html");
  const std::filesystem::path drawing = session.workspace().folder() / (name + ".svg");
  write_file_atomically(page,
                        plan_page({session.file().path.stem().string(), &plan, &session.problem(), changes(options)}));
  write_file_atomically(drawing, plan_front_svg(plan, session.problem(), true));
  std::optional<Proof> proof;
  if (!options.explain.empty()) proof = proof_of(options.explain, plan, session.problem());
  session.print(plan_table(plan, session.problem(), colour) + (proof ? "\n" + explain(*proof, colour) : ""));
  session.print(fmt::format("page:  {}\nfront: {}", page.string(), drawing.string()));
  session.print_json(
      plan_json(plan, session.problem(), proof ? &*proof : nullptr, calibration ? &*calibration : nullptr));
  if (plan.feasible) return 0;
  const bool known = plan.relaxations && !plan.relaxations->empty();
  throw Error(ErrorCode::infeasible, fmt::format("no feasible strategy: {}{}", plan.reason,
                                                 known ? ". Enough would be: " + plan.relaxations->front().text : ""));
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
