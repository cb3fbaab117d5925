#pragma once
/// Narrower and shallower forms of a model: where to cut is measured, what remains is fine-tuned. The result is a float
/// model whose own levels (fp32, int8, smaller inputs) scale() then makes.

#include "scaling/fine_tuner.h"
#include "scaling/precision.h"
#include "scaling/scale.h"

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace rtmdl {

/// Width w asks for w² of the multiply-accumulates (as if every layer had w of its channels); depth d for d of the
/// blocks that can be left out.
struct SlimLevel {
  double width = 1, depth = 1;
  [[nodiscard]] std::string id() const;  ///< "w0.5", "d0.5", "w0.5-d0.5"
  bool operator==(const SlimLevel&) const = default;
};

/// Every combination but (1, 1), in the order in which they are worth making: what is about half first, then the ends,
/// then the rest.
[[nodiscard]] std::vector<SlimLevel> slim_levels(const std::vector<double>& widths, const std::vector<double>& depths);

struct SlimOptions {
  FineTuneOptions tuning;
  /// Share of the weight-carrying layers, counted from the inputs, whose weights stay slices of the source's, so that
  /// they need no storage of their own.
  double shared = 0;
};

/// Makes forms of one source model. Keeps its own results in `folder` (one file a form, and the checkpoint of the one
/// in work), finds them there when it is called again, and starts a narrower form from the nearest wider one.
class Slimmer {
 public:
  /// `tuner` and `data` may be null: forms are then only cut. All references must outlive it.
  Slimmer(Engine& engine, const ScaleRequest& request, FineTuner* tuner, TrainingData* data, SlimOptions options,
          std::filesystem::path folder);

  struct Outcome {
    std::optional<SlimForm> form;
    std::string refused;   ///< why there is none: "nothing can be narrower: …"
    bool finished = true;  ///< false: the context was stopped; the checkpoint was kept
  };
  [[nodiscard]] Outcome make(const SlimLevel& level, const Context& context);

 private:
  struct Start {
    Model model;
    SlimLevel level;
  };
  [[nodiscard]] std::filesystem::path file_of(const SlimLevel& level) const;
  [[nodiscard]] Start nearest(const SlimLevel& level) const;
  [[nodiscard]] std::vector<std::vector<double>> importance_of(const Model& model, const ChannelGroups& groups,
                                                               const Context& context);
  [[nodiscard]] std::vector<std::vector<double>> harm_of(const Model& model, const TensorSpecs& specs,
                                                         const ChannelGroups& groups,
                                                         const std::vector<std::vector<double>>& importance,
                                                         const std::vector<double>& steps, const Context& context);
  [[nodiscard]] std::string shorten(Model& model, double depth, const Context& context);
  [[nodiscard]] std::string narrow(Model& model, double share, const Context& context);
  void tune(Model& model, const SlimLevel& level, const Context& context);
  /// Against the source, on a few calibration inputs.
  [[nodiscard]] double output_error(const Model& candidate);

  Engine& engine_;
  const ScaleRequest& request_;
  FineTuner* tuner_;
  TrainingData* data_;
  SlimOptions options_;
  std::filesystem::path folder_;
  Model source_;
  std::int64_t source_macs_ = 0;
  std::string cannot_tune_;  ///< why models of this kind are not fine-tuned; empty: they are
  std::vector<SlimLevel> made_;
  std::unique_ptr<OutputError> error_;
  std::string note_;       ///< of the form in work
  SourceIndices indices_;  ///< likewise
};

}  // namespace rtmdl
