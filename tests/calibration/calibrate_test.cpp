#include "calibration/calibrate.h"

#include "planning/simulator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <random>

namespace rtmdl {
namespace {

using namespace std::chrono_literals;

TimeDistribution around(Duration time) {
  TimeDistribution times;
  for (int k = 0; k < 100; ++k) times.sorted.push_back(time * (95 + k % 10) / 100);
  std::sort(times.sorted.begin(), times.sorted.end());
  return times;
}

/// Three tasks on two processors, each with an exact and slow form and a faster one that loses accuracy.
PlanProblem profiled() {
  PlanProblem p;
  p.processors = {{"cpu", true, 1}, {"gpu", true, 1}};
  const auto task = [&](const char* name, Duration period, Duration infer) {
    PlanTask t;
    t.name = name;
    t.period = t.deadline = period;
    t.miss_rate_limit = 0.01;
    for (const double speed : {1.0, 0.6, 0.35})
      for (const int processor : {0, 1}) {
        TaskOption o;
        o.variant = speed == 1 ? "source" : speed == 0.6 ? "int8" : "int8-r0.5";
        o.processor = processor == 0 ? "cpu" : "gpu";
        o.accuracy_loss = (1 - speed) / 10;
        for (const auto& [on, time] :
             {std::pair{0, Duration(500us)}, std::pair{processor, infer}, std::pair{0, Duration(300us)}}) {
          StageOption stage;
          stage.processor = on;
          stage.times = around(Duration(std::llround(static_cast<double>(time.count()) * (time == infer ? speed : 1))));
          o.stages.push_back(stage);
        }
        t.options.push_back(o);
      }
    p.tasks.push_back(t);
  };
  task("a", 20ms, 9ms);
  task("b", 31ms, 13ms);
  task("c", 47ms, 16ms);
  return p;
}

/// What the box really does: slower by `factor`, and every twentieth stage takes half as long again.
PlanProblem truth(double factor) {
  PlanProblem p = profiled();
  for (PlanTask& t : p.tasks)
    for (TaskOption& o : t.options)
      for (StageOption& s : o.stages) {
        for (std::size_t k = 0; k < s.times.sorted.size(); ++k)
          s.times.sorted[k] =
              Duration(std::llround(static_cast<double>(s.times.sorted[k].count()) * factor * (k >= 95 ? 1.5 : 1)));
        std::sort(s.times.sorted.begin(), s.times.sorted.end());
      }
  return p;
}

struct MadeBox {
  PlanProblem problem;
  std::vector<Choices> played;
  std::vector<std::uint64_t> seeds;
  std::int64_t stalled = 0;  ///< misses added to the first task of every play, explained by stalls

