#include "scheduling/scheduler.h"
#include <rtmdl/error.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rtmdl {
namespace {

using namespace std::chrono_literals;
using Kind = Decision::Kind;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

struct Made {
  Kind kind;
  int task;
  bool operator==(const Made&) const = default;
};
void PrintTo(const Made& m, std::ostream* out) {
  *out << "{" << static_cast<int>(m.kind) << ", task " << m.task << "}";
}

/// A scheduler with a clock to set by hand.
class Bench {
 public:
  explicit Bench(const SchedulerConfig& config) : scheduler(config) {}
  std::vector<Made> release(int task, Duration at) {
    last.clear();
    scheduler.release(task, Time(at), Time(at), last);
    return made();
  }
  std::vector<Made> complete(int task, Duration at, bool ok = true) {
    last.clear();
    scheduler.complete(task, Time(at), ok, last);
    return made();
  }
  std::vector<Made> expire(int task, std::uint64_t job, Duration at) {
    last.clear();
    scheduler.expire(task, job, Time(at), last);
    return made();
  }
  std::vector<Made> made() const {
    std::vector<Made> result;
    for (const Decision& d : last.items()) result.push_back({d.kind, d.task});
    return result;
  }
  Scheduler scheduler;
  Decisions last;
};

/// Tasks 0..n-1 with priorities 1..n, all on processor 0.
SchedulerConfig one_processor(int tasks, bool preemptive = true, Policy policy = Policy::fixed_priority) {
  SchedulerConfig config{.policy = policy, .processors = {{preemptive, 1}}, .tasks = {}};
  for (int i = 0; i < tasks; ++i) {
    config.tasks.push_back(
        {.period = 10ms, .deadline = 10ms, .priority = i + 1, .utilisation = 0, .queue = 1, .stage_processors = {0}});
  }
  return config;
}

TEST(Scheduler, PreemptsForTheMoreUrgentAndResumesOneLevelBelow) {
  Bench b(one_processor(2));
  EXPECT_THAT(b.release(1, 0ms), ElementsAre(Made{Kind::start, 1}));
  EXPECT_EQ(b.last.items()[0].level, 0);
  EXPECT_THAT(b.release(0, 1ms), ElementsAre(Made{Kind::preempt, 1}, Made{Kind::start, 0}));
  EXPECT_EQ(b.last.items()[1].level, 1);
  EXPECT_THAT(b.complete(0, 2ms), ElementsAre(Made{Kind::finish, 0}, Made{Kind::resume, 1}));
  EXPECT_THAT(b.complete(1, 3ms), ElementsAre(Made{Kind::finish, 1}));
}

TEST(Scheduler, WaitsForTheEndOfAStageThatCannotBePreempted) {
  Bench b(one_processor(3, false));
  b.release(2, 0ms);
  EXPECT_THAT(b.release(1, 1ms), IsEmpty());
  EXPECT_THAT(b.release(0, 1ms), IsEmpty());
  EXPECT_THAT(b.complete(2, 2ms), ElementsAre(Made{Kind::finish, 2}, Made{Kind::start, 0}));
}

TEST(Scheduler, StartsAReadyStageOnlyIfItBeatsThePreemptedOne) {
  Bench b(one_processor(4));
  b.release(2, 0ms);
  b.release(0, 1ms);  // over 2
  EXPECT_THAT(b.release(1, 1ms), IsEmpty());
  EXPECT_THAT(b.release(3, 1ms), IsEmpty());
  EXPECT_THAT(b.complete(0, 2ms), ElementsAre(Made{Kind::finish, 0}, Made{Kind::start, 1}));
  EXPECT_THAT(b.complete(1, 3ms), ElementsAre(Made{Kind::finish, 1}, Made{Kind::resume, 2}));
  EXPECT_THAT(b.complete(2, 4ms), ElementsAre(Made{Kind::finish, 2}, Made{Kind::start, 3}));
}

TEST(Scheduler, NewestReleaseOverwritesTheOneThatHasNotBegun) {
  Bench b(one_processor(2));
  b.release(0, 0ms);
  EXPECT_THAT(b.release(1, 0ms), IsEmpty());
  EXPECT_THAT(b.release(1, 10ms), ElementsAre(Made{Kind::drop, 1}));
  EXPECT_EQ(b.last.items()[0].job, 0U);
  EXPECT_EQ(b.last.items()[0].release, Time(0ms));
  b.complete(0, 11ms);
  EXPECT_EQ(b.last.items()[1].kind, Kind::start);
  EXPECT_EQ(b.last.items()[1].job, 1U);
}

TEST(Scheduler, ReleaseBehindAJobInProgressWaits) {
  Bench b(one_processor(1));
  b.release(0, 0ms);
  EXPECT_THAT(b.release(0, 10ms), IsEmpty());
  EXPECT_EQ(b.scheduler.pending(0), 2);
  EXPECT_THAT(b.release(0, 20ms), ElementsAre(Made{Kind::drop, 0}));
  EXPECT_THAT(b.complete(0, 21ms), ElementsAre(Made{Kind::finish, 0}, Made{Kind::start, 0}));
  EXPECT_TRUE(b.last.items()[0].late);
  EXPECT_EQ(b.last.items()[1].job, 2U);
}

TEST(Scheduler, QueueOfTwoDropsTheOldest) {
  SchedulerConfig config = one_processor(1);
  config.tasks[0].queue = 2;
  Bench b(config);
  for (const Duration at : {0ms, 10ms, 20ms}) EXPECT_EQ(b.release(0, at).size(), at == 0ms ? 1U : 0U);
  EXPECT_THAT(b.release(0, 30ms), ElementsAre(Made{Kind::drop, 0}));
  EXPECT_EQ(b.last.items()[0].job, 1U);
}

TEST(Scheduler, StagesMoveFromProcessorToProcessor) {
  SchedulerConfig config = one_processor(2);
  config.processors.push_back({false, 1});
  for (SchedulerTask& task : config.tasks) task.stage_processors = {0, 1, 0};
  Bench b(config);
  b.release(0, 0ms);
  b.release(1, 0ms);
  EXPECT_THAT(b.complete(0, 1ms), ElementsAre(Made{Kind::start, 1}, Made{Kind::start, 0}));
  EXPECT_EQ(b.last.items()[1].processor, 1);
  EXPECT_EQ(b.last.items()[1].stage, 1);
  EXPECT_THAT(b.complete(1, 2ms), IsEmpty());
  EXPECT_THAT(b.complete(0, 3ms), ElementsAre(Made{Kind::start, 1}, Made{Kind::start, 0}));
  EXPECT_THAT(b.complete(0, 4ms), ElementsAre(Made{Kind::finish, 0}));
}

TEST(Scheduler, FailedStageEndsTheJob) {
  SchedulerConfig config = one_processor(1);
  config.tasks[0].stage_processors = {0, 0};
  Bench b(config);
  b.release(0, 0ms);
  EXPECT_THAT(b.complete(0, 1ms, false), ElementsAre(Made{Kind::fail, 0}));
  EXPECT_EQ(b.scheduler.pending(0), 0);
}

TEST(Scheduler, PreemptedStageMayEndBeforeThePreemptionTookHold) {
  Bench b(one_processor(2));
  b.release(1, 0ms);
  b.release(0, 1ms);
  EXPECT_THAT(b.complete(1, 1ms), ElementsAre(Made{Kind::finish, 1}));
  EXPECT_THAT(b.complete(0, 2ms), ElementsAre(Made{Kind::finish, 0}));
  EXPECT_THAT(b.release(1, 3ms), ElementsAre(Made{Kind::start, 1}));
}

TEST(Scheduler, CompletionOfATaskWithNothingInProgressIsIgnored) {
  Bench b(one_processor(2));
  EXPECT_THAT(b.complete(0, 1ms), IsEmpty());
  b.release(0, 1ms);
  b.release(1, 1ms);
  EXPECT_THAT(b.complete(1, 1ms), IsEmpty());
}

TEST(Scheduler, EdfPrefersTheEarlierDeadlineAndNeverPreemptsForAnEqualOne) {
  SchedulerConfig config = one_processor(3, true, Policy::edf);
  config.tasks[1].deadline = 4ms;
  Bench b(config);
  b.release(2, 0ms);
  EXPECT_THAT(b.release(0, 0ms), IsEmpty()) << "same deadline";
  EXPECT_THAT(b.release(1, 1ms), ElementsAre(Made{Kind::preempt, 2}, Made{Kind::start, 1}));
  EXPECT_THAT(b.complete(1, 2ms), ElementsAre(Made{Kind::finish, 1}, Made{Kind::resume, 2}));
}

TEST(Scheduler, FifoServesInTheOrderOfArrivalAndANewerFrameKeepsThePlace) {
  Bench b(one_processor(3, true, Policy::fifo));
  b.release(2, 0ms);
  b.release(1, 1ms);
  EXPECT_THAT(b.release(0, 2ms), IsEmpty());
  EXPECT_THAT(b.release(1, 3ms), ElementsAre(Made{Kind::drop, 1}));
  EXPECT_THAT(b.complete(2, 4ms), ElementsAre(Made{Kind::finish, 2}, Made{Kind::start, 1}));
  EXPECT_EQ(b.last.items()[1].job, 1U);
}

TEST(Scheduler, AnOrderOfTheUsersOwn) {
  SchedulerConfig config = one_processor(3, true, Policy::custom);
  std::int64_t worth[] = {5, 1, 3};
  config.order = {
      [](void* context, int task, Time, Time) noexcept { return static_cast<std::int64_t*>(context)[task]; }, worth};
  Scheduler scheduler(config);
  Decisions out;
  const auto started = [&](int task) {
    for (const Decision& d : out.items())
      if (d.kind == Decision::Kind::start && d.task == task) return true;
    return false;
  };
  scheduler.release(0, Time{}, Time{}, out);
  EXPECT_TRUE(started(0));
  out.clear();
  scheduler.release(2, Time{}, Time{}, out);
  EXPECT_TRUE(started(2)) << "a smaller key interrupts";
  out.clear();
  worth[1] = 4;
  scheduler.release(1, Time{}, Time{}, out);
  EXPECT_TRUE(out.items().empty()) << "keys are asked for as jobs come";
  scheduler.complete(2, Time{1ms}, true, out);
  EXPECT_TRUE(started(1)) << "before the one that was interrupted goes on";
}

TEST(Scheduler, SlotsRunSideBySideAndTheLeastUrgentGivesWay) {
  SchedulerConfig config = one_processor(4);
  config.processors[0].slots = 2;
  Bench b(config);
  b.release(1, 0ms);
  EXPECT_THAT(b.release(3, 0ms), ElementsAre(Made{Kind::start, 3}));
  EXPECT_EQ(b.last.items()[0].slot(), 1);
  EXPECT_THAT(b.release(2, 1ms), ElementsAre(Made{Kind::preempt, 3}, Made{Kind::start, 2}));
  EXPECT_THAT(b.release(0, 1ms), ElementsAre(Made{Kind::preempt, 2}, Made{Kind::start, 0}));
  EXPECT_EQ(b.last.items()[1].level, 2);
}

TEST(Scheduler, DropsWhatWaitsAtTheEndAndLeavesWhatRuns) {
  SchedulerConfig config = one_processor(2);
  config.tasks[1].queue = 3;
  Bench b(config);
  b.release(0, 0ms);
  for (int k = 0; k < 3; ++k) b.release(1, k * 1ms);
  b.last.clear();
  b.scheduler.drop_waiting(Time(4ms), b.last, 1);
  EXPECT_THAT(b.made(), ElementsAre(Made{Kind::drop, 1}, Made{Kind::drop, 1}, Made{Kind::drop, 1}));
  b.last.clear();
  b.scheduler.drop_waiting(Time(4ms), b.last, 0);
  EXPECT_THAT(b.made(), IsEmpty());
  EXPECT_THAT(b.complete(0, 5ms), ElementsAre(Made{Kind::finish, 0})) << "what was dropped does not start";
  EXPECT_EQ(b.scheduler.pending(1), 0);
}

TEST(Scheduler, DeadlineItselfIsInTime) {
  Bench b(one_processor(1));
  b.release(0, 0ms);
  b.complete(0, 10ms);
  EXPECT_FALSE(b.last.items()[0].late);
  b.release(0, 20ms);
  b.complete(0, Duration(30ms) + 1ns);
  EXPECT_TRUE(b.last.items()[0].late);
}

// Both have deadlines of 10 ms.
TEST(Scheduler, SkipsAJobThatWouldBeginAtItsDeadlineOrLater) {
  SchedulerConfig config = one_processor(2, false);
  config.tasks[1].late = Late::skip;
  config.tasks[1].queue = 2;
  Bench b(config);
  b.release(0, 0ms);
  b.release(1, 1ms);
  b.release(1, 5ms);
  EXPECT_THAT(b.complete(0, 11ms), ElementsAre(Made{Kind::finish, 0}, Made{Kind::drop, 1}, Made{Kind::start, 1}));
  EXPECT_EQ(b.last.items()[1].job, 0U);
  EXPECT_EQ(b.last.items()[2].job, 1U);
  EXPECT_THAT(b.expire(1, 1, 15ms), IsEmpty()) << "what has begun is finished";
  EXPECT_THAT(b.complete(1, 16ms), ElementsAre(Made{Kind::finish, 1}));
  b.release(0, 20ms);
  b.release(1, 21ms);
  EXPECT_THAT(b.complete(0, 31ms), ElementsAre(Made{Kind::finish, 0}, Made{Kind::drop, 1}));
  EXPECT_EQ(b.scheduler.pending(1), 0);
}

TEST(Scheduler, SkipsAllThatWaitInOneEventIfItHasTo) {
  SchedulerConfig config = one_processor(kMaxTasks, false);
  for (SchedulerTask& task : config.tasks) task.late = Late::skip, task.queue = kMaxQueue;
  Bench b(config);
  b.release(0, 0ms);
  for (int k = 0; k < kMaxQueue; ++k)
    for (int task = 0; task < kMaxTasks; ++task) b.release(task, 1ms);
  EXPECT_EQ(b.complete(0, 50ms).size(), 1U + kMaxTasks * kMaxQueue);
  for (int task = 0; task < kMaxTasks; ++task) EXPECT_EQ(b.scheduler.pending(task), 0);
  EXPECT_THAT(b.release(3, 60ms), ElementsAre(Made{Kind::start, 3}));
}

TEST(Scheduler, GivesUpAJobThatIsInProgressAtItsDeadline) {
  SchedulerConfig config = one_processor(2);
  config.tasks[1].late = Late::abort;
  config.tasks[1].stage_processors = {0, 0};
  Bench b(config);
  b.release(1, 0ms);
  b.release(0, 1ms);
  EXPECT_THAT(b.expire(1, 7, 10ms), IsEmpty()) << "another job's";
  EXPECT_THAT(b.expire(0, 0, 10ms), IsEmpty()) << "task 0 finishes its jobs";
  EXPECT_THAT(b.expire(1, 0, 10ms), ElementsAre(Made{Kind::cancel, 1})) << "preempted, it will see that later";
  EXPECT_THAT(b.expire(1, 0, 10ms), IsEmpty()) << "once";
  b.complete(0, 12ms);
  b.release(1, 12ms);
  EXPECT_THAT(b.complete(1, 13ms, false), ElementsAre(Made{Kind::abandon, 1}, Made{Kind::start, 1}));
  EXPECT_TRUE(b.last.items()[0].late);
  EXPECT_THAT(b.complete(1, 14ms, false), ElementsAre(Made{Kind::fail, 1})) << "of its own accord, before its deadline";
}

TEST(Scheduler, GivesUpAJobBetweenItsStages) {
  SchedulerConfig config = one_processor(2, false);
  config.processors.push_back({true, 1});
  config.tasks[1].late = Late::abort;
  config.tasks[1].stage_processors = {1, 0};
  Bench b(config);
  b.release(1, 0ms);
  b.release(0, 1ms);
  b.complete(1, 2ms);
  b.release(1, 5ms);
  EXPECT_THAT(b.expire(1, 0, 10ms), ElementsAre(Made{Kind::abandon, 1}, Made{Kind::start, 1}))
      << "it waited for task 0";
  EXPECT_THAT(b.complete(1, 16ms), ElementsAre(Made{Kind::abandon, 1}))
      << "late at the boundary, whatever expire() does";
  b.release(1, 20ms);
  b.complete(0, 21ms);
  b.complete(1, 22ms);
  EXPECT_THAT(b.complete(1, 31ms), ElementsAre(Made{Kind::finish, 1})) << "the result is there";
  EXPECT_TRUE(b.last.items()[0].late);
}

TEST(AssignPriorities, FollowThePolicyWithTiesByIndex) {
  std::vector<SchedulerTask> tasks(3);
  const Duration periods[] = {30ms, 10ms, 10ms}, deadlines[] = {5ms, 10ms, 8ms};
  const double utilisations[] = {0.1, 0.3, 0.3};
  const int given[] = {7, 3, 5};
  for (std::size_t i = 0; i < 3; ++i) {
    tasks[i].period = periods[i];
    tasks[i].deadline = deadlines[i];
    tasks[i].utilisation = utilisations[i];
    tasks[i].priority = given[i];
  }
  EXPECT_THAT(assign_priorities(Policy::rate_monotonic, tasks), ElementsAre(3, 1, 2));
  EXPECT_THAT(assign_priorities(Policy::deadline_monotonic, tasks), ElementsAre(1, 3, 2));
  EXPECT_THAT(assign_priorities(Policy::utilisation_monotonic, tasks), ElementsAre(3, 1, 2));
  EXPECT_THAT(assign_priorities(Policy::fixed_priority, tasks), ElementsAre(7, 3, 5));
  EXPECT_THAT(assign_priorities(Policy::edf, tasks), ElementsAre(1, 2, 3));
}

std::string refusal(const SchedulerConfig& config) {
  try {
    Scheduler scheduler(config);
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::bad_input);
    return e.what();
  }
  return "accepted";
}

