#include "model/tensor_data.h"
#include "scaling/channel_rules.h"

#include <algorithm>
#include <cmath>

namespace rtmdl {
namespace {

std::size_t axis_of(std::int64_t axis, std::size_t rank) {
  return static_cast<std::size_t>(axis < 0 ? axis + static_cast<std::int64_t>(rank) : axis);
}

void join_range(ChannelRules& r, int from, std::int64_t begin, int to, std::int64_t at, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) r.atoms().join(r.atoms().atom(from, begin + i), r.atoms().atom(to, at + i));
}

void concat(ChannelRules& r, int n) {
  if (!r.known(n, r.node(n).input_size())) return;
  const int y = r.out(n);
  const std::size_t rank = r.atoms().rank(y);
  const std::size_t axis = axis_of(attribute_or(r.node(n), "axis", std::int64_t{1}), rank);
  std::int64_t at = 0;
  for (int i = 0; i < r.node(n).input_size(); ++i) {
    const int x = r.in(n, i);
    for (std::size_t k = 0; k < rank; ++k) {
      if (k != axis) r.same(n, x, k, y, k);
    }
    join_range(r, r.atoms().axis(x, axis), 0, r.atoms().axis(y, axis), at, r.atoms().dim(x, axis));
    at += r.atoms().dim(x, axis);
  }
}

void split(ChannelRules& r, int n) {
  if (!r.known(n, 1)) return;
  const int x = r.in(n, 0);
  const std::size_t rank = r.atoms().rank(x);
  const std::size_t axis = axis_of(attribute_or(r.node(n), "axis", std::int64_t{0}), rank);
  std::int64_t at = 0;
  for (int o = 0; o < r.node(n).output_size(); ++o) {
    const int y = r.out(n, o);
    if (y < 0) return r.lock_node(n, r.says(n, "has inputs or outputs of unknown shape"));
    for (std::size_t k = 0; k < rank; ++k) {
      if (k != axis) r.same(n, x, k, y, k);
    }
    join_range(r, r.atoms().axis(x, axis), at, r.atoms().axis(y, axis), 0, r.atoms().dim(y, axis));
    at += r.atoms().dim(y, axis);
  }
}

void slice(ChannelRules& r, int n) {
  if (!r.known(n, 1)) return;
  const int x = r.in(n, 0);
  const int y = r.out(n);
  const std::size_t rank = r.atoms().rank(x);
  const bool attributes = attribute(r.node(n), "starts") != nullptr;
  const auto starts = r.values(n, 1, "starts");
  auto axes = r.values(n, 3, "axes");
  auto steps = attributes ? std::nullopt : r.values(n, 4);
  const bool axes_given =
      attribute(r.node(n), "axes") != nullptr || (r.node(n).input_size() > 3 && !r.node(n).input(3).empty());
  const bool steps_given = r.node(n).input_size() > 4 && !r.node(n).input(4).empty();
  if (!starts || (axes_given && !axes) || (steps_given && !steps)) {
    return r.lock_node(n, r.says(n, "has bounds that are not known"));
  }
  if (!axes) {
    axes.emplace();
    for (std::size_t i = 0; i < starts->size(); ++i) axes->push_back(static_cast<std::int64_t>(i));
  }
  std::vector<char> cut(rank, 0);
  for (std::size_t i = 0; i < axes->size(); ++i) {
    const std::size_t k = axis_of((*axes)[i], rank);
    const std::int64_t size = r.atoms().dim(x, k);
    const std::int64_t step = steps ? (*steps)[i] : 1;
    const std::int64_t start = (*starts)[i] < 0 ? (*starts)[i] + size : (*starts)[i];
    cut[k] = 1;
    if (step != 1) {
      r.lock(x, k, r.says(n, "steps over them"));
      r.lock(y, k, r.says(n, "steps over them"));
    } else {
      join_range(r, r.atoms().axis(x, k), std::clamp<std::int64_t>(start, 0, size), r.atoms().axis(y, k), 0,
                 r.atoms().dim(y, k));
    }
  }
  for (std::size_t k = 0; k < rank; ++k) {
    if (cut[k] == 0) r.same(n, x, k, y, k);
  }
}

/// What is added to an axis is zeros (or copies, whose axis stays): it may leave by itself.
void pad(ChannelRules& r, int n) {
  if (!r.known(n, 1)) return;
  const int x = r.in(n, 0);
  const int y = r.out(n);
  const std::size_t rank = r.atoms().rank(x);
  const auto pads = r.values(n, 1, attribute(r.node(n), "paddings") != nullptr ? "paddings" : "pads");
  const bool some_axes = r.node(n).input_size() > 3 && !r.node(n).input(3).empty();
  const bool zeros = attribute_or(r.node(n), "mode", "constant") == "constant";
  for (std::size_t k = 0; k < rank; ++k) {
    const std::int64_t before = pads && !some_axes && pads->size() == 2 * rank ? (*pads)[k] : -1;
    if (r.atoms().dim(x, k) == r.atoms().dim(y, k) && before <= 0) {
      r.same(n, x, k, y, k);
    } else if (zeros && before >= 0 && r.atoms().dim(y, k) >= before + r.atoms().dim(x, k)) {
      join_range(r, r.atoms().axis(x, k), 0, r.atoms().axis(y, k), before, r.atoms().dim(x, k));
    } else {
      r.lock(x, k, r.says(n, "pads them"));
      r.lock(y, k, r.says(n, "pads them"));
    }
  }
}

void gather(ChannelRules& r, int n) {
  if (!r.known(n, 2)) return;
  const int x = r.in(n, 0);
  const int which = r.in(n, 1);
  const int y = r.out(n);
  const std::size_t rank = r.atoms().rank(x);
  const std::size_t index_rank = r.atoms().rank(which);
  const std::size_t axis = axis_of(attribute_or(r.node(n), "axis", std::int64_t{0}), rank);
  for (std::size_t k = 0; k < rank; ++k) {
    if (k != axis) r.same(n, x, k, y, k < axis ? k : k + index_rank - 1);
  }
  for (std::size_t k = 0; k < index_rank; ++k) {
    if (!r.constant(n, 1)) r.same(n, which, k, y, axis + k);
  }
  const auto indices = index_rank == 1 && r.constant(n, 1) ? r.indices(n, 1) : std::nullopt;
  if (indices) {
    const std::int64_t size = r.atoms().dim(x, axis);
    for (std::size_t i = 0; i < indices->size(); ++i) {
      const std::int64_t from = (*indices)[i] < 0 ? (*indices)[i] + size : (*indices)[i];
      r.atoms().join(r.atoms().atom(r.atoms().axis(x, axis), from),
                     r.atoms().atom(r.atoms().axis(y, axis), static_cast<std::int64_t>(i)));
      r.atoms().join(r.atoms().atom(r.atoms().axis(x, axis), from),
                     r.atoms().atom(r.atoms().axis(which, 0), static_cast<std::int64_t>(i)));
    }
  } else {
    r.lock(x, axis, r.says(n, "picks from them"));
    for (std::size_t k = 0; k < index_rank; ++k) r.lock(y, axis + k, r.says(n, "picks from others"));
  }
  if (!r.constant(n, 0) || r.constant(n, 1)) return;
  for (std::size_t k = 0; k < rank; ++k) {  // an embedding: every axis but that of the words is made by it
    if (k != axis) r.makes({n, r.atoms().axis(y, k < axis ? k : k + index_rank - 1), {r.atoms().axis(x, k)}});
  }
}

void transpose(ChannelRules& r, int n) {
  if (!r.known(n, 1)) return;
  const std::size_t rank = r.atoms().rank(r.in(n, 0));
  const auto perm = integers_attribute(r.node(n), "perm");
  for (std::size_t k = 0; k < rank; ++k) {
    r.same(n, r.in(n, 0), perm.size() == rank ? static_cast<std::size_t>(perm[k]) : rank - 1 - k, r.out(n), k);
  }
}

void reshape(ChannelRules& r, int n) {
  if (r.known(n, 1)) r.reshaped(n);
}

void expand(ChannelRules& r, int n) {
  if (r.known(n, 1)) r.broadcast(n, {r.in(n, 0)});
}

/// Axes that keep their size keep their channels; of those that grow nothing may leave.
void grow(ChannelRules& r, int n) {
  if (!r.known(n, 1)) return;
  const int x = r.in(n, 0);
  const int y = r.out(n);
  if (r.atoms().rank(x) != r.atoms().rank(y)) return r.lock_node(n, r.says(n, "has shapes that are not understood"));
  for (std::size_t k = 0; k < r.atoms().rank(x); ++k) r.same(n, x, k, y, k);
}

/// DepthToSpace: channels are (block, block, channel) in mode DCR and (channel, block, block) in mode CRD.
/// SpaceToDepth: the former the other way round.
void depth_and_space(ChannelRules& r, int n) {
  if (!r.known(n, 1)) return;
  const bool to_space = is_op(r.node(n), "DepthToSpace");
  const int deep = to_space ? r.in(n, 0) : r.out(n);
  const int flat = to_space ? r.out(n) : r.in(n, 0);
  if (r.atoms().rank(deep) != 4) return r.lock_node(n, r.says(n, "has shapes that are not understood"));
  const bool crd = to_space && attribute_or(r.node(n), "mode", "DCR") == "CRD";
  const std::int64_t depth = r.atoms().dim(deep, 1);
  const std::int64_t channels = r.atoms().dim(flat, 1);
  const std::int64_t each = depth / std::max<std::int64_t>(1, channels);
  r.same(n, deep, 0, flat, 0);
  for (std::int64_t i = 0; i < depth; ++i) {
    r.atoms().join(r.atoms().atom(r.atoms().axis(flat, 1), crd ? i / each : i % channels),
                   r.atoms().atom(r.atoms().axis(deep, 1), i));
  }
  for (const int tensor : {deep, flat}) {
    for (const std::size_t k : {2U, 3U}) r.lock(tensor, k, r.says(n, "moves them into channels"));
  }
}

}  // namespace

const ChannelRuleTable& layout_rules() {
  static const ChannelRuleTable table{
      {"Concat", concat},
      {"Split", split},
      {"Slice", slice},
      {"Pad", pad},
      {"Gather", gather},
      {"Transpose", transpose},
      {"Reshape", reshape},
      {"Flatten", reshape},
      {"Squeeze", reshape},
      {"Unsqueeze", reshape},
      {"Expand", expand},
      {"Tile", grow},
      {"Resize", grow},
      {"Upsample", grow},
      {"DepthToSpace", depth_and_space},
      {"SpaceToDepth", depth_and_space},
  };
  return table;
}

}  // namespace rtmdl
