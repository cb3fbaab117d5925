#pragma once
/// Pre- and post-processing from users' shared libraries (include/rtmdl/step.h).

#include "data/postprocess.h"
#include "data/preprocess.h"
#include "task/config_node.h"

#include <rtmdl/tensor.h>

#include <memory>
#include <span>
#include <string>

namespace rtmdl {

/// Whether the node names a library instead of steps of ours.
[[nodiscard]] bool is_plugin(const ConfigNode& step);

/// A library stays loaded for good. Throw Error(bad_input): it is not there, or defines no such step, or the step
/// refuses the model.
[[nodiscard]] std::unique_ptr<Preprocess> make_plugin_preprocess(const ConfigNode& pre, const TensorSpec& input);
[[nodiscard]] std::unique_ptr<Postprocess> make_plugin_postprocess(const ConfigNode& post,
                                                                   std::span<const TensorSpec> outputs);

/// All that a step's behaviour depends on: what is written, and the bytes of the library. Empty for an absent node.
[[nodiscard]] std::string step_key(const ConfigNode& step);

}  // namespace rtmdl
