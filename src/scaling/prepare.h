#pragma once
/// From the user's model to the one that precision scaling starts from: normalised, opset ≥ 13, weights in 32 bits,
/// folded, spelt in operators that have integer forms. Same outputs.

#include "engine/engine.h"
#include "model/model.h"

#include <filesystem>
#include <optional>
#include <string>

namespace rtmdl {

struct Prepared {
  Model model;
  int folded = 0;                           ///< operators that went
  int cut = 0;                              ///< convolutions that lost taps which only ever met padding
  int widened = 0;                          ///< weights that were in 16-bit floating point and are in 32 now
  std::optional<std::string> not_upgraded;  ///< why the operator set is still the old one: no int8 then
};

/// `at` gives the shapes of one run, from which nodes that depend on weights only get their values.
[[nodiscard]] Prepared prepare(Engine& engine, const Model& source, const LoadRequest& at,
                               const std::filesystem::path& folder);

}  // namespace rtmdl
