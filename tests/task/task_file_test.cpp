#include <rtmdl/error.h>
#include <rtmdl/task_file.h>

#include "base/atomic_file.h"
#include "task/workspace.h"

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

namespace rtmdl {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

class TaskFileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("rtmdl-task-" + std::to_string(::getpid()));
    fs::create_directories(folder_);
    write_file_atomically(folder_ / "m.onnx", "x");
  }
  void TearDown() override { fs::remove_all(folder_); }

  /// A task file whose one task has these lines besides name, model and data.
  TaskFile parse(const std::string& lines, const std::string& top = "") {
    return TaskFile::parse(top + "tasks:\n  - name: faces\n    model: m.onnx\n    data: {source: images, path: x}\n" + lines, folder_ / "tasks.yaml");
  }
  std::string complaint(const std::string& lines, const std::string& top = "") {
    try {
      static_cast<void>(parse(lines, top));
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::bad_input);
      std::string text = e.what();
      EXPECT_EQ(text.find('\n'), std::string::npos) << "one line: " << text;
      EXPECT_THAT(text, HasSubstr("tasks.yaml"));
      return text.substr(text.find("tasks.yaml"));
    }
    return "accepted";
  }
  fs::path folder_;
};

TEST_F(TaskFileTest, StretchingKeepsTheRatiosOfAllTimes) {
  TaskFile file = parse("    period: 40 ms\n    deadline: 20 ms\n    jitter: 1 ms\n    offset: 3 ms\n");
  file.stretch(0.5);
  EXPECT_EQ(file.tasks[0].period, std::chrono::milliseconds(20));
  EXPECT_EQ(file.tasks[0].deadline, std::chrono::milliseconds(10));
  EXPECT_EQ(file.tasks[0].jitter, std::chrono::microseconds(500));
  EXPECT_EQ(file.tasks[0].offset, std::chrono::microseconds(1500));
  try {
    file.stretch(1e-4);
    FAIL() << "a period of 2 us";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::bad_input);
    EXPECT_THAT(e.what(), HasSubstr("period"));
    EXPECT_THAT(e.what(), HasSubstr("1e+04 times as fast is out of range: 100 us to 60.0 min is accepted"));
  }
}

TEST_F(TaskFileTest, DefaultsAreSane) {
  const TaskFile file = parse("    period: 33.3 ms\n");
  ASSERT_EQ(file.tasks.size(), 1U);
  EXPECT_EQ(file.tasks[0].period, Duration(33'300'000));
  EXPECT_EQ(file.tasks[0].deadline, file.tasks[0].period);
  EXPECT_EQ(file.tasks[0].queue, 1);
  EXPECT_DOUBLE_EQ(file.tasks[0].miss_rate, 0.01);
  EXPECT_EQ(file.tasks[0].model, folder_ / "m.onnx");
  ASSERT_EQ(file.processors.size(), 1U);
  EXPECT_EQ(file.processors[0].name, "cpu");
  EXPECT_FALSE(file.storage.has_value());
}