TEST(Scheduler, RefusesWhatItCannotHoldAndSaysWhat) {
  EXPECT_THAT(refusal(one_processor(65)), HasSubstr("65 tasks: between 1 and 64 are accepted"));
  EXPECT_THAT(refusal(one_processor(0)), HasSubstr("0 tasks"));
  SchedulerConfig config = one_processor(2);
  config.tasks[1].priority = 1;
  EXPECT_THAT(refusal(config), HasSubstr("tasks 0 and 1 both have priority 1"));
  config = one_processor(2);
  config.tasks[1].queue = 0;
  EXPECT_THAT(refusal(config), HasSubstr("task 1 has a queue of 0: between 1 and 16 are accepted"));
  config = one_processor(1);
  config.tasks[0].stage_processors = {2};
  EXPECT_THAT(refusal(config), HasSubstr("task 0 has a stage on processor 2: there are 1"));
  config.tasks[0].stage_processors.assign(25, 0);
  EXPECT_THAT(refusal(config), HasSubstr("25 stages in task 0: between 1 and 24"));
  config = one_processor(1);
  config.processors[0].slots = 0;
  EXPECT_THAT(refusal(config), HasSubstr("0 slots on processor 0: between 1 and 16"));
  config.processors.assign(17, {});
  EXPECT_THAT(refusal(config), HasSubstr("17 processors: between 1 and 16"));
}

