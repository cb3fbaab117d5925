#include "profiling/storage_bound.h"

#include "profiling/hypervolume.h"
#include "profiling/knapsack.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <numeric>
#include <random>
#include <set>

namespace rtmdl {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

StoredLevel level(std::size_t task, const char* id, std::int64_t bytes, double accuracy, std::int64_t median) {
  return {task, id, bytes, accuracy, median, std::string(id) == "source"};
}

/// One group per task; nothing is shared.
std::vector<SharingGroup> unshared(const std::vector<StoredLevel>& levels) {
  std::map<std::size_t, SharingGroup> groups;
  for (std::size_t i = 0; i < levels.size(); ++i) groups[levels[i].task].levels.push_back(i);
  std::vector<SharingGroup> all;
  for (auto& [task, group] : groups) {
    group.bytes = [&levels, of = group.levels](const std::vector<bool>& keep) {
      std::int64_t sum = 0;
      for (std::size_t k = 0; k < of.size(); ++k) sum += keep[k] ? levels[of[k]].bytes : 0;
      return sum;
    };
    all.push_back(group);
  }
  return all;
}

StorageChoice choose(const std::vector<StoredLevel>& levels, std::int64_t limit, std::vector<double> weights = {1}) {
  return choose_within(levels, weights, unshared(levels), limit);
}

TEST(StorageBound, KeepsAllThatFits) {
  const auto choice = choose({level(0, "source", 100, 1, 10), level(0, "b", 30, 0.99, 5)}, 130);
  EXPECT_THAT(choice.keep, ElementsAre(true, true));
  EXPECT_EQ(choice.bytes, 130);
  EXPECT_TRUE(choice.fits);
  EXPECT_DOUBLE_EQ(choice.hypervolume, (1.1 - 0.5) * 0.99 + (1.1 - 1) * 0.01);
  EXPECT_EQ(choice.hypervolume, choice.hypervolume_unbounded);
}

TEST(StorageBound, DropsTheDominatedAndSaysByWhom) {
  const auto choice = choose({level(0, "source", 100, 1, 10), level(0, "b", 50, 0.99, 5),
                              level(0, "worse", 60, 0.98, 6), level(0, "twin", 50, 0.99, 5)},
                             1000);
  EXPECT_THAT(choice.keep, ElementsAre(true, true, false, false));
  EXPECT_THAT(choice.pointless,
              ElementsAre("", "", "b is as small, as accurate and as fast", "b is as small, as accurate and as fast"));
}

TEST(StorageBound, UnknownTimesDominateNothingAndStayWhereThereIsRoom) {
  const std::vector<StoredLevel> levels{level(0, "source", 100, 1, 10), level(0, "b", 50, 0.99, 0),
                                        level(0, "c", 60, 0.98, 6)};
  EXPECT_THAT(choose(levels, 210).keep, ElementsAre(true, true, true));
  EXPECT_THAT(choose(levels, 160).keep, ElementsAre(true, false, true));
  EXPECT_THAT(choose(levels, 110).keep, ElementsAre(false, true, true));
}

TEST(StorageBound, OfTwoLevelsWithTheSameTimeTheMoreAccurateStays) {
  const std::vector<StoredLevel> levels{level(0, "source", 100, 1, 1000), level(0, "a", 50, 0.97, 500),
                                        level(0, "b", 40, 0.96, 490), level(0, "c", 30, 0.95, 450)};
  const auto choice = choose(levels, 1000);
  EXPECT_THAT(choice.keep, ElementsAre(true, true, false, true));
  EXPECT_EQ(choice.pointless[2], "a is no less accurate and less than 5 % apart in time");
  // The smaller one stands in where the larger one does not fit.
  const auto tight = choose({levels[0], levels[1], levels[2]}, 140);
  EXPECT_THAT(tight.keep, ElementsAre(true, false, true));
}

TEST(StorageBound, ALevelAsSlowAsTheSourceIsNone) {
  const auto choice = choose({level(0, "source", 100, 1, 1000), level(0, "a", 50, 0.97, 960)}, 1000);
  EXPECT_THAT(choice.keep, ElementsAre(true, false));
}

TEST(StorageBound, GivesTheBytesToTheTaskThatGainsMost) {
  const std::vector<StoredLevel> levels{level(0, "source", 10, 1, 100), level(0, "fast", 50, 0.95, 10),
                                        level(1, "source", 10, 1, 100), level(1, "fast", 50, 0.95, 50)};
  EXPECT_THAT(choose(levels, 70, {1, 1}).keep, ElementsAre(true, true, true, false));
  EXPECT_THAT(choose(levels, 70, {1, 9}).keep, ElementsAre(true, false, true, true));
}

TEST(StorageBound, AmongEqualsTheSourceStays) {
  const auto choice =
      choose({level(0, "a", 100, 1, 5), level(0, "source", 100, 1, 10), level(0, "b", 50, 0.9, 1)}, 150);
  EXPECT_THAT(choice.keep, ElementsAre(true, false, true));
  EXPECT_THAT(choose({level(0, "a", 100, 1, 0), level(0, "source", 100, 1, 0)}, 100).keep, ElementsAre(false, true));
}

TEST(StorageBound, AGroupMayHaveALimitOfItsOwn) {
  const std::vector<StoredLevel> levels{level(0, "source", 100, 1, 1000), level(0, "a", 40, 0.97, 500),
                                        level(0, "b", 20, 0.96, 250),     level(1, "source", 80, 1, 1000),
                                        level(1, "a", 70, 0.97, 500),     level(1, "near", 10, 0.96, 490)};
  std::vector<SharingGroup> groups = unshared(levels);
  groups[0].limit = 130;
  groups[0].keeps_source = true;
  const auto choice = choose_within(levels, {1, 1}, groups, 1000);
  EXPECT_THAT(choice.keep, ElementsAre(true, false, true, true, true, false));
  EXPECT_THAT(choice.exceeded, ElementsAre(true, false));
  EXPECT_TRUE(choice.fits);
  groups[0].limit = 10;  // nothing fits: the smallest stays
  EXPECT_THAT(choose_within(levels, {1, 1}, groups, 1000).keep, ElementsAre(false, false, true, true, true, false));
}

TEST(StorageBound, SaysTheLeastPossible) {
  const auto choice =
      choose({level(0, "source", 100, 1, 10), level(0, "b", 25, 0.99, 5), level(1, "source", 80, 1, 8)}, 104, {1, 1});
  EXPECT_FALSE(choice.fits);
  EXPECT_EQ(choice.least, 105);
  EXPECT_EQ(choice.bytes, 105);
  EXPECT_THAT(choice.keep, ElementsAre(false, true, true));
}

/// Levels of which each needs some of a few blobs; equal blobs count once.
struct Instance {
  std::vector<StoredLevel> levels;
  std::vector<std::set<int>> blobs;  ///< by level
  std::vector<std::int64_t> sizes;   ///< by blob
  std::vector<double> weights;
  std::vector<SharingGroup> groups;

