#pragma once
/// Early exits of a classifier: outputs beside the model's own, each an answer of its own, and the rules by which a job
/// may leave there. They are in the model's file (metadata `rtmdl.exits`, JSON). The model's own output is its first.

#include "model/exit_rule.h"
#include "model/model.h"

#include <vector>

namespace rtmdl {

inline constexpr std::size_t kMostExits = 7;

/// In the order in which jobs come by; empty: the model has none. Throws Error(bad_input), one line: what stands there
/// is no list of rules, or does not fit the model.
[[nodiscard]] std::vector<ExitRule> read_exits(const Model& model);
/// Replaces what was there; an empty list takes the note away.
void write_exits(Model& model, const std::vector<ExitRule>& exits);

/// Where the next unit begins after each exit: the node behind the one that gives its output (LoadRequest::cuts).
/// Throws Error(bad_input): an exit's output is not made by a node, or units would be empty or not in the exits' order.
[[nodiscard]] std::vector<int> exit_cuts(const Model& model, const std::vector<ExitRule>& exits);

}  // namespace rtmdl
