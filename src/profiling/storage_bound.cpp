#include "profiling/storage_bound.h"

#include "base/units.h"
#include "profiling/hypervolume.h"
#include "profiling/knapsack.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <optional>
#include <tuple>

#include <fmt/format.h>

namespace rtmdl {
namespace {

constexpr std::size_t kEnumerated = 16;  ///< levels of a group
constexpr FrontPoint kWorst{1.1, 0};
constexpr double kSameVolume = 1e-12;

/// Another set of a group's levels, worth considering: no other has as few bytes and as much hypervolume.
struct Option {
  std::int64_t bytes = 0;
  double volume = 0;
  bool source = false;
  std::vector<bool> keep;  ///< by level of the group
};

/// No worse in anything. Of two that are equal the first.
bool no_worse(const StoredLevel& a, const StoredLevel& b, bool first) {
  if (a.median == 0 || b.median == 0) return false;
  const bool as_good = a.bytes <= b.bytes && a.accuracy >= b.accuracy && a.median <= b.median;
  return as_good && (first || a.bytes < b.bytes || a.accuracy > b.accuracy || a.median < b.median);
}

bool near_in_time(const StoredLevel& a, const StoredLevel& b) {
  if (a.median == 0 || b.median == 0) return false;
  const auto [low, high] = std::minmax(a.median, b.median);
  return static_cast<double>(high) < kDistinctTimes * static_cast<double>(low);
}

/// The latency and accuracy that a task's levels are measured by: the source's.
struct Scale {
  double latency = 0, accuracy = 0;
};

class Chooser {
 public:
  Chooser(const std::vector<StoredLevel>& levels, const std::vector<double>& weights,
          const std::vector<SharingGroup>& groups, std::int64_t limit)
      : levels_(levels), weights_(weights), groups_(groups), limit_(limit), members_(weights.size()) {
    for (std::size_t i = 0; i < levels.size(); ++i) members_[levels[i].task].push_back(i);
    for (const auto& members : members_) scales_.push_back(scale_of(members));
    near_.assign(levels.size(), levels.size());
    choice_.pointless.resize(levels.size());
    for (const auto& members : members_) drop_pointless(members);
  }

  StorageChoice choose() {
    std::vector<bool> keep(levels_.size());
    for (std::size_t i = 0; i < keep.size(); ++i) keep[i] = candidate(i) && near_[i] == levels_.size();
    const double unbounded = volume_of(keep);
    std::int64_t all = 0;
    for (const SharingGroup& group : groups_) {
      const std::int64_t bytes = group.bytes(flags(group, keep));
      choice_.exceeded.push_back(bytes > group.limit);
      all += choice_.exceeded.back() ? least_of(group) : bytes;
    }
    const bool anywhere = std::find(choice_.exceeded.begin(), choice_.exceeded.end(), true) != choice_.exceeded.end();
    if (all <= limit_ && !anywhere) {
      for (const SharingGroup& group : groups_) settle_near(group);
      choice_.keep = std::move(keep);
    } else {
      choose_bounded(keep, all > limit_);
    }
    choice_.bytes = bytes_of(choice_.keep);
    choice_.hypervolume = volume_of(choice_.keep);
    choice_.hypervolume_unbounded = std::max(unbounded, choice_.hypervolume);
    return std::move(choice_);
  }

 private:
  [[nodiscard]] bool candidate(std::size_t i) const { return choice_.pointless[i].empty(); }

  [[nodiscard]] Scale scale_of(const std::vector<std::size_t>& members) const {
    Scale scale;
    for (const std::size_t i : members) {
      if (levels_[i].source) return {static_cast<double>(levels_[i].median), levels_[i].accuracy};
      scale.latency = std::max(scale.latency, static_cast<double>(levels_[i].median));
      scale.accuracy = std::max(scale.accuracy, levels_[i].accuracy);
    }
    return scale;
  }

  [[nodiscard]] FrontPoint point(std::size_t i) const {
    const StoredLevel& level = levels_[i];
    const Scale& scale = scales_[level.task];
    const bool timed = level.median > 0 && scale.latency > 0;
    return {timed ? static_cast<double>(level.median) / scale.latency : 1,
            scale.accuracy > 0 ? level.accuracy / scale.accuracy : 1};
  }

