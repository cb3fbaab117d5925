#include "training/trainable.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

namespace rtmdl::training {
namespace {

template <std::size_t n>
bool any(const std::array<std::string_view, n>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

/// Between an initializer and its use as a weight.
constexpr std::array<std::string_view, 10> kRearranging{"Identity",  "Transpose", "Reshape", "Cast",  "Squeeze",
                                                        "Unsqueeze", "Flatten",   "Slice",   "Split", "Expand"};
/// Between what a layer gives and its bias or scale.
constexpr std::array<std::string_view, 7> kReshaping{"Identity",  "Transpose", "Reshape", "Squeeze",
                                                     "Unsqueeze", "Flatten",   "Dropout"};
constexpr std::array<std::string_view, 10> kLayers{"Conv",
                                                   "ConvTranspose",
                                                   "MatMul",
                                                   "Gemm",
                                                   "Einsum",
                                                   "Add",
                                                   "BatchNormalization",
                                                   "InstanceNormalization",
                                                   "LayerNormalization",
                                                   "GroupNormalization"};
/// Fewer columns than this are coordinates of boxes, not an embedding.
constexpr std::int64_t kNarrowestEmbedding = 16;

bool is_float(const onnx::TensorProto& t) {
  return t.data_type() == onnx::TensorProto::FLOAT || t.data_type() == onnx::TensorProto::FLOAT16 ||
         t.data_type() == onnx::TensorProto::DOUBLE;
}

class Finder {
 public:
  explicit Finder(const onnx::GraphProto& graph) : graph_(graph) {
    for (const onnx::TensorProto& t : graph.initializer()) constants_[t.name()] = &t;
    for (const onnx::ValueInfoProto& i : graph.input()) {
      if (!constants_.contains(i.name())) dynamic_.insert(i.name());
    }
    for (const onnx::NodeProto& n : graph.node()) {
      for (const std::string& o : n.output()) producer_[o] = &n;
      if (n.op_type() != "Constant") continue;
      for (const onnx::AttributeProto& a : n.attribute()) {
        if (a.name() == "value") constants_[n.output(0)] = &a.t();
      }
    }
  }

  std::vector<std::string> find() {
    for (const onnx::NodeProto& n : graph_.node()) {
      const bool moving =
          std::any_of(n.input().begin(), n.input().end(), [&](const std::string& i) { return dynamic_.contains(i); });
      if (!moving) continue;
      for (const std::string& o : n.output()) dynamic_.insert(o);
      look_at(n);
    }
    return found_;
  }

 private:
  void look_at(const onnx::NodeProto& n) {
    const std::string& op = n.op_type();
    if (op == "Conv" || op == "ConvTranspose" || op == "BatchNormalization" || op == "InstanceNormalization" ||
        op == "LayerNormalization" || op == "GroupNormalization" || op == "RMSNormalization") {
      take(n, {1, 2});
    } else if (op == "Gemm" || op == "MatMul" || op == "Einsum") {
      take(n, {0, 1, 2});
    } else if (op == "PRelu") {
      take(n, {1});
    } else if (op == "LSTM" || op == "GRU" || op == "RNN") {
      take(n, {1, 2, 3});
    } else if (op == "Gather") {
      const onnx::TensorProto* table = constant(n.input(0));
      if (table && table->dims_size() >= 2) take(n, {0});
    } else if (op == "Concat") {
      for (int i = 0; i < n.input_size(); ++i) {
        const onnx::TensorProto* c = constant(n.input(i));
        if (c && is_token(*c)) take(n, {i});
      }
    } else if (op == "Add" || op == "Mul") {
      for (int i = 0; i < 2; ++i) {
        const onnx::TensorProto* c = constant(n.input(i));
        if (c && is_float(*c) && (op == "Add" ? is_bias(*c, n.input(1 - i)) : is_scale(*c, n.input(1 - i))))
          take(n, {i});
      }
    }
  }

  void take(const onnx::NodeProto& n, std::initializer_list<int> inputs) {
    for (const int i : inputs) {
      if (i >= n.input_size()) continue;
      const std::string root = root_of(n.input(i));
      const auto c = constants_.find(root);
      if (c == constants_.end() || !is_float(*c->second)) continue;
      for (const std::string& o : n.output()) weighted_.insert(o);
      if (known_.insert(root).second) found_.push_back(root);
    }
    for (const std::string& o : n.output()) layers_.insert(o);
  }

  [[nodiscard]] std::string root_of(std::string name) const {
    for (;;) {
      const auto p = producer_.find(name);
      if (p == producer_.end() || !any(kRearranging, p->second->op_type()) || dynamic_.contains(name)) return name;
      name = p->second->input(0);
    }
  }
  [[nodiscard]] const onnx::TensorProto* constant(const std::string& name) const {
    if (dynamic_.contains(name)) return nullptr;
    const auto c = constants_.find(root_of(name));
    return c == constants_.end() ? nullptr : c->second;
  }
  /// What makes the tensor that is `name` but for its shape; nullptr for inputs of the graph.
  [[nodiscard]] const onnx::NodeProto* maker(std::string name) const {
    for (;;) {
      const auto p = producer_.find(name);
      if (p == producer_.end()) return nullptr;
      if (!any(kReshaping, p->second->op_type())) return p->second;
      name = p->second->input(0);
    }
  }
  [[nodiscard]] static int wide_axes(const onnx::TensorProto& t) {
    return static_cast<int>(std::count_if(t.dims().begin(), t.dims().end(), [](std::int64_t d) { return d > 1; }));
  }

  /// Of a vision transformer: [1, 1, features].
  [[nodiscard]] static bool is_token(const onnx::TensorProto& t) {
    return t.dims_size() == 3 && t.dims(0) == 1 && t.dims(1) == 1 && t.dims(2) >= kNarrowestEmbedding;
  }
  [[nodiscard]] bool is_bias(const onnx::TensorProto& c, const std::string& other) const {
    const onnx::NodeProto* m = maker(other);
    if (!m) return false;
    const int axes = wide_axes(c);
    if (axes >= 2) return c.dims(c.dims_size() - 1) >= kNarrowestEmbedding;
    const bool behind_weights = std::any_of(m->output().begin(), m->output().end(),
                                            [&](const std::string& o) { return weighted_.contains(o); });
    return behind_weights && (axes == 1 || (c.dims_size() > 0 && m->op_type() != "Add" && m->op_type() != "Mul"));
  }
  [[nodiscard]] bool is_scale(const onnx::TensorProto& c, const std::string& other) const {
    if (wide_axes(c) != 1) return false;
    const onnx::NodeProto* m = maker(other);
    if (!m) return false;
    if (any(kLayers, m->op_type())) return layers_.contains(m->output(0)) || m->op_type() == "Add";
    // The division that ends a normalisation written out.
    return (m->op_type() == "Div" || m->op_type() == "Mul") && m->input_size() == 2 && dynamic_.contains(m->input(0)) &&
           dynamic_.contains(m->input(1));
  }

  const onnx::GraphProto& graph_;
  std::unordered_map<std::string, const onnx::TensorProto*> constants_;
  std::unordered_map<std::string, const onnx::NodeProto*> producer_;
  std::unordered_set<std::string> dynamic_, weighted_, layers_, known_;
  std::vector<std::string> found_;
};

}  // namespace

std::vector<std::string> trainable_weights(const Model& model) { return Finder(model.graph()).find(); }

}  // namespace rtmdl::training