  Played operator()(const Choices& choices, Duration length, std::uint64_t seed) {
    played.push_back(choices);
    seeds.push_back(seed);
    Simulator simulator(problem);
    const SimulationOutcome& o = simulator.run(choices, {.length = length, .seed = seed + 1000});
    Played result;
    result.length = length;
    std::mt19937_64 random(seed);
    for (std::size_t t = 0; t < problem.tasks.size(); ++t) {
      result.tasks.push_back({o.tasks[t].released, o.tasks[t].missed, 0});
      const TaskOption& option = problem.tasks[t].options[static_cast<std::size_t>(choices[t].option)];
      OptionTimes times{problem.tasks[t].name, option.variant, option.processor, option.threads, {}};
      for (const StageOption& stage : option.stages) {
        times.stages.emplace_back();
        for (std::int64_t k = 0; k < o.tasks[t].completed; ++k)
          times.stages.back().push_back(stage.times.sorted[random() % stage.times.sorted.size()]);
      }
      result.observed.options.push_back(times);
    }
    const double seconds = to_seconds(length);
    result.observed.stalls = {seconds, problem.stalls.per_second * seconds, problem.stalls.lasting};
    result.tasks[0].missed += stalled;
    result.tasks[0].stalled += stalled;
    return result;
  }
};

PlanOptions plan_options(double margin = 0) {
  PlanOptions o;
  o.simulated = 10s;
  o.budget = 5s;
  o.margin = margin;
  return o;
}

Calibration calibrated(MadeBox& box, const CalibrateOptions& options = {}, const PlanOptions& plan = plan_options(),
                       const ModelCorrection& known = {}, const Context& context = {}) {
  return calibrate(
      profiled(), known, plan, options, [&](const Choices& c, Duration d, std::uint64_t s) { return box(c, d, s); },
      [](const ModelCorrection&) {}, context);
}

TEST(Calibrate, StopsAfterOneRoundWhereTheModelIsRight) {
  MadeBox box{profiled(), {}, {}};
  const Calibration c = calibrated(box);
  EXPECT_TRUE(c.holds);
  EXPECT_TRUE(c.settled);
  EXPECT_EQ(c.rounds.size(), 1u);
  EXPECT_EQ(box.played.size(), 2u) << "the chosen strategy, twice";
  EXPECT_NE(box.seeds[0], box.seeds[1]);
}

TEST(Calibrate, ConvergesOnABoxThatIsSlowerWithHeavierTails) {
  MadeBox box{truth(1.3), {}, {}};
  const Calibration c = calibrated(box);
  ASSERT_GE(c.rounds.size(), 2u);
  EXPECT_FALSE(c.rounds.front().strategies.front().holds());
  EXPECT_TRUE(c.holds);
  ASSERT_EQ(c.correction.processors.size(), 2u);
  for (const ProcessorCorrection& p : c.correction.processors) EXPECT_NEAR(p.factor, 1.3, 0.02) << p.name;
  for (const CalibratedTask& t : c.rounds.back().strategies.front().tasks) {
    ASSERT_EQ(t.measured.size(), 2u);
    for (const double measured : t.measured) EXPECT_NEAR(t.predicted, measured, 0.015 + t.chance) << t.name;
  }
  // What it ends with keeps the limits on the real box.
  PlanProblem model = profiled();
  apply(model, c.correction);
  const Plan plan = rtmdl::plan(model, plan_options(), {});
  ASSERT_TRUE(plan.feasible);
  Simulator real(box.problem);
  for (const TaskOutcome& t : real.run(choices_of(plan), {.length = 60s, .seed = 99}).tasks)
    EXPECT_LT(t.miss_rate(), 0.03);
}

TEST(Calibrate, PredictsWhatItDidNotPlayByTheProcessorsFactor) {
  MadeBox box{truth(1.3), {}, {}};
  const Calibration c = calibrated(box);
  PlanProblem model = profiled();
  apply(model, c.correction);
  for (std::size_t t = 0; t < model.tasks.size(); ++t)
    for (std::size_t o = 0; o < model.tasks[t].options.size(); ++o) {
      const double expected = to_ms(box.problem.tasks[t].options[o].stages[1].times.quantile(0.5));
      EXPECT_NEAR(to_ms(model.tasks[t].options[o].stages[1].times.quantile(0.5)), expected, 0.05 * expected);
    }
}

TEST(Calibrate, GivesUpAfterItsRoundsAndSaysSo) {
  // No model explains this box: tasks miss at random.
  MadeBox inner{profiled(), {}, {}};
  const Play play = [&](const Choices& c, Duration d, std::uint64_t s) {
    Played p = inner(c, d, s);
    p.tasks[0].missed = p.tasks[0].released / 2;
    return p;
  };
  CalibrateOptions options;
  options.rounds = 3;
  const Calibration c = calibrate(profiled(), {}, plan_options(), options, play, [](const ModelCorrection&) {}, {});
  EXPECT_EQ(c.rounds.size(), 3u);
  EXPECT_FALSE(c.holds);
  EXPECT_FALSE(c.settled);
}

bool was_played(const MadeBox& box, const Choices& choices) {
  return std::find(box.played.begin(), box.played.end(), choices) != box.played.end();
}

TEST(Calibrate, EndsWithTheStrategyThatWasPlayedIfThatHasItsMargin) {
  int played = 0;
  for (const double slower : {1.0, 1.05, 1.1, 1.2, 1.3, 1.4, 1.6}) {
    MadeBox box{truth(slower), {}, {}};
    const Calibration c = calibrated(box);
    if (!c.settled || !c.plan.feasible) continue;
    PlanProblem model = profiled();
    apply(model, c.correction);
    const Choices& last = c.rounds.back().strategies.front().choices;
    const bool has_margin = with_strategy(c.plan, last, model, plan_options(kCalibratedMargin), {}).feasible;
    EXPECT_TRUE(!has_margin || was_played(box, choices_of(c.plan))) << slower;
    played += has_margin;
  }
  EXPECT_GE(played, 3);
}

TEST(Calibrate, WhereNothingIsFeasibleEndsWithTheNearestThatWasPlayed) {
  for (const double slower : {2.5, 4.0, 6.0}) {
    MadeBox box{truth(slower), {}, {}};
    const Calibration c = calibrated(box, {}, plan_options(0.1));
    ASSERT_FALSE(c.plan.feasible) << slower;
    EXPECT_TRUE(was_played(box, choices_of(c.plan))) << slower;
    EXPECT_NE(c.plan.reason, "");
    PlanProblem model = profiled();
    apply(model, c.correction);
    const auto excess = [&](const Choices& choices) {
      double sum = 0;
      Simulator simulator(model);
      const SimulationOutcome& o = simulator.run(choices, {.length = 30s, .seed = 7});
      for (std::size_t t = 0; t < 3; ++t) sum += std::max(0.0, o.tasks[t].miss_rate() - model.tasks[t].miss_rate_limit);
      return sum;
    };
    for (const Choices& other : box.played) EXPECT_LE(excess(choices_of(c.plan)), excess(other) + 0.1) << slower;
  }
}

TEST(Calibrate, SetsMissesAsideThatStallsExplainButShowsThem) {
  MadeBox box{profiled(), {}, {}, 100};
  const Calibration c = calibrated(box);
  EXPECT_TRUE(c.holds);
  const CalibratedTask& a = c.rounds[0].strategies[0].tasks[0];
  EXPECT_GT(a.measured[0], 0.2);
  EXPECT_LT(a.unstalled[0], 0.02);
}

TEST(Calibrate, PredictsStallsOnceItHasSeenThemAndDoesNotPlanAroundThem) {
  MadeBox box{profiled(), {}, {}};
  box.problem.stalls = {2, {{30ms, 30ms}}};
  const Calibration c = calibrated(box);
  EXPECT_TRUE(c.settled);
  const CalibratedTask& a = c.rounds.back().strategies.front().tasks[0];
  EXPECT_GT(a.corrected, 0.03) << "its limit is 1 %";
  EXPECT_NEAR(a.corrected, (a.measured[0] + a.measured[1]) / 2, 0.025);
  EXPECT_EQ(c.correction.stalls.count, 2 * c.correction.stalls.seconds);
}

TEST(Calibrate, PlaysNeighboursOnlyWhereThePredictionFails) {
  MadeBox box{truth(1.3), {}, {}};
  const Calibration c = calibrated(box, {}, plan_options(0.05));
  const auto& first = c.rounds.front().strategies;
  ASSERT_FALSE(first.front().holds());
  ASSERT_GE(first.size(), 2u);
  EXPECT_EQ(first[0].kind, "chosen");
  EXPECT_EQ(first.back().kind, "slacker");
  EXPECT_EQ(first.back().tasks[0].measured.size(), 1u);
}

TEST(Calibrate, GoesOnFromWhatIsKnown) {
  MadeBox box{truth(1.3), {}, {}};
  const Calibration before = calibrated(box);
  box.played.clear();
  const Calibration after = calibrated(box, {}, plan_options(), before.correction);
  EXPECT_TRUE(after.holds);
  EXPECT_TRUE(after.rounds.front().strategies.front().holds()) << "from the start";
}

TEST(Calibrate, KeepsWhatEachRoundTaught) {
  MadeBox box{truth(1.3), {}, {}};
  std::vector<std::size_t> kept;
  const Calibration c = calibrate(
      profiled(), {}, plan_options(), {}, [&](const Choices& ch, Duration d, std::uint64_t s) { return box(ch, d, s); },
      [&](const ModelCorrection& m) { kept.push_back(m.options.size()); }, {});
  EXPECT_EQ(kept.size(), c.rounds.size());
  EXPECT_GE(kept.front(), 3u);
}

TEST(Calibrate, DiscardsAPlayThatWasStopped) {
  MadeBox box{truth(1.3), {}, {}};
  std::atomic<bool> stop{false};
  Context context;
  context.stop = &stop;
  int kept = 0;
  const Calibration c = calibrate(
      profiled(), {}, plan_options(), {},
      [&](const Choices& ch, Duration d, std::uint64_t s) {
        stop = box.played.size() == 1;
        return box(ch, d, s);
      },
      [&](const ModelCorrection&) { ++kept; }, context);
  EXPECT_TRUE(c.rounds.empty());
  EXPECT_EQ(kept, 0);
  EXPECT_EQ(box.played.size(), 2u);
}

TEST(Calibrate, IsTheSameForTheSameSeed) {
  MadeBox one{truth(1.3), {}, {}}, two = one;
  const Calibration a = calibrated(one), b = calibrated(two);
  ASSERT_EQ(a.rounds.size(), b.rounds.size());
  for (std::size_t r = 0; r < a.rounds.size(); ++r)
    for (std::size_t t = 0; t < 3; ++t) {
      EXPECT_EQ(a.rounds[r].strategies[0].tasks[t].measured, b.rounds[r].strategies[0].tasks[t].measured);
      EXPECT_EQ(a.rounds[r].strategies[0].tasks[t].predicted, b.rounds[r].strategies[0].tasks[t].predicted);
    }
}

}  // namespace
}  // namespace rtmdl
