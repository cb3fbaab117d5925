#pragma once
/// One call of FineTuner::tune.

#include "scaling/fine_tuner.h"
#include "training/example_batches.h"
#include "training/graph_module.h"
#include "training/optimizer.h"
#include "training/training_loss.h"
#include "training/tuning_checkpoint.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace rtmdl::training {

/// A student's graph, and which of its weights it has from the first student.
class TrainedStudent {
 public:
  /// `master`: the first student's graph; nullptr: this is the first. Throws Error(internal) if `shared` does not fit.
  TrainedStudent(const Student& student, GraphModule* master, at::Device device);

  /// Reads the first student's weights as they are now. With gradients, unless they are frozen or a guard is in place.
  void bind_shared();
  [[nodiscard]] GraphModule& module() noexcept { return *module_; }
  [[nodiscard]] const GraphModule& module() const noexcept { return *module_; }
  /// Weights that are this student's own and not frozen.
  [[nodiscard]] std::vector<at::Tensor> own_weights() const;
  /// Weights of the first student that this one moves too.
  [[nodiscard]] const std::vector<at::Tensor>& moved_of_master() const noexcept { return moved_of_master_; }
  [[nodiscard]] bool has_statistics() const noexcept { return !module_->statistics().empty(); }
  void write_back() { module_->write_back(*student_.model); }

 private:
  struct Slice {
    std::string name;
    at::Tensor master;
    const std::vector<std::vector<std::int64_t>>* indices = nullptr;
  };
  const Student& student_;
  std::unique_ptr<GraphModule> module_;
  std::vector<Slice> slices_;
  std::vector<at::Tensor> moved_of_master_;
};

/// Positions of each axis; an empty list is the whole axis.
[[nodiscard]] at::Tensor sliced(at::Tensor tensor, const std::vector<std::vector<std::int64_t>>& indices);

/// How many examples go through a model at once.
struct BatchPlan {
  std::int64_t per_step = 1;   ///< examples whose gradients make one step
  std::int64_t at_once = 1;    ///< of them in one forward pass
  bool own_statistics = true;  ///< false: single examples; batch normalisations then use their running statistics
};

/// Tries two examples together and alone on every module, after relaxing their batch sizes; bounds the activations'
/// memory.
[[nodiscard]] BatchPlan plan_batches(const std::vector<GraphModule*>& modules, ExampleBatches& batches,
                                     std::size_t size, std::int64_t elements_per_step, const Context& context);

[[nodiscard]] NamedInputs named(const GraphModule& module, const Batch& batch, const std::string& model);

/// Everything that the outcome depends on.
[[nodiscard]] std::string key_of(const FineTuneRequest& request);

class Tuning {
 public:
  Tuning(const FineTuneRequest& request, const Context& context);
  FineTuneResult run();

 private:
  struct Stopped {};

  void split_data();
  void make_loss();
  [[nodiscard]] at::Tensor loss_of(const std::vector<at::Tensor>& outputs, const std::vector<at::Tensor>& taught,
                                   const Batch& batch) const;
  [[nodiscard]] bool needs_teacher() const { return loss_ && loss_->needs_teacher(); }
  void resume();
  void train();
  double step();
  double train_batch(const Batch& batch, const std::vector<std::size_t>& turn, double share);
  [[nodiscard]] std::vector<std::size_t> turn() const;
  [[nodiscard]] std::vector<std::size_t> examples_of(std::int64_t step);
  [[nodiscard]] std::optional<ExampleBatches::Order> order_of(std::int64_t step, std::int64_t part);
  void average_shared_gradients(const std::vector<std::size_t>& turn);
  void step_back(const std::string& why);
  void evaluate_now_and_then();
  void tell_epoch();
  void fit_into_budget();
  [[nodiscard]] double seconds_at_end() const;
  void estimate_statistics();
  [[nodiscard]] double held_out_loss();
  [[nodiscard]] std::vector<at::Tensor> teach(const Batch& batch);
  [[nodiscard]] double rate() const;
  void snapshot();
  void restore(const std::vector<at::Tensor>& tensors);
  [[nodiscard]] std::vector<at::Tensor> copies() const;
  [[nodiscard]] bool finite() const;
  void save();
  void tick();
  void report(const std::string& what);
  void heed_stop() const {
    if (context_.stopping()) throw Stopped{};
  }

  const FineTuneRequest& request_;
  const FineTuneOptions& options_;
  const Context& context_;
  at::Device device_;
  std::vector<TrainedStudent> students_;
  std::unique_ptr<GraphModule> teacher_;
  ExampleBatches batches_;
  BatchPlan plan_;
  std::vector<std::size_t> held_out_, trained_on_;
  std::int64_t steps_per_epoch_ = 1;
  std::vector<std::size_t> epoch_order_;
  std::int64_t epoch_of_order_ = -1;
  std::optional<TrainingLoss> loss_;  ///< nothing where boxes are learnt
  std::vector<Model> untrained_;      ///< the students' models as they came, if somebody looks at them meanwhile
  std::vector<at::Tensor> weights_;
  std::optional<Optimizer> optimizer_;
  Pass training_pass_, plain_pass_;
  std::string key_;
  TuningProgress progress_;
  TuningTensors tensors_;
  struct {
    std::int64_t step = 0;
    std::vector<at::Tensor> tensors;
  } good_;
  bool early_ = false;
  Time last_tick_{}, last_save_{};
  double first_seconds_ = 0;      ///< when timing began
  std::int64_t first_step_ = -1;  ///< from which steps are timed
  std::int64_t untimed_ = 0;
  double evaluation_seconds_ = 0;  ///< of one
  double seconds_per_step_ = 0;
  std::int64_t evaluate_every_ = 1;
};

}  // namespace rtmdl::training
