#include "planning/relax.h"

#include "base/units.h"
#include "planning/evaluator.h"
#include "planning/random_problem.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <map>
#include <numeric>
#include <tuple>
#include <utility>

namespace rtmdl {
namespace {

using namespace std::chrono_literals;
using test::between;
using test::Random;
using test::task_of;
using ::testing::HasSubstr;

const PlanOptions kOptions{.simulated = 1s};

/// Whether any options in any order keep every limit.
bool feasible(const PlanProblem& problem) {
  const Context context;
  Evaluator evaluator(problem, kOptions, context);
  const std::size_t n = problem.tasks.size();
  Choices choices(n);
  std::vector<int> order(n);
  std::iota(order.begin(), order.end(), 0);
  do {
    set_priorities(choices, order);
    for (Choice& c : choices) c.option = 0;
    for (std::size_t i = 0; i < n;) {
      if (evaluator.evaluate(choices, true)) return true;
      for (i = 0; i < n; ++i) {
        if (++choices[i].option < static_cast<int>(problem.tasks[i].options.size())) break;
        choices[i].option = 0;
      }
    }
  } while (std::next_permutation(order.begin(), order.end()));
  return false;
}

std::vector<Relaxation> relaxed(const PlanProblem& problem) {
  PlanOptions options = kOptions;
  options.front = false;
  return smallest_relaxations(problem, plan(problem, options, {}), kOptions, {});
}

Duration third_digit(Duration d) {
  return Duration(std::llround(std::pow(10, std::floor(std::log10(static_cast<double>(d.count())) + 1e-9) - 2)));
}

std::int64_t grid(std::int64_t bytes) {
  return bytes >= 10'000'000 ? 1'000'000 : bytes >= 1'000'000 ? 100'000 : bytes >= 10'000 ? 1'000 : 100;
}

/// The problem with what is said; with `less`, one step below it.
PlanProblem with(const PlanProblem& problem, const Relaxation& r, bool less) {
  PlanProblem p = problem;
  const auto named = [&](auto& list) -> auto& {
    return *std::find_if(list.begin(), list.end(), [&](const auto& x) { return x.name == r.task; });
  };
  const auto time = [&](Duration from) { return parse_duration(r.to) - (less ? third_digit(from) : Duration{}); };
  if (r.what == "deadline") {
    PlanTask& task = named(p.tasks);
    task.deadline = std::max(task.deadline, time(task.deadline));
  } else if (r.what == "period") {
    PlanTask& task = named(p.tasks);
    const bool follows = task.period == task.deadline;
    task.period = std::max(task.period, time(task.period));
    if (follows) task.deadline = task.period;
  } else if (r.what == "miss_rate") {
    PlanTask& task = named(p.tasks);
    task.miss_rate_limit = std::max(task.miss_rate_limit, parse_fraction(r.to) - (less ? 0.001 : 0));
  } else if (r.what == "accuracy.min") {
    PlanTask& task = named(p.tasks);
    const double least = parse_fraction(r.to) + (less ? 0.001 : 0);
    for (const TaskOption& o : task.refused)
      if (o.accuracy >= least - 1e-9) task.options.push_back(o);
  } else if (r.what == "slots") {
    named(p.processors).slots = std::stoi(r.to) - less;
  } else if (r.what == "storage" || r.what == "memory") {
    auto& bound = r.what == "storage" ? p.storage : p.memory;
    bound = std::max(*bound, parse_bytes(r.to) - (less ? grid(*bound) : 0));
  } else if (r.what == "stretch") {
    const double factor = std::stod(r.to), smaller = factor <= 3 ? factor - 0.01 : factor - 0.1;
    for (PlanTask& task : p.tasks)
      for (Duration* d : {&task.period, &task.deadline, &task.jitter, &task.offset})
        *d = Duration(std::llround(static_cast<double>(d->count()) * (less ? smaller : factor)));
  } else {
    ADD_FAILURE() << r.what;
  }
  return p;
}

const Relaxation* find(const std::vector<Relaxation>& all, const std::string& what, const std::string& task = "") {
  const auto found =
      std::find_if(all.begin(), all.end(), [&](const Relaxation& r) { return r.what == what && r.task == task; });
  return found == all.end() ? nullptr : &*found;
}

std::string texts(const std::vector<Relaxation>& all) {
  std::string text;
  for (const Relaxation& r : all) text += r.text + "; ";
  return text;
}

TEST(Relaxations, OfRandomProblemsAreEnoughAndAStepLessIsNot) {
  Random random(77);
  std::map<std::string, int> kinds;
  int infeasible = 0;
  for (int k = 0; k < 1000 && infeasible < 100; ++k) {
    PlanProblem problem = test::random_problem(random, {.most_tasks = 3, .least_load = 0.6, .most_load = 1.3});
    for (PlanTask& task : problem.tasks) {
      task.accuracy_min = 0.95;
      if (between(random, 0, 5) == 0) task.hard = true;
      if (task.options.size() < 2 || between(random, 0, 1) == 0) continue;
      task.refused = {task.options.back()};
      task.refused[0].accuracy = between(random, 700, 949) * 0.001;
      task.options.pop_back();
    }
    if (between(random, 0, 3) == 0) problem.storage = between(random, 1, 12) * 1'000'000;
    if (between(random, 0, 5) == 0) problem.memory = between(random, 2, 30) * 1'000'000;
    if (feasible(problem)) {
      EXPECT_TRUE(relaxed(problem).empty());
      continue;
    }
    ++infeasible;
    const auto all = relaxed(problem);
    for (std::size_t i = 0; i < all.size(); ++i) {
      ++kinds[all[i].what];
      EXPECT_TRUE(feasible(with(problem, all[i], false))) << all[i].text;
      EXPECT_FALSE(feasible(with(problem, all[i], true))) << all[i].text;
      EXPECT_GT(all[i].size, 0) << all[i].text;
      if (i > 0) {
        EXPECT_LE(all[i - 1].size, all[i].size);
      }
    }
  }
  EXPECT_EQ(infeasible, 100);
  for (const char* kind : {"deadline", "period", "miss_rate", "accuracy.min", "slots", "storage", "memory", "stretch"})
    EXPECT_GT(kinds[kind], 0) << kind;
  for (const auto& [kind, count] : kinds) std::printf("%s %d  ", kind.c_str(), count);
  std::printf("in %d problems\n", infeasible);
}

/// 5 of 20 ms beside 4 of 10 ms on one processor; the first is wanted within 4.5 ms.
PlanProblem too_short() {
  PlanProblem problem;
  problem.processors = {{"cpu", true, 1}};
  problem.tasks = {task_of("faces", 20ms, 4500us, {{0, 5ms}}), task_of("text", 10ms, 10ms, {{0, 4ms}})};
  return problem;
}

TEST(Relaxations, OfADeadlineThatIsHopelessAlone) {
  const auto all = relaxed(too_short());
  ASSERT_FALSE(all.empty());
  EXPECT_EQ(all[0].text, "faces: deadline 5 ms instead of 4.5 ms");
  EXPECT_EQ(all[0].from, "4.5 ms");
  EXPECT_EQ(all[0].to, "5 ms");
  EXPECT_NEAR(all[0].size, 0.5 / 4.5, 1e-9);
  EXPECT_EQ(find(all, "deadline", "text"), nullptr) << "it does not fall short";
}

TEST(Relaxations, MarginCounts) {
  PlanOptions options = kOptions;
  options.margin = 0.2;
  PlanProblem problem = too_short();
  problem.tasks[1].options[0].stages[0].times = test::constant(3ms);
  const auto all = smallest_relaxations(problem, plan(problem, options, {}), options, {});
  ASSERT_NE(find(all, "deadline", "faces"), nullptr);
  EXPECT_EQ(find(all, "deadline", "faces")->to, "6 ms");
}

TEST(Relaxations, OfAHardTaskIsTheDeadlineThatCanBeProven) {
  PlanProblem problem = too_short();
  problem.tasks[0].hard = true;
  const auto all = relaxed(problem);
  const Relaxation* deadline = find(all, "deadline", "faces");
  ASSERT_NE(deadline, nullptr) << texts(all);
  EXPECT_THAT(deadline->text, HasSubstr("which can be proven"));
  EXPECT_GT(parse_duration(deadline->to), 5ms) << "a proof takes more than the longest that was measured";
  EXPECT_EQ(find(all, "miss_rate", "faces"), nullptr);
}

TEST(Relaxations, OfStorageOnlyWhenNoTaskFallsShort) {
  PlanProblem problem = too_short();
  problem.tasks[0].deadline = 20ms;
  problem.tasks[0].options[0].bytes = 20'300'000;
  problem.tasks[1].options[0].bytes = 21'000'000;
  problem.storage = 40'000'000;
  const auto all = relaxed(problem);
  ASSERT_EQ(all.size(), 1u) << texts(all);
  EXPECT_EQ(all[0].text, "storage 42 MB instead of 40 MB");
}

TEST(Relaxations, OfAccuracyNameTheVariant) {
  PlanProblem problem = too_short();
  PlanTask& faces = problem.tasks[0];
  faces.accuracy_min = 0.97;
  for (const auto& [name, time, accuracy] :
       {std::tuple("w0.75", 4800us, 0.967), std::tuple("w0.5", 4000us, 0.9618), std::tuple("w0.25", 2000us, 0.93)}) {
    TaskOption o = faces.options[0];
    o.variant = name;
    o.stages[0].times = test::constant(time);
    o.accuracy = accuracy;
    faces.refused.push_back(o);
  }
  const auto all = relaxed(problem);
  const Relaxation* accuracy = find(all, "accuracy.min", "faces");
  ASSERT_NE(accuracy, nullptr);
  EXPECT_EQ(accuracy->text, "faces: accuracy.min 96.1 % instead of 97 % would admit w0.5 and be enough");
}

TEST(Relaxations, OfSeveralShortagesIsTheStretchOfAllTimes) {
  PlanProblem problem;
  problem.processors = {{"cpu", true, 1}};
  for (const char* name : {"a", "b", "c"}) problem.tasks.push_back(task_of(name, 10ms, 10ms, {{0, 14ms}}));
  const auto all = relaxed(problem);
  ASSERT_EQ(all.size(), 1u) << texts(all);
  EXPECT_EQ(all[0].what, "stretch");
  EXPECT_EQ(all[0].text, "all periods and deadlines 4.2 times as long");
}

TEST(Relaxations, AreTheSameEveryTime) {
  Random random(5);
  for (int k = 0; k < 10; ++k) {
    const PlanProblem problem = test::random_problem(random, {.least_load = 1.2, .most_load = 2});
    EXPECT_EQ(texts(relaxed(problem)), texts(relaxed(problem)));
  }
}

TEST(Relaxations, ArentLookedForWhenStopped) {
  std::atomic<bool> stop{true};
  Context context;
  context.stop = &stop;
  EXPECT_TRUE(smallest_relaxations(too_short(), plan(too_short(), kOptions, {}), kOptions, context).empty());
}

}  // namespace
}  // namespace rtmdl
