// Random configurations and random events: the scheduler against the reference model, and the properties that it
// promises.

#include "scheduling/reference_model.h"

#include <gtest/gtest.h>

#include <bit>
#include <functional>
#include <map>
#include <numeric>
#include <random>

namespace rtmdl {
namespace {

using Random = std::mt19937_64;
using test::ReferenceScheduler;

int between(Random& random, int low, int high) { return std::uniform_int_distribution<int>(low, high)(random); }

/// With `packing`, stages of several slots, of known times and known pressures; with `modes`, tasks that may fall back,
/// and limits.
SchedulerConfig random_config(Random& random, bool packing = false, bool modes = false) {
  SchedulerConfig config;
  config.policy = static_cast<Policy>(between(random, 0, 5));
  const int processors = between(random, 1, 3), tasks = between(random, 1, 7);
  for (int p = 0; p < processors; ++p) {
    config.processors.push_back(
        {between(random, 0, 2) > 0, !packing && between(random, 0, 2) > 0 ? 1 : between(random, 2, 3)});
  }
  std::vector<int> priorities(static_cast<std::size_t>(tasks));
  std::iota(priorities.begin(), priorities.end(), 1);
  std::shuffle(priorities.begin(), priorities.end(), random);
  for (int i = 0; i < tasks; ++i) {
    SchedulerTask task;
    task.period = std::chrono::milliseconds(between(random, 1, 9));
    task.deadline = std::chrono::milliseconds(between(random, 1, 9));
    task.priority = priorities[static_cast<std::size_t>(i)];
    task.utilisation = between(random, 1, 9) * 0.1;
    task.queue = between(random, 1, 3);
    task.late = static_cast<Late>(between(random, 0, 2));
    const auto fill = [&](auto& mode) {
      for (int s = between(random, 1, 4); s > 0; --s)
        mode.stage_processors.push_back(between(random, 0, processors - 1));
      const bool timed = packing && between(random, 0, 1) == 0;
      const bool limited = modes && between(random, 0, 3) > 0;
      for (const int p : mode.stage_processors) {
        if (packing)
          mode.stage_slots.push_back(between(random, 1, config.processors[static_cast<std::size_t>(p)].slots));
        if (limited) mode.stage_limits.push_back(between(random, 0, 6) * std::chrono::milliseconds(1));
        if (!timed) continue;
        const Duration alone = between(random, 0, 6) * std::chrono::microseconds(500);
        mode.stage_times.push_back({alone, alone * between(random, 10, 25) / 10});
      }
      if (timed && between(random, 0, 2) > 0)
        for (int t = 0; t < tasks; ++t) mode.pressures.push_back(between(random, 0, 4) * 0.25);  // sums are exact
    };
    fill(task);
    if (modes) {
      task.failures_to_fall_back = between(random, 0, 3);
      for (int m = between(random, 0, 2); m > 0; --m) fill(task.fallbacks.emplace_back());
    }
    config.tasks.push_back(task);
  }
  return config;
}

std::string text(const Decision& d) {
  static const char* kKinds[] = {"start", "preempt", "resume",  "finish",  "fail",
                                 "drop",  "cancel",  "abandon", "give up", "mode"};
  return std::string(kKinds[static_cast<int>(d.kind)]) + (d.late ? " late" : "") + " m" + std::to_string(d.mode) +
         " t" + std::to_string(d.task) + " j" + std::to_string(d.job) + " s" + std::to_string(d.stage) + " p" +
         std::to_string(d.processor) + "/" + std::to_string(d.slot()) + "+" + std::to_string(d.slots) + " l" +
         std::to_string(d.level) + " r" + std::to_string(d.release.time_since_epoch().count());
}

std::string text(std::span<const Decision> decisions) {
  std::string all;
  for (const Decision& d : decisions) all += text(d) + "\n";
  return all;
}

struct Event {
  enum class Kind { release, complete, expire, overrun, restore, set_mode };
  Kind kind = Kind::release;
  int task = 0;
  Time now{};
  bool ok = true;
  std::uint64_t job = 0;  ///< of expire
  int mode = 0;           ///< of restore, set_mode
};

void send(Scheduler& scheduler, const Event& e, Decisions& decisions) {
  switch (e.kind) {
    case Event::Kind::release: return scheduler.release(e.task, e.now, e.now, decisions);
    case Event::Kind::complete: return scheduler.complete(e.task, e.now, e.ok, decisions);
    case Event::Kind::expire: return scheduler.expire(e.task, e.job, e.now, decisions);
    case Event::Kind::overrun: return scheduler.overrun(e.task, e.now, decisions);
    case Event::Kind::restore: return scheduler.restore(e.task, e.mode, e.now, decisions);
    case Event::Kind::set_mode: return scheduler.set_mode(e.task, e.mode, e.now, decisions);
  }
}

/// Events that a driver may send: any release, completions of stages that are on a slot, mostly of running ones, the
/// deadlines of jobs, mostly of those in progress; with `faults` also looks at the clock, stages that were given up
/// ending after all, and other modes asked for.
std::vector<Event> play(
    const SchedulerConfig& config, Random& random, int count,
    const std::function<void(const Event&, const ReferenceScheduler&, std::span<const Decision>)>& look,
    bool faults = false) {
  Scheduler scheduler(config);
  ReferenceScheduler reference(config);
  std::vector<Event> events;
  Decisions decisions;
  Time now{};
  for (int k = 0; k < count; ++k) {
    now += Duration(between(random, 0, 3) * 500'000);
    Event event{Event::Kind::release, between(random, 0, static_cast<int>(config.tasks.size()) - 1), now,
                between(random, 0, 9) > 0};
    const std::vector<int> placed = reference.on_slots();
    if (!placed.empty() && between(random, 0, 4) > 1) {
      event.kind = Event::Kind::complete;
      event.task = placed[static_cast<std::size_t>(between(random, 0, static_cast<int>(placed.size()) - 1))];
    } else if (!reference.jobs().empty() && between(random, 0, 2) == 0) {
      event.kind = Event::Kind::expire;
      const auto& job =
          reference.jobs()[static_cast<std::size_t>(between(random, 0, static_cast<int>(reference.jobs().size()) - 1))];
      event.task = job.task;
      event.job = job.number + static_cast<std::uint64_t>(between(random, 0, 9) == 0);
    }
    if (faults && between(random, 0, 2) == 0) {
      const int what = between(random, 0, 9);
      const auto& blocked = reference.blocked(event.task);
      if (what < 6) event.kind = Event::Kind::overrun;
      else if (what == 6) event.kind = Event::Kind::set_mode, event.mode = between(random, -1, 3);
      else if (!blocked.empty()) event.kind = Event::Kind::restore, event.mode = *blocked.begin();
    }
    decisions.clear();
    std::vector<Decision> expected;
    send(scheduler, event, decisions);
    switch (event.kind) {
      case Event::Kind::release: reference.release(event.task, now, now, expected); break;
      case Event::Kind::complete: reference.complete(event.task, now, event.ok, expected); break;
      case Event::Kind::expire: reference.expire(event.task, event.job, now, expected); break;
      case Event::Kind::overrun: reference.overrun(event.task, now, expected); break;
      case Event::Kind::restore: reference.restore(event.task, event.mode, expected); break;
      case Event::Kind::set_mode: reference.set_mode(event.task, event.mode, now, expected); break;
    }
    EXPECT_EQ(text(decisions.items()), text(expected)) << policy_name(config.policy) << ", event " << k;
    for (std::size_t i = 0; i < config.tasks.size(); ++i) {
      EXPECT_EQ(scheduler.pending(static_cast<int>(i)), reference.pending(static_cast<int>(i)));
    }
    events.push_back(event);
    look(event, reference, decisions.items());
    if (::testing::Test::HasFailure()) break;
  }
  return events;
}

constexpr int kConfigs = 400;
constexpr int kEvents = 300;

TEST(SchedulerProperties, DecidesAsTheReferenceModel) {
  for (int seed = 0; seed < kConfigs && !HasFailure(); ++seed) {
    Random random(static_cast<std::uint64_t>(seed));
    SCOPED_TRACE("seed " + std::to_string(seed));
    play(random_config(random, seed % 2 == 1), random, kEvents, [](auto&&...) {});
  }
}

TEST(SchedulerProperties, DecidesAsTheReferenceModelWhenStagesFailAndHang) {
  std::map<Decision::Kind, int> seen;
  int at_once = 0;
  for (int seed = 0; seed < kConfigs && !HasFailure(); ++seed) {
    Random random(static_cast<std::uint64_t>(seed) + 7000);
    SCOPED_TRACE("seed " + std::to_string(seed));
    play(
        random_config(random, seed % 2 == 1, true), random, kEvents,
        [&](const Event&, const ReferenceScheduler&, std::span<const Decision> decisions) {
          for (const Decision& d : decisions) ++seen[d.kind], at_once += d.kind == Decision::Kind::fail && d.slots == 0;
        },
        true);
  }
  EXPECT_GT(seen[Decision::Kind::give_up], 200);
  EXPECT_GT(seen[Decision::Kind::change_mode], 1000);
  EXPECT_GT(at_once, 300) << "every mode was blocked";
}

TEST(SchedulerProperties, AJobKeepsItsModeAndATaskChangesItAfterItsFailuresInARow) {
  int fell_back = 0;
  for (int seed = 0; seed < kConfigs && !HasFailure(); ++seed) {
    Random random(static_cast<std::uint64_t>(seed) + 8000);
    SchedulerConfig config = random_config(random, seed % 2 == 1, true);
    for (SchedulerTask& task : config.tasks) {
      task.stage_limits.clear();
      for (SchedulerMode& mode : task.fallbacks) mode.stage_limits.clear();
    }
    std::vector<int> mode(config.tasks.size()), in_row(config.tasks.size());
    // No limits and no modes asked for: only failures change the mode.
    play(config, random, kEvents, [&](const Event&, const ReferenceScheduler&, std::span<const Decision> decisions) {
      for (const Decision& d : decisions) {
        const SchedulerTask& task = config.tasks[d.task];
        if (d.kind == Decision::Kind::change_mode) {
          EXPECT_EQ(d.mode, ++mode[d.task]);
          EXPECT_EQ(std::exchange(in_row[d.task], 0), task.failures_to_fall_back);
          EXPECT_GT(task.failures_to_fall_back, 0);
          ++fell_back;
          continue;
        }
        EXPECT_EQ(d.mode, mode[d.task]);
        if (d.kind == Decision::Kind::fail) ++in_row[d.task];
        if (d.kind == Decision::Kind::finish) in_row[d.task] = 0;
        const bool could = mode[d.task] < static_cast<int>(task.fallbacks.size()) && task.failures_to_fall_back > 0;
        if (could) {
          EXPECT_LE(in_row[d.task], task.failures_to_fall_back);
        }
      }
    });
  }
  EXPECT_GT(fell_back, 200);
}

TEST(SchedulerProperties, NeverIdlesASlotAndNeverLetsALessUrgentStageRunInstead) {
  for (int seed = 0; seed < kConfigs && !HasFailure(); ++seed) {
    Random random(static_cast<std::uint64_t>(seed) + 1000);
    const SchedulerConfig config = random_config(random);
    play(config, random, kEvents, [&](const Event&, const ReferenceScheduler& reference, std::span<const Decision>) {
      for (int p = 0; p < static_cast<int>(config.processors.size()); ++p) {
        const auto ready = reference.ready_on(p);
        for (int s = 0; s < config.processors[static_cast<std::size_t>(p)].slots; ++s) {
          const auto* top = reference.top(p, s);
          if (!top) {
            EXPECT_TRUE(ready.empty());
            continue;
          }
          EXPECT_EQ(top->state, ReferenceScheduler::State::running);
          if (!config.processors[static_cast<std::size_t>(p)].preemptive) continue;
          for (const auto* r : ready) EXPECT_FALSE(reference.strictly_better(*r, *top));
        }
      }
    });
  }
}

TEST(SchedulerProperties, AStageHasItsSlotsForItselfAndNoneIsLeftForAMoreUrgentOne) {
  int wide = 0, waited = 0;
  for (int seed = 0; seed < kConfigs && !HasFailure(); ++seed) {
    Random random(static_cast<std::uint64_t>(seed) + 6000);
    SchedulerConfig config = random_config(random, true);
    for (SchedulerTask& task : config.tasks) task.stage_times.clear();
    play(config, random, kEvents,
         [&](const Event&, const ReferenceScheduler& reference, std::span<const Decision> decisions) {
           for (const Decision& d : decisions) {
             if (d.kind != Decision::Kind::start) continue;
             const int width = config.tasks[d.task].stage_slots[d.stage];
             EXPECT_EQ(std::popcount(d.slots), width);
             EXPECT_EQ(d.slot(), std::countr_zero(d.slots));
             wide += width > 1;
           }
           for (std::size_t p = 0; p < config.processors.size(); ++p) {
             const SchedulerProcessor& on = config.processors[p];
             unsigned used = 0;
             for (const auto& job : reference.jobs()) {
               if (job.state != ReferenceScheduler::State::running || job.processor != static_cast<int>(p)) continue;
               for (const int s : job.slots) {
                 EXPECT_EQ(used >> s & 1U, 0U) << "two stages run on one slot";
                 used |= 1U << s;
               }
             }
             for (const auto* r : reference.ready_on(static_cast<int>(p))) {
               int room = 0;
               for (int s = 0; s < on.slots; ++s) {
                 const auto* top = reference.top(static_cast<int>(p), s);
                 room += !top || (on.preemptive && reference.strictly_better(*r, *top));
               }
               const int width =
                   config.tasks[static_cast<std::size_t>(r->task)].stage_slots[static_cast<std::size_t>(r->stage)];
               const bool first = std::none_of(
                   reference.jobs().begin(), reference.jobs().end(), [&](const ReferenceScheduler::Job& o) {
                     return o.state == ReferenceScheduler::State::ready && &o != r &&
                            !reference.strictly_better(*r, o) &&
                            config.tasks[static_cast<std::size_t>(o.task)]
                                    .stage_processors[static_cast<std::size_t>(o.stage)] == static_cast<int>(p);
                   });
               if (first || (on.preemptive && config.policy != Policy::fifo)) {
                 EXPECT_LT(room, width) << "it could have begun";
               }
               waited += width > 1 && room > 0;
             }
           }
         });
  }
  EXPECT_GT(wide, 1000);
  EXPECT_GT(waited, 100);
}

TEST(SchedulerProperties, WhatIsKnownOfPairsOnlyLetsMoreBeginThanTheWorstNeighbourWould) {
  int differ = 0;
  for (int seed = 0; seed < kConfigs; ++seed) {
    Random random(static_cast<std::uint64_t>(seed) + 9000);
    SchedulerConfig with{.processors = {{between(random, 0, 1) > 0, between(random, 2, 4)}}, .tasks = {}};
    const int tasks = between(random, 2, 6);
    for (int i = 0; i < tasks; ++i) {
      SchedulerTask task{.period = std::chrono::milliseconds(20), .priority = i + 1, .stage_processors = {0}};
      task.deadline = std::chrono::milliseconds(between(random, 4, 9));
      task.stage_times = {{std::chrono::milliseconds(4), std::chrono::milliseconds(8)}};
      for (int t = 0; t < tasks; ++t) task.pressures.push_back(between(random, 0, 4) * 0.25);
      with.tasks.push_back(task);
    }
    SchedulerConfig without = with;
    for (SchedulerTask& task : without.tasks) task.pressures.clear();
    const auto started = [&](const SchedulerConfig& config) {
      Scheduler scheduler(config);
      std::ptrdiff_t count = 0;
      for (int i = 0; i < tasks; ++i) {  // the more urgent first, so that none makes way for another
        Decisions decisions;
        scheduler.release(i, Time{}, Time{}, decisions);
        count += std::ssize(decisions.items());
      }
      return count;
    };
    EXPECT_GE(started(with), started(without)) << "seed " << seed;
    differ += started(with) > started(without);
  }
  EXPECT_GT(differ, kConfigs / 10);
}

TEST(SchedulerProperties, CountsAddUpAndTheNewestReleasesSurvive) {
  for (int seed = 0; seed < kConfigs && !HasFailure(); ++seed) {
    Random random(static_cast<std::uint64_t>(seed) + 2000);
    const SchedulerConfig config = random_config(random, seed % 2 == 1, seed % 4 > 1);
    std::vector<int> released(config.tasks.size()), ended(config.tasks.size());
    std::vector<std::uint64_t> last_start(config.tasks.size());
    play(
        config, random, kEvents,
        [&](const Event& event, const ReferenceScheduler& reference, std::span<const Decision> decisions) {
          released[static_cast<std::size_t>(event.task)] += event.kind == Event::Kind::release;
          for (const Decision& d : decisions) {
            const bool ends = d.kind == Decision::Kind::finish || d.kind == Decision::Kind::fail ||
                              d.kind == Decision::Kind::drop || d.kind == Decision::Kind::abandon;
            ended[d.task] += ends;
            if (d.kind == Decision::Kind::drop) {
              for (const auto& j : reference.jobs())
                EXPECT_FALSE(j.task == d.task && !j.begun && j.number < d.job) << "not the oldest";
            }
            if (d.kind == Decision::Kind::start && d.stage == 0) {
              EXPECT_GE(d.job, last_start[d.task]);
              last_start[d.task] = d.job;
            }
          }
          for (std::size_t i = 0; i < config.tasks.size(); ++i) {
            EXPECT_EQ(released[i], ended[i] + reference.pending(static_cast<int>(i)));
            EXPECT_LE(reference.pending(static_cast<int>(i)), config.tasks[i].queue + 1);
          }
        },
        seed % 4 > 1);
  }
}

TEST(SchedulerProperties, LevelsOnASlotFormAStackWithOneStageRunningOnTop) {
  for (int seed = 0; seed < kConfigs && !HasFailure(); ++seed) {
    Random random(static_cast<std::uint64_t>(seed) + 3000);
    const SchedulerConfig config = random_config(random);
    // From the decisions alone: slot -> (level, task) -> running.
    std::map<std::pair<int, int>, std::map<std::pair<int, int>, bool>> slots;
    play(config, random, kEvents,
         [&](const Event& event, const ReferenceScheduler&, std::span<const Decision> decisions) {
           if (event.kind == Event::Kind::complete) {
             for (auto& [slot, stack] : slots)
               std::erase_if(stack, [&](const auto& entry) { return entry.first.second == event.task; });
           }
           for (const Decision& d : decisions) {
             auto& stack = slots[{d.processor, d.slot()}];
             const std::pair<int, int> me{d.level, d.task};
             switch (d.kind) {
               case Decision::Kind::start:
                 if (!stack.empty()) {
                   EXPECT_LT(stack.rbegin()->first.first, d.level);
                   EXPECT_FALSE(stack.rbegin()->second) << "started over a running stage";
                 } else {
                   EXPECT_EQ(d.level, 0);
                 }
                 stack[me] = true;
                 break;
               case Decision::Kind::preempt:
               case Decision::Kind::resume: {
                 const bool resumed = d.kind == Decision::Kind::resume;
                 ASSERT_TRUE(stack.count(me));
                 EXPECT_EQ(stack.rbegin()->first, me) << "only the top changes";
                 EXPECT_EQ(stack[me], !resumed);
                 stack[me] = resumed;
                 break;
               }
               default: break;
             }
           }
           for (const auto& [slot, stack] : slots) {
             const auto running =
                 std::count_if(stack.begin(), stack.end(), [](const auto& entry) { return entry.second; });
             EXPECT_EQ(running, stack.empty() ? 0 : 1);
             if (!stack.empty()) {
               EXPECT_TRUE(stack.rbegin()->second);
             }
           }
         });
  }
}

TEST(SchedulerProperties, ReplaysFromItsEventLog) {
  for (int seed = 0; seed < 50; ++seed) {
    Random random(static_cast<std::uint64_t>(seed) + 4000);
    const SchedulerConfig config = random_config(random, seed % 2 == 1, true);
    std::string first, second;
    const auto events = play(
        config, random, kEvents, [&](auto&, auto&, std::span<const Decision> d) { first += text(d); }, true);
    SchedulerConfig other = random_config(random);
    Scheduler scheduler(other);  // reset() must leave nothing of what it was
    Decisions decisions;
    scheduler.release(0, Time{}, Time{}, decisions);
    scheduler.reset(config);
    for (const Event& event : events) {
      decisions.clear();
      send(scheduler, event, decisions);
      second += text(decisions.items());
    }
    ASSERT_EQ(first, second);
  }
}

TEST(SchedulerProperties, NoEventMakesMoreThanFourDecisionsBesideSkippedJobs) {
  std::ptrdiff_t most = 0;
  for (int seed = 0; seed < kConfigs; ++seed) {
    Random random(static_cast<std::uint64_t>(seed) + 5000);
    play(random_config(random), random, kEvents, [&](auto&, auto&, std::span<const Decision> decisions) {
      most = std::max(most, std::count_if(decisions.begin(), decisions.end(),
                                          [](const Decision& d) { return d.kind != Decision::Kind::drop; }));
    });
  }
  EXPECT_LE(most, 4);
}

}  // namespace
}  // namespace rtmdl