  void drop_pointless(const std::vector<std::size_t>& members) {
    for (const std::size_t i : members) {
      if (levels_[i].source) continue;
      for (const std::size_t j : members) {
        if (i == j || !candidate(j) || !candidate(i) || !no_worse(levels_[j], levels_[i], j < i)) continue;
        choice_.pointless[i] = fmt::format("{} is as small, as accurate and as fast", levels_[j].id);
      }
    }
    // From the most accurate on: whoever is left stands for those near it.
    std::vector<std::size_t> order = members;
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
      const auto rank = [&](std::size_t i) {
        return std::tuple(!levels_[i].source, -levels_[i].accuracy, levels_[i].median);
      };
      return rank(a) < rank(b);
    });
    std::vector<std::size_t> standing;
    for (const std::size_t i : order) {
      if (!candidate(i)) continue;
      const auto other = std::find_if(standing.begin(), standing.end(), [&](std::size_t j) {
        return near_in_time(levels_[i], levels_[j]) && levels_[j].accuracy >= levels_[i].accuracy;
      });
      if (other == standing.end()) standing.push_back(i);
      else if (!levels_[i].source) near_[i] = *other;
    }
  }

  /// Levels near a better one go; with `larger` only those that are no smaller than it.
  void settle_near(const SharingGroup& group, bool larger = false) {
    for (const std::size_t i : group.levels) {
      const std::size_t other = near_[i];
      if (other == levels_.size() || !candidate(i)) continue;
      if (!larger || levels_[i].bytes >= levels_[other].bytes) choice_.pointless[i] = near_reason(other);
    }
  }

  [[nodiscard]] std::string near_reason(std::size_t other) const {
    return fmt::format("{} is no less accurate and less than {} apart in time", levels_[other].id,
                       format_percent(kDistinctTimes - 1, 0));
  }

  [[nodiscard]] std::int64_t bytes_of(const std::vector<bool>& keep) const {
    std::int64_t sum = 0;
    for (const SharingGroup& group : groups_) sum += group.bytes(flags(group, keep));
    return sum;
  }
  static std::vector<bool> flags(const SharingGroup& group, const std::vector<bool>& keep) {
    std::vector<bool> of;
    for (const std::size_t i : group.levels) of.push_back(keep[i]);
    return of;
  }

  [[nodiscard]] double volume_of(std::size_t task, const std::vector<bool>& keep) const {
    std::vector<FrontPoint> points;
    for (const std::size_t i : members_[task]) {
      if (keep[i]) points.push_back(point(i));
    }
    return weights_[task] * hypervolume(std::move(points), kWorst);
  }
  [[nodiscard]] double volume_of(const std::vector<bool>& keep) const {
    double sum = 0;
    for (std::size_t t = 0; t < members_.size(); ++t) sum += volume_of(t, keep);
    return sum;
  }

  // ---- within the bound

  /// `all`: what all groups would keep. They are bounded together, or only those that exceed their own limit are.
  void choose_bounded(const std::vector<bool>& all, bool together) {
    std::vector<std::vector<Option>> options;
    for (std::size_t g = 0; g < groups_.size(); ++g) {
      const bool bounded = together || choice_.exceeded[g];
      // Where bytes are scarce, a level near a better one comes into question again if it is smaller.
      settle_near(groups_[g], bounded);
      if (bounded) options.push_back(options_of(groups_[g], groups_[g].keeps_source && !together));
      else options.push_back({option(groups_[g], all)});
    }
    choice_.least = 0;
    for (const auto& of : options) choice_.least += of.front().bytes;
    choice_.fits = choice_.least <= limit_;
    std::vector<std::size_t> chosen(groups_.size(), 0);  // the options with the fewest bytes
    if (choice_.fits) chosen = choose_options(values_of(options), limit_);
    choice_.keep.assign(levels_.size(), false);
    for (std::size_t g = 0; g < groups_.size(); ++g) apply(groups_[g], options[g][chosen[g]], choice_.keep);
    if (choice_.fits) fill();
  }

  static std::vector<std::vector<KnapsackOption>> values_of(const std::vector<std::vector<Option>>& options) {
    std::vector<std::vector<KnapsackOption>> values;
    for (const auto& of : options) {
      values.emplace_back();
      for (const Option& o : of) values.back().push_back({o.bytes, o.volume});
    }
    return values;
  }

  /// At least as much as the group will have, whose own limit is exceeded.
  [[nodiscard]] std::int64_t least_of(const SharingGroup& group) {
    settle_near(group, true);
    return std::max(group.limit, options_of(group).front().bytes);
  }

  static void apply(const SharingGroup& group, const Option& option, std::vector<bool>& keep) {
    for (std::size_t k = 0; k < group.levels.size(); ++k) keep[group.levels[k]] = option.keep[k];
  }

