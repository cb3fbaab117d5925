#include "planning/stage_draw.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace rtmdl {
namespace {

using namespace std::chrono_literals;

constexpr int kJobs = 20000;

/// Task 1 runs two stages, on the first processor and on the last one; its quantiles are its times in seconds.
PlanProblem problem(double of_job, double of_moment, bool one_processor) {
  PlanProblem p;
  p.processors = {{"cpu"}, {"gpu"}};
  for (PlanProcessor& processor : p.processors) processor.correlation = of_moment;
  TaskOption option;
  option.stages = {{.times = {{0ms, 1000ms}}}, {.processor = one_processor ? 0 : 1, .times = {{0ms, 1000ms}}}};
  option.correlation = of_job;
  p.tasks.resize(2);
  for (PlanTask& task : p.tasks) task.options = {option};
  return p;
}

/// −0.5 to 0.5.
double score(const PlanProblem& problem, int task, int stage, std::uint64_t job, Duration nominal) {
  const TaskOption& option = problem.tasks[index(task)].options[0];
  const StageDraw draw(problem, task, option, stage);
  return to_seconds(least_time(option.stages[index(stage)], draw.quantile(3, job, nominal))) - 0.5;
}

TEST(StageTime, DrawsTheWholeDistributionEvenly) {
  PlanProblem p = problem(0.5, 0.5, true);
  p.tasks[1].options[0].stages[0].times.sorted = {1ms, 2ms, 3ms};
  double sum = 0;
  Duration least = 1h, most{};
  for (std::uint64_t job = 0; job < kJobs; ++job) {
    const StageDraw draw(p, 1, p.tasks[1].options[0], 0);
    const Duration t = least_time(p.tasks[1].options[0].stages[0], draw.quantile(3, job, job * 1s));
    least = std::min(least, t);
    most = std::max(most, t);
    sum += to_ms(t);
  }
  EXPECT_GE(least, 1ms);
  EXPECT_LE(most, 3ms);
  EXPECT_LT(least, 1010us);
  EXPECT_GT(most, 2990us);
  EXPECT_NEAR(sum / kJobs, 2.0, 0.02);
}

TEST(StageTime, StagesOfAJobAreAsCorrelatedAsTheOptionSays) {
  for (const bool one_processor : {true, false})
    for (const double of_moment : {0.0, 0.4})
      for (const double of_job : {0.0, 0.5, 1.0}) {
        const PlanProblem p = problem(of_job, of_moment, one_processor);
        double product = 0;
        for (std::uint64_t job = 0; job < kJobs; ++job)
          product += score(p, 1, 0, job, job * 1s) * score(p, 1, 1, job, job * 1s);
        // Both take the common quantile with probability correlation². Moments alone make more of it where the option
        // asks for less; where it asks for more than the moments leave, it is what they leave.
        double expected = of_job * of_job;
        if (one_processor) expected = std::max(expected, of_moment * of_moment);
        const double left = (1 - of_moment) * (1 - of_moment) + (one_processor ? of_moment * of_moment : 0);
        expected = std::min(expected, left);
        EXPECT_NEAR(product / kJobs * 12, expected, 0.03) << of_job << ' ' << of_moment << ' ' << one_processor;
      }
}

TEST(StageTime, JobsOfOneMomentAreAsCorrelatedAsTheirProcessorSays) {
  for (const double of_moment : {0.0, 0.5, 1.0}) {
    const PlanProblem p = problem(0, of_moment, false);
    double same = 0, later = 0, elsewhere = 0;
    for (std::uint64_t job = 0; job < kJobs; ++job) {
      const Duration at = job * kMoment;
      const double mine = score(p, 0, 0, job, at);
      same += mine * score(p, 1, 0, job, at + kMoment / 2);
      later += mine * score(p, 1, 0, job, at + kMoment);
      elsewhere += mine * score(p, 1, 1, job, at);
    }
    EXPECT_NEAR(same / kJobs * 12, of_moment * of_moment, 0.03);
    EXPECT_NEAR(later / kJobs * 12, 0, 0.03) << "another moment";
    EXPECT_NEAR(elsewhere / kJobs * 12, 0, 0.03) << "another processor";
  }
}

}  // namespace
}  // namespace rtmdl
