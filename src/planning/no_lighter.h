#pragma once
/// Which options ask for at least as much as others: what a search may take to hold, or to fail, without looking.

#include "planning/problem.h"

namespace rtmdl {

/// Whether `a` asks for at least as much as `b` of the same processors, stage by stage: no quantile of its times is
/// below b's, nor what proofs take it to last.
[[nodiscard]] bool no_lighter(const TaskOption& a, const TaskOption& b);

}  // namespace rtmdl
