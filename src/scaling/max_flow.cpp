#include "scaling/max_flow.h"

#include <algorithm>
#include <queue>

namespace rtmdl {
namespace {
constexpr double kEpsilon = 1e-9;
}

void FlowNetwork::add_arc(int from, int to, double capacity) {
  arcs_of_[static_cast<std::size_t>(from)].push_back(static_cast<int>(arcs_.size()));
  arcs_.push_back({to, capacity});
  arcs_of_[static_cast<std::size_t>(to)].push_back(static_cast<int>(arcs_.size()));
  arcs_.push_back({from, 0});
}

bool FlowNetwork::levels(int source, int sink) {
  level_.assign(arcs_of_.size(), -1);
  level_[static_cast<std::size_t>(source)] = 0;
  std::queue<int> queue({source});
  while (!queue.empty()) {
    const int node = queue.front();
    queue.pop();
    for (const int a : arcs_of_[static_cast<std::size_t>(node)]) {
      const Arc& arc = arcs_[static_cast<std::size_t>(a)];
      if (arc.left <= kEpsilon || level_[static_cast<std::size_t>(arc.to)] >= 0) continue;
      level_[static_cast<std::size_t>(arc.to)] = level_[static_cast<std::size_t>(node)] + 1;
      queue.push(arc.to);
    }
  }
  return level_[static_cast<std::size_t>(sink)] >= 0;
}

double FlowNetwork::push(int node, int sink, double limit) {
  if (node == sink) return limit;
  const auto n = static_cast<std::size_t>(node);
  for (; next_[n] < arcs_of_[n].size(); ++next_[n]) {
    const auto a = static_cast<std::size_t>(arcs_of_[n][next_[n]]);
    const int to = arcs_[a].to;
    if (arcs_[a].left <= kEpsilon || level_[static_cast<std::size_t>(to)] != level_[n] + 1) continue;
    const double pushed = push(to, sink, std::min(limit, arcs_[a].left));
    if (pushed <= 0) continue;
    arcs_[a].left -= pushed;
    arcs_[a ^ 1].left += pushed;
    return pushed;
  }
  return 0;
}

double FlowNetwork::solve(int source, int sink) {
  double flow = 0;
  while (levels(source, sink)) {
    next_.assign(arcs_of_.size(), 0);
    while (const double pushed = push(source, sink, kInfinite)) flow += pushed;
  }
  return flow;
}

std::vector<bool> FlowNetwork::source_side(int source) const {
  std::vector<bool> side(arcs_of_.size(), false);
  side[static_cast<std::size_t>(source)] = true;
  std::vector<int> stack{source};
  while (!stack.empty()) {
    const int node = stack.back();
    stack.pop_back();
    for (const int a : arcs_of_[static_cast<std::size_t>(node)]) {
      const Arc& arc = arcs_[static_cast<std::size_t>(a)];
      if (arc.left <= kEpsilon || side[static_cast<std::size_t>(arc.to)]) continue;
      side[static_cast<std::size_t>(arc.to)] = true;
      stack.push_back(arc.to);
    }
  }
  return side;
}

}  // namespace rtmdl