  [[nodiscard]] std::int64_t bytes(const std::vector<std::size_t>& of, const std::vector<bool>& keep) const {
    std::set<int> all;
    for (std::size_t k = 0; k < of.size(); ++k)
      if (keep[k]) all.insert(blobs[of[k]].begin(), blobs[of[k]].end());
    std::int64_t sum = 0;
    for (const int b : all) sum += sizes[static_cast<std::size_t>(b)];
    return sum;
  }
  [[nodiscard]] std::int64_t bytes(const std::vector<bool>& keep) const {
    std::vector<std::size_t> all(levels.size());
    std::iota(all.begin(), all.end(), 0);
    return bytes(all, keep);
  }
  [[nodiscard]] std::int64_t unshared_bytes() const {
    std::int64_t sum = 0;
    for (const StoredLevel& l : levels) sum += l.bytes;
    return sum;
  }
  [[nodiscard]] double volume(const std::vector<bool>& keep) const {
    double sum = 0;
    for (std::size_t t = 0; t < weights.size(); ++t) {
      std::vector<FrontPoint> points;
      const StoredLevel* source = nullptr;
      for (const StoredLevel& l : levels)
        if (l.task == t && l.source) source = &l;
      for (std::size_t i = 0; i < levels.size(); ++i)
        if (levels[i].task == t && keep[i])
          points.push_back({static_cast<double>(levels[i].median) / static_cast<double>(source->median),
                            levels[i].accuracy / source->accuracy});
      sum += weights[t] * hypervolume(points, {1.1, 0});
    }
    return sum;
  }
};

/// Tasks 0 and 1 share blobs, task 2 has its own.
Instance random_instance(std::mt19937& random, int most_levels) {
  Instance in;
  for (int b = 0; b < 12; ++b) in.sizes.push_back(10 + static_cast<std::int64_t>(random() % 90));
  in.weights = {1, 0.5 + random() % 4, 1};
  for (std::size_t t = 0; t < 3; ++t) {
    const int n = 1 + static_cast<int>(random() % static_cast<unsigned>(most_levels));
    for (int v = 0; v < n; ++v) {
      std::set<int> needs;
      for (unsigned b = 0; b < 1 + random() % 4; ++b) needs.insert(static_cast<int>(random() % 6 + (t == 2 ? 6 : 0)));
      StoredLevel l{t,
                    "level" + std::to_string(v),
                    0,
                    (85 + random() % 16) / 100.0,
                    20 + static_cast<std::int64_t>(random() % 300),
                    v == 0};
      if (l.source) l.accuracy = 1, l.median = 300;
      in.blobs.push_back(needs);
      in.levels.push_back(l);
      std::vector<bool> alone(in.levels.size(), false);
      alone.back() = true;
      in.levels.back().bytes = in.bytes(alone);
    }
  }
  in.groups.resize(2);
  if (random() % 2) in.groups[0].limit = 100 + static_cast<std::int64_t>(random() % 300);
  for (std::size_t i = 0; i < in.levels.size(); ++i) in.groups[in.levels[i].task == 2].levels.push_back(i);
  return in;
}

void connect(Instance& in) {
  for (SharingGroup& group : in.groups)
    group.bytes = [&in, of = group.levels](const std::vector<bool>& keep) { return in.bytes(of, keep); };
}

/// The best set of the levels that are some, by trying all; negative if none fits.
double best_volume(const Instance& in, const StorageChoice& choice, std::int64_t limit, std::int64_t& least) {
  double best = -1;
  least = std::numeric_limits<std::int64_t>::max();
  const std::size_t n = in.levels.size();
  for (std::uint32_t set = 1; set < 1U << n; ++set) {
    std::vector<bool> keep(n), served(3, false);
    bool possible = true;
    for (std::size_t i = 0; i < n; ++i) {
      keep[i] = set >> i & 1U;
      if (!keep[i]) continue;
      possible = possible && choice.pointless[i].empty();
      served[in.levels[i].task] = true;
      for (std::size_t j = 0; j < i; ++j) {
        const StoredLevel &a = in.levels[i], &b = in.levels[j];
        if (!keep[j] || a.task != b.task || a.source || b.source) continue;
        const auto [low, high] = std::minmax(a.median, b.median);
        possible = possible && static_cast<double>(high) >= 1.05 * static_cast<double>(low);
      }
    }
    if (!possible || !(served[0] && served[1] && served[2])) continue;
    bool own = true;
    for (const SharingGroup& group : in.groups) {
      std::vector<bool> of;
      for (const std::size_t i : group.levels) of.push_back(keep[i]);
      own = own && group.bytes(of) <= group.limit;
    }
    least = std::min(least, in.bytes(keep));
    if (own && in.bytes(keep) <= limit) best = std::max(best, in.volume(keep));
  }
  return best;
}

TEST(StorageBound, IsAsGoodAsTryingAllSetsAtEveryBound) {
  std::mt19937 random(7);
  for (int round = 0; round < 60; ++round) {
    Instance in = random_instance(random, 4);
    connect(in);
    for (const int percent : {100, 50, 25, 10}) {
      const std::int64_t limit = in.unshared_bytes() * percent / 100;
      const StorageChoice choice = choose_within(in.levels, in.weights, in.groups, limit);
      EXPECT_EQ(choice.bytes, in.bytes(choice.keep));
      EXPECT_NEAR(choice.hypervolume, in.volume(choice.keep), 1e-9);
      EXPECT_LE(choice.hypervolume, choice.hypervolume_unbounded);
      std::int64_t least = 0;
      const double best = best_volume(in, choice, limit, least);
      EXPECT_TRUE(choice.fits || best < 0);
      EXPECT_EQ(choice.fits, least <= limit) << percent;
      if (choice.fits && best >= 0) {
        EXPECT_LE(choice.bytes, limit);
        if (choice.hypervolume < choice.hypervolume_unbounded) {
          EXPECT_NEAR(choice.hypervolume, best, 1e-9) << percent;
        }
      } else if (!choice.fits) {
        EXPECT_EQ(choice.bytes, least);
        EXPECT_EQ(choice.least, least);
      }
    }
  }
}

/// Beyond what is enumerated: within the bound, every task served, and never far from a greedy reference.
TEST(StorageBound, FillsLargeGroupsGreedily) {
  std::mt19937 random(9);
  for (int round = 0; round < 10; ++round) {
    Instance in = random_instance(random, 24);
    connect(in);
    for (const int percent : {100, 50, 25, 10}) {
      const std::int64_t limit = in.unshared_bytes() * percent / 100;
      const StorageChoice choice = choose_within(in.levels, in.weights, in.groups, limit);
      if (!choice.fits) continue;
      EXPECT_LE(choice.bytes, limit);
      std::vector<bool> served(3, false);
      for (std::size_t i = 0; i < in.levels.size(); ++i)
        if (choice.keep[i]) served[in.levels[i].task] = true;
      EXPECT_THAT(served, testing::Each(true));
      for (std::size_t i = 0; i < in.levels.size(); ++i) {  // no single level more would still fit and add anything
        if (choice.keep[i] || !choice.pointless[i].empty()) continue;
        auto more = choice.keep;
        more[i] = true;
        bool rival = false;
        for (std::size_t j = 0; j < in.levels.size(); ++j) {
          const auto [low, high] = std::minmax(in.levels[i].median, in.levels[j].median);
          rival = rival || (choice.keep[j] && in.levels[j].task == in.levels[i].task && !in.levels[j].source &&
                            !in.levels[i].source && static_cast<double>(high) < 1.05 * static_cast<double>(low));
        }
        bool own = true;
        for (const SharingGroup& group : in.groups) {
          std::vector<bool> of;
          for (const std::size_t j : group.levels) of.push_back(more[j]);
          own = own && group.bytes(of) <= group.limit;
        }
        EXPECT_TRUE(rival || !own || in.bytes(more) > limit);
      }
    }
  }
}

TEST(Knapsack, TakesOneOfEachGroup) {
  const std::vector<std::vector<KnapsackOption>> groups{{{1, 1}, {4, 5}}, {{2, 0}, {5, 4.5}}, {{1, 2}}};
  EXPECT_THAT(choose_options(groups, 4), ElementsAre(0u, 0u, 0u));
  EXPECT_THAT(choose_options(groups, 7), ElementsAre(0u, 1u, 0u));
  EXPECT_THAT(choose_options(groups, 9), ElementsAre(0u, 1u, 0u));
  EXPECT_THAT(choose_options(groups, 10), ElementsAre(1u, 1u, 0u));
}

TEST(Knapsack, StaysWithinTheLimitWhereTheFrontIsThinnedOut) {
  std::mt19937 random(4);
  std::vector<std::vector<KnapsackOption>> groups;
  for (int g = 0; g < 4; ++g) {
    groups.emplace_back();
    KnapsackOption at;
    for (int i = 0; i < 60; ++i) {
      at.bytes += 1 + static_cast<std::int64_t>(random() % 1000000);
      at.value += 1 + static_cast<double>(random() % 1000000);
      groups.back().push_back(at);
    }
  }
  const std::int64_t limit = 60000000;
  std::int64_t bytes = 0;
  double value = 0;
  const auto chosen = choose_options(groups, limit);
  for (std::size_t g = 0; g < 4; ++g) {
    bytes += groups[g][chosen[g]].bytes;
    value += groups[g][chosen[g]].value;
  }
  EXPECT_LE(bytes, limit);
  EXPECT_GT(value, 0.95 * static_cast<double>(limit));
}

}  // namespace
}  // namespace rtmdl
