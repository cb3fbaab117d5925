#pragma once
/// An ONNX graph in memory, over the format's own protobuf messages (no shape inference, no operators: file format
/// only). Edits are functions on Model in the other headers of this folder; each leaves a model that check() accepts.

#include <onnx/onnx_pb.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace rtmdl {

/// Thread-compatible; copies are deep.
struct Model {
  onnx::ModelProto proto;
  std::string name;  ///< path or label that begins every message about it

  [[nodiscard]] onnx::GraphProto& graph() { return *proto.mutable_graph(); }
  [[nodiscard]] const onnx::GraphProto& graph() const { return proto.graph(); }
  /// Version of the default operator set; 0 if the model imports none.
  [[nodiscard]] std::int64_t opset() const;
};

/// Reads, pulls in external data (slices of it too: model/sliced_weights.h), checks and sorts. Throws Error(bad_input),
/// one line that begins with the path: missing, empty, truncated, not ONNX, external data missing, and whatever check()
/// finds.
[[nodiscard]] Model load_model(const std::filesystem::path& path);
/// The same from memory. External data is looked for in `folder`.
[[nodiscard]] Model parse_model(std::string_view bytes, const std::string& name,
                                const std::filesystem::path& folder = {});
/// The file itself, then those that hold weights of it. Never throws for what is no model: one file then.
[[nodiscard]] std::vector<std::filesystem::path> model_files(const std::filesystem::path& path);
/// Bytes of all of them. Throws Error(bad_input) if one is not there.
[[nodiscard]] std::int64_t model_bytes(const std::filesystem::path& path);
/// Calls `visit` for every tensor that holds weights, in subgraphs too.
void for_each_weights(onnx::GraphProto& graph, const std::function<void(onnx::TensorProto&)>& visit);
/// One definition per name (of weights defined twice the last is kept, as ONNX Runtime does), nothing read that nothing
/// defines, no cycle, weights as long as their shape says, an output, no input of size 0. Nodes are put into
/// topological order (stable). Throws Error(bad_input).
void check_model(Model& model);
/// Deterministic bytes: equal models give equal files.
[[nodiscard]] std::string serialize(const Model& model);
/// Atomic: there whole or not at all.
void save_model(const Model& model, const std::filesystem::path& path);

/// Who makes and who reads each tensor. A snapshot: take it again after an edit.
class Links {
 public:
  explicit Links(const Model& model);
  /// Index of the producing node; -1 for graph inputs, initializers and unknown names.
  [[nodiscard]] int producer(const std::string& tensor) const;
  /// Indices of reading nodes, once per reading input; nodes whose subgraphs read it count too.
  [[nodiscard]] const std::vector<int>& consumers(const std::string& tensor) const;
  [[nodiscard]] bool is_output(const std::string& tensor) const { return outputs_.contains(tensor); }
  /// Weights of that name; nullptr if there are none.
  [[nodiscard]] const onnx::TensorProto* constant(const std::string& tensor) const;
  /// Read by exactly one node input and not an output of the graph.
  [[nodiscard]] bool private_to_one(const std::string& tensor) const;

 private:
  std::unordered_map<std::string, int> producer_;
  std::unordered_map<std::string, std::vector<int>> consumers_;
  std::unordered_map<std::string, const onnx::TensorProto*> constants_;
  std::unordered_set<std::string> outputs_;
};

/// Every name that the node reads, those that its subgraphs capture included.
[[nodiscard]] std::vector<std::string> reads(const onnx::NodeProto& node);
[[nodiscard]] bool has_subgraph(const onnx::NodeProto& node);
/// True for operators of the default domain.
[[nodiscard]] bool is_op(const onnx::NodeProto& node, std::string_view type);
/// Name if it has one, else its first output; with the operator: "conv1 (Conv)".
[[nodiscard]] std::string describe(const onnx::NodeProto& node);

}  // namespace rtmdl
