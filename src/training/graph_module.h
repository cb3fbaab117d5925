#pragma once
/// An ONNX graph run with torch functions, so that autograd gives the gradients of its weights.

#include "model/model.h"

#include <ATen/ATen.h>

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

namespace rtmdl::training {

/// How one forward pass runs. The default is inference.
struct Pass {
  bool batch_statistics = false;  ///< batch normalisations use the batch's own and move their running ones
  double running_share = 0.1;     ///< of the batch in the running statistics: new = (1 - share) * old + share * batch
  bool dropout = false;           ///< active; drawn from torch's default generator, which the caller seeds
  bool bfloat16 =
      false;  ///< activations of convolutions and products, on CPUs with AVX512_BF16; weights and outputs stay f32
};

struct Call;

/// A weight by the name of the initializer (or of the Constant node's output) that it came from.
struct NamedTensor {
  std::string name;
  at::Tensor value;
};

using NamedInputs = std::map<std::string, at::Tensor>;

/// One thread at a time. Gradients flow unless an at::NoGradGuard is in place.
class GraphModule {
 public:
  /// Why a model cannot be run here: "operator 'Loop' (node 'l1') has no counterpart in training". Nothing if it can.
  [[nodiscard]] static std::optional<std::string> refuses(const Model& model);

  /// Copies what it needs. 16-bit floats become f32. Throws Error(bad_input) with the model's name if refuses().
  explicit GraphModule(const Model& model, at::Device device = at::kCPU);

  /// Outputs in the graph's order. Inputs are f32 or integers as the graph says, of any batch size that the graph
  /// takes (see relax_batch). Throws Error(bad_input) that names model and node when torch refuses the operands.
  [[nodiscard]] std::vector<at::Tensor> forward(const NamedInputs& inputs, const Pass& pass);
  /// In training mode with batch statistics and dropout; else inference.
  [[nodiscard]] std::vector<at::Tensor> forward(const NamedInputs& inputs, bool training);

  /// From now on other batch sizes than this example's work too where the graph has that size written into it:
  /// constant Reshape targets and fills scale with the batch axis of what they are applied to, batched constants are
  /// repeated. Whether results are those of the examples run alone is for the caller to check.
  void relax_batch(const NamedInputs& example);

  /// What training changes: float weights of convolutions, products, normalisations, PRelu, recurrent layers,
  /// embeddings, and biases, scales and position embeddings that are added or multiplied. Leaves that require
  /// gradients: change them in place. 4-D ones of convolutions are in channels-last order in memory.
  [[nodiscard]] std::vector<NamedTensor>& parameters() noexcept { return parameters_; }
  [[nodiscard]] const std::vector<NamedTensor>& parameters() const noexcept { return parameters_; }
  /// Nullptr if there is none of that name.
  [[nodiscard]] const at::Tensor* parameter(const std::string& name) const;
  /// Running means and variances of batch normalisations, each normalisation its own.
  [[nodiscard]] std::vector<NamedTensor>& statistics() noexcept { return statistics_; }
  [[nodiscard]] const std::vector<NamedTensor>& statistics() const noexcept { return statistics_; }
  /// Reads `value` (of the same shape) in place of that parameter until it is called again; an undefined tensor
  /// undoes it. Gradients flow into `value`. Throws Error(internal) if the model has no such parameter.
  void bind(const std::string& parameter, at::Tensor value);
  /// Batch normalisations that read one of these statistics use their running ones, and leave them, in every pass.
  void freeze_statistics(const std::set<std::string>& names);

  /// Puts parameters (bound values where there are some) and statistics into the model this module was made from (or
  /// one with the same initializers), in the types they have there. Statistics that several nodes shared get
  /// initializers of their own.
  void write_back(Model& model) const;

  [[nodiscard]] const std::vector<std::string>& input_names() const noexcept { return inputs_; }
  [[nodiscard]] const std::vector<std::string>& output_names() const noexcept { return outputs_; }
  [[nodiscard]] at::Device device() const noexcept { return device_; }
  /// Of everything that a pass computes for the example of relax_batch().
  [[nodiscard]] std::int64_t activation_bytes() const noexcept { return activation_bytes_; }

 private:
  struct Node {
    onnx::NodeProto proto;
    void (*run)(Call&) = nullptr;
    std::vector<int> in, out;            ///< slots; -1: left out
    std::vector<int> released;           ///< slots that nothing after this node reads
    std::vector<std::int64_t> in_shape;  ///< of the first input, at the batch size of relax_batch()
    std::vector<std::int64_t> target;    ///< and what shape it asked for then
    bool constant = false;               ///< its outputs were computed once
    bool frozen = false;                 ///< a normalisation that keeps its statistics
  };

  int slot(const std::string& tensor);
  void read_weights(const Model& model);
  void add_nodes(const Model& model);
  void own_statistics(const Model& model);
  void fold_constants();
  void plan_releases();
  void run(Node& node, std::vector<at::Tensor>& values, const Pass& pass, std::int64_t batch);

  std::string name_;
  at::Device device_;
  std::int64_t opset_ = 0;
  std::unordered_map<std::string, int> slots_;
  std::vector<at::Tensor> fixed_;  ///< by slot: weights and constants; undefined for what a pass computes
  std::vector<at::Tensor> bound_;  ///< by slot
  std::vector<Node> nodes_;
  std::vector<std::string> inputs_, outputs_;
  std::vector<NamedTensor> parameters_, statistics_;
  std::unordered_map<std::string, std::size_t> parameter_index_;
  struct OwnStatistic {
    int node = 0, input = 0;
    std::string tensor;  ///< what the node reads in the model it came from
    std::size_t statistic = 0;
  };
  std::vector<OwnStatistic> own_statistics_;  ///< copies of initializers that several normalisations read
  std::int64_t model_batch_ = 0;              ///< of relax_batch(); 0: strict
  std::int64_t activation_bytes_ = 0;
  bool recording_ = false;
};

}  // namespace rtmdl::training
