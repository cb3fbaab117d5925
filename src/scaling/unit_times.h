#pragma once
/// How long each unit takes, from ONNX Runtime's own per-node profile of a model that quantize() wrote.

#include "engine/engine.h"
#include "model/model.h"
#include "scaling/calibrate.h"
#include "scaling/units.h"

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace rtmdl {

/// Microseconds, the least of several runs of each node (other processes only ever add).
struct UnitTimes {
  std::vector<double> unit;                            ///< by unit; layout changes count for the unit they serve
  std::unordered_map<std::string, double> conversion;  ///< by tensor: quantising or dequantising it between units
  double unknown = 0;                                  ///< of nodes that could not be traced to a unit
  double total = 0;
};

/// Reads a profile of `model`. Fused nodes keep the mark of one of their nodes, or are named after the tensor that they
/// write
/// ("relu1_nchwc"). Throws Error(internal) if the text is not JSON.
[[nodiscard]] UnitTimes read_profile(std::string_view json, const Model& model, std::size_t units);

/// Runs the model under the profiler, at least once and at most `runs` times: fewer where the context says stop.
[[nodiscard]] UnitTimes profile_units(Engine& engine, const Model& model, LoadRequest at, std::size_t units,
                                      const InputSet& input, int runs, const std::filesystem::path& folder,
                                      const Context& context = {});

}  // namespace rtmdl