  [[nodiscard]] std::vector<Option> options_of(const SharingGroup& group, bool with_source = false) const {
    std::vector<std::size_t> candidates;  // places in group.levels
    for (std::size_t k = 0; k < group.levels.size(); ++k) {
      if (candidate(group.levels[k])) candidates.push_back(k);
    }
    auto all = candidates.size() <= kEnumerated ? enumerate(group, candidates) : descend(group, candidates);
    const auto keeps_source = [&](const Option& o) { return o.source && o.bytes <= group.limit; };
    if (with_source && std::any_of(all.begin(), all.end(), keeps_source))
      std::erase_if(all, [](const Option& o) { return !o.source; });
    auto options = front(std::move(all));
    while (options.size() > 1 && options.back().bytes > group.limit) options.pop_back();
    return options;
  }

  /// No two of one task are one level in time, sources excepted.
  [[nodiscard]] bool distinct(std::size_t i, std::size_t j) const {
    const StoredLevel &a = levels_[i], &b = levels_[j];
    return a.task != b.task || a.source || b.source || !near_in_time(a, b);
  }

  [[nodiscard]] std::vector<Option> enumerate(const SharingGroup& group,
                                              const std::vector<std::size_t>& candidates) const {
    const std::size_t n = candidates.size();
    const auto level = [&](std::size_t bit) { return group.levels[candidates[bit]]; };
    std::vector<std::uint32_t> rivals(n, 0);
    std::vector<std::uint32_t> of_task(weights_.size(), 0);
    for (std::size_t a = 0; a < n; ++a) {
      of_task[levels_[level(a)].task] |= 1U << a;
      for (std::size_t b = 0; b < n; ++b) {
        if (a != b && !distinct(level(a), level(b))) rivals[a] |= 1U << b;
      }
    }
    std::vector<Option> options;
    std::vector<bool> keep(levels_.size(), false);
    for (std::uint32_t set = 1; set < 1U << n; ++set) {
      bool possible = true;
      for (const std::uint32_t mask : of_task) possible = possible && (mask == 0 || (set & mask) != 0);
      for (std::size_t bit = 0; bit < n && possible; ++bit) possible = !(set >> bit & 1U) || (set & rivals[bit]) == 0;
      if (!possible) continue;
      for (std::size_t bit = 0; bit < n; ++bit) keep[level(bit)] = (set >> bit & 1U) != 0;
      options.push_back(option(group, keep));
    }
    return options;
  }

  [[nodiscard]] Option option(const SharingGroup& group, const std::vector<bool>& keep) const {
    Option o;
    o.keep = flags(group, keep);
    o.bytes = group.bytes(o.keep);
    std::vector<bool> counted(weights_.size(), false);
    for (const std::size_t i : group.levels) {
      o.source = o.source || (keep[i] && levels_[i].source);
      if (counted[levels_[i].task]) continue;
      counted[levels_[i].task] = true;
      o.volume += volume_of(levels_[i].task, keep);
    }
    return o;
  }

  /// For large groups: drops, one by one, the level that costs the least hypervolume per byte that it frees; and from
  /// the smallest set on adds the one that gives the most per byte.
  [[nodiscard]] std::vector<Option> descend(const SharingGroup& group,
                                            const std::vector<std::size_t>& candidates) const {
    std::vector<bool> keep(levels_.size(), false);
    for (const std::size_t k : candidates) {
      const std::size_t i = group.levels[k];
      keep[i] = std::none_of(candidates.begin(), candidates.end(), [&](std::size_t other) {
        const std::size_t j = group.levels[other];
        return keep[j] && !distinct(i, j);
      });
    }
    std::vector<Option> options{option(group, keep)};
    while (std::optional<Option> next = best_step(group, candidates, keep, options.back(), false))
      options.push_back(std::move(*next));
    for (auto small = smallest(group, candidates); small;) {
      keep.assign(levels_.size(), false);
      apply(group, *small, keep);
      options.push_back(std::move(*small));
      small = best_step(group, candidates, keep, options.back(), true);
    }
    return options;
  }

