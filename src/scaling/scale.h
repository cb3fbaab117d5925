#pragma once
/// Variants of one ONNX model: precision (fp32, int8 where it pays) × resolution, of the source itself or of a narrower
/// or shallower form of it (slim.h). ONNX in, ONNX out. Every kept level was measured beside the source in one loop and
/// scored by the caller; one that is not faster is no level.

#include "base/context.h"
#include "engine/engine.h"
#include "model/model.h"
#include "scaling/early_exits.h"
#include "scaling/quant_weights.h"

#include <rtmdl/tensor.h>
#include <rtmdl/time.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rtmdl {

using Shapes = std::map<std::string, std::vector<std::int64_t>>;
/// One tensor per caller-filled input, in the order of Executable::inputs().
using InputSet = std::vector<Tensor>;

/// Executions of several models, interleaved: one list of times per request, in its order. Tests inject scripted times.
using MeasureTimes = std::function<std::vector<std::vector<Duration>>(const std::vector<LoadRequest>&)>;

/// Thrown by ScaleRequest::accuracy when the context was stopped before it had a result.
struct Stopped {};

/// A narrower or shallower form of the source, of which levels are made.
struct SlimForm {
  std::string id;  ///< "w0.5": begins the ids of its levels
  double width = 1, depth = 1;
  Model model;       ///< float
  std::string note;  ///< what was done to it
  /// Of weights that are slices of a wider form's, by their names in `model`: int8 levels round them with these, so
  /// that they stay slices.
  WeightScales weight_scales;
};

struct ScaleRequest {
  std::filesystem::path model;
  /// Null: levels of the source. Else levels of this form, compared with the source. Only has to live during the call.
  const SlimForm* form = nullptr;
  Shapes shapes;                             ///< fixes free dimensions of inputs, as in LoadRequest
  std::map<std::string, std::string> state;  ///< as in LoadRequest
  std::map<std::string, double> constants;   ///< as in LoadRequest
  std::vector<InputSet> calibration;         ///< at `shapes`; 8..64 sets; never inputs that `accuracy` uses
  /// Accuracy in 0..1 on the evaluation inputs of the model that the request names. Slow; called once per candidate.
  std::function<double(const LoadRequest&)> accuracy;
  double accuracy_min = 0;  ///< candidates below it are repaired, then refused
  std::vector<std::string> precisions{"fp32", "int8"};
  std::vector<double> resolutions{
      1.0};                      ///< fractions of the spatial size in `shapes`; only where the model leaves it free
  std::filesystem::path folder;  ///< variants go to folder/<first 16 digits of their sha256>.onnx
  /// Calibration inputs at another shape of the (single) spatial input. Empty: the sets in `calibration` are resized.
  std::function<std::vector<InputSet>(const std::vector<std::int64_t>& shape)> calibration_at;
  double speedup_min = 1.05;  ///< times faster than what it replaces (a form: the source), or it is refused
  int levels_max = 2;         ///< int8 levels kept per resolution
  MeasureTimes measure;       ///< empty: the wall clock

  [[nodiscard]] bool wants(std::string_view precision) const {
    return std::find(precisions.begin(), precisions.end(), precision) != precisions.end();
  }
};

struct Variant {
  std::string id;  ///< "source", "fp32" (optimised by us), "int8", "int8-mixed", "int8-r0.75", …
  double width = 1, depth = 1, resolution = 1;
  std::string precision = "fp32";
  std::int64_t bytes = 0;         ///< of the file, weights that the source keeps in other files included
  std::int64_t shared_bytes = 0;  ///< of those, in a file that an earlier variant of this outcome already counts
  double accuracy = 1;            ///< as `accuracy` gave it
  double accuracy_loss = 0;       ///< (source − this) / source, never negative
  Duration median{};  ///< one thread, measured beside the source; with early exits the mean of jobs as they leave
  EarlyExits exits;
  std::filesystem::path path;  ///< the source itself, or a file in `folder`
  Shapes shapes;               ///< for LoadRequest: fixes what the file leaves free
  std::string note;            ///< what was done: "53 of 62 convolutions integer, percentile 99.99 %"
};

struct ScaleOutcome {
  std::vector<Variant> variants;     ///< "source" first
  std::vector<std::string> refused;  ///< one line each: "int8: 1.40x slower than fp32 (2.50 -> 3.50 ms)"
  bool finished = true;              ///< false: stopped by Context::stopping(); what is here is complete
  /// The most accurate of those that are below accuracy_min.
  struct Nearest {
    std::string id;
    double accuracy = 0;
  };
  std::optional<Nearest> nearest;
};

/// Throws Error(bad_input): model or inputs unusable. Files are content-addressed and atomic: a killed call leaves no
/// partial one.
[[nodiscard]] ScaleOutcome scale(Engine& engine, const ScaleRequest& request, const Context& context);

}  // namespace rtmdl
