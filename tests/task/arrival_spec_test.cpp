#include "task/task_file.h"

#include "base/atomic_file.h"

#include <rtmdl/error.h>

#include <filesystem>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

namespace rtmdl {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

class ArrivalSpecTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("rtmdl-arrivals-" + std::to_string(::getpid()));
    fs::create_directories(folder_);
    write_file_atomically(folder_ / "m.onnx", "x");
  }
  void TearDown() override { fs::remove_all(folder_); }

  /// Tasks with these lines besides name (a, b, …), model and data.
  TaskFile parse(const std::vector<std::string>& tasks) const {
    std::string text = "tasks:\n";
    for (std::size_t t = 0; t < tasks.size(); ++t)
      text += std::string("  - {name: ") + static_cast<char>('a' + t) +
              ", model: m.onnx, data: {source: images, path: x}, " + tasks[t] + "}\n";
    return TaskFile::parse(text, folder_ / "tasks.yaml");
  }
  std::string complaint(const std::vector<std::string>& tasks) const {
    try {
      static_cast<void>(parse(tasks));
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::bad_input);
      EXPECT_EQ(std::string(e.what()).find('\n'), std::string::npos) << e.what();
      return e.what();
    }
    return "accepted";
  }
  /// Of a trace with that text.
  std::string trace_complaint(const std::string& text) const {
    write_file_atomically(folder_ / "times.csv", text);
    return complaint({"arrivals: {trace: times.csv}, deadline: 20 ms"});
  }
  fs::path folder_;
};

TEST_F(ArrivalSpecTest, SporadicArrivalsHaveTheirMinimumAsPeriodAndDeadline) {
  const TaskSpec task = parse({"arrivals: {sporadic: {min: 20 ms, mean: 50 ms}}, hard: true, jitter: 1 ms"}).tasks[0];
  EXPECT_EQ(task.period, 20ms);
  EXPECT_EQ(task.deadline, 20ms);
  EXPECT_EQ(task.arrivals.kind, ArrivalSpec::Kind::random);
  EXPECT_EQ(mean_interval(task.arrivals, task.period), 50ms);
}

TEST_F(ArrivalSpecTest, PoissonArrivalsAreAPercentOfTheMeanApart) {
  const TaskSpec task = parse({"arrivals: {poisson: {mean: 50 ms}}, deadline: 80 ms"}).tasks[0];
  EXPECT_EQ(task.period, 500us);
  EXPECT_EQ(task.deadline, 80ms) << "beyond the shortest interval: the next frame may take longer to come";
  EXPECT_EQ(parse({"arrivals: {poisson: {mean: 5 ms}}, deadline: 8 ms"}).tasks[0].period, 100us);
}

TEST_F(ArrivalSpecTest, BurstyArrivalsHaveTwoPhases) {
  const TaskSpec task =
      parse({"arrivals: {bursty: {calm: {mean: 1 s, lasts: 4 s}, burst: {mean: 20 ms, lasts: 2 s}, min: 5 ms}}"})
          .tasks[0];
  EXPECT_EQ(task.period, 5ms);
  EXPECT_EQ(task.arrivals.calm.mean, 1s);
  EXPECT_EQ(task.arrivals.burst.lasts, 2s);
  EXPECT_EQ(representative_stretch(task.arrivals), 60s);
}

TEST_F(ArrivalSpecTest, ATraceIsReadAndStretched) {
  write_file_atomically(folder_ / "times.csv", "0.5\n0.51\r\n1.5\n");
  TaskFile file = parse({"arrivals: {trace: times.csv}, deadline: 20 ms"});
  const TaskSpec& task = file.tasks[0];
  EXPECT_THAT(task.arrivals.times, testing::ElementsAre(500ms, 510ms, 1500ms));
  EXPECT_EQ(task.arrivals.length, 2s) << "the last, and the mean interval";
  EXPECT_EQ(task.period, 10ms);
  file.stretch(2);
  EXPECT_THAT(task.arrivals.times, testing::ElementsAre(1s, 1020ms, 3s));
  EXPECT_EQ(task.period, 20ms);
  EXPECT_EQ(task.deadline, 40ms);
}

TEST_F(ArrivalSpecTest, ATraceIsReadStrictly) {
  EXPECT_THAT(trace_complaint("0.5\nsoon\n"), AllOf(HasSubstr("times.csv:2: 'soon'"), HasSubstr("seconds")));
  EXPECT_THAT(trace_complaint("0.5\n\n0.7\n"), HasSubstr("times.csv:2: ''"));
  EXPECT_THAT(trace_complaint("0.5\n0.7 s\n"), HasSubstr("times.csv:2: '0.7 s'"));
  EXPECT_THAT(trace_complaint("-1\n0.7\n"), HasSubstr("times.csv:1: '-1'"));
  EXPECT_THAT(trace_complaint("1\nnan\n"), HasSubstr("times.csv:2: 'nan'"));
  EXPECT_THAT(trace_complaint("0.5\n0.4\n"), AllOf(HasSubstr("times.csv:2: '0.4'"), HasSubstr("100 us")));
  EXPECT_THAT(trace_complaint("0.5\n"), AllOf(HasSubstr("times.csv"), HasSubstr("two releases")));
  EXPECT_THAT(complaint({"arrivals: {trace: nowhere.csv}, deadline: 20 ms"}),
              AllOf(HasSubstr("tasks.yaml:2"), HasSubstr("arrivals.trace"), HasSubstr("cannot be read")));
}

