#pragma once
/// Models that come in 16-bit floating point: int8 starts from 32 bits.

#include "model/model.h"

namespace rtmdl {

/// Weights and values in 16-bit floating point become 32-bit ones; inputs and outputs of the graph keep their types
/// (Cast at the borders), casts in between that change nothing any more go. Returns how many weights changed.
int widen_halves(Model& model);

}  // namespace rtmdl