  /// One level more or less; `keep` follows.
  [[nodiscard]] std::optional<Option> best_step(const SharingGroup& group, const std::vector<std::size_t>& candidates,
                                                std::vector<bool>& keep, const Option& from, bool add) const {
    std::optional<Option> best;
    double best_price = 0;
    std::size_t step = 0;
    for (const std::size_t k : candidates) {
      const std::size_t i = group.levels[k];
      if (keep[i] == add || (add ? !fits_beside(i, group, keep) : last_of_task(i, keep))) continue;
      keep[i] = add;
      Option next = option(group, keep);
      keep[i] = !add;
      const double bytes = std::max(1.0, static_cast<double>(add ? next.bytes - from.bytes : from.bytes - next.bytes));
      const double price = std::max(0.0, add ? next.volume - from.volume : from.volume - next.volume) / bytes;
      if (best && (add ? price <= best_price : price >= best_price)) continue;
      best = std::move(next);
      best_price = price;
      step = i;
    }
    if (best) keep[step] = add;
    return best;
  }

  [[nodiscard]] bool fits_beside(std::size_t i, const SharingGroup& group, const std::vector<bool>& keep) const {
    return std::all_of(group.levels.begin(), group.levels.end(),
                       [&](std::size_t j) { return !keep[j] || distinct(i, j); });
  }
  [[nodiscard]] bool last_of_task(std::size_t i, const std::vector<bool>& keep) const {
    const auto& members = members_[levels_[i].task];
    return std::none_of(members.begin(), members.end(), [&](std::size_t j) { return j != i && keep[j]; });
  }

  /// Of each task, in turn, the level with which the set so far is smallest.
  [[nodiscard]] std::optional<Option> smallest(const SharingGroup& group,
                                               const std::vector<std::size_t>& candidates) const {
    std::vector<bool> keep(levels_.size(), false);
    for (std::size_t t = 0; t < weights_.size(); ++t) {
      std::size_t best = levels_.size();
      std::int64_t fewest = std::numeric_limits<std::int64_t>::max();
      for (const std::size_t k : candidates) {
        const std::size_t i = group.levels[k];
        if (levels_[i].task != t) continue;
        keep[i] = true;
        const std::int64_t bytes = group.bytes(flags(group, keep));
        keep[i] = false;
        if (bytes >= fewest) continue;
        fewest = bytes;
        best = i;
      }
      if (best < levels_.size()) keep[best] = true;
    }
    return option(group, keep);
  }

  /// Ascending in bytes and in hypervolume. Of equals the one with the source.
  static std::vector<Option> front(std::vector<Option> options) {
    std::stable_sort(options.begin(), options.end(), [](const Option& a, const Option& b) {
      return std::tuple(a.bytes, -a.volume, !a.source) < std::tuple(b.bytes, -b.volume, !b.source);
    });
    std::vector<Option> best;
    for (Option& o : options) {
      if (best.empty() || o.volume > best.back().volume + kSameVolume) best.push_back(std::move(o));
    }
    return best;
  }

  /// What fits besides, though it adds nothing that can be measured.
  void fill() {
    std::vector<std::size_t> order(levels_.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
      return std::tuple(!levels_[a].source, -levels_[a].accuracy) <
             std::tuple(!levels_[b].source, -levels_[b].accuracy);
    });
    for (const std::size_t i : order) {
      if (choice_.keep[i] || !candidate(i)) continue;
      const auto& members = members_[levels_[i].task];
      const bool own = std::all_of(members.begin(), members.end(),
                                   [&](std::size_t j) { return !choice_.keep[j] || distinct(i, j); });
      if (!own) continue;
      choice_.keep[i] = true;
      choice_.keep[i] = bytes_of(choice_.keep) <= limit_ && within_own_limit(i);
    }
  }

  [[nodiscard]] bool within_own_limit(std::size_t level) const {
    for (const SharingGroup& group : groups_) {
      if (std::find(group.levels.begin(), group.levels.end(), level) == group.levels.end()) continue;
      return group.bytes(flags(group, choice_.keep)) <= group.limit;
    }
    return true;
  }

  const std::vector<StoredLevel>& levels_;
  const std::vector<double>& weights_;
  const std::vector<SharingGroup>& groups_;
  std::int64_t limit_;
  std::vector<std::vector<std::size_t>> members_;  ///< levels by task
  std::vector<Scale> scales_;                      ///< by task
  std::vector<std::size_t> near_;  ///< by level: a more accurate one at its side in time; beyond the last: none
  StorageChoice choice_;
};

}  // namespace

StorageChoice choose_within(const std::vector<StoredLevel>& levels, const std::vector<double>& weights,
                            const std::vector<SharingGroup>& groups, std::int64_t limit) {
  return Chooser(levels, weights, groups, limit).choose();
}

}  // namespace rtmdl
