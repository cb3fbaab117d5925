#include "model/cost.h"

#include "model/tensor_data.h"

namespace rtmdl {
namespace {

std::vector<std::int64_t> shape_of(const std::string& name, const Links& links, const TensorSpecs& specs) {
  if (const auto* tensor = links.constant(name)) return dims(*tensor);
  const auto it = specs.find(name);
  return it == specs.end() ? std::vector<std::int64_t>() : it->second.shape;
}

std::int64_t bytes_of(const std::string& name, const Links& links, const TensorSpecs& specs) {
  if (const auto* tensor = links.constant(name)) {
    const auto type = element_type(tensor->data_type());
    if (!type || !wrong_size(*tensor).empty()) return 0;
    return static_cast<std::int64_t>(element_count(dims(*tensor)) * element_size(*type));
  }
  const auto it = specs.find(name);
  if (it == specs.end()) return 0;
  return static_cast<std::int64_t>(element_count(it->second.shape) * element_size(it->second.type));
}

std::int64_t product(const std::vector<std::int64_t>& shape) {
  std::int64_t n = 1;
  for (const std::int64_t d : shape) n *= d;
  return n;
}

}  // namespace

NodeCost node_cost(const onnx::NodeProto& node, const Links& links, const TensorSpecs& specs) {
  NodeCost cost;
  for (const auto& name : reads(node)) cost.bytes += bytes_of(name, links, specs);
  for (const auto& name : node.output()) cost.bytes += bytes_of(name, links, specs);
  if (node.input_size() < 2 || node.output_size() < 1) return cost;
  const auto x = shape_of(node.input(0), links, specs);
  const auto w = shape_of(node.input(1), links, specs);
  const auto y = shape_of(node.output(0), links, specs);
  if (x.empty() || w.empty() || y.empty()) return cost;
  if (is_op(node, "Conv") && w.size() > 2 && w[0] > 0) {
    cost.macs = product(y) * (product(w) / w[0]);
  } else if (is_op(node, "ConvTranspose") && w.size() > 2 && w[0] > 0) {
    cost.macs = product(x) * (product(w) / w[0]);
  } else if (is_op(node, "Gemm") && x.size() == 2) {
    cost.macs = product(y) * (attribute_or(node, "transA", std::int64_t{0}) != 0 ? x[0] : x[1]);
  } else if (is_op(node, "MatMul")) {
    cost.macs = product(y) * x.back();
  }
  return cost;
}

NodeCost model_cost(const Model& model, const TensorSpecs& specs) {
  const Links links(model);
  NodeCost total;
  for (const auto& node : model.graph().node()) {
    const NodeCost cost = node_cost(node, links, specs);
    total.macs += cost.macs;
    total.bytes += cost.bytes;
  }
  return total;
}

}  // namespace rtmdl
