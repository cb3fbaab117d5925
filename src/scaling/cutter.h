#pragma once
/// Where to cut a model: how important its channels are and how much harm it does to cut each group of them or to leave
/// out each block, measured against the source.

#include "scaling/blocks.h"
#include "scaling/fine_tuner.h"
#include "scaling/precision.h"
#include "scaling/prune.h"
#include "scaling/scale.h"

#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

namespace rtmdl {

/// Shapes, state and constants of the request, its model as the model.
[[nodiscard]] LoadRequest load_request_of(const ScaleRequest& request);

class Cutter {
 public:
  /// Channels are ranked by Taylor importance if there is a tuner (it must accept the models), else by the size of
  /// their weights. All references must outlive it.
  Cutter(Engine& engine, const ScaleRequest& request, const Model& source, FineTuner* tuner, TrainingData* data);

  struct Narrower {
    std::vector<Pruned> forms;   ///< one a share; empty if the context was stopped
    std::string why_not;         ///< "nothing can be narrower: …"
    bool reconstructed = false;  ///< the first form
  };
  /// One form for each share (descending, below 1) of the model's multiply-accumulates; a wider form has all channels
  /// of the narrower ones. What remains is reconstructed (reconstruct.h), the weights that `sliced` names excepted:
  /// these stay slices of the model's.
  [[nodiscard]] Narrower narrow(const Model& model, const std::vector<double>& shares,
                                const std::set<std::string>& sliced, const Context& context);

  struct Shorter {
    Model model;
    std::string note;     ///< "3 of 5 blocks"; empty if the context was stopped
    std::string why_not;  ///< "no block of it can be left out"
    bool reconstructed = false;
  };
  /// Leaves out the share 1 − depth of the blocks, those first that do least harm for the time they take; at least one.
  /// What remains is reconstructed.
  [[nodiscard]] Shorter shorten(const Model& model, double depth, const std::set<std::string>& sliced,
                                const Context& context);

 private:
  [[nodiscard]] std::vector<std::vector<double>> importance_of(const Model& model, const ChannelGroups& groups,
                                                               const Context& context);
  /// False, and the form as it was, where the outputs gain nothing.
  bool reconstruct_layers(const Model& model, const TensorSpecs& specs, Pruned& form,
                          const std::set<std::string>& sliced, const Context& context);
  [[nodiscard]] std::span<const InputSet> reconstruction_sets();
  /// Error of the outputs on a few calibration inputs; 1 for what gives no numbers.
  [[nodiscard]] double harm(const Model& candidate);

  Engine& engine_;
  const ScaleRequest& request_;
  const Model& source_;
  FineTuner* tuner_;
  TrainingData* data_;
  std::unique_ptr<OutputError> error_;
  std::vector<InputSet> sets_;  ///< calibration sets and examples, once both are needed
};

}  // namespace rtmdl