/// Two slots; task 1 takes both.
SchedulerConfig two_slots(bool preemptive) {
  SchedulerConfig config = one_processor(4, preemptive);
  config.processors[0].slots = 2;
  config.tasks[1].stage_slots = {2};
  return config;
}

TEST(SchedulerPacking, AWideStageBeginsWhenItGetsAllItsSlotsAndLessUrgentOnesWaitBehindIt) {
  Bench b(two_slots(false));
  b.release(0, 0ms);
  EXPECT_THAT(b.release(1, 0ms), IsEmpty());
  EXPECT_THAT(b.release(2, 0ms), IsEmpty()) << "a slot is free, but it is kept";
  EXPECT_THAT(b.complete(0, 1ms), ElementsAre(Made{Kind::finish, 0}, Made{Kind::start, 1}));
  EXPECT_EQ(b.last.items()[1].slots, 3);
  EXPECT_THAT(b.release(3, 1ms), IsEmpty());
  EXPECT_THAT(b.complete(1, 2ms), ElementsAre(Made{Kind::finish, 1}, Made{Kind::start, 2}, Made{Kind::start, 3}));
}

TEST(SchedulerPacking, WherePreemptionIsPossibleAFreeSlotIsUsedUntilTheWideStageCanHaveIt) {
  Bench b(two_slots(true));
  b.release(0, 0ms);
  EXPECT_THAT(b.release(1, 0ms), IsEmpty());
  EXPECT_THAT(b.release(2, 0ms), ElementsAre(Made{Kind::start, 2}));
  EXPECT_THAT(b.complete(0, 1ms), ElementsAre(Made{Kind::finish, 0}, Made{Kind::preempt, 2}, Made{Kind::start, 1}));
  EXPECT_EQ(b.last.items()[2].level, 1);
  EXPECT_THAT(b.release(0, 2ms), ElementsAre(Made{Kind::preempt, 1}, Made{Kind::start, 0}));
  EXPECT_THAT(b.release(3, 2ms), IsEmpty()) << "the other slot is the wide stage's still";
  EXPECT_THAT(b.complete(0, 3ms), ElementsAre(Made{Kind::finish, 0}, Made{Kind::resume, 1}));
  EXPECT_THAT(b.complete(1, 4ms), ElementsAre(Made{Kind::finish, 1}, Made{Kind::start, 3}, Made{Kind::resume, 2}));
}

