#pragma once
/// Algebra that keeps a model's outputs (up to rounding) and leaves fewer, larger operators. All expect normalise()
/// before.

#include "model/cost.h"
#include "model/model.h"

namespace rtmdl {

/// Per-channel scale and shift after Conv, ConvTranspose and Gemm, whatever its form (BatchNormalization; Mul, Div,
/// Add, Sub by constants), goes into their weights and bias. Returns how many nodes went.
int fold_scale_shift_backward(Model& model);
/// The same before unpadded Conv (padding would see the shifted zero; a pure scale passes padding).
int fold_scale_shift_forward(Model& model);
/// Constant zero padding of the spatial dimensions goes into the `pads` of the Conv behind it.
int fold_padding(Model& model);
/// Clip(x + c, 0, h), as converters spell hard-sigmoid and hard-swish, becomes HardSigmoid; a factor that remains is
/// one Mul.
int fold_hard_sigmoid(Model& model);
/// Runs of scalar Mul, Div, Add, Sub become at most one Mul and one Add.
int merge_scalar_runs(Model& model);
/// All of the above until nothing changes.
int fold_all(Model& model);
/// Cuts off the outer kernel taps of padded convolutions that only ever meet padding, as a 3x3 kernel does on a 1x1
/// map: 8/9 of its weights. Needs the shapes of a run and does nothing to models that take other spatial shapes as
/// well. Not part of fold_all(). Returns how many convolutions got smaller.
int cut_unused_taps(Model& model, const TensorSpecs& specs);

}  // namespace rtmdl
