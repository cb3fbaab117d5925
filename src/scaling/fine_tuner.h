#pragma once
/// What scaling needs of a training library: implemented by src/training (libtorch), which is optional.

#include "base/context.h"
#include "data/anchor_grid.h"
#include "data/labelled_box.h"
#include "model/model.h"
#include "scaling/channel_groups.h"
#include "scaling/prune.h"
#include "scaling/scale.h"

#include <rtmdl/tensor.h>
#include <rtmdl/time.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace rtmdl {

/// One input to learn from, as pre-processing gives it to the model.
struct Example {
  InputSet inputs;
  std::vector<std::int32_t> labels;  ///< one per element of the batch dimension; empty without labels
  std::vector<LabelledBox> boxes;    ///< of detectors: what is in the picture, pixels of the input; batch of 1
};

/// Examples that no accuracy is measured on. Example i is the same bytes in every process. May read files: slow.
class TrainingData {
 public:
  virtual ~TrainingData() = default;
  [[nodiscard]] virtual std::size_t size() const = 0;
  [[nodiscard]] virtual Example at(std::size_t i) = 0;
  [[nodiscard]] virtual bool labelled() const = 0;
  [[nodiscard]] virtual int classes() const { return 0; }  ///< largest label + 1; 0: not labelled
  [[nodiscard]] virtual std::string fingerprint() const = 0;
};

enum class Objective {
  automatic,     ///< labels when there are some (with distillation beside them), else distillation
  labels,        ///< cross-entropy on the first output, and on further ones if FineTuneOptions say so
  boxes,         ///< what FineTuneRequest::detector says
  distillation,  ///< outputs of the teacher: Kullback-Leibler where they are classes, else squared error relative to
                 ///< the teacher's variance, output by output
};

struct FineTuneOptions {
  Objective objective = Objective::automatic;
  double epochs = 3;            ///< passes over the data; 0: batch normalisation statistics only
  std::int64_t steps_max = 0;   ///< 0: as epochs say
  int batch = 128;              ///< examples' elements per step, as far as the model's batch dimension allows
  double learning_rate = 0.02;  ///< at the top; cosine to zero
  double warm_up = 0.1;         ///< share of the steps
  double weight_decay = 1e-4;
  bool adamw = false;          ///< else SGD with Nesterov momentum
  double momentum = 0.9;       ///< of SGD
  double label_smoothing = 0;  ///< of hard labels (Szegedy et al. 2016)
  double further_outputs = 0;  ///< of Objective::labels: weight of each output behind the first, which weighs 1
  double temperature = 4;      ///< of distillation (Hinton et al. 2015)
  double distillation = 0.7;   ///< weight of the teacher beside labels
  int augment_shift = 0;       ///< pixels, of 4-D inputs
  bool augment_mirror = false;
  int patience = 0;   ///< evaluations on held-out training data without gain until it stops early; 0: never
  int threads = 0;    ///< 0: all cores
  Duration budget{};  ///< zero: none; the schedule is fitted into it after the first steps are timed
  bool mixed_precision =
      false;  ///< activations in bfloat16 where the CPU multiplies them (AVX512_BF16), else no change
  std::uint64_t seed = 1;
};

/// One model that is trained. Several students in one call are trained in turns, step by step (sandwich rule, Yu &
/// Huang 2019: the widest and the narrowest in every step, one of the others at random), and share what `shared` says.
struct Student {
  Model* model = nullptr;  ///< float; its weights are replaced when training ends. Batch normalisations unfolded if any
  SourceIndices shared;    ///< initializers that are slices of the first student's of the same name
  bool frozen_shared = false;    ///< shared weights stay as they are
  std::set<std::string> frozen;  ///< initializers that stay as they are (so that they remain slices of the source's)
};

/// What the outputs of a detector stand for, and the loss that teaches them boxes.
struct DetectorTarget {
  enum class Loss {
    yolo,  ///< output 0: the raw grid [N, anchors · (5 + classes), rows, columns]; one entry in `grids`
    ssd,   ///< output 0: offsets [N, places, 4]; output 1: scores [N, places, classes + 1], the last the background
  };
  Loss loss = Loss::yolo;
  std::vector<AnchorGrid> grids;
  int rows = 0, columns = 0;  ///< of the input, pixels
  int classes = 0;
  float variances[2] = {0.1F, 0.2F};  ///< of SSD's offsets: centres, sizes
};

struct FineTuneRequest {
  const Model* teacher = nullptr;  ///< distillation's target; may be null with Objective::labels
  std::vector<Student> students;   ///< the widest first
  TrainingData* data = nullptr;
  FineTuneOptions options;
  std::optional<DetectorTarget> detector;  ///< with Objective::boxes
  /// Called after every pass over the data with the running mean of the loss. The students' models hold the weights of
  /// then, so that they can be evaluated. Not called again for passes that a checkpoint has behind it.
  std::function<void(int epoch, double loss)> after_epoch;
  bool keep_foreign_checkpoint = false;  ///< Error(bad_input) if another request made it; else it is written over
  std::filesystem::path
      checkpoint;  ///< written now and then, gone when done; a call with equal request goes on from it
};

struct FineTuneResult {
  bool finished = false;  ///< false: the context was stopped; the checkpoint was kept, models are as they were
  double loss_before = 0, loss_after = 0;  ///< on held-out training data, mean over students
  std::int64_t steps = 0;
  double seconds = 0;
  bool stopped_early = false;
  int halvings = 0;  ///< of the learning rate after a loss that was no number
};

/// One call at a time.
class FineTuner {
 public:
  virtual ~FineTuner() = default;
  /// Why this model cannot be trained: "operator 'Loop' (node …) has no counterpart"; nothing if it can.
  [[nodiscard]] virtual std::optional<std::string> refuses(const Model& model) const = 0;
  /// Throws Error(bad_input): loss not a number even at a much lower rate, data that do not fit the model.
  virtual FineTuneResult tune(const FineTuneRequest& request, const Context& context) = 0;
  /// First-order Taylor importance (Molchanov et al. 2019, eq. 8) by group and channel: mean over batches of
  /// (Σ gradient · weight)² over the channel's weights.
  [[nodiscard]] virtual std::vector<std::vector<double>> taylor_importance(const Model& model, const Model* teacher,
                                                                           const ChannelGroups& groups,
                                                                           TrainingData& data, std::size_t examples,
                                                                           const Context& context) = 0;
};

}  // namespace rtmdl
