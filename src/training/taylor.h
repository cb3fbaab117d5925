#pragma once
/// First-order Taylor importance of channels (Molchanov et al. 2019, eq. 8).

#include "scaling/fine_tuner.h"

#include <vector>

namespace rtmdl::training {

/// See FineTuner::taylor_importance. With labels the loss is cross-entropy. Without them distillation towards an equal
/// teacher has no gradient, so it is the square root of what a change of the outputs costs that is differentiated:
/// classes drawn from the predicted distribution (so that squared gradients give the Fisher information), other
/// outputs times random signs over their deviation (so that they give the relative squared change).
[[nodiscard]] std::vector<std::vector<double>> taylor_importance(const Model& model, const Model* teacher,
                                                                 const ChannelGroups& groups, TrainingData& data,
                                                                 std::size_t examples, const Context& context);

}  // namespace rtmdl::training
