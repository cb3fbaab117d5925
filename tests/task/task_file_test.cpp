#include "task/task_file.h"
#include <rtmdl/error.h>

#include "base/atomic_file.h"
#include "base/thread_placement.h"
#include "task/workspace.h"

#include <atomic>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <fmt/format.h>
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
    return TaskFile::parse(
        top + "tasks:\n  - name: faces\n    model: m.onnx\n    data: {source: images, path: x}\n" + lines,
        folder_ / "tasks.yaml");
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
  EXPECT_EQ(file.tasks[0].late, Late::finish);
  EXPECT_EQ(file.tasks[0].watchdog, 20);
  EXPECT_EQ(file.tasks[0].fallback.after, 3);
  EXPECT_EQ(file.tasks[0].fallback.to, FallbackTo::any);
  EXPECT_DOUBLE_EQ(file.tasks[0].miss_rate, 0.01);
  EXPECT_EQ(file.tasks[0].model, folder_ / "m.onnx");
  ASSERT_EQ(file.processors.size(), 1U);
  EXPECT_EQ(file.processors[0].name, "cpu");
  EXPECT_FALSE(file.storage.has_value());
}

TEST_F(TaskFileTest, EverythingThatItDescribesArrives) {
  const TaskFile file = parse(
      "    period: 100 ms\n    deadline: 120 ms\n    jitter: 1 ms\n    offset: 2 ms\n    queue: 2\n    late: abort\n   "
      " watchdog: off\n    fallback: {after: 5, to: processor}\n   "
      " miss_rate: 5 "
      "%\n    hard: true\n"
      "    shapes: {x: [1, 3, 320, 320]}\n    state: {out: in}\n    inputs: {sr: 16000}\n    accuracy: {metric: top1, "
      "min: 80 %, weight: 2}\n"
      "    scale: {precision: [int8], resolution: [0.5], width: [0.5, 0.25, 0.5], depth: [0.75], shared: 40 %, "
      "storage: "
      "200 %, tuning: {epochs: 2, learn_from: source, limit: 5 min, rate: 0.1, batch: 64, shift: 2, mirror: true}}\n",
      "storage: 60 MB\nmemory: 1 GB\nprocessors:\n  cpu: {cores: [0]}\n  gpu: {device: tensorrt, slots: 2, options: "
      "{a: "
      "b}}\n");
  const TaskSpec& t = file.tasks[0];
  EXPECT_EQ(file.storage, 60'000'000);
  EXPECT_EQ(file.memory, 1'000'000'000);
  EXPECT_EQ(file.processors[1].device, "tensorrt");
  EXPECT_FALSE(file.processors[1].preemptive);
  EXPECT_EQ(file.processors[1].slots, 2);
  EXPECT_EQ(file.processors[1].options.at("a"), "b");
  EXPECT_EQ(file.host_processor(), 0);
  EXPECT_EQ(t.deadline, std::chrono::milliseconds(120));
  EXPECT_TRUE(t.hard);
  EXPECT_EQ(t.late, Late::abort);
  EXPECT_EQ(t.watchdog, 0);
  EXPECT_EQ(t.fallback.after, 5);
  EXPECT_EQ(t.fallback.to, FallbackTo::processor);
  EXPECT_EQ(t.shapes.at("x"), (std::vector<std::int64_t>{1, 3, 320, 320}));
  EXPECT_EQ(t.state.at("out"), "in");
  EXPECT_DOUBLE_EQ(t.inputs.at("sr"), 16000);
  EXPECT_EQ(t.accuracy.metric, "top1");
  EXPECT_DOUBLE_EQ(t.accuracy.min, 0.8);
  EXPECT_EQ(t.scale.resolutions, (std::vector<double>{1.0, 0.5}));
  EXPECT_EQ(t.scale.widths, (std::vector<double>{1.0, 0.5, 0.25}));
  EXPECT_EQ(t.scale.depths, (std::vector<double>{1.0, 0.75}));
  EXPECT_DOUBLE_EQ(t.scale.shared, 0.4);
  EXPECT_DOUBLE_EQ(t.scale.storage, 2);
  EXPECT_EQ(t.scale.tuning.learn_from, "source");
  EXPECT_DOUBLE_EQ(t.scale.tuning.epochs, 2);
  EXPECT_EQ(t.scale.tuning.limit, std::chrono::minutes(5));
  EXPECT_DOUBLE_EQ(t.scale.tuning.rate, 0.1);
  EXPECT_EQ(t.scale.tuning.batch, 64);
  EXPECT_EQ(t.scale.tuning.shift, 2);
  EXPECT_TRUE(t.scale.tuning.mirror);
}

TEST_F(TaskFileTest, ABudgetOfEnergyIsPowerOrABatteryThatLasts) {
  const std::string processors = "processors: {cpu: {cores: [0], power: {busy: 4 W, idle: 500 mW}}}\n";
  const TaskFile power = parse("    period: 10 ms\n", processors + "energy: {budget: 5 W, meter: rapl}\n");
  EXPECT_EQ(power.processors[0].power, (ProcessorPower{4, 0.5}));
  EXPECT_DOUBLE_EQ(power.energy.watts.value(), 5);
  EXPECT_EQ(power.energy.meter, MeterKind::rapl);
  const TaskFile battery = parse("    period: 10 ms\n", processors + "energy: {battery: 20 Wh, for: 8 h}\n");
  EXPECT_DOUBLE_EQ(battery.energy.watts.value(), 2.5);
  EXPECT_FALSE(battery.energy.harvest.has_value());
}

TEST_F(TaskFileTest, AHarvestIsMadeUpOrRecorded) {
  const std::string top = "processors: {cpu: {cores: [0], power: {busy: 4 W}}}\n";
  const TaskFile made_up = parse("    period: 10 ms\n",
                                 top +
                                     "energy: {harvest: {trace: solar, power: 6 W, eta: 0.5, capacitor: {capacity: 20 "
                                     "J, start: 5 J, min: 1 J, efficiency: 90 %}}}\n");
  const HarvestSpec& h = made_up.energy.harvest.value();
  EXPECT_EQ(h.kind, HarvestSpec::Kind::solar);
  EXPECT_DOUBLE_EQ(h.watts, 6);
  EXPECT_DOUBLE_EQ(h.eta.value(), 0.5);
  EXPECT_EQ(h.capacitor, (CapacitorSpec{20, 5, 1, 0.9}));
  write_file_atomically(folder_ / "roof.csv", "seconds,watts\n10,2\n10.5,0\n11.5,3.5\n");
  const TaskFile recorded =
      parse("    period: 10 ms\n", top + "energy: {harvest: {trace: roof.csv, capacitor: 2 Wh}}\n");
  const HarvestTrace& trace = recorded.energy.harvest->recorded;
  using std::chrono::milliseconds;
  EXPECT_EQ(trace.pieces, (std::vector<HarvestTrace::Piece>{
                              {milliseconds(500), 2}, {milliseconds(1000), 0}, {milliseconds(750), 3.5}}));
  EXPECT_EQ(trace.slot, milliseconds(750));
  EXPECT_DOUBLE_EQ(recorded.energy.harvest->capacitor.start, 7200);
}

TEST_F(TaskFileTest, WhatIsWrongWithEnergyIsSaid) {
  const std::string power = "processors: {cpu: {cores: [0], power: {busy: 4 W}}}\n";
  const auto said = [&](const std::string& energy) {
    return complaint("    period: 10 ms\n", power + "energy: " + energy + "\n");
  };
  EXPECT_THAT(said("{budget: 5}"), HasSubstr("energy.budget: '5' has no unit"));
  EXPECT_THAT(said("{budget: 0 W}"), HasSubstr("energy.budget: '0 W' is out of range"));
  EXPECT_THAT(said("{budget: 5 W, battery: 20 Wh}"), HasSubstr("energy.battery: `budget` says already"));
  EXPECT_THAT(said("{battery: 20 Wh}"), HasSubstr("energy.battery: for how long?"));
  EXPECT_THAT(said("{for: 8 h}"), HasSubstr("energy.for: is of a battery"));
  EXPECT_THAT(said("{budget: 5 W, meter: gauge}"), HasSubstr("energy.meter: 'gauge' is not accepted"));
  EXPECT_THAT(said("{harvest: {trace: rf, capacitor: 1 J}}"), HasSubstr("energy.harvest.power: is missing"));
  EXPECT_THAT(said("{harvest: {trace: rf, power: 1 W}}"), HasSubstr("energy.harvest.capacitor"));
  EXPECT_THAT(said("{harvest: {trace: moon, capacitor: 1 J}}"),
              HasSubstr("'moon' is not there; accepted are persistent, solar, rf, random"));
  EXPECT_THAT(said("{harvest: {trace: rf, power: 1 W, capacitor: {capacity: 1 J, start: 2 J}}}"),
              HasSubstr("energy.harvest.capacitor.start: '2 J' is more than the capacitor's 1 J"));
  EXPECT_THAT(said("{harvest: {trace: rf, power: 1 W, capacitor: 1 J, eta: 2}}"), HasSubstr("0 to 1 is accepted"));
  EXPECT_THAT(complaint("    period: 10 ms\n", "processors: {cpu: {cores: [0]}}\nenergy: {budget: 5 W}\n"),
              HasSubstr("energy: what is drawn has to be known: 'cpu' has no `power`"));
  EXPECT_THAT(complaint("    period: 10 ms\n", "processors: {cpu: {cores: [0], power: {busy: 1 W, idle: 2 W}}}\n"),
              HasSubstr("processors.cpu.power.idle: '2 W' is more than the 1 W of `busy`"));
}

TEST_F(TaskFileTest, ABrokenRowOfAHarvestIsNamed) {
  const auto said = [&](const std::string& rows) -> std::string {
    write_file_atomically(folder_ / "roof.csv", rows);
    try {
      static_cast<void>(parse("    period: 10 ms\n",
                              "processors: {cpu: {cores: [0], power: {busy: 4 W}}}\n"
                              "energy: {harvest: {trace: roof.csv, capacitor: 1 J}}\n"));
    } catch (const Error& e) {
      return e.what();
    }
    return "accepted";
  };
  EXPECT_THAT(said("0,1\n1,x\n"), HasSubstr("roof.csv:2: '1,x' is no row of a harvest trace"));
  EXPECT_THAT(said("1,1\n0,1\n"), HasSubstr("roof.csv:2: '0,1' is not at least 1 ms after"));
  EXPECT_THAT(said("0,1\n"), HasSubstr("at least two rows"));
}

TEST_F(TaskFileTest, TheKernelMayOrderAProcessorByDeadlines) {
  const auto processors = [](const std::string& gpu) {
    return "processors:\n  cpu: {cores: [0]}\n  gpu: {" + gpu + "}\n";
  };
  const std::string period = "    period: 33 ms\n";
  EXPECT_EQ(parse(period).processors[0].kernel, KernelOrder::fifo);
  EXPECT_THAT(complaint(period, processors("device: webgpu, kernel: deadline")),
              HasSubstr("tasks.yaml:3: processors.gpu.kernel: is for cpu devices; 'gpu' is a webgpu"));
  EXPECT_THAT(complaint(period, "processors:\n  cpu: {kernel: edf}\n"),
              HasSubstr("tasks.yaml:2: processors.cpu.kernel: "));
  const std::vector<int> cores = available_cores();
  if (cores.size() <= kMaxSlots) {
    EXPECT_THAT(complaint(period, fmt::format("processors:\n  cpu: {{slots: {}, kernel: deadline}}\n", cores.size())),
                HasSubstr("processors.cpu.kernel: 'deadline' leaves no core"));
  }
  if (cores.size() < 2) return;
  const TaskFile file = parse(period, processors("device: cpu, cores: [1], kernel: deadline"));
  EXPECT_EQ(file.processors[0].kernel, KernelOrder::fifo);
  EXPECT_EQ(file.processors[1].kernel, KernelOrder::deadline);
  EXPECT_THAT(complaint(period, processors("device: cpu, cores: [1], preemptive: false, kernel: deadline")),
              HasSubstr("processors.gpu.kernel: 'deadline' is preemptive"));
  EXPECT_THAT(
      complaint(period, "processors:\n  cpu: {kernel: deadline}\n"),
      HasSubstr(fmt::format("'deadline' is for one core a slot; 'cpu' has {} cores and `slots: 1`", cores.size())));
}

TEST_F(TaskFileTest, FamiliesHaveABoundOfTheirOwnWhereTheFileHasNone) {
  EXPECT_DOUBLE_EQ(parse("    period: 33 ms\n").tasks[0].scale.storage, 1.3);
  EXPECT_GE(parse("    period: 33 ms\n", "storage: 60 MB\n").tasks[0].scale.storage, 100);
  EXPECT_DOUBLE_EQ(parse("    period: 33 ms\n    scale: {storage: 150 %}\n", "storage: 60 MB\n").tasks[0].scale.storage,
                   1.5);
}

TEST_F(TaskFileTest, AnUnknownKeyIsRefusedAndTheNearestNamed) {
  EXPECT_EQ(complaint("    perod: 33 ms\n"),
            "tasks.yaml:5: tasks[0].perod: unknown key 'perod'; did you mean 'period'?");
  EXPECT_THAT(complaint("    period: 33 ms\n", "storrage: 3 MB\n"),
              HasSubstr("tasks.yaml:1: storrage: unknown key 'storrage'; did you mean 'storage'?"));
  EXPECT_THAT(complaint("    period: 33 ms\n    xyzzy: 1\n"),
              HasSubstr("unknown key 'xyzzy'; accepted are name, model,"));
}

TEST_F(TaskFileTest, APeriodNeedsAUnitAndIsPositive) {
  EXPECT_EQ(complaint("    period: 33\n"),
            "tasks.yaml:5: tasks[0].period: '33' has no unit: write a time with one of ns, us, ms, s, min, h");
  EXPECT_EQ(complaint("    period: -5 ms\n"),
            "tasks.yaml:5: tasks[0].period: '-5 ms' is out of range: 100 us to 60.0 min is accepted");
  EXPECT_THAT(complaint("    period: 0 ms\n"), HasSubstr("'0 ms' is out of range"));
  EXPECT_THAT(complaint("    period: .nan ms\n"), HasSubstr("is not a time"));
  EXPECT_THAT(complaint(""), HasSubstr("has no period"));
}

TEST_F(TaskFileTest, ADeadlineBeyondWhatTheQueueAllowsIsRefused) {
  EXPECT_EQ(parse("    period: 10 ms\n    deadline: 20 ms\n").tasks[0].deadline, std::chrono::milliseconds(20));
  EXPECT_THAT(complaint("    period: 10 ms\n    deadline: 21 ms\n"),
              HasSubstr("'21 ms' is beyond what the queue allows: with `queue: 1` and a period of 10 ms"));
  EXPECT_EQ(parse("    period: 10 ms\n    deadline: 21 ms\n    queue: 2\n").tasks[0].queue, 2);
}

TEST_F(TaskFileTest, TwoTasksWithOneNameAreRefused) {
  EXPECT_THAT(complaint("    period: 10 ms\n  - name: faces\n    model: m.onnx\n    data: {source: images, path: x}\n  "
                        "  period: 5 ms\n"),
              HasSubstr("two tasks have the name 'faces'"));
}

TEST_F(TaskFileTest, ACoreThatDoesNotExistIsRefusedAndTheCoresNamed) {
  EXPECT_THAT(complaint("    period: 10 ms\n", "processors: {cpu: {cores: [4095]}}\n"),
              HasSubstr("core 4095 does not exist on this machine; it has 0"));
  EXPECT_THAT(complaint("    period: 10 ms\n", "processors: {cpu: {cores: [0]}, gpu: {device: cpu, cores: [0]}}\n"),
              HasSubstr("core 0 belongs to 'cpu' already"));
}

TEST_F(TaskFileTest, AMissingModelIsNamed) {
  try {
    static_cast<void>(
        TaskFile::parse("tasks: [{name: a, model: none.onnx, period: 1 ms, data: {}}]", folder_ / "tasks.yaml"));
    FAIL();
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), HasSubstr("tasks[0].model: '" + (folder_ / "none.onnx").string() + "' is not there"));
  }
}

