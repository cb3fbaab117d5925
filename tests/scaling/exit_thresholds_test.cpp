#include "scaling/exit_thresholds.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

namespace rtmdl {
namespace {

/// Harder inputs are seen wrongly more often and with less confidence, by earlier exits more so.
std::vector<ExitTrial> trials(std::size_t places, std::size_t inputs, std::uint32_t seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> unit(0, 1);
  std::vector<ExitTrial> all(places);
  for (auto& trial : all) trial.trunk_seconds = 1.0, trial.head_seconds = 0.02;
  for (std::size_t i = 0; i < inputs; ++i) {
    const float hard = unit(random);
    for (std::size_t p = 0; p < places; ++p) {
      const float wrong = hard * hard * 0.6F / static_cast<float>(p + 1);
      const float seen = std::clamp(1 - wrong + 0.3F * (unit(random) - 0.5F), 0.0F, 1.0F);
      for (auto& confidence : all[p].confidence) confidence.push_back(seen);
      all[p].loss.push_back(unit(random) < wrong ? 1.0F : unit(random) < 0.01F ? -1.0F : 0.0F);
    }
  }
  return all;
}

struct Played {
  double seconds = 0, loss = 0, error = 0;
};

Played play(const std::vector<ExitTrial>& trials, double rest, const std::vector<ChosenExit>& exits) {
  Played out;
  const auto n = static_cast<double>(trials.front().loss.size());
  double squares = 0;
  for (std::size_t i = 0; i < trials.front().loss.size(); ++i) {
    bool left = false;
    std::size_t next = 0;
    for (std::size_t p = 0; p < trials.size() && !left; ++p) {
      out.seconds += trials[p].trunk_seconds / n;
      if (next == exits.size() || exits[next].place != p) continue;
      const ChosenExit& exit = exits[next++];
      out.seconds += trials[p].head_seconds / n;
      const float sure = trials[p].confidence[static_cast<std::size_t>(exit.measure)][i];
      left = is_sure({"", exit.measure, exit.threshold, false}, sure);
      if (left) out.loss += trials[p].loss[i] / n, squares += trials[p].loss[i] * trials[p].loss[i] / n;
    }
    if (!left) out.seconds += rest / n;
  }
  out.error = std::sqrt((squares - out.loss * out.loss) / n);
  return out;
}

TEST(ExitThresholds, TheChoiceIsWhatItsThresholdsPlay) {
  const auto all = trials(5, 4000, 1);
  for (const double most : {0.0, 0.005, 0.02, 0.1}) {
    const ExitChoice choice = choose_exits(all, 2, most, 3);
    const Played played = play(all, 2, choice.exits);
    EXPECT_NEAR(choice.seconds, played.seconds, 1e-9);
    EXPECT_NEAR(choice.loss, played.loss, 1e-9);
    EXPECT_NEAR(choice.loss_error, played.error, 1e-9);
    EXPECT_LE(choice.loss + kLossErrors * choice.loss_error, most);
    EXPECT_LE(choice.exits.size(), 3U);
    EXPECT_TRUE(std::is_sorted(choice.exits.begin(), choice.exits.end(),
                               [](const ChosenExit& a, const ChosenExit& b) { return a.place < b.place; }));
  }
}

TEST(ExitThresholds, MoreLossAllowedIsNeverSlower) {
  const auto all = trials(4, 3000, 2);
  double before = 1e9;
  for (const double most : {0.001, 0.005, 0.01, 0.02, 0.05, 0.2}) {
    const ExitChoice choice = choose_exits(all, 2, most, 3);
    EXPECT_LE(choice.seconds, before + 1e-12);
    before = choice.seconds;
  }
  EXPECT_LT(before, 3);
}

TEST(ExitThresholds, ComeNearTheBestOfAllPairsOfThresholds) {
  for (std::uint32_t seed = 1; seed <= 5; ++seed) {
    const auto all = trials(2, 400, seed);
    const double most = 0.02, rest = 1;
    std::vector<double> grid{1};
    for (double t = 0; t < 1; t += 0.01) grid.push_back(t);
    double best = 1e9;
    for (const double a : grid)
      for (const double b : grid) {
        const Played played = play(all, rest, {{0, SureMeasure::margin, a, 0}, {1, SureMeasure::margin, b, 0}});
        if (played.loss + kLossErrors * played.error <= most) best = std::min(best, played.seconds);
      }
    EXPECT_LE(choose_exits(all, rest, most, 2).seconds, 1.02 * best) << seed;
  }
}

TEST(ExitThresholds, AnExitThatCostsMoreThanItSavesIsLeftOut) {
  auto all = trials(2, 1000, 3);
  all[0].head_seconds = 10;
  const ExitChoice choice = choose_exits(all, 1, 0.02, 2);
  ASSERT_EQ(choice.exits.size(), 1U);
  EXPECT_EQ(choice.exits[0].place, 1U);
  all[1].head_seconds = 10;
  EXPECT_TRUE(choose_exits(all, 1, 0.02, 2).exits.empty());
}

TEST(ExitThresholds, TheMeasureThatTellsMoreIsTaken) {
  auto all = trials(1, 2000, 4);
  std::mt19937 random(1);
  for (float& c : all[0].confidence[static_cast<std::size_t>(SureMeasure::margin)])
    c = std::uniform_real_distribution<float>(0, 1)(random);
  all[0].confidence[static_cast<std::size_t>(SureMeasure::max)] =
      all[0].confidence[static_cast<std::size_t>(SureMeasure::margin)];
  const ExitChoice choice = choose_exits(all, 3, 0.01, 1);
  ASSERT_EQ(choice.exits.size(), 1U);
  EXPECT_EQ(choice.exits[0].measure, SureMeasure::entropy);
}

TEST(ExitThresholds, AHeadWithoutCentroidsIsNotJudgedByThem) {
  auto all = trials(2, 2000, 5);
  all[0].confidence[static_cast<std::size_t>(SureMeasure::centroid)].clear();
  const ExitChoice choice = choose_exits(all, 2, 0.02, 2);
  ASSERT_FALSE(choice.exits.empty());
  for (const ChosenExit& exit : choice.exits) EXPECT_FALSE(exit.place == 0 && exit.measure == SureMeasure::centroid);
}

TEST(ExitThresholds, WhereNoPlaceIsThereIsNoExit) { EXPECT_TRUE(choose_exits({}, 1, 0.1, 3).exits.empty()); }

}  // namespace
}  // namespace rtmdl
