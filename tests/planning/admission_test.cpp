#include "planning/admission.h"
#include "planning/brute_force.h"
#include "planning/lighter.h"
#include "planning/random_problem.h"
#include "planning/requests.h"
#include "planning/simulator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <numeric>

namespace rtmdl {
namespace {

using namespace std::chrono_literals;
using test::between;
using test::constant;
using test::in_order;
using test::Random;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// Stages on one processor; later options take a quarter less each and lose more.
PlanTask task_on_core(const std::string& name, Duration period, Duration time, int options, bool hard = false) {
  PlanTask task;
  task.name = name;
  task.period = task.deadline = period;
  task.hard = hard;
  for (int o = 0; o < options; ++o) {
    TaskOption option;
    option.variant = "v" + std::to_string(o);
    option.processor = "core";
    option.accuracy_loss = 0.02 * o;
    option.stages = {{0, constant(10us)}, {0, constant(time * (4 - o) / 4)}, {0, constant(10us)}};
    for (StageOption& stage : option.stages) stage.longest = stage.shortest = stage.times.max();
    task.options.push_back(option);
  }
  return task;
}

PlanOptions quick(Duration simulated = 1s) {
  PlanOptions options;
  options.simulated = simulated;
  return options;
}

/// Two soft tasks of 40 % each, and a hard one of 25 %.
PlanProblem one_core() {
  PlanProblem problem;
  problem.processors = {{"core", true, 1}};
  problem.tasks = {task_on_core("fast", 10ms, 4ms, 3), task_on_core("slow", 20ms, 8ms, 3),
                   task_on_core("guard", 10ms, 2500us, 1, true)};
  return problem;
}

Regime without(const PlanProblem& problem, const std::vector<bool>& absent) {
  return regime_of(problem, in_order(problem), absent);
}

TEST(Admission, GivesTheNewcomerAPlaceAmongTheOthersAsTheyAre) {
  PlanProblem problem = one_core();
  problem.tasks[2].options[0].stages[1] = {0, constant(1ms), {}, 1ms, 1ms};
  const Context context;
  const Admission admission(problem, without(problem, {false, false, true}), quick(), false, context);
  const Verdict v = admission.ask({Request::Kind::join, 2});
  EXPECT_EQ(v.kind, Verdict::Kind::admitted);
  EXPECT_THAT(v.swaps, ::testing::IsEmpty());
  EXPECT_TRUE(v.next.present[2]);
  EXPECT_TRUE(admission.safe_at_once(v.next)) << "the others keep their order and their variants";
}

TEST(Admission, MakesOthersLighterWhereThatIsNeededAndHeavierAgainAfterwards) {
  const PlanProblem problem = one_core();
  const Context context;
  Admission admission(problem, without(problem, {false, false, true}), quick(), false, context);
  const Verdict joined = admission.ask({Request::Kind::join, 2});
  ASSERT_EQ(joined.kind, Verdict::Kind::lighter);
  double loss = 0;
  for (const Swap& swap : joined.swaps) loss += swap.loss;
  EXPECT_NEAR(loss, 0.02, 1e-9) << "one step of one task is enough";
  EXPECT_FALSE(admission.safe_at_once(joined.next)) << "jobs of the heavier variant may be there";
  admission.adopt(joined.next, true);
  const Verdict left = admission.ask({Request::Kind::leave, 2});
  EXPECT_EQ(left.kind, Verdict::Kind::admitted);
  EXPECT_TRUE(admission.safe_at_once(left.next));
  admission.adopt(left.next, false);
  const Verdict settled = admission.settle();
  ASSERT_EQ(settled.swaps.size(), 1u);
  EXPECT_NEAR(settled.swaps[0].loss, -0.02, 1e-9);
}

TEST(Admission, RefusesWithWhatWouldMissOrCannotBeProven) {
  PlanProblem problem = one_core();
  for (PlanTask& task : problem.tasks) task.options.resize(1);
  const Context context;
  const Admission admission(problem, without(problem, {false, false, true}), quick(), false, context);
  const Verdict v = admission.ask({Request::Kind::join, 2});
  EXPECT_EQ(v.kind, Verdict::Kind::refused);
  EXPECT_TRUE(v.proven);
  EXPECT_EQ(v.next, admission.in_force());
  EXPECT_THAT(v.reason, AllOf(HasSubstr("with guard, no strategy keeps every limit"), HasSubstr("would miss")));
  EXPECT_THAT(admission.ask({Request::Kind::leave, 2}).reason, HasSubstr("guard is not there"));
  EXPECT_THAT(admission.ask({Request::Kind::join, 0}).reason, HasSubstr("fast is there already"));
}

TEST(Admission, ASoftTaskNeverBreaksTheProofOfAHardOne) {
  PlanProblem problem = one_core();
  problem.tasks[2].deadline = 6ms;
  problem.tasks[0].miss_rate_limit = problem.tasks[1].miss_rate_limit = 1;  // they could miss all
  for (PlanTask& task : problem.tasks) task.options.resize(1);
  const Context context;
  const Admission admission(problem, regime_of(problem, {{0, 1}, {0, 2}, {0, 3}}, {true, true, false}), quick(), false,
                            context);
  const Verdict v = admission.ask({Request::Kind::join, 0});
  ASSERT_EQ(v.kind, Verdict::Kind::admitted);
  const PresentTasks now = present_tasks(admission.problem(), v.next);
  Choices choices;
  for (const int t : now.tasks) choices.push_back(v.next.choices[static_cast<std::size_t>(t)]);
  const auto bounds = response_bounds(now.problem, choices);
  ASSERT_TRUE(bounds[1]);
  EXPECT_LE(*bounds[1], 6ms) << "below it";
}

TEST(Admission, WhatWasReleasedUnderTheOldTermsCountsUntilNoJobIsPending) {
  PlanProblem problem;
  problem.processors = {{"core", true, 1}};
  problem.tasks = {task_on_core("first", 10ms, 4ms, 1), task_on_core("second", 10ms, 4ms, 1),
                   task_on_core("guard", 10ms, 3ms, 1, true)};
  for (PlanTask& task : problem.tasks) task.miss_rate_limit = 1;
  const Context context;
  Admission admission(problem, without(problem, {false, true, false}), quick(), false, context);
  const Verdict leaves = admission.ask({Request::Kind::leave, 0});
  admission.adopt(leaves.next, false);
  Regime joined = with_request(admission.in_force(), {Request::Kind::join, 1});
  EXPECT_FALSE(admission.safe_at_once(joined)) << "a job of the first may be there, and then one of the second";
  admission.adopt(leaves.next, true);
  EXPECT_TRUE(admission.safe_at_once(joined));
}

/// What is asked for at random, in the order of time.
std::vector<Change> random_changes(Random& random, const PlanProblem& problem, int count, Duration length) {
  std::vector<Change> changes;
  const int tasks = static_cast<int>(problem.tasks.size());
  for (int k = 0; k < count; ++k) {
    Change change;
    change.task = k < tasks ? k : between(random, 0, tasks - 1);
    const PlanTask& task = problem.tasks[static_cast<std::size_t>(change.task)];
    change.name = task.name;
    change.when = length * between(random, k * 1000 / count, (k + 1) * 1000 / count - 1) / 1000;
    const int what = k < tasks ? 0 : between(random, 0, 5);
    if (what >= 3) {
      change.kind = Change::Kind::timing;
      change.period = task.period * between(random, 5, 20) / 10;
      change.deadline = change.period * between(random, 6, 10) / 10;
    } else {
      change.kind = what == 2 ? Change::Kind::leave : Change::Kind::join;
    }
    changes.push_back(change);
  }
  return changes;
}

/// 2 to 4 tasks of up to 3 options on up to 2 processors, half of them hard; times that proofs take are the longest
/// there are, to the nanosecond. Options of a task go through the same stages.
PlanProblem changing_set(Random& random) {
  PlanProblem problem;
  const int processors = between(random, 1, 2), tasks = between(random, 2, 4);
  for (int p = 0; p < processors; ++p)
    problem.processors.push_back({"p" + std::to_string(p), between(random, 0, 2) > 0});
  const double load = between(random, 6, 15) * 0.1;
  const bool constant_times = between(random, 0, 1) == 0;  // then the worst case comes about
  for (int t = 0; t < tasks; ++t) {
    PlanTask& task = problem.tasks.emplace_back();
    task.name = "task" + std::to_string(t);
    task.period = std::chrono::microseconds(between(random, 5, 40) * 1000);
    task.deadline = task.period * between(random, 6, 10) / 10;
    task.jitter = task.period * between(random, 0, 5) / 100;
    task.miss_rate_limit = between(random, 0, 3) * 0.05;
    task.weight = between(random, 1, 3);
    task.queue = between(random, 1, 2);
    task.hard = between(random, 0, 1) == 0;
    const double work = load * processors / tasks * static_cast<double>(task.period.count());
    std::vector<int> places;
    for (int s = between(random, 1, 3); s > 0; --s) places.push_back(between(random, 0, processors - 1));
    const int options = between(random, 1, 3);
    for (int o = 0; o < options; ++o) {
      TaskOption& option = task.options.emplace_back();
      option.variant = "v" + std::to_string(o);
      option.accuracy_loss = 0.01 * o;
      for (const int place : places) {
        const double time = work * (1 - 0.3 * o) / static_cast<double>(places.size());
        const Duration mean(static_cast<std::int64_t>(time));
        option.stages.push_back({place, constant_times ? constant(mean) : test::spread(random, mean, 5)});
        option.stages.back().longest = option.stages.back().times.max();
        option.stages.back().shortest = option.stages.back().times.min();
      }
    }
  }
  return problem;
}

struct Counted {
  std::map<std::string, int> answers;
  int at_once = 0, between_jobs = 0, not_carried_out = 0;
  std::int64_t hard_jobs = 0, held_back = 0;
};

/// Plays changes in the simulator; no job of a hard task may be late or dropped.
void play(std::uint64_t seed, Counted& counted) {
  Random random(seed);
  PlanProblem problem = changing_set(random);
  // Jobs may change to lighter variants, of tasks that are not hard: proofs hold for that.
  for (PlanTask& task : problem.tasks)
    if (task.hard) task.options.resize(1);
  prove_with_lighter(problem);
  std::vector<std::vector<int>> lighter;
  for (const PlanTask& task : problem.tasks) {
    lighter.emplace_back(task.options.size() - 1);
    std::iota(lighter.back().begin(), lighter.back().end(), 1);
  }
  const Duration length = 1500ms;
  const Context context;
  const std::vector<bool> all_absent(problem.tasks.size(), true);
  Requests requests(Admission(problem, regime_of(problem, in_order(problem), all_absent), quick(200ms), false, context),
                    random_changes(random, problem, 10, length), true);
  Simulator simulator(problem);
  SimulationOptions options;
  options.length = length;
  options.seed = seed;
  options.lighter = lighter;
  options.transitions = &requests;
  const SimulationOutcome& o = simulator.run(in_order(problem), options);
  for (std::size_t t = 0; t < problem.tasks.size(); ++t) {
    EXPECT_EQ(o.tasks[t].released, o.tasks[t].completed + o.tasks[t].dropped + o.tasks[t].failed);
    if (!problem.tasks[t].hard) continue;
    counted.hard_jobs += o.tasks[t].released;
    ASSERT_EQ(o.tasks[t].missed, 0) << "seed " << seed << ", task " << t;
  }
  for (const ChangeReport& c : requests.report()) {
    ++counted.answers[c.answer];
    counted.held_back += c.held_back;
    if (!c.effective_s) counted.not_carried_out += c.answer != "refused";
    else ++(c.between_jobs ? counted.between_jobs : counted.at_once);
  }
}

/// Judges changes without playing them, beside brute force over the same options.
void judge(std::uint64_t seed, int& refused, int& admitted) {
  Random random(seed);
  const PlanProblem problem = changing_set(random);
  const Context context;
  const std::vector<bool> all_absent(problem.tasks.size(), true);
  Admission admission(problem, regime_of(problem, in_order(problem), all_absent), quick(150ms), false, context);
  for (const Change& change : random_changes(random, problem, 8, 1s)) {
    const Request request = request_of(change);
    const bool present = admission.in_force().present[static_cast<std::size_t>(change.task)];
    if (present == (request.kind == Request::Kind::join)) continue;
    const Verdict v = admission.ask(request);
    if (v.kind == Verdict::Kind::refused) {
      ++refused;
      ASSERT_TRUE(v.proven) << "seed " << seed << ": " << v.reason;
      const PresentTasks asked = present_tasks(admission.problem(), with_request(admission.in_force(), request));
      ASSERT_FALSE(test::brute_force(asked.problem, admission.options()).feasible)
          << "seed " << seed << ": " << v.reason;
      continue;
    }
    ++admitted;
    admission.adopt(v.next, true);
    const PresentTasks now = present_tasks(admission.problem(), v.next);
    Choices choices;
    for (const int t : now.tasks) choices.push_back(v.next.choices[static_cast<std::size_t>(t)]);
    const auto bounds = response_bounds(now.problem, choices);
    for (std::size_t k = 0; k < bounds.size(); ++k) {
      if (!now.problem.tasks[k].hard) continue;
      ASSERT_TRUE(bounds[k] && *bounds[k] <= now.problem.tasks[k].deadline) << "seed " << seed;
    }
  }
}

class RandomAdmission : public ::testing::TestWithParam<std::uint64_t> {};
constexpr std::uint64_t kSequences = 500;  // each of four times

TEST_P(RandomAdmission, NoHardDeadlineIsMissedThroughAnyTransition) {
  Counted counted;
  for (std::uint64_t k = 0; k < kSequences; ++k) {
    play(1000 * GetParam() + k, counted);
    if (HasFatalFailure()) return;
  }
  std::printf(
      "%lld jobs of hard tasks; admitted %d, with lighter variants %d, refused %d; at once %d, between jobs %d, "
      "not carried out %d, releases held back %lld\n",
      static_cast<long long>(counted.hard_jobs), counted.answers["admitted"], counted.answers["lighter"],
      counted.answers["refused"], counted.at_once, counted.between_jobs, counted.not_carried_out,
      static_cast<long long>(counted.held_back));
  EXPECT_GT(counted.hard_jobs, 10'000);
  EXPECT_GT(counted.answers["admitted"], 500);
  EXPECT_GT(counted.answers["lighter"], 20);
  EXPECT_GT(counted.answers["refused"], 100);
  EXPECT_GT(counted.at_once, 300);
  EXPECT_GT(counted.between_jobs, 50);
}

TEST_P(RandomAdmission, RefusesNothingThatBruteForceFindsFeasible) {
  int refused = 0, admitted = 0;
  for (std::uint64_t k = 0; k < kSequences; ++k) {
    judge(1000 * GetParam() + k, refused, admitted);
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(refused, 100);
  EXPECT_GT(admitted, 500);
}

INSTANTIATE_TEST_SUITE_P(Sequences, RandomAdmission, ::testing::Values(1, 2, 3, 4));

TEST(Requests, SoftTasksHoldReleasesBackUntilAMomentWithoutJobsComes) {
  PlanProblem problem;
  problem.processors = {{"core", true, 1}};
  problem.tasks = {task_on_core("guard", 10ms, 2ms, 1, true), task_on_core("busy", 10ms, 9ms, 1),
                   task_on_core("late", 20ms, 6ms, 1, true)};
  problem.tasks[1].miss_rate_limit = 1;
  problem.tasks[1].weight = 0.5;
  const Context context;
  problem.tasks[0].deadline = 7ms;  // it must be the most urgent; then it need not, and then the other must
  std::vector<Change> changes = parse_changes("guard.deadline=10ms@300ms,late.deadline=7ms@500ms");
  for (Change& change : changes) change.task = change.name == "guard" ? 0 : 2;
  Requests requests(Admission(problem, without(problem, {false, false, false}), quick(), false, context), changes,
                    true);
  Simulator simulator(problem);
  SimulationOptions options;
  options.length = 3s;
  options.transitions = &requests;
  const SimulationOutcome& o = simulator.run(in_order(problem), options);
  EXPECT_EQ(o.tasks[0].missed, 0);
  EXPECT_EQ(o.tasks[2].missed, 0);
  const ChangeReport& row = requests.report().back();
  EXPECT_TRUE(row.between_jobs);
  EXPECT_GT(row.held_back, 0);
  ASSERT_TRUE(row.effective_s) << row.reason;
  EXPECT_GE(*row.effective_s, 0.6) << "they hold back after 100 ms";
  EXPECT_LT(*row.effective_s, 0.7);
}

TEST(Requests, AreCarriedOutAsTheyComeWhereNobodyJudges) {
  PlanProblem problem = one_core();
  const Context context;
  std::vector<Change> changes = parse_changes("guard.join@1s,slow.period=10ms@2s,guard.leave@3s");
  for (Change& change : changes) change.task = change.name == "guard" ? 2 : 1;
  Requests requests(Admission(problem, without(problem, {false, false, true}), quick(), false, context), changes,
                    false);
  Simulator simulator(problem);
  SimulationOptions options;
  options.policy = Policy::edf;
  options.length = 4s;
  options.transitions = &requests;
  const SimulationOutcome& o = simulator.run(in_order(problem), options);
  EXPECT_EQ(o.tasks[2].released, 201) << "from 1 to 3 s";
  EXPECT_EQ(o.tasks[1].released, 101 + 199) << "20 ms, then 10 ms";
  EXPECT_EQ(o.tasks[0].released, 400);
  for (const ChangeReport& c : requests.report()) {
    EXPECT_EQ(c.answer, "admitted");
    EXPECT_EQ(c.effective_s, c.at_s);
  }
}

TEST(Requests, AreAnsweredTheSameWhenTheyBeginAgain) {
  const PlanProblem problem = one_core();
  const Context context;
  std::vector<Change> changes = parse_changes("guard.join@1s,guard.leave@2s");
  for (Change& change : changes) change.task = 2;
  Requests requests(Admission(problem, without(problem, {false, false, true}), quick(), false, context), changes, true);
  Simulator simulator(problem);
  SimulationOptions options;
  options.length = 3s;
  const std::vector<std::vector<int>> lighter{{1, 2}, {1, 2}, {}};
  options.lighter = lighter;
  options.transitions = &requests;
  const auto answers = [&] {
    std::vector<std::string> all;
    for (const ChangeReport& c : requests.report()) all.push_back(c.asked + ": " + c.answer);
    return all;
  };
  simulator.run(in_order(problem), options);
  const std::vector<std::string> first = answers();
  EXPECT_THAT(first, ElementsAre("guard.join: lighter", "guard.leave: admitted", "room that is left: admitted"));
  requests.begin_again();
  simulator.run(in_order(problem), options);
  EXPECT_EQ(answers(), first);
}

TEST(LoadedOptions, AreThePlannedOneAndWhatMayStandInItsPlaceHeavierOnesToo) {
  PlanProblem problem = one_core();
  problem.tasks[2].options[0].variant = "only";
  PolicyInfo policy;
  policy.adapts = true;
  const Choices planned{{1, 2}, {2, 3}, {0, 1}};
  const LoadedOptions loaded = loaded_options(policy, problem, planned);
  EXPECT_EQ(loaded.choices[0].option, 0) << "the most accurate";
  EXPECT_THAT(loaded.lighter[0], ElementsAre(1, 2));
  EXPECT_EQ(loaded.planned[0].option, 1) << "the first lighter one is the planned one";
  EXPECT_EQ(loaded.planned[1].option, 2);
  EXPECT_EQ(loaded.problem.tasks[0].options.size(), 3u);
  EXPECT_EQ(loaded.problem.tasks[0].options[0].stages[1].shortest, 2ms) << "of the lightest";
  problem.memory = 1;
  for (PlanTask& task : problem.tasks)
    for (TaskOption& option : task.options) option.memory = 10;
  EXPECT_EQ(loaded_options(policy, problem, planned).choices[0].option, 1) << "no memory for more";
  policy.adapts = false;
  EXPECT_EQ(loaded_options(policy, problem, planned).problem.tasks[0].options.size(), 1u);
}

}  // namespace
}  // namespace rtmdl
