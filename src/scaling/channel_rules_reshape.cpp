#include "model/tensor_data.h"
#include "scaling/channel_rules.h"

#include <algorithm>
#include <optional>

namespace rtmdl {
namespace {

/// Sizes of which products are the axes of both shapes.
struct Factor {
  std::int64_t size;
  std::size_t before, after;  ///< axes of the two shapes
};

struct Factors {
  std::vector<Factor> all;
  std::vector<char> mixed_before, mixed_after;  ///< by axis: 6 × 4 as 8 × 3 has no common factors
};

Factors common_factors(const std::vector<std::int64_t>& before, const std::vector<std::int64_t>& after) {
  Factors f{{}, std::vector<char>(before.size(), 0), std::vector<char>(after.size(), 0)};
  std::size_t i = 0;
  std::size_t j = 0;
  std::int64_t left = 1;  // of the axis that is being divided up
  std::int64_t right = 1;
  while (true) {
    while (left == 1 && i < before.size()) left = before[i++];
    while (right == 1 && j < after.size()) right = after[j++];
    if (left == 1 || right == 1) return f;
    if (left % right == 0 || right % left == 0) {
      const std::int64_t size = std::min(left, right);
      f.all.push_back({size, i - 1, j - 1});
      left /= size;
      right /= size;
      continue;
    }
    f.mixed_before[i - 1] = f.mixed_after[j - 1] = 1;
    while (left != right) {
      if (left < right && i < before.size()) f.mixed_before[i] = 1, left *= before[i++];
      else if (j < after.size()) f.mixed_after[j] = 1, right *= after[j++];
      else return f;
    }
    left = right = 1;
  }
}

}  // namespace

/// Positions with the same index along the factor already leave together, others do not: it was merged from this factor
/// before. `inner`: positions per index.
bool follows(const ChannelAtoms& atoms, int axis, std::int64_t inner, std::int64_t size) {
  std::vector<int> roots(static_cast<std::size_t>(size), -1);
  for (int p = 0; p < atoms.size(axis); ++p) {
    int& root = roots[static_cast<std::size_t>((p / inner) % size)];
    const int own = atoms.find(atoms.atom(axis, p));
    if (root >= 0 && root != own) return false;
    root = own;
  }
  std::sort(roots.begin(), roots.end());
  return std::adjacent_find(roots.begin(), roots.end()) == roots.end();
}

/// An axis that is split into factors can shrink along one of them (so that the others stay whole everywhere); one that
/// is merged from factors, too. Which one is decided by what else locks them, and by how it was merged before. Where
/// that leaves a choice: of the last axis the first factor (attention: heads, and what is left is their size; a 3
/// before it is query, key and value), of others the last one (channels of each group: channel shuffle, group
/// normalisation).
void ChannelRules::split_and_merge(int n) {
  const int x = in(n, 0);
  const int y = out(n);
  const auto before = atoms_.tensors()[static_cast<std::size_t>(x)].shape;
  const auto after = atoms_.tensors()[static_cast<std::size_t>(y)].shape;
  if (element_count(before) != element_count(after) || element_count(before) == 0) {
    return lock_node(n, says(n, "has shapes that are not understood"));
  }
  const Factors factors = common_factors(before, after);
  for (std::size_t k = 0; k < before.size(); ++k) {
    if (factors.mixed_before[k] != 0) lock(x, k, says(n, "mixes them"));
  }
  for (std::size_t k = 0; k < after.size(); ++k) {
    if (factors.mixed_after[k] != 0) lock(y, k, says(n, "mixes them"));
  }
  // Every factor gets an axis: that of the tensor where it is the whole of one.
  const auto& all = factors.all;
  const auto alone = [&](std::size_t f, bool left) {
    return std::count_if(all.begin(), all.end(),
                         [&](const Factor& g) { return left ? g.before == all[f].before : g.after == all[f].after; }) ==
               1 &&
           all[f].size == (left ? before[all[f].before] : after[all[f].after]);
  };
  std::vector<int> axes;
  for (std::size_t f = 0; f < all.size(); ++f) {
    const bool left = alone(f, true);
    const bool right = alone(f, false);
    if (left && right) same(n, x, all[f].before, y, all[f].after);
    axes.push_back(left    ? atoms_.axis(x, all[f].before)
                   : right ? atoms_.axis(y, all[f].after)
                           : atoms_.add_axis(all[f].size));
  }
  const auto choose = [&](bool left, std::size_t axis) {
    std::vector<std::size_t> of;
    for (std::size_t f = 0; f < all.size(); ++f) {
      if ((left ? all[f].before : all[f].after) == axis) of.push_back(f);
    }
    if (of.empty() || (of.size() == 1 && alone(of[0], left))) return;
    const int whole = left ? atoms_.axis(x, axis) : atoms_.axis(y, axis);
    std::vector<std::size_t> able;
    std::optional<std::size_t> followed;
    std::int64_t inner = 1;  // elements of the axis per index of the factor
    for (std::size_t i = of.size(); i-- > 0; inner *= all[of[i]].size) {
      if (atoms_.axis_locked(axes[of[i]])) continue;
      able.insert(able.begin(), of[i]);
      if (follows(atoms_, whole, inner, all[of[i]].size)) followed = of[i];
    }
    std::size_t chosen = all.size();
    if (!able.empty()) chosen = able.front();
    if (able.size() > 1 && left) {
      if (axis + 1 < before.size()) chosen = able.back();
      else if (of.size() > 2 && able.front() == of.front() && all[able.front()].size == 3) chosen = able[1];
    }
    if (followed) chosen = *followed;
    inner = 1;
    for (std::size_t i = of.size(); i-- > 0;) {
      const std::size_t f = of[i];
      if (f == chosen) {
        for (int p = 0; p < atoms_.size(whole); ++p) {
          atoms_.join(atoms_.atom(axes[f], (p / inner) % all[f].size), atoms_.atom(whole, p));
        }
      } else {
        atoms_.lock_axis(axes[f], says(n, left ? "splits them" : "merges them with others"));
      }
      inner *= all[f].size;
    }
    if (chosen == all.size()) atoms_.lock_axis(whole, says(n, left ? "splits them" : "merges them with others"));
  };
  for (std::size_t k = 0; k < before.size(); ++k) choose(true, k);
  for (std::size_t k = 0; k < after.size(); ++k) choose(false, k);
}

}  // namespace rtmdl
