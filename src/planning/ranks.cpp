#include "planning/ranks.h"

#include "planning/packed_plan.h"

#include <rtmdl/error.h>

#include <fmt/format.h>

namespace rtmdl {
namespace {

/// What rank 0 tells the others to do.
struct Order {
  bool search = false;
  int status = 1;  ///< to end with, if there is nothing to search
  PlanProblem problem;
  PlanOptions options;
};
template <class A>
void parts(A& a, Order& v) {
  auto& [search, status, problem, options] = v;
  a(search, status, problem, options);
}

}  // namespace

Plan plan_with_ranks(Exchange& exchange, const PlanProblem& problem, const PlanOptions& options,
                     const Context& context) {
  PlanOptions shared = options;
  shared.method = "nsga2";
  shared.ranks = exchange.ranks();
  (void)exchange.from_first(packed(Order{true, 0, problem, shared}));
  return plan(problem, shared, context, &exchange);
}

void dismiss(Exchange& exchange, int status) { (void)exchange.from_first(packed(Order{false, status, {}, {}})); }

int follow(Exchange& exchange, const Context& context) {
  for (;;) {
    const Order order = unpacked<Order>(exchange.from_first({}));
    if (!order.search) return order.status;
    try {
      (void)plan(order.problem, order.options, context, &exchange);
    } catch (const Error&) {  // rank 0 has it too
    } catch (const std::exception& e) {
      context.warn(fmt::format("rank {}: {}", exchange.rank(), e.what()));
      exchange.abandon(static_cast<int>(ErrorCode::internal));
    }
  }
}

}  // namespace rtmdl