TEST_F(ArrivalSpecTest, WhatMakesNoSenseIsRefusedInOneLine) {
  EXPECT_THAT(complaint({"arrivals: {weekly: 1}"}), HasSubstr("unknown key 'weekly'"));
  EXPECT_THAT(complaint({"arrivals: often"}), AllOf(HasSubstr("'often'"), HasSubstr("periodic")));
  EXPECT_THAT(complaint({"arrivals: {poisson: {mean: 1 s}, sporadic: {min: 1 s, mean: 2 s}}"}), HasSubstr("2 kinds"));
  EXPECT_THAT(complaint({"arrivals: {sporadic: {mean: 50 ms}}"}), HasSubstr("sporadic.min: is missing"));
  EXPECT_THAT(complaint({"arrivals: {sporadic: {min: 60 ms, mean: 50 ms}}"}), HasSubstr("longer than the mean"));
  EXPECT_THAT(complaint({"arrivals: {poisson: {mean: 0 ms}}"}), HasSubstr("out of range"));
  EXPECT_THAT(complaint({"arrivals: {poisson: {mean: 50 ms}}"}), HasSubstr("has no deadline"));
  EXPECT_THAT(complaint({"arrivals: {poisson: {mean: 50 ms}}, period: 50 ms"}), HasSubstr("`min` in `arrivals`"));
  EXPECT_THAT(complaint({"arrivals: {poisson: {mean: 50 ms}}, deadline: 9 ms, hard: true"}),
              AllOf(HasSubstr("hard"), HasSubstr("shortest interval"), HasSubstr("`min`")));
  EXPECT_THAT(complaint({"arrivals: {sporadic: {min: 20 ms, mean: 50 ms}}, deadline: 90 ms, hard: true"}),
              HasSubstr("beyond what the queue allows"));
  EXPECT_THAT(complaint({"arrivals: {bursty: {calm: {mean: 1 s, lasts: 100 ms}, burst: {mean: 1 ms, lasts: 1 s}}}"}),
              AllOf(HasSubstr("calm.lasts"), HasSubstr("shorter than the mean interval")));
}

TEST_F(ArrivalSpecTest, ATaskAfterAnotherHasItsPeriodFromIt) {
  const TaskFile file = parse({"post: {kind: detections}, period: 100 ms",
                               "after: a, per: detection, max: 4, deadline: 150 ms", "after: b, deadline: 200 ms"});
  EXPECT_EQ(file.tasks[1].after, (AfterSpec{0, true, 4}));
  EXPECT_EQ(file.tasks[1].period, 25ms);
  EXPECT_EQ(file.tasks[1].queue, 4);
  EXPECT_EQ(file.tasks[2].after, (AfterSpec{1, false, 1}));
  EXPECT_EQ(file.tasks[2].period, 25ms);
}

TEST_F(ArrivalSpecTest, GraphsThatMakeNoSenseAreRefused) {
  const std::string first = "post: {kind: detections}, period: 100 ms";
  EXPECT_THAT(complaint({"after: b, deadline: 1 s", first}), HasSubstr("no task above this one"));
  EXPECT_THAT(complaint({first, "after: c, deadline: 1 s"}), AllOf(HasSubstr("'c'"), HasSubstr("there are a")));
  EXPECT_THAT(complaint({first, "after: a"}), HasSubstr("has no deadline"));
  EXPECT_THAT(complaint({first, "after: a, deadline: 1 s, period: 1 s"}), HasSubstr("released by it"));
  EXPECT_THAT(complaint({first, "after: a, deadline: 1 s, hard: true"}), HasSubstr("cannot be proven"));
  EXPECT_THAT(complaint({first, "after: a, deadline: 1 s, late: abort"}), HasSubstr("finish, skip"));
  EXPECT_THAT(complaint({first, "after: a, deadline: 1 s, max: 4"}), HasSubstr("`per: detection`"));
  EXPECT_THAT(complaint({first, "after: a, per: detection, deadline: 1 s, max: 17"}), HasSubstr("17"));
  EXPECT_THAT(complaint({first, "period: 1 s, per: job"}), HasSubstr("`after: TASK`"));
  EXPECT_THAT(complaint({"post: {kind: classes}, period: 1 s", "after: a, per: detection, deadline: 1 s"}),
              AllOf(HasSubstr("'a' gives classes"), HasSubstr("no boxes")));
}

}  // namespace
}  // namespace rtmdl
