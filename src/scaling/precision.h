#pragma once
/// int8 forms of one prepared model: calibrated once, built for any choice of integer units, their output error
/// measured.

#include "scaling/calibrate.h"
#include "scaling/quantize.h"
#include "scaling/units.h"

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace rtmdl {

/// Squared error of the outputs relative to their power, averaged over channels (dimension 1 of images, else the whole)
/// and outputs; each counts at most 1.
class OutputError {
 public:
  /// Runs the reference on the sets and keeps its outputs.
  OutputError(Engine& engine, const LoadRequest& reference, std::vector<InputSet> sets);
  /// The same inputs through another model with the same outputs. Infinite if it gives something that is not a number.
  [[nodiscard]] double of(const LoadRequest& candidate) const;

 private:
  Engine& engine_;
  std::vector<InputSet> sets_;
  std::vector<std::vector<Tensor>> outputs_;
};

class Int8Builder {
 public:
  /// Observes activations on the sets (at least one). `at` gives shapes, state and constants.
  Int8Builder(Engine& engine, const Model& prepared, const LoadRequest& at, const std::vector<InputSet>& sets,
              std::filesystem::path folder, const Context& context);

  [[nodiscard]] const Model& model() const { return model_; }
  [[nodiscard]] const std::vector<Unit>& units() const { return units_; }
  [[nodiscard]] const TensorSpecs& specs() const { return observed_.specs; }
  /// Which units have an integer form and ranges for it. Empty of true: nothing can be quantised.
  [[nodiscard]] const std::vector<bool>& possible() const { return possible_; }
  [[nodiscard]] int count_linear(const std::vector<bool>& integer) const;

  /// Part by part from the inputs on, keeps the calibration method that gives the least error when that part alone is
  /// integer (judged all at once, the most sensitive layer would decide for all).
  void choose_calibration(const OutputError& error, const Context& context);
  /// "least squares", or how many parts of the model took which: "3x min-max, 5x least squares".
  [[nodiscard]] std::string calibration() const;

  [[nodiscard]] Model build(const std::vector<bool>& integer) const;
  /// A judge of this model's integer forms on these sets. Behind comparisons and other jumps (peak picking, say) a
  /// small error looks like a total one: such outputs are judged by what goes into the first jump.
  [[nodiscard]] OutputError judge(std::vector<InputSet> sets) const;
  /// Error of build(integer), as judge() sees it.
  [[nodiscard]] double error(const std::vector<bool>& integer, const OutputError& error) const;

 private:
  Engine& engine_;
  [[nodiscard]] std::vector<std::string> judged_tensors() const;

  const Model& model_;
  Model judged_;  ///< the same nodes, outputs as judged
  LoadRequest at_;
  std::filesystem::path folder_;
  std::vector<Unit> units_;
  Observed observed_;
  std::vector<bool> possible_;
  std::vector<Calibration> methods_;  ///< by unit
  std::vector<Calibration> parts_;    ///< by part
  Params params_;
};

}  // namespace rtmdl
