#pragma once
/// `plan --explain TASK`: a proof in words and figures.

#include "planning/proof.h"

#include <string>

namespace rtmdl {

/// A paragraph for someone who does not know response-time analysis, then the terms of the bound, then what is left and
/// what more accurate variants would need.
[[nodiscard]] std::string explain(const Proof& proof, bool colour = false);

}  // namespace rtmdl
