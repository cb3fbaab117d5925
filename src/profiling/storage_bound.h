#pragma once
/// The bound on storage over all levels of all tasks: which of them stay. Pure: what a set of levels needs is a
/// function that the caller gives, for levels share weights (scaling/family_layout.h).

#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

namespace rtmdl {

/// A level as the bound sees it.
struct StoredLevel {
  std::size_t task = 0;
  std::string id;
  std::int64_t bytes = 0;  ///< that it needs if it is kept alone
  double accuracy = 1;
  std::int64_t median = 0;  ///< nanoseconds; 0: unknown, taken to be the source's
  bool source = false;
};

/// Levels that may share bytes; no byte is shared between groups. Each level is in one group, and all levels of a task
/// in the same.
struct SharingGroup {
  std::vector<std::size_t> levels;
  /// Bytes on disk of those of `levels` that are kept (one flag each), whatever they share counted once.
  std::function<std::int64_t(const std::vector<bool>& keep)> bytes;
  std::int64_t limit = std::numeric_limits<std::int64_t>::max();  ///< of those bytes
  bool keeps_source = false;  ///< `limit` takes the source away only where nothing with it fits; the bound over all may
};

struct StorageChoice {
  std::vector<bool> keep;              ///< by level
  std::vector<std::string> pointless;  ///< by level: why it is no level beside the others; empty: it is one
  std::vector<bool> exceeded;          ///< by group: all of its levels would be beyond its own limit
  std::int64_t bytes = 0;              ///< of what is kept
  std::int64_t least = 0;              ///< no bound below this can be met; 0 where everything fits
  bool fits = true;                    ///< false: not even the least fits; `keep` is the least
  double hypervolume = 0;              ///< of what is kept: weighted sum over tasks
  double hypervolume_unbounded = 0;    ///< of what would be kept without a bound
};

/// Levels whose times are closer than this are one level.
inline constexpr double kDistinctTimes = 1.05;

/// First drops levels that another of their task is no worse than in bytes, accuracy and time, and of two whose times
/// are less than 5 % apart the less accurate one (while the bound is exceeded, not if it is the smaller one). Sources
/// stay.
///
/// Of the rest, chooses the set that fits into `limit`, and into each group's own, and whose accuracy–latency fronts
/// have the largest weighted sum of hypervolumes (hypervolume.h; times and accuracies as shares of the source's,
/// against 1.1 times its latency and no accuracy). Each task keeps at least one level. By enumeration within groups of
/// at most 16 levels, which gives each its front of (bytes, hypervolume), and a multiple-choice knapsack over groups:
/// exact. Larger groups are thinned out and filled greedily. What adds nothing but fits stays, sources first.
///
/// `weights`: by task. Each task must have a level. The same input gives the same choice.
[[nodiscard]] StorageChoice choose_within(const std::vector<StoredLevel>& levels, const std::vector<double>& weights,
                                          const std::vector<SharingGroup>& groups, std::int64_t limit);

}  // namespace rtmdl
