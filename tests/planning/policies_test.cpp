#include "planning/policies.h"

#include "planning/random_problem.h"
#include "planning/simulator.h"

#include <rtmdl/error.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rtmdl {
namespace {

using namespace std::chrono_literals;
using test::task_of;

/// Two processors; every job passes the first. The heavy model fits on either, but on the first it starves what the
/// others do there.
PlanProblem heavy_and_light() {
  PlanProblem problem;
  problem.processors = {{"cpu", true, 1}, {"gpu", true, 1}};
  const auto add = [&](const std::string& name, Duration period, Duration pre, Duration infer) {
    PlanTask task = task_of(name, period, period, {{0, pre}, {0, infer}});
    task.options[0].source = true;
    task.options.push_back(task.options[0]);
    task.options[1].stages[1].processor = 1;
    problem.tasks.push_back(task);
  };
  add("heavy", 10ms, 10us, 9300us);
  add("middle", 20ms, 1ms, 8ms);
  add("slow", 40ms, 2ms, 20ms);
  return problem;
}

TEST(Policies, PlaceABaselineSoThatItMissesLeast) {
  const PlanProblem problem = heavy_and_light();
  for (const char* name : {"dm-nmc", "edf-nmc", "fifo-nmc", "dm-mc"}) {
    const PolicyInfo& policy = find_policy(name);
    const Choices chosen = choices_for(policy, problem, {});
    Simulator simulator(problem);
    SimulationOptions options;
    options.policy = policy.order;
    options.length = 10s;
    const double ours = simulator.run(chosen, options).miss_rate();
    Choices other = chosen;
    for (int k = 0; k < 8; ++k) {
      for (int t = 0; t < 3; ++t) other[static_cast<std::size_t>(t)].option = k >> t & 1;
      EXPECT_LE(ours, simulator.run(other, options).miss_rate()) << name << ", placement " << k;
    }
  }
}

TEST(Policies, AnUnknownNameNamesTheNearest) {
  try {
    static_cast<void>(find_policy("dm-ncm"));
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::bad_input);
    EXPECT_THAT(e.what(), ::testing::HasSubstr("unknown policy 'dm-ncm' (did you mean 'dm-nmc'?)"));
  }
}

TEST(Policies, BaselinesDoNotCutModels) {
  PlanProblem problem = heavy_and_light();
  for (PlanTask& task : problem.tasks)
    for (std::size_t o = 0, count = task.options.size(); o < count; ++o) {
      TaskOption cut = task.options[o];
      cut.cuts = {5};
      cut.stages.insert(cut.stages.begin() + 1, cut.stages[1]);
      for (const std::size_t s : {1U, 2U})
        for (Duration& t : cut.stages[s].times.sorted) t /= 4;  // tempting
      task.options.push_back(cut);
    }
  for (const char* name : {"dm-nmc", "edf-nmc", "fifo-nmc", "dm-mc"}) {
    const Choices chosen = choices_for(find_policy(name), problem, {});
    for (std::size_t t = 0; t < chosen.size(); ++t)
      EXPECT_EQ(segments_of(problem.tasks[t].options[static_cast<std::size_t>(chosen[t].option)]), 1) << name;
  }
}

}  // namespace
}  // namespace rtmdl
