#include "model/cost.h"

#include "model/tensor_data.h"

#include <algorithm>
#include <limits>
#include <map>

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

/// As large as an integer gets rather than overflowing: shapes may come from a damaged file.
std::int64_t times(std::int64_t a, std::int64_t b) {
  std::int64_t n = 0;
  return __builtin_mul_overflow(a, b, &n) ? std::numeric_limits<std::int64_t>::max() : n;
}

std::int64_t product(const std::vector<std::int64_t>& shape) {
  std::int64_t n = 1;
  for (const std::int64_t d : shape) n = times(n, d);
  return n;
}

std::int64_t plus(std::int64_t a, std::int64_t b) {
  std::int64_t n = 0;
  return __builtin_add_overflow(a, b, &n) ? std::numeric_limits<std::int64_t>::max() : n;
}

bool is_recurrent(const onnx::NodeProto& node) {
  return is_op(node, "LSTM") || is_op(node, "GRU") || is_op(node, "RNN");
}

/// Every element of the result is a sum over the letters that it does not have; 0 if nothing is multiplied.
std::int64_t einsum_macs(const onnx::NodeProto& node, const std::vector<std::int64_t>& y, const Links& links,
                         const TensorSpecs& specs) {
  std::string equation = attribute_or(node, "equation", "");
  std::erase(equation, ' ');
  const std::size_t arrow = equation.find("->");
  if (arrow == std::string::npos) return 0;
  const std::string result = equation.substr(arrow + 2);
  std::map<char, std::int64_t> summed;
  std::size_t begin = 0;
  for (const auto& name : node.input()) {
    const std::size_t end = std::min(equation.find(',', begin), arrow);
    const std::string term = equation.substr(std::min(begin, end), end - std::min(begin, end));
    const auto shape = shape_of(name, links, specs);
    const std::size_t dots = term.find("...");
    for (std::size_t i = 0; i < term.size(); ++i) {
      const bool behind = dots != std::string::npos && i > dots;
      if (term[i] == '.' || result.find(term[i]) != std::string::npos) continue;
      const std::size_t at = behind ? shape.size() - (term.size() - i) : i;
      if (at < shape.size()) summed[term[i]] = shape[at];
    }
    begin = end + 1;
  }
  std::int64_t macs = product(y);
  for (const auto& [letter, size] : summed) macs = times(macs, size);
  return macs;
}

}  // namespace

NodeCost node_cost(const onnx::NodeProto& node, const Links& links, const TensorSpecs& specs) {
  NodeCost cost;
  for (const auto& name : reads(node)) cost.bytes = plus(cost.bytes, bytes_of(name, links, specs));
  for (const auto& name : node.output()) cost.bytes = plus(cost.bytes, bytes_of(name, links, specs));
  if (node.input_size() < 2 || node.output_size() < 1) return cost;
  const auto x = shape_of(node.input(0), links, specs);
  const auto w = shape_of(node.input(1), links, specs);
  const auto y = shape_of(node.output(0), links, specs);
  if (x.empty() || w.empty() || (y.empty() && !is_recurrent(node)))
    return cost;  // of an LSTM often the last state only
  if (is_op(node, "Conv") && w.size() > 2 && w[0] > 0) {
    cost.macs = times(product(y), product(w) / w[0]);
  } else if (is_op(node, "ConvTranspose") && w.size() > 2 && w[0] > 0) {
    cost.macs = times(product(x), product(w) / w[0]);
  } else if (is_op(node, "Gemm") && x.size() == 2) {
    cost.macs = times(product(y), attribute_or(node, "transA", std::int64_t{0}) != 0 ? x[0] : x[1]);
  } else if (is_op(node, "MatMul")) {
    cost.macs = times(product(y), x.back());
  } else if (is_op(node, "Einsum")) {
    cost.macs = einsum_macs(node, y, links, specs);
  } else if (is_recurrent(node) && node.input_size() > 2 && x.size() == 3) {  // every gate's weights, each step
    const std::int64_t weights = plus(product(w), product(shape_of(node.input(2), links, specs)));
    cost.macs = times(times(x[0], x[1]), weights);
  }
  return cost;
}

NodeCost model_cost(const Model& model, const TensorSpecs& specs) {
  const Links links(model);
  NodeCost total;
  for (const auto& node : model.graph().node()) {
    const NodeCost cost = node_cost(node, links, specs);
    total.macs = plus(total.macs, cost.macs);
    total.bytes = plus(total.bytes, cost.bytes);
  }
  return total;
}

}  // namespace rtmdl
