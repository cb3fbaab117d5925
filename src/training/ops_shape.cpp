// Shapes: what rearranges, makes or measures tensors without computing with their elements.
#include "training/operators.h"

#include "model/tensor_data.h"

#include <rtmdl/error.h>

#include <algorithm>
#include <numeric>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace rtmdl::training {
namespace {

using Integers = std::vector<std::int64_t>;

std::int64_t product(at::IntArrayRef shape) {
  return std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
}

void shape(Call& c) {
  const at::Tensor& x = c.operand(0);
  const std::int64_t rank = x.dim();
  const auto bound = [&](const char* name, std::int64_t otherwise) {
    std::int64_t v = attribute_or(c.node, name, otherwise);
    if (v < 0) v += rank;
    return std::clamp<std::int64_t>(v, 0, rank);
  };
  const std::int64_t start = bound("start", 0);
  const std::int64_t end = bound("end", rank);
  const at::IntArrayRef sizes = x.sizes();
  c.out[0] = from_integers(Integers(sizes.begin() + start, sizes.begin() + std::max(start, end)));
}

/// A target that was made for another batch size, with the axis scaled that holds the batch. Where x differs from its
/// shape at the model's own batch size, there is the batch; it is outermost in the memory of that axis. In the target
/// it is an axis of the model's batch size within the same stretch of memory, else it was merged: into the axis before
/// if the target has fewer axes, else into the one that begins there.
Integers relaxed_target(const Call& c, const at::Tensor& x, Integers target) {
  const Integers was(c.in_shape.begin(), c.in_shape.end());
  if (static_cast<std::int64_t>(was.size()) != x.dim()) return target;
  std::size_t axis = 0;
  while (axis < was.size() && was[axis] == x.size(static_cast<std::int64_t>(axis))) ++axis;
  if (axis == was.size() || was[axis] == 0) return target;
  const std::int64_t begin = product(at::IntArrayRef(was).slice(0, axis));
  const std::int64_t end = begin * was[axis];
  const std::int64_t known = std::accumulate(target.begin(), target.end(), std::int64_t{1},
                                             [](std::int64_t p, std::int64_t d) { return d < 0 ? p : p * d; });
  for (std::int64_t& d : target) {
    if (d < 0 && known > 0) d = product(was) / known;
  }
  Integers outer(target.size() + 1, 1);
  for (std::size_t k = 0; k < target.size(); ++k) outer[k + 1] = outer[k] * target[k];
  const std::int64_t now = x.size(static_cast<std::int64_t>(axis));
  const auto scale = [&](auto&& holds) {
    for (std::size_t k = 0; k < target.size(); ++k) {
      if (!holds(k) || target[k] * now % was[axis] != 0) continue;
      target[k] = target[k] * now / was[axis];
      return true;
    }
    return false;
  };
  const bool found =
      scale([&](std::size_t k) { return target[k] == c.model_batch && outer[k] >= begin && outer[k + 1] <= end; }) ||
      (target.size() < was.size() && begin > 1 && scale([&](std::size_t k) { return outer[k + 1] == begin; })) ||
      scale([&](std::size_t k) { return outer[k] == begin; });
  (void)found;  // if not, torch says what does not fit
  return target;
}

void reshape(Call& c) {
  const at::Tensor& x = c.operand(0);
  Integers target = c.integers(1, "shape").value_or(Integers{});
  if (attribute_or(c.node, "allowzero", std::int64_t{0}) == 0) {
    for (std::size_t i = 0; i < target.size(); ++i) {
      if (target[i] == 0 && static_cast<std::int64_t>(i) < x.dim()) target[i] = x.size(static_cast<std::int64_t>(i));
    }
  }
  if (c.written_in(target)) target = relaxed_target(c, x, std::move(target));
  c.out[0] = x.reshape(target);
}

void flatten(Call& c) {
  const at::Tensor& x = c.operand(0);
  std::int64_t axis = attribute_or(c.node, "axis", std::int64_t{1});
  if (axis < 0) axis += x.dim();
  const std::int64_t rows = product(x.sizes().slice(0, static_cast<std::size_t>(axis)));
  c.out[0] = x.reshape({rows, x.numel() / std::max<std::int64_t>(rows, 1)});
}

void transpose(Call& c) {
  const at::Tensor& x = c.operand(0);
  Integers order = integers_attribute(c.node, "perm");
  if (order.empty()) {
    order.resize(static_cast<std::size_t>(x.dim()));
    std::iota(order.rbegin(), order.rend(), 0);
  }
  c.out[0] = x.permute(order);
}

void squeeze(Call& c) {
  at::Tensor x = c.operand(0);
  std::optional<Integers> axes = c.integers(1, "axes");
  if (!axes) {
    c.out[0] = x.squeeze();
    return;
  }
  for (std::int64_t& a : *axes) a = wrap_axis(a, x.dim());
  std::sort(axes->rbegin(), axes->rend());
  for (const std::int64_t a : *axes) {
    if (x.size(a) != 1) bad_input(fmt::format("axis {} has {} elements and cannot be squeezed", a, x.size(a)));
    x = x.squeeze(a);
  }
  c.out[0] = x;
}

void unsqueeze(Call& c) {
  at::Tensor x = c.operand(0);
  Integers axes = c.integers(1, "axes").value_or(Integers{});
  const std::int64_t rank = x.dim() + static_cast<std::int64_t>(axes.size());
  for (std::int64_t& a : axes) a = wrap_axis(a, rank);
  std::sort(axes.begin(), axes.end());
  for (const std::int64_t a : axes) x = x.unsqueeze(a);
  c.out[0] = x;
}

/// Constants that the graph holds at its own batch size are repeated to that of the others.
void concat(Call& c) {
  std::vector<at::Tensor> parts(c.in.begin(), c.in.end());
  const std::int64_t rank = parts[0].dim();
  const std::int64_t axis = wrap_axis(attribute_or(c.node, "axis", std::int64_t{1}), rank);
  bool floating = false;
  for (const at::Tensor& p : parts) floating = floating || p.scalar_type() == at::kFloat;
  Integers widest(static_cast<std::size_t>(rank), 0);
  for (at::Tensor& p : parts) {
    if (floating && p.scalar_type() == at::kBFloat16) p = p.to(at::kFloat);
    if (p.dim() != rank) bad_input(fmt::format("operands of rank {} and {}", rank, p.dim()));
    for (std::int64_t d = 0; d < rank; ++d)
      widest[static_cast<std::size_t>(d)] = std::max(widest[static_cast<std::size_t>(d)], p.size(d));
  }
  if (c.relaxed()) {
    for (at::Tensor& p : parts) {
      Integers times(static_cast<std::size_t>(rank), 1);
      for (std::int64_t d = 0; d < rank; ++d) {
        const std::int64_t wanted = widest[static_cast<std::size_t>(d)];
        if (d != axis && p.size(d) > 0 && p.size(d) * c.batch == wanted * c.model_batch)
          times[static_cast<std::size_t>(d)] = wanted / p.size(d);
      }
      if (product(times) > 1) p = p.repeat(times);
    }
  }
  c.out[0] = at::cat(parts, axis);
}

void split(Call& c) {
  const at::Tensor& x = c.operand(0);
  const std::int64_t axis = wrap_axis(attribute_or(c.node, "axis", std::int64_t{0}), x.dim());
  Integers sizes = c.integers(1, "split").value_or(Integers{});
  if (sizes.empty()) {
    const auto parts = static_cast<std::int64_t>(c.out.size());
    const std::int64_t each = (x.size(axis) + parts - 1) / parts;  // the last one is smaller
    for (std::int64_t i = 0, left = x.size(axis); i < parts; ++i, left -= each) sizes.push_back(std::min(each, left));
  }
  const std::vector<at::Tensor> parts = x.split_with_sizes(sizes, axis);
  std::copy_n(parts.begin(), std::min(parts.size(), c.out.size()), c.out.begin());
}

void slice(Call& c) {
  at::Tensor x = c.operand(0);
  const Integers starts = c.integers(1, "starts").value_or(Integers{});
  const Integers ends = c.integers(2, "ends").value_or(Integers{});
  Integers axes(starts.size());
  std::iota(axes.begin(), axes.end(), 0);
  axes = c.integers(3, "axes").value_or(axes);
  Integers steps = c.integers(4, "").value_or(Integers(starts.size(), 1));
  for (std::size_t i = 0; i < starts.size(); ++i) {
    const std::int64_t axis = wrap_axis(axes.at(i), x.dim());
    const std::int64_t size = x.size(axis);
    const std::int64_t step = steps.at(i);
    std::int64_t start = starts[i] < 0 ? starts[i] + size : starts[i];
    std::int64_t end = ends.at(i) < 0 ? std::max<std::int64_t>(ends[i] + size, -1) : ends[i];
    if (step > 0) {
      start = std::clamp<std::int64_t>(start, 0, size);
      x = x.slice(axis, start, std::clamp<std::int64_t>(end, start, size), step);
    } else {
      start = std::clamp<std::int64_t>(start, -1, size - 1);
      end = std::clamp<std::int64_t>(end, -1, start);
      Integers picked;
      for (std::int64_t k = start; k > end; k += step) picked.push_back(k);
      x = x.index_select(axis, from_integers(picked).to(x.device()));
    }
  }
  c.out[0] = x;
}

void expand(Call& c) {
  const at::Tensor& x = c.operand(0);
  Integers target = to_integers(c.operand(1));
  if (c.written_in(target) && !target.empty() && target[0] == c.model_batch) target[0] = c.batch;
  while (static_cast<std::int64_t>(target.size()) < x.dim()) target.insert(target.begin(), 1);
  const std::int64_t offset = static_cast<std::int64_t>(target.size()) - x.dim();
  for (std::int64_t d = 0; d < x.dim(); ++d) {
    std::int64_t& t = target[static_cast<std::size_t>(d + offset)];
    if (t == 1) t = x.size(d);  // either side may be the one that is repeated
  }
  c.out[0] = x.expand(target);
}

void constant_of_shape(Call& c) {
  Integers target = to_integers(c.operand(0));
  if (c.written_in(target) && target.size() > 1 && target[0] == c.model_batch) target[0] = c.batch;
  const onnx::AttributeProto* value = attribute(c.node, "value");
  const at::ScalarType type = value ? torch_type(value->t().data_type()) : at::kFloat;
  double filling = 0;
  if (value) {
    if (const auto f = floats(value->t()); f && !f->empty()) filling = f->front();
    else if (const auto i = integers(value->t()); i && !i->empty()) filling = static_cast<double>(i->front());
    else if (!value->t().raw_data().empty()) filling = value->t().raw_data()[0];  // a truth value or a byte
    else if (value->t().int32_data_size() > 0) filling = value->t().int32_data(0);
  }
  c.out[0] = at::full(target, filling, type);
}

void range(Call& c) {
  const at::Tensor& start = c.operand(0);
  const at::ScalarType type = start.scalar_type();
  c.out[0] = at::arange(start.item(), c.operand(1).item(), c.operand(2).item(), type);
}

void tile(Call& c) { c.out[0] = c.operand(0).repeat(to_integers(c.operand(1))); }

/// In what order the new axes [block, block, channels] come out of the channels.
void depth_to_space(Call& c) {
  const at::Tensor& x = c.operand(0);
  const std::int64_t b = attribute_or(c.node, "blocksize", std::int64_t{1});
  const std::int64_t n = x.size(0), ch = x.size(1) / (b * b), h = x.size(2), w = x.size(3);
  if (attribute_or(c.node, "mode", "DCR") == "CRD")
    c.out[0] = x.reshape({n, ch, b, b, h, w}).permute({0, 1, 4, 2, 5, 3}).reshape({n, ch, h * b, w * b});
  else c.out[0] = x.reshape({n, b, b, ch, h, w}).permute({0, 3, 4, 1, 5, 2}).reshape({n, ch, h * b, w * b});
}

void space_to_depth(Call& c) {
  const at::Tensor& x = c.operand(0);
  const std::int64_t b = attribute_or(c.node, "blocksize", std::int64_t{1});
  const std::int64_t n = x.size(0), ch = x.size(1), h = x.size(2) / b, w = x.size(3) / b;
  c.out[0] = x.reshape({n, ch, h, b, w, b}).permute({0, 3, 5, 1, 2, 4}).reshape({n, ch * b * b, h, w});
}

}  // namespace

void add_shape_operators(OperatorTable& t) {
  t["Shape"] = shape;
  t["Size"] = [](Call& c) { c.out[0] = at::scalar_tensor(c.operand(0).numel(), at::kLong); };
  t["Reshape"] = reshape;
  t["Flatten"] = flatten;
  t["Transpose"] = transpose;
  t["Squeeze"] = squeeze;
  t["Unsqueeze"] = unsqueeze;
  t["Concat"] = concat;
  t["Split"] = split;
  t["Slice"] = slice;
  t["Expand"] = expand;
  t["ConstantOfShape"] = constant_of_shape;
  t["Range"] = range;
  t["Tile"] = tile;
  t["DepthToSpace"] = depth_to_space;
  t["SpaceToDepth"] = space_to_depth;
}

}  // namespace rtmdl::training
