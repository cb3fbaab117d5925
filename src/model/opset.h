#pragma once
/// Old operator sets (7..12) to 13, the first with per-channel quantisation and the last big change of old operators.

#include "model/model.h"

#include <optional>
#include <string>

namespace rtmdl {

inline constexpr std::int64_t kWorkingOpset = 13;

/// Rewrites the model to `kWorkingOpset` if it is older; newer ones stay as they are. The outputs stay the same. If an
/// operator cannot be converted the model is left as it was and the reason is returned: "operator 'Loop' …".
[[nodiscard]] std::optional<std::string> upgrade_opset(Model& model);

}  // namespace rtmdl
