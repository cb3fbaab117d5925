#pragma once
/// Maximum flow and minimum cut (Dinic 1970): O(V²E), far less on the graphs of a few hundred nodes here.

#include <vector>

namespace rtmdl {

class FlowNetwork {
 public:
  static constexpr double kInfinite = 1e12;
  explicit FlowNetwork(int nodes) : arcs_of_(static_cast<std::size_t>(nodes)) {}
  int add_node() { return arcs_of_.emplace_back(), static_cast<int>(arcs_of_.size()) - 1; }
  /// Directed, capacity ≥ 0.
  void add_arc(int from, int to, double capacity);
  /// Value of the maximum flow = cost of the minimum cut. Call once.
  double solve(int source, int sink);
  /// After solve(): which nodes lie on the source's side of the cut with the fewest of them.
  [[nodiscard]] std::vector<bool> source_side(int source) const;

 private:
  struct Arc {
    int to;
    double left;  ///< residual capacity
  };
  bool levels(int source, int sink);
  double push(int node, int sink, double limit);

  std::vector<Arc> arcs_;  ///< arc i and its reverse i ^ 1
  std::vector<std::vector<int>> arcs_of_;
  std::vector<int> level_;
  std::vector<std::size_t> next_;
};

}  // namespace rtmdl