TEST_F(TaskFileTest, EverythingThatItDescribesArrives) {
  const TaskFile file = parse(
      "    period: 100 ms\n    deadline: 120 ms\n    jitter: 1 ms\n    offset: 2 ms\n    queue: 2\n    miss_rate: 5 %\n    hard: true\n"
      "    shapes: {x: [1, 3, 320, 320]}\n    state: {out: in}\n    inputs: {sr: 16000}\n    accuracy: {metric: top1, min: 80 %, weight: 2}\n"
      "    scale: {precision: [int8], resolution: [0.5]}\n",
      "storage: 60 MB\nmemory: 1 GB\nprocessors:\n  cpu: {cores: [0]}\n  gpu: {device: webgpu, slots: 2, options: {a: b}}\n");
  const TaskSpec& t = file.tasks[0];
  EXPECT_EQ(file.storage, 60'000'000);
  EXPECT_EQ(file.memory, 1'000'000'000);
  EXPECT_EQ(file.processors[1].device, "webgpu");
  EXPECT_FALSE(file.processors[1].preemptive);
  EXPECT_EQ(file.processors[1].slots, 2);
  EXPECT_EQ(file.processors[1].options.at("a"), "b");
  EXPECT_EQ(file.host_processor(), 0);
  EXPECT_EQ(t.deadline, std::chrono::milliseconds(120));
  EXPECT_TRUE(t.hard);
  EXPECT_EQ(t.shapes.at("x"), (std::vector<std::int64_t>{1, 3, 320, 320}));
  EXPECT_EQ(t.state.at("out"), "in");
  EXPECT_DOUBLE_EQ(t.inputs.at("sr"), 16000);
  EXPECT_EQ(t.accuracy.metric, "top1");
  EXPECT_DOUBLE_EQ(t.accuracy.min, 0.8);
  EXPECT_EQ(t.scale.resolutions, (std::vector<double>{1.0, 0.5}));
}

TEST_F(TaskFileTest, AnUnknownKeyIsRefusedAndTheNearestNamed) {
  EXPECT_EQ(complaint("    perod: 33 ms\n"), "tasks.yaml:5: tasks[0].perod: unknown key 'perod'; did you mean 'period'?");
  EXPECT_THAT(complaint("    period: 33 ms\n", "storrage: 3 MB\n"), HasSubstr("tasks.yaml:1: storrage: unknown key 'storrage'; did you mean 'storage'?"));
  EXPECT_THAT(complaint("    period: 33 ms\n    xyzzy: 1\n"), HasSubstr("unknown key 'xyzzy'; accepted are name, model,"));
}

TEST_F(TaskFileTest, APeriodNeedsAUnitAndIsPositive) {
  EXPECT_EQ(complaint("    period: 33\n"),
            "tasks.yaml:5: tasks[0].period: '33' has no unit: write a time with one of ns, us, ms, s, min, h");
  EXPECT_EQ(complaint("    period: -5 ms\n"), "tasks.yaml:5: tasks[0].period: '-5 ms' is out of range: 100 us to 60.0 min is accepted");
  EXPECT_THAT(complaint("    period: 0 ms\n"), HasSubstr("'0 ms' is out of range"));
  EXPECT_THAT(complaint("    period: .nan ms\n"), HasSubstr("is not a time"));
  EXPECT_THAT(complaint(""), HasSubstr("has no period"));
}

TEST_F(TaskFileTest, ADeadlineBeyondWhatTheQueueAllowsIsRefused) {
  EXPECT_EQ(parse("    period: 10 ms\n    deadline: 20 ms\n").tasks[0].deadline, std::chrono::milliseconds(20));
  EXPECT_THAT(complaint("    period: 10 ms\n    deadline: 21 ms\n"), HasSubstr("'21 ms' is beyond what the queue allows: with `queue: 1` and a period of 10 ms"));
  EXPECT_EQ(parse("    period: 10 ms\n    deadline: 21 ms\n    queue: 2\n").tasks[0].queue, 2);
}

TEST_F(TaskFileTest, TwoTasksWithOneNameAreRefused) {
  EXPECT_THAT(complaint("    period: 10 ms\n  - name: faces\n    model: m.onnx\n    data: {source: images, path: x}\n    period: 5 ms\n"),
              HasSubstr("two tasks have the name 'faces'"));
}

TEST_F(TaskFileTest, ACoreThatDoesNotExistIsRefusedAndTheCoresNamed) {
  EXPECT_THAT(complaint("    period: 10 ms\n", "processors: {cpu: {cores: [4095]}}\n"), HasSubstr("core 4095 does not exist on this machine; it has 0"));
  EXPECT_THAT(complaint("    period: 10 ms\n", "processors: {cpu: {cores: [0]}, gpu: {device: cpu, cores: [0]}}\n"),
              HasSubstr("core 0 belongs to 'cpu' already"));
}

TEST_F(TaskFileTest, AMissingModelIsNamed) {
  try {
    static_cast<void>(TaskFile::parse("tasks: [{name: a, model: none.onnx, period: 1 ms, data: {}}]", folder_ / "tasks.yaml"));
    FAIL();
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), HasSubstr("tasks[0].model: '" + (folder_ / "none.onnx").string() + "' is not there"));
  }
}

TEST_F(TaskFileTest, BrokenYamlIsOneLine) {
  for (const char* text : {"tasks: [", "{", "\t- x: [", "a: b: c", "tasks: 3", "- 1", "", "tasks: []", "tasks:\n  - 3\n"}) {
    try {
      static_cast<void>(TaskFile::parse(text, folder_ / "tasks.yaml"));
      ADD_FAILURE() << "accepted: " << text;
    } catch (const Error& e) {
      EXPECT_EQ(std::string(e.what()).find('\n'), std::string::npos) << e.what();
    }
  }
  EXPECT_THROW(static_cast<void>(TaskFile::parse(std::string(100'000, '['), "t")), Error);
}

TEST_F(TaskFileTest, AWorkspaceOfANewerVersionIsRefused) {
  write_file_atomically(folder_ / "w" / "workspace-version", "99\n");
  try {
    const Workspace w(folder_ / "w");
    FAIL();
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), HasSubstr("written by a newer rtmdl (version 99, this one reads up to 1)"));
  }
  EXPECT_NO_THROW(Workspace(folder_ / "fresh"));
  EXPECT_NO_THROW(Workspace(folder_ / "fresh"));
  write_file_atomically(folder_ / "other" / "precious.txt", "mine");
  EXPECT_THROW(Workspace(folder_ / "other"), Error);
}

TEST(NearestWord, IsNoneWhenNothingIsNear) {
  EXPECT_EQ(nearest_word("perid", {"name", "period"}), "period");
  EXPECT_EQ(nearest_word("zzzzzz", {"name", "period"}), "");
}

}  // namespace
}  // namespace rtmdl
