#pragma once
/// What `rtmdl inspect` prints.

#include "scaling/inspect.h"

#include <string>
#include <utility>
#include <vector>

namespace rtmdl {

/// `all`: every node and every cut; else the layers that carry weights or cost multiply-accumulates, and the best cuts.
[[nodiscard]] std::string inspect_table(const Inspection& seen, bool all = false, bool colour = false);

/// One object: {"models": [{"name" (of the task; "" without one), "path", …}]}. Always complete, whatever the table
/// leaves out. See json.h for what holds for every number.
[[nodiscard]] std::string inspect_json(const std::vector<std::pair<std::string, Inspection>>& models);

}  // namespace rtmdl
