#pragma once
/// int8 forms of one prepared model: calibrated once, built for any choice of integer units, their output error
/// measured.

#include "scaling/calibrate.h"
#include "scaling/equalise.h"
#include "scaling/quantize.h"
#include "scaling/units.h"

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace rtmdl {

/// An output error that no metric will see: nothing is gained by keeping more in float.
inline constexpr double kHarmlessError = 5e-4;

/// Squared error of the outputs relative to their power, averaged over channels (dimension 1 of images, else the whole)
/// and outputs; each counts at most 1.
class OutputError {
 public:
  /// Runs the reference on the sets and keeps its outputs.
  OutputError(Engine& engine, const LoadRequest& reference, std::vector<InputSet> sets);
  /// The same inputs through another model with the same outputs. Infinite if it gives something that is not a number.
  /// Also where the context says stop before the end.
  [[nodiscard]] double of(const LoadRequest& candidate, const Context& context = {}) const;
  /// Runs of the model that one call takes.
  [[nodiscard]] std::size_t runs() const noexcept { return sets_.size(); }

 private:
  Engine& engine_;
  std::vector<InputSet> sets_;
  std::vector<std::vector<Tensor>> outputs_;
};

struct Int8Options {
  /// Scales of weights from elsewhere, by the prepared model's names: where the float weights of one model are slices
  /// of another's, int8 weights on the other's scales are the same slices of the other's. What is not named gets scales
  /// of its own.
  WeightScales weight_scales;
  /// Whether weights may be changed before they are rounded (see equalise.h, channel_padding.h): not in families of
  /// models whose weights are slices of each other.
  bool edit_weights = true;
};

class Int8Builder {
 public:
  /// Observes activations on the sets (at least one), which must outlive this, as the model must. `at` gives shapes,
  /// state and constants.
  Int8Builder(Engine& engine, const Model& prepared, const LoadRequest& at, const std::vector<InputSet>& sets,
              std::filesystem::path folder, const Context& context, Int8Options options = {});

  /// The float model that is quantised: the prepared one, or one with the same nodes and outputs but other weights.
  [[nodiscard]] const Model& model() const { return of(form_); }
  [[nodiscard]] const std::vector<Unit>& units() const { return units_; }
  [[nodiscard]] const TensorSpecs& specs() const { return form_.observed.specs; }
  /// Which units have an integer form and ranges for it. Empty of true: nothing can be quantised.
  [[nodiscard]] const std::vector<bool>& possible() const { return possible_; }
  [[nodiscard]] int count_linear(const std::vector<bool>& integer) const;

  /// Keeps what gives the least error: an equalised form (all integer), then part by part from the inputs on a
  /// calibration method when that part alone is integer (judged all at once, the most sensitive layer would decide for
  /// all; one method for the whole model where that is better), then clipped weights and corrected biases (all
  /// integer).
  void choose_calibration(const OutputError& error, const Context& context);
  /// "least squares", or how many parts of the model took which, and what else was done: "3x min-max, 5x least squares,
  /// channels equalised, biases corrected".
  [[nodiscard]] std::string calibration() const;
  /// Of all integer units, as build() takes them.
  [[nodiscard]] WeightScales weight_scales() const;

  [[nodiscard]] Model build(const std::vector<bool>& integer) const;
  /// A judge of this model's integer forms on these sets. Behind comparisons and other jumps (peak picking, say) a
  /// small error looks like a total one: such outputs are judged by what goes into the first jump.
  [[nodiscard]] OutputError judge(std::vector<InputSet> sets) const;
  /// Error of build(integer), as judge() sees it.
  [[nodiscard]] double error(const std::vector<bool>& integer, const OutputError& error) const;
  /// Calls of error() so far: each wrote and loaded a model.
  [[nodiscard]] int evaluations() const noexcept { return evaluations_; }

 private:
  /// One float model with what was seen of it and what was chosen for it.
  struct Form {
    Equalisation equalisation = Equalisation::none;
    std::unique_ptr<Model> equalised;  ///< null: the base
    Observed observed;
    std::vector<Calibration> methods;  ///< by unit
    std::vector<Calibration> parts;    ///< by part
    Params params;
    bool clipped = false;
    WeightScales scales;
    BiasShifts shifts;
  };

  [[nodiscard]] const Model& base() const { return padded_ ? *padded_ : prepared_; }
  [[nodiscard]] const Model& of(const Form& form) const { return form.equalised ? *form.equalised : base(); }
  void observe_form(Form& form, const Context& context) const;
  void set_params(Form& form) const;
  void choose_equalisation(const OutputError& error, const Context& context);
  void choose_ranges(const OutputError& error, const Context& context);
  void choose_weights(const OutputError& error, const Context& context);
  [[nodiscard]] WeightForm weight_form() const;
  [[nodiscard]] Model judged_form(const Model& model) const;
  [[nodiscard]] std::vector<std::string> judged_tensors() const;

  Engine& engine_;
  const Model& prepared_;
  std::unique_ptr<Model> padded_;  ///< with channels as the kernels like them; null: the prepared model
  const std::vector<InputSet>& sets_;
  Int8Options options_;
  LoadRequest at_;
  std::filesystem::path folder_;
  Context context_;
  std::vector<Unit> units_;
  std::vector<std::string> judged_;  ///< outputs by which error is measured
  std::vector<bool> possible_;
  Form form_;
  mutable int evaluations_ = 0;
};

}  // namespace rtmdl
