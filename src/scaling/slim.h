#pragma once
/// Narrower and shallower forms of a model: where to cut is measured, what remains is fine-tuned. The result is a float
/// model whose own levels (fp32, int8, smaller inputs) scale() then makes.

#include "scaling/cutter.h"
#include "scaling/fine_tuner.h"
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
  std::string why_not_tuned;  ///< where there is no tuner or no data: the reason, for people
  /// Share of the weight-carrying layers, counted from the inputs, that all widths have in common: a narrower form's
  /// weights there are slices of the widest form's, in int8 levels too, so that they need no storage of their own. They
  /// are trained over all widths together before each form's other layers are (with one width: they stay slices of the
  /// source's).
  double shared = 0;
  std::vector<double> widths;  ///< that share
};

/// Makes forms of one source model. Keeps its own results in `folder` (one file a form, and the checkpoint of the one
/// in work), finds them there when it is called again, and starts a narrower form from the nearest wider one.
class Slimmer {
 public:
  /// `tuner` and `data` may be null: forms are then cut and reconstructed only. All references must outlive it.
  Slimmer(Engine& engine, const ScaleRequest& request, FineTuner* tuner, TrainingData* data, SlimOptions options,
          std::filesystem::path folder);

  Slimmer(const Slimmer&) = delete;
  Slimmer& operator=(const Slimmer&) = delete;

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
  [[nodiscard]] std::filesystem::path trunk_of(double width) const;
  /// Cuts all widths from the source at once and trains what they share. Says why it cannot.
  [[nodiscard]] std::string make_trunk(const Context& context);
  [[nodiscard]] bool shares(const SlimLevel& level) const;
  /// On which the shared weights of a form lie: the widest form's. Empty without int8 levels.
  [[nodiscard]] WeightScales shared_grid(const Model& model) const;
  [[nodiscard]] Start nearest(const SlimLevel& level) const;
  void describe(const Model& model);
  [[nodiscard]] FineTuneRequest tuning(const Model& model) const;
  /// False if it was stopped.
  [[nodiscard]] bool tune(Model& model, const SlimLevel& level, const Context& context);

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
  std::unique_ptr<Cutter> cutter_;
  std::string note_;            ///< of the form in work
  bool reconstructed_ = false;  ///< likewise
  SourceIndices indices_;       ///< likewise
};

}  // namespace rtmdl
