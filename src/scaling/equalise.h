#pragma once
/// Cross-layer equalisation (Nagel et al. 2019, section 4.1): channels between layers are scaled, up in one layer's
/// weights and down in the next one's, so that 8 bits serve all of them alike. The graph, its nodes and its tensors'
/// names stay; only weights change. Pure.

#include "model/model.h"
#include "scaling/calibrate.h"

#include <string>
#include <unordered_map>

namespace rtmdl {

enum class Equalisation {
  none,
  weights,      ///< ranges of filters on both sides (eq. 11): s = √(r₁ / r₂)
  activations,  ///< r₁ is the observed peak of the channel (Xiao et al. 2023, eq. 4, α = 1/2): what counts where the
                ///< weights have a scale per output channel anyway. In front of a depthwise layer, whose filters read
                ///< one channel each, α = 1.
};
[[nodiscard]] const char* equalisation_name(Equalisation method) noexcept;

struct Equalised {
  Model model;
  int scaled = 0;    ///< layers whose output channels got scales
  int absorbed = 0;  ///< layers whose bias went on, in part, to the next
};

/// Scales pass Relu, LeakyRelu, PRelu, poolings, Flatten, products with what is not scaled itself, and Clip(0, h) as
/// far as the observed peak of the channel, with a reserve, stays within h. They end in the weights of Conv, Gemm and
/// MatMul; where a path ends elsewhere the layer stays as it is. Biases that keep a channel above zero on all observed
/// inputs go on to an unpadded layer behind Relu (eq. 14–16).
///
/// Outputs are the same up to rounding for inputs whose channels stay within what was observed; others may meet the
/// clip or the zero of an activation a little earlier. `observed` names, for tensors that linear layers read and write,
/// the extremes of every channel. Expects a normalised, folded model.
[[nodiscard]] Equalised equalise(const Model& model, const std::unordered_map<std::string, ChannelStats>& observed,
                                 Equalisation method);

}  // namespace rtmdl
