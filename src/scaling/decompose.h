#pragma once
/// Operators that integer kernels do not know, spelt in those that they do. Outputs stay the same, and so does the
/// speed of the float form.

#include "model/model.h"

namespace rtmdl {

/// HardSwish becomes x · HardSigmoid(x) (so does ONNX Runtime with it); ReduceMean over the pixels of an image
/// GlobalAveragePool (with Flatten where the dimensions go); Sum of two Add; PRelu of equal slopes LeakyRelu. Expects
/// normalise() before and operator set 13 or newer. Returns how many nodes changed.
int decompose(Model& model);

/// Weights and values in 16-bit floating point become 32-bit ones; inputs and outputs of the graph keep their types
/// (Cast at the borders), casts in between that change nothing any more go. Returns how many weights changed.
int widen_halves(Model& model);

}  // namespace rtmdl