TEST(SchedulerPacking, NothingJoinsAMoreUrgentStageThatWouldBeLateBesideIt) {
  SchedulerConfig config = one_processor(3);
  config.processors[0].slots = 2;
  config.tasks[0].stage_times = {{6ms, 9ms}};
  Bench b(config);
  b.release(0, 0ms);
  EXPECT_THAT(b.release(1, 500us), ElementsAre(Made{Kind::start, 1})) << "9 ms beside it end in time";
  b.complete(0, 8ms);
  b.complete(1, 8ms);
  b.scheduler.reset(config);
  b.last.clear();
  b.scheduler.release(0, Time(0ms), Time(2ms), b.last);  // 8 ms left
  EXPECT_THAT(b.release(1, 2ms), IsEmpty());
  EXPECT_THAT(b.release(2, 3ms), IsEmpty());
  EXPECT_THAT(b.complete(0, 8ms), ElementsAre(Made{Kind::finish, 0}, Made{Kind::start, 1}, Made{Kind::start, 2}));
  b.scheduler.reset(config);
  b.last.clear();
  b.scheduler.release(0, Time(0ms), Time(5ms), b.last);  // late whatever happens
  EXPECT_THAT(b.release(1, 5ms), ElementsAre(Made{Kind::start, 1}));
}

