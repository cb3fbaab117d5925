#include "scaling/regions.h"

#include "scaling/max_flow.h"

#include <algorithm>

namespace rtmdl {

double region_cost(const RegionProblem& problem, const std::vector<bool>& integer) {
  double cost = 0;
  for (std::size_t u = 0; u < integer.size(); ++u) cost += integer[u] ? problem.integer_cost[u] : problem.float_cost[u];
  const auto is = [&](int u) { return u >= 0 && integer[static_cast<std::size_t>(u)]; };
  for (const RegionTensor& t : problem.tensors) {
    const bool some_integer = std::any_of(t.readers.begin(), t.readers.end(), is);
    const bool some_float = t.leaves || !std::all_of(t.readers.begin(), t.readers.end(), is);
    if (!is(t.producer) && some_integer) cost += t.to_integer;
    if (is(t.producer) && some_float) cost += t.to_float;
  }
  return cost;
}

std::vector<bool> cheapest_regions(const RegionProblem& problem) {
  const int units = static_cast<int>(problem.float_cost.size());
  FlowNetwork network(units);
  const int integer_end = network.add_node();
  const int float_end = network.add_node();
  for (int u = 0; u < units; ++u) {
    const auto i = static_cast<std::size_t>(u);
    network.add_arc(integer_end, u, problem.possible[i] ? problem.float_cost[i] : 0);
    network.add_arc(u, float_end, problem.possible[i] ? problem.integer_cost[i] : FlowNetwork::kInfinite);
  }
  for (const RegionTensor& t : problem.tensors) {
    const int producer = t.producer >= 0 ? t.producer : float_end;
    if (t.producer >= 0 && t.to_float > 0) {  // cut if the producer is integer and any reader is not
      const int any = network.add_node();
      network.add_arc(producer, any, t.to_float);
      for (const int r : t.readers) network.add_arc(any, r, FlowNetwork::kInfinite);
      if (t.leaves) network.add_arc(any, float_end, FlowNetwork::kInfinite);
    }
    if (t.to_integer > 0) {  // cut if the producer is float and any reader is integer
      const int any = network.add_node();
      for (const int r : t.readers) network.add_arc(r, any, FlowNetwork::kInfinite);
      network.add_arc(any, producer, t.to_integer);
    }
  }
  network.solve(integer_end, float_end);
  auto side = network.source_side(integer_end);
  side.resize(static_cast<std::size_t>(units));
  return side;
}

}  // namespace rtmdl
