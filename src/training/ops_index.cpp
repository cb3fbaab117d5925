// Picking and reducing: gathers, scatters, reductions, sorting.
#include "training/operators.h"

#include "model/tensor_data.h"

#include <rtmdl/error.h>

#include <fmt/format.h>

namespace rtmdl::training {
namespace {

using Integers = std::vector<std::int64_t>;

/// Negative positions count from the end.
at::Tensor positions(const at::Tensor& indices, std::int64_t size, at::Device device) {
  const at::Tensor i = indices.to(device, at::kLong);
  return at::where(i < 0, i + size, i);
}

void gather(Call& c) {
  const at::Tensor& x = c.operand(0);
  const at::Tensor& indices = c.operand(1);
  const std::int64_t axis = wrap_axis(attribute_or(c.node, "axis", std::int64_t{0}), x.dim());
  if (indices.dim() == 0) {
    c.out[0] = x.select(axis, indices.item<std::int64_t>());
    return;
  }
  const at::Tensor i = positions(indices, x.size(axis), x.device());
  Integers shape(x.sizes().begin(), x.sizes().begin() + axis);
  shape.insert(shape.end(), i.sizes().begin(), i.sizes().end());
  shape.insert(shape.end(), x.sizes().begin() + axis + 1, x.sizes().end());
  c.out[0] = x.index_select(axis, i.flatten()).reshape(shape);
}

void gather_elements(Call& c) {
  const at::Tensor& x = c.operand(0);
  const std::int64_t axis = wrap_axis(attribute_or(c.node, "axis", std::int64_t{0}), x.dim());
  c.out[0] = x.gather(axis, positions(c.operand(1), x.size(axis), x.device()));
}

void scatter_elements(Call& c) {
  const at::Tensor& x = c.operand(0);
  const std::int64_t axis = wrap_axis(attribute_or(c.node, "axis", std::int64_t{0}), x.dim());
  c.out[0] = x.scatter(axis, positions(c.operand(1), x.size(axis), x.device()), c.operand(2).to(x.scalar_type()));
}

/// The last axis of the indices addresses the axes after the first `batch`.
c10::List<c10::optional<at::Tensor>> coordinates(const at::Tensor& x, const at::Tensor& indices, std::int64_t batch) {
  c10::List<c10::optional<at::Tensor>> list;
  const std::int64_t depth = indices.size(-1);
  const std::int64_t rank = indices.dim() - 1;
  for (std::int64_t b = 0; b < batch; ++b) {
    Integers shape(static_cast<std::size_t>(rank), 1);
    shape[static_cast<std::size_t>(b)] = x.size(b);
    list.push_back(at::arange(x.size(b), at::TensorOptions(at::kLong).device(x.device())).reshape(shape));
  }
  for (std::int64_t d = 0; d < depth; ++d)
    list.push_back(positions(indices.select(-1, d), x.size(batch + d), x.device()));
  return list;
}

void gather_nd(Call& c) {
  const at::Tensor& x = c.operand(0);
  c.out[0] = at::index(x, coordinates(x, c.operand(1), attribute_or(c.node, "batch_dims", std::int64_t{0})));
}

void scatter_nd(Call& c) {
  const at::Tensor& x = c.operand(0);
  c.out[0] = at::index_put(x, coordinates(x, c.operand(1), 0), c.operand(2).to(x.scalar_type()));
}

/// Axes are an attribute at first, an input from operator set 13 (ReduceSum) or 18 on (the others).
template <at::Tensor (*reduce)(const at::Tensor&, const Integers&, bool)>
void reduction(Call& c) {
  const at::Tensor& x = c.operand(0);
  const bool keep = attribute_or(c.node, "keepdims", std::int64_t{1}) != 0;
  Integers axes = c.integers(1, "axes").value_or(Integers{});
  if (axes.empty()) {
    if (attribute_or(c.node, "noop_with_empty_axes", std::int64_t{0}) != 0) {
      c.out[0] = x;
      return;
    }
    for (std::int64_t d = 0; d < x.dim(); ++d) axes.push_back(d);
  }
  for (std::int64_t& a : axes) a = wrap_axis(a, x.dim());
  c.out[0] = axes.empty() ? x : reduce(x, axes, keep);
}

at::Tensor sum_of(const at::Tensor& x, const Integers& axes, bool keep) { return x.sum(axes, keep, x.scalar_type()); }
at::Tensor mean_of(const at::Tensor& x, const Integers& axes, bool keep) { return x.mean(axes, keep); }
at::Tensor most_of(const at::Tensor& x, const Integers& axes, bool keep) { return x.amax(axes, keep); }
at::Tensor least_of(const at::Tensor& x, const Integers& axes, bool keep) { return x.amin(axes, keep); }
at::Tensor l1_of(const at::Tensor& x, const Integers& axes, bool keep) { return x.abs().sum(axes, keep); }
at::Tensor l2_of(const at::Tensor& x, const Integers& axes, bool keep) { return x.square().sum(axes, keep).sqrt(); }
at::Tensor square_sum_of(const at::Tensor& x, const Integers& axes, bool keep) { return x.square().sum(axes, keep); }
at::Tensor log_sum_of(const at::Tensor& x, const Integers& axes, bool keep) { return x.sum(axes, keep).log(); }
at::Tensor log_sum_exp_of(const at::Tensor& x, const Integers& axes, bool keep) { return x.logsumexp(axes, keep); }
at::Tensor product_of(const at::Tensor& x, const Integers& axes, bool keep) {
  at::Tensor p = x;
  Integers sorted = axes;
  std::sort(sorted.rbegin(), sorted.rend());
  for (const std::int64_t a : sorted) p = p.prod(a, keep, x.scalar_type());
  return p;
}

template <bool greatest>
void arg_extreme(Call& c) {
  const at::Tensor& x = c.operand(0);
  const std::int64_t axis = wrap_axis(attribute_or(c.node, "axis", std::int64_t{0}), x.dim());
  const bool keep = attribute_or(c.node, "keepdims", std::int64_t{1}) != 0;
  c.out[0] = greatest ? x.argmax(axis, keep) : x.argmin(axis, keep);
}

void top_k(Call& c) {
  const at::Tensor& x = c.operand(0);
  const std::int64_t k = c.has(1) ? to_integers(c.in[1]).at(0) : attribute_or(c.node, "k", std::int64_t{1});
  const auto [values, indices] =
      x.topk(k, attribute_or(c.node, "axis", std::int64_t{-1}), attribute_or(c.node, "largest", std::int64_t{1}) != 0,
             attribute_or(c.node, "sorted", std::int64_t{1}) != 0);
  c.out[0] = values;
  if (c.out.size() > 1) c.out[1] = indices;
}

void cumulative_sum(Call& c) {
  at::Tensor x = c.operand(0);
  const std::int64_t axis = wrap_axis(to_integers(c.operand(1)).at(0), x.dim());
  const bool reverse = attribute_or(c.node, "reverse", std::int64_t{0}) != 0;
  if (reverse) x = x.flip(axis);
  at::Tensor sum = x.cumsum(axis, x.scalar_type());
  if (attribute_or(c.node, "exclusive", std::int64_t{0}) != 0) sum = sum - x;
  c.out[0] = reverse ? sum.flip(axis) : sum;
}

void one_hot(Call& c) {
  const std::int64_t depth = to_integers(c.operand(1)).at(0);
  const at::Tensor& values = c.operand(2);  // [off, on]
  const at::Tensor indices = positions(c.operand(0), depth, values.device());
  std::int64_t axis = attribute_or(c.node, "axis", std::int64_t{-1});
  if (axis < 0) axis += indices.dim() + 1;
  Integers shape(static_cast<std::size_t>(indices.dim()) + 1, 1);
  shape[static_cast<std::size_t>(axis)] = depth;
  const at::Tensor classes = at::arange(depth, at::TensorOptions(at::kLong).device(values.device())).reshape(shape);
  c.out[0] = at::where(indices.unsqueeze(axis) == classes, values[1], values[0]);
}

void triangle(Call& c) {
  const std::int64_t diagonal = c.has(1) ? to_integers(c.in[1]).at(0) : 0;
  const bool upper = attribute_or(c.node, "upper", std::int64_t{1}) != 0;
  c.out[0] = upper ? c.operand(0).triu(diagonal) : c.operand(0).tril(diagonal);
}

}  // namespace

void add_index_operators(OperatorTable& t) {
  t["Gather"] = gather;
  t["GatherElements"] = gather_elements;
  t["GatherND"] = gather_nd;
  t["ScatterElements"] = scatter_elements;
  t["ScatterND"] = scatter_nd;
  t["ReduceSum"] = reduction<sum_of>;
  t["ReduceMean"] = reduction<mean_of>;
  t["ReduceMax"] = reduction<most_of>;
  t["ReduceMin"] = reduction<least_of>;
  t["ReduceL1"] = reduction<l1_of>;
  t["ReduceL2"] = reduction<l2_of>;
  t["ReduceSumSquare"] = reduction<square_sum_of>;
  t["ReduceLogSum"] = reduction<log_sum_of>;
  t["ReduceLogSumExp"] = reduction<log_sum_exp_of>;
  t["ReduceProd"] = reduction<product_of>;
  t["ArgMax"] = arg_extreme<true>;
  t["ArgMin"] = arg_extreme<false>;
  t["TopK"] = top_k;
  t["CumSum"] = cumulative_sum;
  t["OneHot"] = one_hot;
  t["Trilu"] = triangle;
  t["NonZero"] = [](Call& c) { c.out[0] = c.operand(0).nonzero().t(); };
}

}  // namespace rtmdl::training
