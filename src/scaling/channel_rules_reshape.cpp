#include "model/tensor_data.h"
#include "scaling/channel_rules.h"

#include <algorithm>
#include <numeric>
#include <unordered_map>

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

/// What would become of an axis if it shrank along one of its factors.
struct Outcome {
  std::size_t left = 0;  ///< sets of positions that could still leave one without the others
  bool follows = false;  ///< they are the sets that leave together anyway: it was merged from this factor before
};

/// `inner`: positions per index of the factor.
Outcome outcome(const ChannelAtoms& atoms, int axis, std::int64_t inner, std::int64_t size) {
  std::vector<int> set(static_cast<std::size_t>(size));
  std::iota(set.begin(), set.end(), 0);
  const auto find = [&](int i) {
    while (set[static_cast<std::size_t>(i)] != i) i = set[static_cast<std::size_t>(i)];
    return i;
  };
  std::unordered_map<int, int> index_of;  // by what leaves together now
  for (int p = 0; p < atoms.size(axis); ++p) {
    const int index = static_cast<int>((p / inner) % size);
    const auto [it, fresh] = index_of.try_emplace(atoms.find(atoms.atom(axis, p)), index);
    if (!fresh) set[static_cast<std::size_t>(find(index))] = find(it->second);
  }
  Outcome result;
  for (int i = 0; i < static_cast<int>(size); ++i) result.left += find(i) == i ? 1U : 0U;
  result.follows = result.left == static_cast<std::size_t>(size) && index_of.size() == result.left;
  return result;
}

}  // namespace

/// An axis that is split into factors can shrink along one of them (so that the others stay whole everywhere); one that
/// is merged from factors, too. What the factors are is said here, which one is chosen when all reshapes are known.
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
  const auto add = [&](bool left, std::size_t axis) {
    FactorChoice choice{n, left ? atoms_.axis(x, axis) : atoms_.axis(y, axis), left, axis + 1 == before.size(), {}, {}};
    bool whole = false;
    for (std::size_t f = 0; f < all.size(); ++f) {
      if ((left ? all[f].before : all[f].after) != axis) continue;
      choice.factors.push_back(axes[f]);
      choice.sizes.push_back(all[f].size);
      whole = alone(f, left);
    }
    if (!choice.factors.empty() && !whole) choices_.push_back(std::move(choice));
  };
  for (std::size_t k = 0; k < before.size(); ++k) add(true, k);
  for (std::size_t k = 0; k < after.size(); ++k) add(false, k);
}

/// Where locks and earlier merges leave a choice: what another reshape has chosen; else of the last axis the first
/// factor (attention: heads, and what is left is their size; a 3 before it is query, key and value), of others the last
/// one (channels of each group: channel shuffle, group normalisation).
std::size_t ChannelRules::preferred(const FactorChoice& choice, std::vector<std::size_t> able) const {
  std::vector<Outcome> outcomes(choice.factors.size());
  std::int64_t inner = 1;
  for (std::size_t f = choice.factors.size(); f-- > 0; inner *= choice.sizes[f])
    outcomes[f] = outcome(atoms_, choice.axis, inner, choice.sizes[f]);
  const auto follows = [&](std::size_t f) { return outcomes[f].follows; };
  if (const auto it = std::find_if(able.begin(), able.end(), follows); it != able.end()) return *it;
  const auto sole = [&](std::size_t f) { return outcomes[f].left < 2; };
  if (!std::all_of(able.begin(), able.end(), sole))
    able.erase(std::remove_if(able.begin(), able.end(), sole), able.end());
  for (const std::size_t f : able) {
    const int root = atoms_.find(atoms_.atom(choice.factors[f], 0));
    if (std::any_of(chosen_.begin(), chosen_.end(), [&](int atom) { return atoms_.find(atom) == root; })) return f;
  }
  if (able.size() == 1 || !choice.split) return able.front();
  if (!choice.last) return able.back();
  const bool qkv = choice.factors.size() > 2 && able.front() == 0 && choice.sizes[0] == 3;
  return able[qkv ? 1 : 0];
}

/// False if it was put off.
bool ChannelRules::choose(const FactorChoice& choice, bool only_if_clear) {
  std::vector<std::size_t> able;
  for (std::size_t f = 0; f < choice.factors.size(); ++f) {
    if (!atoms_.axis_locked(choice.factors[f])) able.push_back(f);
  }
  if (able.size() > 1 && only_if_clear) return false;
  const std::size_t chosen = able.empty() ? 0 : preferred(choice, able);  // if all are locked: with their reason
  const std::string otherwise = says(choice.node, choice.split ? "splits them" : "merges them with others");
  std::int64_t inner = 1;  // elements of the axis per index of the factor
  for (std::size_t f = choice.factors.size(); f-- > 0; inner *= choice.sizes[f]) {
    if (f != chosen) {
      atoms_.lock_axis(choice.factors[f], otherwise);
      continue;
    }
    for (int p = 0; p < atoms_.size(choice.axis); ++p)
      atoms_.join(atoms_.atom(choice.factors[f], (p / inner) % choice.sizes[f]), atoms_.atom(choice.axis, p));
    chosen_.push_back(atoms_.atom(choice.factors[f], 0));
  }
  return true;
}

void ChannelRules::choose_factors() {
  for (const bool only_if_clear : {true, false})
    std::erase_if(choices_, [&](const FactorChoice& choice) { return choose(choice, only_if_clear); });
}

}  // namespace rtmdl