// The first is due 10 ms after its release and takes 6 ms alone, 12 ms beside the worst neighbours.
SchedulerConfig of_known_pressures(int slots, std::vector<double> pressures) {
  SchedulerConfig config = one_processor(3);
  config.processors[0].slots = slots;
  config.tasks[0].stage_times = {{6ms, 12ms}};
  config.tasks[0].pressures = std::move(pressures);
  return config;
}

TEST(SchedulerPacking, AStageJoinsWhereItIsKnownToDoLittleHarmAndWaitsWhereItIsNot) {
  Bench b(of_known_pressures(2, {1, 0.75, 0.5}));  // 10.5 ms beside task 1, 9 ms beside task 2
  b.release(0, 0ms);
  EXPECT_THAT(b.release(1, 0ms), IsEmpty());
  EXPECT_THAT(b.release(2, 0ms), ElementsAre(Made{Kind::start, 2}));
}

TEST(SchedulerPacking, PressuresOfSeveralNeighboursAddUp) {
  Bench b(of_known_pressures(3, {1, 0.5, 0.5}));
  b.release(0, 0ms);
  EXPECT_THAT(b.release(1, 0ms), ElementsAre(Made{Kind::start, 1}));
  EXPECT_THAT(b.release(2, 0ms), IsEmpty()) << "12 ms beside both";
  EXPECT_THAT(b.complete(1, 1ms), ElementsAre(Made{Kind::finish, 1}, Made{Kind::start, 2}));
}

