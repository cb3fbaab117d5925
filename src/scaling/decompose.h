#pragma once
/// Operators that integer kernels do not know, spelt in those that they do. Outputs stay the same, and so does the
/// speed of the float form.

#include "model/model.h"

namespace rtmdl {

/// HardSwish becomes x · HardSigmoid(x) (so does ONNX Runtime with it); ReduceMean over the pixels of an image
/// GlobalAveragePool (with Flatten where the dimensions go); Sum of two Add; PRelu of equal slopes LeakyRelu. Expects
/// normalise() before and operator set 13 or newer. Returns how many nodes changed.
int decompose(Model& model);

}  // namespace rtmdl
