#include "model/tensor_data.h"
#include "scaling/channel_rules.h"

#include <algorithm>
#include <numeric>

namespace rtmdl {
namespace {

void elementwise(ChannelRules& r, int n) {
  if (!r.known(n, 1)) return;
  std::vector<int> operands;
  for (int i = 0; i < r.node(n).input_size(); ++i) {
    if (r.node(n).input(i).empty()) continue;
    if (r.in(n, i) < 0) return r.lock_node(n, r.says(n, "has inputs or outputs of unknown shape"));
    operands.push_back(r.in(n, i));
  }
  r.broadcast(n, operands);
}

/// The other inputs are settings.
void first_input(ChannelRules& r, int n) {
  if (!r.known(n, 1)) return;
  r.broadcast(n, {r.in(n, 0)});
  for (int i = 1; i < r.node(n).output_size(); ++i) r.atoms().lock_tensor(r.out(n, i), r.says(n, "has other outputs"));
}

/// Its mask has the shape of what it lets through.
void dropout(ChannelRules& r, int n) {
  if (!r.known(n, 1)) return;
  const int x = r.in(n, 0);
  for (int o = 0; o < r.node(n).output_size(); ++o) {
    const int y = r.out(n, o);
    for (std::size_t k = 0; y >= 0 && k < r.atoms().rank(x); ++k) r.same(n, x, k, y, k);
  }
}

std::size_t axis_of(const ChannelRules& r, int n, std::int64_t otherwise, std::size_t rank) {
  const std::int64_t axis = attribute_or(r.node(n), "axis", otherwise);
  return static_cast<std::size_t>(axis < 0 ? axis + static_cast<std::int64_t>(rank) : axis);
}

/// Every element depends on the others along the axis, and on how many they are.
void along_axis(ChannelRules& r, int n) {
  if (!r.known(n, 1)) return;
  first_input(r, n);
  const std::size_t rank = r.atoms().rank(r.in(n, 0));
  const bool to_matrix = r.opset() < 13 && !is_op(r.node(n), "CumSum");  // these flattened all axes from there on
  std::size_t axis = axis_of(r, n, to_matrix ? 1 : -1, rank);
  if (is_op(r.node(n), "CumSum")) {
    const auto value = r.values(n, 1);
    if (!value || value->size() != 1) return r.lock_node(n, r.says(n, "works along an axis that is not known"));
    axis = static_cast<std::size_t>((*value)[0] < 0 ? (*value)[0] + static_cast<std::int64_t>(rank) : (*value)[0]);
  }
  for (std::size_t k = axis; k < (to_matrix ? rank : std::min(rank, axis + 1)); ++k) {
    r.lock(r.in(n, 0), k, r.says(n, "works along them"));
  }
}

/// TopK, ArgMax: values move along the axis; what comes out is not what went in there.
void picks_along_axis(ChannelRules& r, int n) {
  if (!r.known(n, 1)) return;
  const int x = r.in(n, 0);
  const bool top = is_op(r.node(n), "TopK");
  const std::size_t rank = r.atoms().rank(x);
  const std::size_t axis = axis_of(r, n, top ? -1 : 0, rank);
  const bool keeps = top || attribute_or(r.node(n), "keepdims", std::int64_t{1}) != 0;
  r.lock(x, axis, r.says(n, "picks from them"));
  for (int o = 0; o < r.node(n).output_size(); ++o) {
    const int y = r.out(n, o);
    if (y < 0) continue;
    for (std::size_t k = 0; k < rank; ++k) {
      if (k != axis) r.same(n, x, k, y, k > axis && !keeps ? k - 1 : k);
      else if (keeps) r.lock(y, k, r.says(n, "picks from them"));
    }
  }
}

/// Sums over fewer channels are valid sums: reduced axes may shrink.
void reduce(ChannelRules& r, int n) {
  if (!r.known(n, 1)) return;
  const int x = r.in(n, 0);
  const int y = r.out(n);
  const std::size_t rank = r.atoms().rank(x);
  std::vector<char> reduced(rank, 0);
  const bool given =
      attribute(r.node(n), "axes") != nullptr || (r.node(n).input_size() > 1 && !r.node(n).input(1).empty());
  const auto axes = given ? r.values(n, 1, "axes") : std::optional(std::vector<std::int64_t>());
  if (!axes) return r.lock_node(n, r.says(n, "works along axes that are not known"));
  for (const std::int64_t a : *axes) {
    reduced[static_cast<std::size_t>(a < 0 ? a + static_cast<std::int64_t>(rank) : a)] = 1;
  }
  if (axes->empty() && attribute_or(r.node(n), "noop_with_empty_axes", std::int64_t{0}) == 0) {
    std::fill(reduced.begin(), reduced.end(), 1);
  }
  const bool keeps = attribute_or(r.node(n), "keepdims", std::int64_t{1}) != 0;
  std::size_t l = 0;
  for (std::size_t k = 0; k < rank; ++k) {
    if (reduced[k] == 0) r.same(n, x, k, y, l);
    if (reduced[k] == 0 || keeps) ++l;
  }
}

/// Scale and zero point for each index of an axis, or one for all.
void quantise(ChannelRules& r, int n) {
  if (!r.known(n, 2)) return;
  const int x = r.in(n, 0);
  r.broadcast(n, {x});
  for (int i = 1; i < r.node(n).input_size(); ++i) {
    const int s = r.in(n, i);
    if (s < 0 || r.atoms().rank(s) == 0) continue;
    const std::size_t axis = axis_of(r, n, 1, r.atoms().rank(x));
    if (r.atoms().rank(s) == 1 && axis < r.atoms().rank(x) && r.atoms().dim(s, 0) != 1) r.same(n, s, 0, x, axis);
    else if (r.atoms().rank(s) > 1) return r.lock_node(n, r.says(n, "quantises block by block"));
  }
}

void last_two(ChannelRules& r, int n) {  // Trilu
  first_input(r, n);
  const int x = r.in(n, 0);
  for (std::size_t k = x < 0 ? 0 : r.atoms().rank(x), i = 0; k > 0 && i < 2; ++i) {
    r.lock(x, --k, r.says(n, "works along them"));
  }
}

void neighbours(ChannelRules& r, int n) {  // LRN
  first_input(r, n);
  if (r.in(n, 0) >= 0 && r.atoms().rank(r.in(n, 0)) > 1) r.lock(r.in(n, 0), 1, r.says(n, "mixes neighbours"));
}

void nothing(ChannelRules&, int) {}

}  // namespace

const ChannelRuleTable& elementwise_rules() {
  static const ChannelRuleTable table = [] {
    ChannelRuleTable t;
    for (const char* op : {"Abs",
                           "Acos",
                           "Acosh",
                           "Asin",
                           "Asinh",
                           "Atan",
                           "Atanh",
                           "Bernoulli",
                           "BitwiseNot",
                           "Cast",
                           "Ceil",
                           "Celu",
                           "Clip",
                           "Cos",
                           "Cosh",
                           "Elu",
                           "Erf",
                           "Exp",
                           "Floor",
                           "Gelu",
                           "HardSigmoid",
                           "HardSwish",
                           "Identity",
                           "IsInf",
                           "IsNaN",
                           "LeakyRelu",
                           "Log",
                           "LpNormalization",
                           "MeanVarianceNormalization",
                           "Mish",
                           "Neg",
                           "Not",
                           "RandomNormalLike",
                           "RandomUniformLike",
                           "Reciprocal",
                           "Relu",
                           "Round",
                           "Selu",
                           "Shrink",
                           "Sigmoid",
                           "Sign",
                           "Sin",
                           "Sinh",
                           "Softplus",
                           "Softsign",
                           "Sqrt",
                           "Swish",
                           "Tan",
                           "Tanh",
                           "ThresholdedRelu",
                           "CastLike"}) {
      t[op] = first_input;
    }
    for (const char* op : {"Add",        "And",         "BitShift", "BitwiseAnd", "BitwiseOr",
                           "BitwiseXor", "Div",         "Equal",    "Greater",    "GreaterOrEqual",
                           "Less",       "LessOrEqual", "Max",      "Mean",       "Min",
                           "Mod",        "Mul",         "Or",       "PRelu",      "Pow",
                           "Sub",        "Sum",         "Where",    "Xor"}) {
      t[op] = elementwise;
    }
    for (const char* op : {"Softmax", "LogSoftmax", "Hardmax", "CumSum"}) t[op] = along_axis;
    for (const char* op : {"ArgMax", "ArgMin", "TopK"}) t[op] = picks_along_axis;
    for (const char* op : {"ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean",
                           "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare"}) {
      t[op] = reduce;
    }
    t["QuantizeLinear"] = t["DequantizeLinear"] = quantise;
    t["Dropout"] = dropout;
    t["Trilu"] = last_two;
    t["LRN"] = neighbours;
    t["Shape"] = t["Size"] = t["ConstantOfShape"] = nothing;  // shapes follow at run time
    return t;
  }();
  return table;
}

}  // namespace rtmdl