TEST(SchedulerPacking, AHarshNeighbourDoesNotTakeThePlaceOfAMildOne) {
  Bench b(of_known_pressures(2, {1, 1, 0}));
  b.release(0, 0ms);
  EXPECT_THAT(b.release(2, 0ms), ElementsAre(Made{Kind::start, 2}));
  EXPECT_THAT(b.release(1, 1ms), IsEmpty()) << "it could preempt task 2";
  EXPECT_THAT(b.complete(0, 6ms), ElementsAre(Made{Kind::finish, 0}, Made{Kind::start, 1}));
}

TEST(SchedulerPacking, WhatATaskDoesToOthersIsNotKnownOfItsFallback) {
  SchedulerConfig config = of_known_pressures(2, {1, 0, 0});
  config.tasks[1].fallbacks = {{.stage_processors = {0}}};
  Bench b(config);
  b.release(0, 0ms);
  EXPECT_THAT(b.release(1, 0ms), ElementsAre(Made{Kind::start, 1}));
  b.complete(1, 1ms);
  b.last.clear();
  b.scheduler.set_mode(1, 1, Time(1ms), b.last);
  EXPECT_THAT(b.release(1, 1ms), IsEmpty()) << "12 ms beside it";
}

TEST(SchedulerPacking, RefusesPressuresThatAreNoShares) {
  const std::vector<std::vector<double>> all_wrong{{0, 1.5, 0}, {0, -1, 0}, {0, 1}};
  for (const std::vector<double>& wrong : all_wrong) {
    try {
      const Scheduler scheduler(of_known_pressures(2, wrong));
      FAIL();
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr("task 0 has"));
      EXPECT_THAT(error.what(), HasSubstr("pressure"));
    }
  }
}

TEST(SchedulerPacking, RefusesMoreSlotsThanThereAre) {
  SchedulerConfig config = two_slots(true);
  config.tasks[1].stage_slots = {3};
  try {
    const Scheduler scheduler(config);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("takes 3 slots: between 1 and 2"));
  }
}

}  // namespace
}  // namespace rtmdl
