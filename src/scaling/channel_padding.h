#pragma once
/// Channels that depthwise layers lack for the fast integer kernels. Pure.

#include "model/model.h"

namespace rtmdl {

/// Depthwise layers whose channels are no multiple of this take ONNX Runtime's slow integer kernel (measured: 72
/// channels of MobileNetV3 take 3 times as long as 80).
inline constexpr int kDepthwiseChannels = 16;

/// Gives depthwise convolutions, with the layers in front of and behind them, channels of zeros up to the next multiple
/// of `multiple`, where that adds at most a third. Only where all that such channels pass through is understood
/// (activations, poolings, sums and products with tensors of the same channels) and begins and ends in dense
/// convolutions. Outputs stay the same. Returns how many depthwise layers were changed. Expects a normalised model.
int pad_depthwise_channels(Model& model, int multiple = kDepthwiseChannels);

}  // namespace rtmdl
