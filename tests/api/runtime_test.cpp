#include <rtmdl/runtime.h>

#include "api/pictures.h"
#include "api/planned_folder.h"

#include <rtmdl/error.h>

#include <array>
#include <atomic>
#include <chrono>
#include <map>
#include <mutex>
#include <stdexcept>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rtmdl {
namespace {

using testing::AllOf;
using testing::HasSubstr;

struct ApiTest : testing::Test {
  RuntimeOptions options() {
    RuntimeOptions o;
    o.on_result = [this](const JobResult& job) { results(job); };
    o.on_message = [](const std::string&) {};
    return o;
  }
  Results results;
};

TEST_F(ApiTest, GivesWhatTheModelSaysOfWhatWasSubmitted) {
  const PlannedFolder folder;
  Runtime box(folder.tasks(), options());
  ASSERT_EQ(box.tasks(), 1);
  EXPECT_EQ(box.find("t0"), 0);
  EXPECT_EQ(box.task(0).variant, "source");
  EXPECT_EQ(box.task(0).period, std::chrono::milliseconds(20));
  for (int i = 0; i < 5; ++i) {
    Input in = input_of(picture(i));
    in.tag = 100 + i;
    ASSERT_EQ(box.submit(0, in), Submitted::accepted);
    ASSERT_TRUE(results.wait_for(static_cast<std::size_t>(i) + 1));
  }
  const TaskStatistics s = box.statistics().tasks[0];
  EXPECT_EQ(s.completed, 5);
  EXPECT_GT(s.p50, Duration::zero());
  EXPECT_LE(s.p50, s.max);
  const auto all = results.all();
  for (int i = 0; i < 5; ++i) {
    const auto& r = all[static_cast<std::size_t>(i)];
    EXPECT_EQ(r.job.end, JobEnd::completed);
    EXPECT_EQ(r.job.tag, 100 + i);
    EXPECT_EQ(r.job.job, static_cast<std::uint64_t>(i));
    EXPECT_EQ(r.variant, "source");
    EXPECT_GT(r.job.finish, r.job.release);
    const Result want = expected_result(folder.tasks(), *picture(i));
    EXPECT_EQ(r.result.classes, want.classes) << i;
    EXPECT_EQ(r.result.scores, want.scores) << i;
  }
}

TEST_F(ApiTest, HoldsAnInputUntilItsJobIsOverAndNoLonger) {
  const PlannedFolder folder;
  Runtime box(folder.tasks(), options());
  std::weak_ptr<std::vector<float>> seen;
  {
    const auto values = picture(1);
    seen = values;
    ASSERT_EQ(box.submit(0, input_of(values)), Submitted::accepted);
  }
  ASSERT_TRUE(results.wait_for(1));
  for (int i = 0; i < 5000 && !seen.expired(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_TRUE(seen.expired());
}

TEST_F(ApiTest, EveryAcceptedInputHasOneResultWhateverComesAtOnce) {
  const PlannedFolder folder(2);
  std::map<Submitted, int> answers[2];
  {
    Runtime box(folder.tasks(), options());
    std::vector<std::thread> threads;
    std::mutex lock;
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([&, t] {
        const auto values = picture(t);
        for (int i = 0; i < 200; ++i) {
          const Submitted s = box.submit(t % 2, input_of(values));
          const std::lock_guard<std::mutex> guard(lock);
          ++answers[t % 2][s];
        }
      });
    for (std::thread& t : threads) t.join();
    box.stop();
    const Statistics s = box.statistics();
    for (std::size_t t = 0; t < 2; ++t) {
      EXPECT_EQ(s.tasks[t].released, answers[t][Submitted::accepted]);
      EXPECT_EQ(s.tasks[t].refused, answers[t][Submitted::busy]);
      EXPECT_EQ(s.tasks[t].pending, 0);
      EXPECT_EQ(s.tasks[t].released, s.tasks[t].completed + s.tasks[t].dropped + s.tasks[t].failed);
      EXPECT_EQ(s.tasks[t].failed, 0);
    }
    EXPECT_EQ(box.submit(0, input_of(picture(0))), Submitted::stopped);
  }
  std::map<int, std::vector<std::uint64_t>> jobs;
  for (const auto& r : results.all()) jobs[r.job.task].push_back(r.job.job);
  for (int t = 0; t < 2; ++t) {
    std::sort(jobs[t].begin(), jobs[t].end());
    ASSERT_EQ(jobs[t].size(), static_cast<std::size_t>(answers[t][Submitted::accepted]));
    for (std::size_t i = 0; i < jobs[t].size(); ++i) EXPECT_EQ(jobs[t][i], i) << "each once";
  }
}

TEST_F(ApiTest, AdmitsALowerRateThanPlannedAndTheSourceFollows) {
  const PlannedFolder folder;
  Runtime box(folder.tasks(), options());
  const RateAnswer faster = box.request_period(0, std::chrono::milliseconds(10));
  EXPECT_FALSE(faster.admitted);
  EXPECT_EQ(faster.reason, "t0 was planned for a period of 20 ms: whether 10 ms is possible takes a plan of its own");
  EXPECT_THROW(box.request_period(0, std::chrono::hours(2)), Error);
  box.attach(0);
  ASSERT_TRUE(results.wait_for(3));
  EXPECT_TRUE(box.request_period(0, std::chrono::milliseconds(60)).admitted);
  ASSERT_TRUE(results.wait_for(8));
  box.detach(0);
  std::vector<Time> releases;
  for (const auto& r : results.all()) releases.push_back(r.job.release);
  std::sort(releases.begin(), releases.end());
  EXPECT_EQ(releases[1] - releases[0], std::chrono::milliseconds(20));
  EXPECT_EQ(releases[7] - releases[6], std::chrono::milliseconds(60));
}

TEST_F(ApiTest, AnswersARequest) {
  const PlannedFolder folder;
  Runtime box(folder.tasks(), options());
  const auto values = picture(3);
  const JobOutput out = box.request(0, input_of(values)).get();
  EXPECT_EQ(out.end, JobEnd::completed);
  EXPECT_EQ(out.result.classes, expected_result(folder.tasks(), *values).classes);
  box.stop();
  EXPECT_THAT(error_of([&] { static_cast<void>(box.request(0, input_of(values))); }), HasSubstr("does not run"));
}

TEST_F(ApiTest, RefusesWhatCannotBeAnInput) {
  const PlannedFolder folder;
  Runtime box(folder.tasks(), options());
  const std::array<std::uint8_t, 12> pixels{};
  EXPECT_EQ(box.submit(0, Input{}), Submitted::unusable);
  EXPECT_EQ(box.submit(1, input_of(picture(0))), Submitted::unknown_task);
  EXPECT_EQ(box.submit(-1, input_of(picture(0))), Submitted::unknown_task);
  EXPECT_EQ(box.submit(0, Input::picture(pixels.data(), 2, 2, 2)), Submitted::unusable);
  EXPECT_EQ(box.submit(0, Input::picture(pixels.data(), 0, 2)), Submitted::unusable);
  EXPECT_EQ(box.submit(0, Input::picture(pixels.data(), 2, 2, 3, 5)), Submitted::unusable) << "rows overlap";
  const std::array<std::int64_t, 2> negative{-1, 4}, huge{std::int64_t{1} << 40, std::int64_t{1} << 40};
  EXPECT_EQ(box.submit(0, Input::tensor(pixels.data(), ElementType::u8, negative)), Submitted::unusable);
  EXPECT_EQ(box.submit(0, Input::tensor(pixels.data(), ElementType::u8, huge)), Submitted::unusable);
  const std::array<std::int64_t, 9> nine{1, 1, 1, 1, 1, 1, 1, 1, 1};
  EXPECT_EQ(box.submit(0, Input::tensor(pixels.data(), ElementType::u8, nine)), Submitted::unusable);
  EXPECT_EQ(box.statistics().tasks[0].released, 0);
}

TEST_F(ApiTest, AnInputThatDoesNotFitTheModelFailsItsJob) {
  const PlannedFolder folder;
  Runtime box(folder.tasks(), options());
  const std::array<std::int64_t, 2> shape{2, 2};
  const std::array<float, 4> values{};
  EXPECT_EQ(box.request(0, Input::tensor(values.data(), ElementType::f32, shape)).get().end, JobEnd::failed);
  EXPECT_EQ(box.request(0, input_of(picture(0))).get().end, JobEnd::completed) << "and only that";
}

TEST_F(ApiTest, PlaysATasksOwnDataInItsPeriod) {
  const PlannedFolder folder;
  Runtime box(folder.tasks(), options());
  box.attach(0);
  EXPECT_THAT(error_of([&] { box.attach(0); }), HasSubstr("has a source"));
  ASSERT_TRUE(results.wait_for(5));
  box.detach(0);
  box.stop();
  auto all = results.all();
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.job.job < b.job.job; });
  for (std::size_t i = 1; i < all.size(); ++i) {
    const Duration apart = all[i].job.release - all[i - 1].job.release;
    EXPECT_EQ(apart % std::chrono::milliseconds(20), Duration::zero()) << "on a grid";
    EXPECT_GT(apart, Duration::zero());
  }
}

/// `to` instead of the last task's period.
void set_releases(const PlannedFolder& folder, const std::string& to) {
  const std::string period = "period: 20 ms";
  std::string text = read_file(folder.tasks());
  text.replace(text.rfind(period), period.size(), to);
  folder.write("tasks.yaml", text);
  folder.plan();
}

TEST_F(ApiTest, PlaysATaskAsItsArrivalsAre) {
  const PlannedFolder folder;
  folder.write("times.csv", "0\n0.005\n0.03\n");  // again after 45 ms
  set_releases(folder, "arrivals: {trace: times.csv}, deadline: 50 ms");
  Runtime box(folder.tasks(), options());
  box.attach(0);
  ASSERT_TRUE(results.wait_for(6));
  box.stop();
  Time first = Time::max();
  for (const auto& r : results.all()) first = std::min(first, r.job.release);
  for (const auto& r : results.all()) {
    const Duration at = (r.job.release - first) % std::chrono::milliseconds(45);
    EXPECT_THAT(at / std::chrono::milliseconds(1), testing::AnyOf(0, 5, 30)) << r.job.job;
    EXPECT_EQ(at % std::chrono::milliseconds(1), Duration::zero()) << r.job.job;
  }
}

TEST_F(ApiTest, SaysThatItDoesNotPlayTasksThatRunAfterOthers) {
  const PlannedFolder folder(2);
  set_releases(folder, "after: t0, deadline: 60 ms");
  EXPECT_THAT(error_of([&] { Runtime box(folder.tasks(), options()); }),
              AllOf(HasSubstr("'t1' runs after another one"), HasSubstr("rtmdl run")));
}

TEST_F(ApiTest, NothingBeginsAfterItWasStopped) {
  const PlannedFolder folder;
  Runtime box(folder.tasks(), options());
  box.stop();
  EXPECT_THAT(error_of([&] { box.attach(0); }), HasSubstr("was stopped"));
  box.add(0);
  box.remove(0);
  box.detach(0);
  box.stop();
}

TEST_F(ApiTest, ASourceEndsWhereItSaysSo) {
  const PlannedFolder folder;
  Runtime box(folder.tasks(), options());
  int given = 0;
  box.attach(0, [&](Input& in) {
    in = input_of(picture(given));
    in.tag = given;
    return given++ < 3;
  });
  ASSERT_TRUE(results.wait_for(3));
  box.detach(0);
  EXPECT_EQ(results.all().back().job.tag, 2);
  box.attach(0, [&](Input& in) {
    in = input_of(picture(given));
    return given++ < 5;
  });
  ASSERT_TRUE(results.wait_for(4));
  for (bool again = false; !again; std::this_thread::sleep_for(std::chrono::milliseconds(1)))
    again = error_of([&] { box.attach(0); }).empty();  // the one before has ended by itself
  ASSERT_TRUE(results.wait_for(6));
}

TEST_F(ApiTest, TasksLeaveAndJoinWhileOthersRun) {
  const PlannedFolder folder(2);
  RuntimeOptions o = options();
  o.without = {"t1"};
  Runtime box(folder.tasks(), o);
  EXPECT_EQ(box.submit(1, input_of(picture(0))), Submitted::stopped);
  box.attach(0);
  const auto of = [&](int task) {
    std::size_t n = 0;
    for (const auto& r : results.all()) n += r.job.task == task;
    return n;
  };
  for (int round = 0; round < 3; ++round) {
    box.add(1);
    box.add(1);  // it is there
    const std::size_t before = of(0);
    for (int i = 0; i < 10; ++i) EXPECT_EQ(box.request(1, input_of(picture(i))).get().end, JobEnd::completed) << round;
    for (int i = 0; i < 10; ++i) static_cast<void>(box.submit(1, input_of(picture(i))));
    box.remove(1);
    box.remove(1);
    EXPECT_EQ(box.submit(1, input_of(picture(0))), Submitted::stopped);
    while (of(0) < before + 2) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  box.stop();
  for (const TaskStatistics& t : box.statistics().tasks) {
    EXPECT_EQ(t.released, t.completed + t.dropped + t.failed) << t.name;
    EXPECT_EQ(t.failed, 0) << t.name;
  }
}

TEST_F(ApiTest, AJobIsGivenUpAtItsDeadlineWhereTheTaskSaysSo) {
  const PlannedFolder folder(1, ", late: abort");
  Runtime box(folder.tasks(), options());
  const Time past = MonotonicClock::now() - std::chrono::milliseconds(100);
  EXPECT_EQ(box.request(0, input_of(picture(0)), past).get().end, JobEnd::dropped);
  // More than can be pending, long before the first one's deadline.
  for (int i = 0; i < 100; ++i)
    EXPECT_EQ(box.request(0, input_of(picture(0)), MonotonicClock::now() + std::chrono::hours(1)).get().end,
              JobEnd::completed);
  EXPECT_EQ(box.request(0, input_of(picture(0)), past).get().end, JobEnd::dropped);
}

TEST_F(ApiTest, SaysWhichVariantATaskFellBackTo) {
  const PlannedFolder folder;
  folder.plan(2);
  Runtime box(folder.tasks(), options());
  const std::array<std::int64_t, 1> shape{1};
  const float value = 0;
  EXPECT_EQ(box.request(0, input_of(picture(0))).get().end, JobEnd::completed);
  for (int i = 0; i < 2; ++i)
    EXPECT_EQ(box.request(0, Input::tensor(&value, ElementType::f32, shape)).get().end, JobEnd::failed);
  EXPECT_EQ(box.request(0, input_of(picture(0))).get().end, JobEnd::completed);
  box.stop();
  const auto all = results.all();
  ASSERT_EQ(all.size(), 4u);
  EXPECT_EQ(all[0].variant, "source");
  EXPECT_EQ(all[3].variant, "other");
  EXPECT_EQ(all[3].result.classes, all[0].result.classes);
  EXPECT_EQ(box.statistics().tasks[0].switches, 1);
}

TEST_F(ApiTest, SaysWhatJobsAndTheBoxDraw) {
  const PlannedFolder folder;
  EXPECT_EQ(Runtime(folder.tasks(), options()).statistics().energy.meter, "") << "power is not known";
  const std::string text = read_file(folder.tasks());
  std::string changed = "energy: {budget: 2.5 W}\n" + text;
  changed.replace(changed.find("]}}"), 3, "], power: {busy: 3 W, idle: 1 W}}}");
  folder.write("tasks.yaml", changed);
  folder.plan();
  Runtime box(folder.tasks(), options());
  EXPECT_DOUBLE_EQ(box.task(0).joules, 0.002) << "as planned";
  for (int i = 0; i < 10; ++i) EXPECT_EQ(box.request(0, input_of(picture(i))).get().end, JobEnd::completed);
  const Statistics s = box.statistics();
  EXPECT_EQ(s.energy.meter, "constant");
  EXPECT_EQ(s.energy.limit, 2.5);
  EXPECT_EQ(s.energy.watts_by_model, s.energy.watts);
  EXPECT_GT(s.tasks[0].joules, 0);
  EXPECT_GT(s.tasks[0].watts, 0);
  EXPECT_GE(s.energy.joules, s.tasks[0].joules);
  EXPECT_GE(s.energy.watts, 1);
  EXPECT_LE(s.energy.watts, 3);
}

TEST_F(ApiTest, AMeterThatIsNotThereEndsTheOpening) {
  if (std::filesystem::exists("/sys/class/powercap/intel-rapl:0")) GTEST_SKIP() << "it is";
  const PlannedFolder folder;
  folder.write("tasks.yaml", "energy: {meter: rapl}\n" + read_file(folder.tasks()));
  folder.plan();
  EXPECT_THAT(error_of([&] { Runtime box(folder.tasks(), options()); }, ErrorCode::missing_device),
              HasSubstr("energy.meter: rapl"));
}

TEST_F(ApiTest, WhatACallbackThrowsStopsNothing) {
  const PlannedFolder folder;
  RuntimeOptions o = options();
  o.on_result = [this](const JobResult& job) {
    results(job);
    throw std::runtime_error("mine");
  };
  Runtime box(folder.tasks(), o);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(box.request(0, input_of(picture(i))).get().end, JobEnd::completed);
  EXPECT_EQ(box.statistics().thrown, 3);
}

TEST_F(ApiTest, MovesAndEndsWithoutBeingUsed) {
  const PlannedFolder folder;
  Runtime first(folder.tasks(), options());
  Runtime box = std::move(first);
  EXPECT_EQ(box.request(0, input_of(picture(0))).get().end, JobEnd::completed);
  const Runtime unused(folder.tasks(), options());
}

TEST_F(ApiTest, SaysWhatIsMissing) {
  const PlannedFolder folder;
  EXPECT_THAT(error_of([&] { static_cast<void>(Runtime(folder.tasks(), options()).find("faces")); }),
              HasSubstr("there is no task 'faces': there are t0"));
  RuntimeOptions o = options();
  o.without = {"nobody"};
  EXPECT_THAT(error_of([&] { Runtime(folder.tasks(), o); }), HasSubstr("'nobody'"));
  std::filesystem::remove(folder.compiled());
  EXPECT_THAT(error_of([&] { Runtime(folder.tasks(), options()); }), HasSubstr("run `rtmdl plan"));
}

}  // namespace
}  // namespace rtmdl
