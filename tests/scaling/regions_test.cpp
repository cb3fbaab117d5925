#include "scaling/regions.h"
#include "scaling/int8_search.h"
#include "scaling/max_flow.h"

#include <gtest/gtest.h>

#include <random>

namespace rtmdl {
namespace {

TEST(MaxFlow, EqualsTheCheapestCutOnRandomGraphs) {
  std::mt19937 random(1);
  for (int round = 0; round < 300; ++round) {
    const int n = 2 + static_cast<int>(random() % 8);
    struct Arc {
      int from, to;
      double capacity;
    };
    std::vector<Arc> arcs;
    for (int a = 0; a < 3 * n; ++a) {
      arcs.push_back({static_cast<int>(random() % static_cast<unsigned>(n)),
                      static_cast<int>(random() % static_cast<unsigned>(n)), static_cast<double>(random() % 20)});
    }
    FlowNetwork network(n);
    for (const Arc& a : arcs) network.add_arc(a.from, a.to, a.capacity);
    double least = 1e9;
    for (unsigned side = 0; side < (1U << n); ++side) {  // nodes on the source's side; 0 is the source, n-1 the sink
      if ((side & 1U) == 0 || (side >> (n - 1) & 1U) != 0) continue;
      double cut = 0;
      for (const Arc& a : arcs) {
        if ((side >> a.from & 1U) != 0 && (side >> a.to & 1U) == 0) cut += a.capacity;
      }
      least = std::min(least, cut);
    }
    EXPECT_DOUBLE_EQ(network.solve(0, n - 1), least);
    const auto side = network.source_side(0);
    double cut = 0;
    for (const Arc& a : arcs) {
      if (side[static_cast<std::size_t>(a.from)] && !side[static_cast<std::size_t>(a.to)]) cut += a.capacity;
    }
    EXPECT_DOUBLE_EQ(cut, least);
  }
}

RegionProblem random_problem(std::mt19937& random, int units) {
  RegionProblem p;
  for (int u = 0; u < units; ++u) {
    p.float_cost.push_back(random() % 100);
    p.integer_cost.push_back(random() % 60);
    p.possible.push_back(random() % 5 != 0);
  }
  for (int t = -1; t < units; ++t) {
    RegionTensor tensor;
    tensor.producer = t;
    for (int r = t + 1; r < units; ++r) {
      if (random() % 3 == 0) tensor.readers.push_back(r);
    }
    tensor.leaves = random() % 6 == 0;
    tensor.to_integer = random() % 30;
    tensor.to_float = random() % 30;
    p.tensors.push_back(tensor);
  }
  return p;
}

TEST(Regions, AreTheCheapestOfAllChoices) {
  std::mt19937 random(2);
  for (int round = 0; round < 300; ++round) {
    const int units = 1 + static_cast<int>(random() % 9);
    const RegionProblem problem = random_problem(random, units);
    double least = 1e9;
    for (unsigned choice = 0; choice < (1U << units); ++choice) {
      std::vector<bool> integer;
      bool allowed = true;
      for (int u = 0; u < units; ++u) {
        integer.push_back((choice >> u & 1U) != 0);
        allowed = allowed && (!integer.back() || problem.possible[static_cast<std::size_t>(u)]);
      }
      if (allowed) least = std::min(least, region_cost(problem, integer));
    }
    const auto found = cheapest_regions(problem);
    EXPECT_NEAR(region_cost(problem, found), least, 1e-6) << "round " << round;
    for (int u = 0; u < units; ++u) {
      EXPECT_TRUE(problem.possible[static_cast<std::size_t>(u)] || !found[static_cast<std::size_t>(u)]);
    }
  }
}

TEST(Regions, OneConversionServesAllReaders) {
  RegionProblem p;
  p.float_cost = {0, 10, 10, 10};
  p.integer_cost = {0, 4, 4, 4};
  p.possible = {false, true, true, true};
  p.tensors.push_back({0, {1, 2, 3}, false, 15, 0});
  EXPECT_EQ(cheapest_regions(p), (std::vector<bool>{false, true, true, true}));  // 12 + 15 < 30
  p.tensors[0].to_integer = 20;
  EXPECT_EQ(cheapest_regions(p), (std::vector<bool>{false, false, false, false}));
}

TEST(Candidates, ThatAnotherBeatsInTimeAndErrorAreNotMeasured) {
  const auto candidate = [](double predicted, double error) { return Int8Candidate{{}, error, predicted}; };
  const auto kept = worth_measuring(
      {candidate(100, 0.5), candidate(200, 0.6), candidate(120, 0.1), candidate(300, 0.01), candidate(90, 0.7)}, 10);
  std::vector<double> times;
  for (const auto& c : kept) times.push_back(c.predicted);
  EXPECT_EQ(times, (std::vector<double>{90, 100, 120, 300}));
  EXPECT_EQ(worth_measuring(kept, 3).size(), 3U);
}

}  // namespace
}  // namespace rtmdl
