#pragma once
/// y = scale · x + shift, per channel or for all, in whatever operator a converter has put it.

#include "model/model.h"

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace rtmdl {

struct ScaleShift {
  std::vector<double> scale{1}, shift{0};  ///< one element, or one per channel

  [[nodiscard]] double scale_at(std::size_t c) const { return scale.size() == 1 ? scale[0] : scale[c]; }
  [[nodiscard]] double shift_at(std::size_t c) const { return shift.size() == 1 ? shift[0] : shift[c]; }
  [[nodiscard]] bool scalar() const { return scale.size() == 1 && shift.size() == 1; }
};

/// What the node does to its input `x`, whose channels lie in dimension 1 of `rank` (the last one for rank 2). Nothing
/// if it is no constant scale and shift, or not one of `channels` channels.
[[nodiscard]] std::optional<ScaleShift> scale_shift(const onnx::NodeProto& node, const Links& links,
                                                    const std::string& x, std::size_t rank, std::size_t channels);
/// The same for one factor and one summand whatever the rank: constants of one element and rank 0 or 1.
[[nodiscard]] std::optional<ScaleShift> scalar_scale_shift(const onnx::NodeProto& node, const Links& links,
                                                           const std::string& x);
/// The single element of a float constant.
[[nodiscard]] std::optional<double> scalar_constant(const Links& links, const std::string& name);

}  // namespace rtmdl