TEST_F(TaskFileTest, BrokenYamlIsOneLine) {
  for (const char* text :
       {"tasks: [", "{", "\t- x: [", "a: b: c", "tasks: 3", "- 1", "", "tasks: []", "tasks:\n  - 3\n"}) {
    try {
      static_cast<void>(TaskFile::parse(text, folder_ / "tasks.yaml"));
      ADD_FAILURE() << "accepted: " << text;
    } catch (const Error& e) {
      EXPECT_EQ(std::string(e.what()).find('\n'), std::string::npos) << e.what();
    }
  }
  EXPECT_THROW(static_cast<void>(TaskFile::parse(std::string(100'000, '['), "t")), Error);
}

TEST_F(TaskFileTest, WhateverTextItQuotesAMessageIsOneShortLine) {
  EXPECT_THAT(complaint("    period: \"3\\n3 ms\"\n"),
              HasSubstr("tasks[0].period: '3\\n3 ms' has the unknown unit '\\n3 ms'"));
  // A quote that is never closed swallows the rest of the file.
  const std::string message = complaint("    period: \"33 ms\n" + std::string(5000, 'x') + "\"\n");
  EXPECT_LT(message.size(), 400U);
  EXPECT_THAT(message, HasSubstr("a time takes one of ns, us, ms, s, min, h"));
  EXPECT_LT(complaint("    period: 33 ms\n    " + std::string(900, 'k') + ": 1\n").size(), 600U);
}

TEST_F(TaskFileTest, WhatFollowsTheDocumentIsRefused) {
  EXPECT_EQ(complaint("    period: 33 ms\n---\ntasks: []\n"),
            "tasks.yaml:6: the YAML document ends before this line; one document is accepted");
  EXPECT_EQ(complaint("    period: 33 ms\n", "# a comment\n, that is broken\n"),
            "tasks.yaml:2: the YAML document ends before this line; one document is accepted");
  EXPECT_EQ(complaint("    period: 33 ms\n...\n"), "accepted");
  EXPECT_EQ(complaint("    period: 33 ms\n", "---\n"), "accepted");
}

TEST_F(TaskFileTest, AliasesThatMultiplyOrGoInCirclesAreRefused) {
  std::string bomb = "    period: 33 ms\n    pre:\n      a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 10; ++i)
    bomb += fmt::format("      a{0}: &a{0} [*a{1}, *a{1}, *a{1}, *a{1}, *a{1}, *a{1}, *a{1}, *a{1}]\n", i, i - 1);
  EXPECT_EQ(complaint(bomb), "tasks.yaml: more than 100000 values, aliases followed");
  EXPECT_EQ(complaint("    period: 33 ms\n    pre: &p {scale: *p}\n"), "tasks.yaml: nested deeper than 64 levels");
}

TEST_F(TaskFileTest, AKeyTwiceIsRefused) {
  EXPECT_EQ(complaint("    period: 33 ms\n    period: 34 ms\n"),
            "tasks.yaml:6: tasks[0]: the key 'period' appears twice");
}

TEST_F(TaskFileTest, ProcessorsHavePlainNamesAndACpuTakesNoOptions) {
  EXPECT_EQ(complaint("    period: 33 ms\n", "processors: {\"a b\": {cores: [0]}}\n"),
            "tasks.yaml:1: processors.a b: 'a b' is not accepted: a name is 1 to 64 letters, digits, '-' and '_'");
  EXPECT_EQ(complaint("    period: 33 ms\n", "processors: {cpu: {options: {a: b}}}\n"),
            "tasks.yaml:1: processors.cpu.options: options are for accelerators; a cpu device takes none");
}

TEST_F(TaskFileTest, WebGpuIsOneProcessorOfOneSlot) {
  EXPECT_EQ(complaint("    period: 33 ms\n", "processors: {cpu: {cores: [0]}, gpu: {device: webgpu, slots: 2}}\n"),
            "tasks.yaml:1: processors.gpu.slots: 2 slots; a webgpu device runs one model at a time, accepted is 1");
  EXPECT_EQ(complaint("    period: 33 ms\n",
                      "processors: {cpu: {cores: [0]}, gpu: {device: webgpu, slots: 1}, other: {device: webgpu}}\n"),
            "tasks.yaml:1: processors.other: 'gpu' is the webgpu device already; it serves one processor");
}

TEST_F(TaskFileTest, ATaskMayBeKeptToSomeProcessors) {
  const std::string processors = "processors: {cpu: {cores: [0]}, gpu: {device: webgpu}}\n";
  const TaskFile file = parse("    period: 33 ms\n    processors: [gpu]\n", processors);
  EXPECT_TRUE(file.tasks[0].may_run_on("gpu"));
  EXPECT_FALSE(file.tasks[0].may_run_on("cpu"));
  EXPECT_TRUE(parse("    period: 33 ms\n", processors).tasks[0].may_run_on("cpu"));
  EXPECT_EQ(complaint("    period: 33 ms\n    processors: [gpv]\n", processors),
            "tasks.yaml:7: tasks[0].processors[0]: 'gpv' is no processor; accepted are cpu, gpu");
  EXPECT_EQ(complaint("    period: 33 ms\n    processors: []\n", processors),
            "tasks.yaml:7: tasks[0].processors: an empty list; name at least one processor");
}

TEST_F(TaskFileTest, ATaskMayBeSplitOverTwoProcessors) {
  const std::string processors = "processors: {cpu: {cores: [0]}, gpu: {device: webgpu}}\n";
  EXPECT_FALSE(parse("    period: 33 ms\n", processors).tasks[0].split);
  EXPECT_TRUE(parse("    period: 33 ms\n    split: true\n", processors).tasks[0].split);
  EXPECT_TRUE(parse("    period: 33 ms\n    split: true\n    processors: [gpu, cpu]\n", processors).tasks[0].split);
  EXPECT_EQ(
      complaint("    period: 33 ms\n    split: true\n    processors: [gpu]\n", processors),
      "tasks.yaml:7: tasks[0].split: true, but this task has one processor to run on; a model is split over two, so "
      "name another or leave `split` out");
}

TEST(PlaceName, SaysWhereTheRestOfASplitModelBegins) {
  EXPECT_EQ(place_name({"cpu", "gpu"}, {57}), "cpu+gpu@57");
  EXPECT_EQ(place_name({"cpu", "gpu", "cpu"}, {57, 80}), "cpu+gpu+cpu@57,80");
}

TEST(ThreadsOn, AProcessorAreNoMoreThanItsCores) {
  ProcessorSpec cpu, gpu;
  cpu.cores = {0, 1};
  gpu.device = "webgpu";
  EXPECT_EQ(threads_on(cpu, 1), 1);
  EXPECT_EQ(threads_on(cpu, 3), 2);
  EXPECT_EQ(threads_on(gpu, 3), 1);
}

TEST_F(TaskFileTest, AMissingKeyNamesTheOneThatWasMeant) {
  const ConfigNode post = ConfigNode::parse("{kindd: scalar}", "t.yaml");
  try {
    static_cast<void>(post["kind"].one_of({"scalar", "tensor"}));
    FAIL();
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(), "t.yaml:1: kind: is missing; did you mean it by the key 'kindd'?");
  }
  try {
    static_cast<void>(post["output"].one_of({"scalar", "tensor"}));
    FAIL();
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(), "t.yaml:1: output: is missing; accepted are scalar, tensor");
  }
}

TEST_F(TaskFileTest, ValuesOutOfRangeAreRefusedWithWhatIsAccepted) {
  const std::vector<std::pair<std::string, std::string>> rows{
      {"deadline: 3 h", "'3 h' is out of range: 100 us to 60.0 min is accepted"},
      {"jitter: -1 ms", "'-1 ms' is out of range: 0 ms to 33 ms (the period) is accepted"},
      {"queue: 0", "0 is out of range: 1 to 16 is accepted"},
      {"late: never", "'never'"},
      {"watchdog: 0", "0"},
      {"fallback: {after: 0}", "0"},
      {"fallback: {to: source}", "'source'"},
      {"fallback: sometimes", "{after: 3, to: variant}"},
      {"queue: 99999999999999999999", "'99999999999999999999' is not a whole number"},
      {"miss_rate: 200 %", "200 % is out of range: 0 % to 100 % is accepted"},
      {"miss_rate: nan %", "'nan %' is not a percentage"},
      {"hard: maybe", "'maybe' is not accepted; accepted are true, false"},
      {"accuracy: {min: 101 %}", "101 % is out of range: 0 % to 100 % is accepted"},
      {"accuracy: {weight: -1}", "-1 is out of range: 0 to 1000000 is accepted"},
      {"accuracy: {weight: nan}", "'nan' is not a finite number"},
      {"accuracy: {metric: topp1}", "did you mean 'top1'?"},
      {"scale: {resolution: [2]}", "2 is out of range: 0.1 to 1 is accepted"},
      {"scale: {width: [0]}", "0 is out of range: 0.05 to 1 is accepted"},
      {"scale: {depth: [1.5]}", "1.5 is out of range: 0 to 1 is accepted"},
      {"scale: {widths: [0.5]}", "did you mean 'width'?"},
      {"scale: {shared: 0.5}", "'0.5' has no unit: write a percentage"},
      {"scale: {storage: -1 %}", "-1 % is out of range: 0 % to 10000 % is accepted"},
      {"scale: {tuning: {epochs: nan}}", "'nan' is not a finite number"},
      {"scale: {tuning: {limit: 0 s}}", "must be longer than nothing"},
      {"scale: {tuning: {learn_from: teacher}}", "accepted are auto, labels, source"},
      {"scale: {precision: int8}", "expected a list, found 'int8'"},
      {"shapes: {x: [0]}", "the dimension 0 is out of range"},
      {"shapes: [1]", "expected a map, found a list"},
      {"variants: m.onnx", "expected a list, found 'm.onnx'"},
      {"variants: [none.onnx]", "none.onnx' is not there; a model is an ONNX file"},
      {"variants: [.]", "' is not a file; a model is an ONNX file"},
  };
  for (const auto& [line, expected] : rows)
    EXPECT_THAT(complaint("    period: 33 ms\n    " + line + "\n"), HasSubstr(expected)) << line;
  for (const char* storage : {"-1 MB", "1e30 GB", "60", "nan MB", "[1]"})
    EXPECT_THAT(complaint("    period: 33 ms\n", fmt::format("storage: {}\n", storage)),
                HasSubstr("tasks.yaml:1: storage: "));
}

TEST_F(TaskFileTest, MoreTasksThanAreSchedulableAreRefused) {
  std::string tasks = "tasks:\n";
  for (int i = 0; i < 65; ++i) tasks += fmt::format("  - {{name: t{}, model: m.onnx, data: {{}}, period: 33 ms}}\n", i);
  try {
    static_cast<void>(TaskFile::parse(tasks, folder_ / "tasks.yaml"));
    FAIL();
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), HasSubstr("65 tasks; at most 64 are accepted"));
  }
}

TEST_F(TaskFileTest, AWorkspaceWhoseMakingWasKilledIsMadeAnew) {
  write_file_atomically(folder_ / "killed" / "workspace-version.part.1", "");
  EXPECT_NO_THROW(Workspace(folder_ / "killed"));
  EXPECT_EQ(read_file(folder_ / "killed" / "workspace-version"), "1\n");
  for (const char* version : {"", "junk", "1x", "0", "-1", "99999999999999999999"}) {
    write_file_atomically(folder_ / "killed" / "workspace-version", version);
    EXPECT_THROW(Workspace(folder_ / "killed"), Error) << version;
  }
}

TEST_F(TaskFileTest, AWorkspaceIsWorkedInByOneProcessAtATime) {
  const Workspace workspace(folder_ / "shared");
  std::atomic<bool> stop{false};
  std::atomic<int> waits{0};
  Context context;
  context.stop = &stop;
  context.log = [&](LogLevel, const std::string& line) {
    EXPECT_THAT(line, HasSubstr("another rtmdl is at work in "));
    ++waits;
  };
  auto held = std::make_unique<WorkspaceLock>(workspace, context);
  std::atomic<bool> entered{false};
  std::thread second([&] {
    const WorkspaceLock waiting(workspace, context);
    entered = true;
  });
  while (waits == 0) std::this_thread::yield();
  EXPECT_FALSE(entered);
  held.reset();
  second.join();
  EXPECT_TRUE(entered);
  // Stopped while it waits, it gives up.
  held = std::make_unique<WorkspaceLock>(workspace, context);
  stop = true;
  const WorkspaceLock gave_up(workspace, context);
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
  EXPECT_EQ(nearest_word("a", {"pad"}), "") << "what has nothing in common is not near";
}

}  // namespace
}  // namespace rtmdl
