// One row per kind of bad input: one clear line on stderr, exit status 2, nothing half-written.
#include "base/atomic_file.h"
#include "command.h"

#include <algorithm>
#include <filesystem>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <unistd.h>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rtmdl {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;
namespace fs = std::filesystem;

class BadInput : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / fmt::format("rtmdl-bad-{}-{}", ::getpid(),
                                                      ::testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::create_directories(folder_ / "pictures");
    fs::create_symlink(fs::path(RTMDL_SOURCE_DIR) / "assets/models/blazeface_128.onnx", folder_ / "faces.onnx");
    fs::copy(fs::path(RTMDL_SOURCE_DIR) / "assets/data/pictures/astronaut.png", folder_ / "pictures");
  }
  void TearDown() override { fs::remove_all(folder_); }

  /// A task file that is right but for what a test puts in.
  std::string tasks(const std::string& timing = "    period: 33.3 ms\n", const std::string& model = "faces.onnx",
                    const std::string& top = "") {
    const std::string text = fmt::format(
        "{}tasks:\n  - name: faces\n    model: {}\n    data: {{source: images, path: pictures}}\n"
        "    pre: {{resize: [128, 128], layout: NHWC, scale: 0.00784, shift: -1}}\n    post: {{kind: detections, "
        "decoder: blazeface}}\n{}",
        top, model, timing);
    write_file_atomically(folder_ / "tasks.yaml", text);
    return (folder_ / "tasks.yaml").string();
  }

  std::string refused(const std::string& arguments, const std::string& before = "") {
    const CommandResult r = run_rtmdl(arguments, before);
    EXPECT_EQ(r.status, 2) << r.err;
    EXPECT_EQ(r.out, "");
    const auto last = r.err.find("rtmdl: ");
    EXPECT_NE(last, std::string::npos) << r.err;
    const std::string line = last == std::string::npos ? "" : r.err.substr(last);
    EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1) << "one line: " << r.err;
    for (const auto& entry : fs::recursive_directory_iterator(folder_))
      EXPECT_EQ(entry.path().string().find(".part"), std::string::npos) << entry.path();
    return line;
  }
  std::string workspace() { return fmt::format("--workspace '{}'", (folder_ / "w").string()); }

  fs::path folder_;
};

TEST_F(BadInput, UnknownKeyNamesTheNearest) {
  EXPECT_THAT(refused("scale " + tasks("    perid: 33.3 ms\n")),
              HasSubstr("tasks.yaml:7: tasks[0].perid: unknown key 'perid'; did you mean 'period'?"));
}

TEST_F(BadInput, MissingUnit) {
  EXPECT_THAT(refused("plan " + tasks("    period: 33\n")), HasSubstr("tasks[0].period: '33' has no unit"));
}

TEST_F(BadInput, ABudgetOfEnergyWithoutPower) {
  EXPECT_THAT(refused("plan " + tasks("    period: 33 ms\n", "faces.onnx", "energy: {budget: 5 W}\n")),
              HasSubstr("tasks.yaml:1: energy: what is drawn has to be known: 'cpu' has no `power`"));
  EXPECT_THAT(refused("plan " + tasks() + " --set energy.budget=5"), HasSubstr("'5' has no unit"));
}

TEST_F(BadInput, AMeterThatIsNotThereIsAMissingDevice) {
  if (fs::exists("/sys/class/hwmon")) GTEST_SKIP() << "there may be one here";
  const CommandResult r = run_rtmdl("run " + tasks("    period: 33 ms\n", "faces.onnx", "energy: {meter: hwmon}\n") +
                                    " --duration 1s " + workspace());
  EXPECT_EQ(r.status, 4);
  EXPECT_THAT(r.err, HasSubstr("energy.meter: hwmon: no sensor of the INA kind"));
}

TEST_F(BadInput, NegativeOrZeroPeriod) {
  EXPECT_THAT(refused("run " + tasks("    period: -1 ms\n")), HasSubstr("tasks[0].period: '-1 ms' is out of range"));
  EXPECT_THAT(refused("run " + tasks("    period: 0 s\n")), HasSubstr("tasks[0].period: '0 s' is out of range"));
}

TEST_F(BadInput, DeadlineBeyondWhatTheQueueAllows) {
  EXPECT_THAT(refused("plan " + tasks("    period: 10 ms\n    deadline: 50 ms\n")),
              HasSubstr("tasks[0].deadline: '50 ms' is beyond what the queue allows"));
}

TEST_F(BadInput, ModelMissing) {
  EXPECT_THAT(refused("scale " + tasks("    period: 33 ms\n", "none.onnx")), HasSubstr("none.onnx' is not there"));
}

TEST_F(BadInput, ModelTruncated) {
  const std::string whole = read_file(folder_ / "faces.onnx");
  write_file_atomically(folder_ / "cut.onnx", whole.substr(0, whole.size() * 2 / 3));
  EXPECT_THAT(refused("scale " + tasks("    period: 33 ms\n", "cut.onnx") + " " + workspace()), HasSubstr("cut.onnx"));
}

TEST_F(BadInput, ModelThatIsNotOnnx) {
  write_file_atomically(folder_ / "text.onnx", "not a model, just some words that happen to have this ending");
  EXPECT_THAT(refused("scale " + tasks("    period: 33 ms\n", "text.onnx") + " " + workspace()),
              HasSubstr("text.onnx"));
}

TEST_F(BadInput, ModelWithAnOperatorThatOnnxRuntimeRefuses) {
  std::string bytes = read_file(folder_ / "faces.onnx");
  // Every "Conv" operator becomes "Conw": same length, so that the file stays well-formed.
  for (std::size_t at = 0; (at = bytes.find("\x22\x04"
                                            "Conv",
                                            at)) != std::string::npos;
       ++at)
    bytes[at + 5] = 'w';
  write_file_atomically(folder_ / "odd.onnx", bytes);
  EXPECT_THAT(refused("scale " + tasks("    period: 33 ms\n", "odd.onnx") + " " + workspace()), HasSubstr("Conw"));
}

TEST_F(BadInput, DataFolderEmptyOrMissing) {
  fs::remove(folder_ / "pictures/astronaut.png");
  EXPECT_THAT(refused("scale " + tasks() + " " + workspace()), HasSubstr("tasks.yaml:"));
  fs::remove(folder_ / "pictures");
  EXPECT_THAT(refused("scale " + tasks() + " " + workspace()), HasSubstr("pictures"));
}

TEST_F(BadInput, DataFolderUnreadable) {
  fs::remove(folder_ / "pictures/astronaut.png");
  write_file_atomically(folder_ / "pictures/broken.png", "this is no picture");
  EXPECT_THAT(refused("scale " + tasks() + " " + workspace()), HasSubstr("broken.png"));
}

TEST_F(BadInput, TwoTasksWithOneName) {
  EXPECT_THAT(refused("plan " + tasks("    period: 33 ms\n  - name: faces\n    model: faces.onnx\n    data: {source: "
                                      "images, path: pictures}\n    period: 1 s\n")),
              HasSubstr("two tasks have the name 'faces'"));
}

TEST_F(BadInput, ACoreThatDoesNotExist) {
  EXPECT_THAT(refused("run " + tasks("    period: 33 ms\n", "faces.onnx", "processors: {cpu: {cores: [977]}}\n")),
              HasSubstr("core 977 does not exist on this machine"));
}

TEST_F(BadInput, AWorkspaceOfANewerVersion) {
  write_file_atomically(folder_ / "w" / "workspace-version", "12\n");
  EXPECT_THAT(refused("scale " + tasks() + " " + workspace()), HasSubstr("was written by a newer rtmdl (version 12"));
}

TEST_F(BadInput, AFullDiskLeavesNothingHalfWritten) {
  // A file-size limit of 1 kB stands in for a full disk: every write beyond it fails. SIGXFSZ is ignored so that
  // write() reports it.
  EXPECT_THAT(refused("scale " + tasks() + " " + workspace(), "trap '' XFSZ; ulimit -f 1;"), HasSubstr("rtmdl: "));
  const CommandResult again = run_rtmdl("scale " + tasks() + " " + workspace() + " --budget 1s");
  EXPECT_EQ(again.status, 0) << again.err;
}

TEST_F(BadInput, UnknownPolicyMethodVerbAndOption) {
  EXPECT_THAT(refused("run --policy rtmld " + tasks() + " " + workspace()),
              HasSubstr("unknown policy 'rtmld' (did you mean 'rtmdl'?)"));
  EXPECT_THAT(refused("compare --policies default,foo " + tasks() + " " + workspace()),
              HasSubstr("unknown policy 'foo'"));
  EXPECT_THAT(refused("simulate --policy default " + tasks() + " " + workspace()), HasSubstr("cannot be simulated"));
  EXPECT_THAT(refused("dance " + tasks()), StartsWith("rtmdl: "));
  EXPECT_THAT(refused("run --loud " + tasks()), StartsWith("rtmdl: "));
  EXPECT_THAT(refused("run --load 105 " + tasks() + " " + workspace()), HasSubstr("--load: '105' has no unit"));
  EXPECT_THAT(refused("plan --load 2000% " + tasks() + " " + workspace()),
              HasSubstr("--load: '2000%' is out of range: 1 % to 1000 % is accepted"));
  EXPECT_THAT(refused("run --duration 5 " + tasks() + " " + workspace()), HasSubstr("--duration: '5' has no unit"));
  EXPECT_THAT(refused("run /nowhere/tasks.yaml"),
              HasSubstr("/nowhere/tasks.yaml: cannot read: No such file or directory"));
}

TEST_F(BadInput, AWrongOptionIsRefusedBeforeAnyWork) {
  const std::vector<std::pair<std::string, std::string>> rows{
      {"scale --budget junk", "--budget: 'junk' is not a time"},
      {"plan --budget 0s", "--budget: '0s' is out of range: more than 0 s is accepted"},
      {"run --duration -1s", "--duration: '-1s' is out of range"},
      {"simulate --duration 'nan s'", "--duration: 'nan s' is not a time"},
      {"plan --margin 5", "--margin: '5' has no unit"},
      {"plan --margin=-1%", "--margin: '-1%' is out of range: 0 % to 1000 % is accepted"},
      {"plan --method exat", "method exat: unknown; accepted are auto, exact, descent, nsga2"},
      {"plan --execution-bound 20%", "--execution-bound: '20%' is not accepted: observed, observed:PERCENT"},
      {"simulate --execution-bound evt:1", "--execution-bound: 'evt:1' is not accepted"},
      {"plan --explain fases", "--explain: there is no task 'fases'; did you mean 'faces'?"},
      {"scale --seed -1", "--seed: '-1' is not accepted: a whole number from 0 to 2^64 - 1 is"},
      {"scale --seed 1.5", "--seed: '1.5' is not accepted"},
      {"scale --seed 99999999999999999999999", "--seed: '99999999999999999999999' is not accepted"},
      {"compare --policies ''", "--policies is empty"},
      {"plan --set face.period=20ms", "--set face.period=20ms: no task or processor has the name 'face'; did you mean"},
      {"run --set faces.perid=20ms", "--set faces.perid=20ms: unknown key 'perid'; did you mean 'period'?"},
      {"compare --set faces.period=20", "--set faces.period=20: '20' has no unit"},
      {"simulate --set faces", "--set faces: not of the form KEY=VALUE"},
      {"plan --set faces.hard=true --set faces.queue=0", "--set faces.queue=0: 0 is out of range: 1 to 16 is accepted"},
      {"plan --weights faces", "--weights faces: not of the form TASK=WEIGHT"},
      {"plan --weights face=2", "--weights face=2: no task or processor has the name 'face'; did you mean 'faces'?"},
      {"plan --weights faces=-2", "--weights faces=-2: -2 is out of range: 0 to 1"},
      {"plan --miss-weight -1", "--miss-weight: '-1' is not accepted: a number from 0 to 1000000 is"},
      {"plan --cores 0", "--cores: '0' is not accepted: a whole number of at least 1 is"},
      {"plan --cores 999", "--cores: 999 is out of range: the processors of the task file have "},
      {"run --change faces@10s", "--change: 'faces@10s' is not accepted: write for instance faces.join@10s"},
      {"simulate --change fases.join@1s", "--change: there is no task 'fases'; did you mean 'faces'?"},
      {"compare --change faces.leave@5", "--change: '5' has no unit"},
      {"run --change faces.leave@1s,faces.leave@2s", "--change: faces.leave@2 s: it is not there"},
      {"compare --policies rtmdl,rtmdl", "--policies names 'rtmdl' twice"},
  };
  for (const auto& [verb_and_option, expected] : rows) {
    EXPECT_THAT(refused(fmt::format("{} {} {}", verb_and_option, tasks(), workspace())), HasSubstr(expected));
    EXPECT_FALSE(fs::exists(folder_ / "w")) << verb_and_option;
  }
}

TEST_F(BadInput, AMistypedVerbOrOptionNamesTheNearest) {
  EXPECT_EQ(refused("pln " + tasks()), "rtmdl: unknown verb 'pln'; did you mean 'plan'?; see `rtmdl --help`\n");
  EXPECT_THAT(refused("dance " + tasks()),
              HasSubstr("unknown verb 'dance'; accepted are scale, profile, plan, simulate, run, compare"));
  EXPECT_EQ(refused("plan --jsn " + tasks()),
            "rtmdl: plan has no option '--jsn'; did you mean '--json'?; see `rtmdl plan --help`\n");
  EXPECT_THAT(refused("plan --workspce=x " + tasks()),
              HasSubstr("no option '--workspce'; did you mean '--workspace'?"));
  EXPECT_THAT(refused("plan --duration 3s " + tasks()),
              HasSubstr("plan has no option '--duration'; accepted are --help, --workspace,"));
  EXPECT_THAT(refused("run --cores 1 " + tasks()), HasSubstr("run has no option '--cores'; accepted are"));
  EXPECT_THAT(refused("--json plan " + tasks()), HasSubstr("the verb comes first: rtmdl VERB TASKS.yaml --json"));
  EXPECT_THAT(refused(fmt::format("plan {0} {0}", tasks())), HasSubstr("tasks.yaml' is one argument too many"));
  EXPECT_THAT(refused(""), HasSubstr("a verb is missing; accepted are scale,"));
  EXPECT_THAT(refused("plan"), HasSubstr("TASKS is required; see `rtmdl plan --help`"));
}

TEST_F(BadInput, ASecondTasksFaultIsFoundBeforeTheFirstIsWorkedOn) {
  const std::string second =
      "    period: 33 ms\n  - name: other\n    model: {}\n    data: {{source: images, path: {}}}\n    period: 1 s\n{}";
  write_file_atomically(folder_ / "text.onnx", "not a model");
  fs::create_directories(folder_ / "empty");
  EXPECT_THAT(
      refused("scale " + tasks(fmt::format(fmt::runtime(second), "text.onnx", "pictures", "")) + " " + workspace()),
      HasSubstr("tasks.yaml:9: tasks[1].model: "));
  EXPECT_THAT(
      refused("scale " + tasks(fmt::format(fmt::runtime(second), "faces.onnx", "empty", "")) + " " + workspace()),
      HasSubstr("tasks.yaml:10: tasks[1].data.path: "));
  EXPECT_THAT(refused("scale " +
                      tasks(fmt::format(fmt::runtime(second), "faces.onnx", "pictures", "    post: {kind: lines}\n")) +
                      " " + workspace()),
              HasSubstr("tasks.yaml:12: tasks[1].post: "));
  EXPECT_THAT(refused("scale " + tasks("    period: 33 ms\n    variants: [text.onnx]\n") + " " + workspace()),
              HasSubstr("tasks.yaml:8: tasks[0].variants: "));
  fs::create_directories(folder_ / "numbers");
  write_file_atomically(folder_ / "numbers/two.bin", std::string(2 * 4 * 3, '\0'));
  const std::string raw =
      "    period: 33 ms\n  - name: other\n    model: faces.onnx\n    data: {source: raw, path: numbers, shape: [1, "
      "3]}\n    period: 1 s\n";
  EXPECT_THAT(refused("scale " + tasks(raw) + " " + workspace()),
              AllOf(HasSubstr("tasks.yaml:10: tasks[1].data: "), HasSubstr("[1, 3]"), HasSubstr("[1, 128, 128, 3]")));
  EXPECT_FALSE(fs::exists(folder_ / "w/variants")) << "the first task was worked on";
}

TEST_F(BadInput, AMissingDeviceIsFoundBeforeAnyWork) {
  const CommandResult r = run_rtmdl(
      "plan " + tasks("    period: 33 ms\n", "faces.onnx", "processors: {cpu: {cores: [0]}, gpu: {device: banana}}\n") +
      " " + workspace());
  EXPECT_EQ(r.status, 4);
  EXPECT_EQ(r.out, "");
  EXPECT_THAT(r.err, StartsWith("rtmdl: device 'banana' is not there: this ONNX Runtime has "));
  EXPECT_FALSE(fs::exists(folder_ / "w/variants"));
}

TEST_F(BadInput, AWorkspaceThatIsNone) {
  write_file_atomically(folder_ / "file", "x");
  EXPECT_THAT(refused(fmt::format("scale {} --workspace '{}'", tasks(), (folder_ / "file").string())),
              HasSubstr("file: not a folder; a workspace is one"));
  EXPECT_THAT(refused(fmt::format("scale {} --workspace '{}'", tasks(), (folder_ / "file/x").string())),
              HasSubstr("cannot create: Not a directory"));
  EXPECT_THAT(refused(fmt::format("scale {} --workspace '{}'", tasks(), (folder_ / "pictures").string())),
              HasSubstr("not a workspace and not empty"));
  EXPECT_TRUE(fs::exists(folder_ / "pictures/astronaut.png"));
}

TEST_F(BadInput, ADamagedStoreOrPlanSaysWhatToDelete) {
  const CommandResult explained = run_rtmdl("plan " + tasks() + " " + workspace() + " --budget 1s --explain faces");
  ASSERT_EQ(explained.status, 0);
  EXPECT_THAT(explained.out, HasSubstr("Assumed: no stage takes longer than its longest measured time + 20 %"));
  const std::string plan = read_file(folder_ / "w/plan.json"), store = read_file(folder_ / "w/profile.sqlite");
  for (const std::string& text :
       {std::string(), plan.substr(0, plan.size() / 2), std::string("[]"), std::string(100'000, '[')}) {
    write_file_atomically(folder_ / "w/plan.json", text);
    EXPECT_THAT(refused("simulate " + tasks() + " " + workspace()), HasSubstr("plan.json: not a plan ("));
  }
  write_file_atomically(folder_ / "w/plan.json", plan);
  for (const std::string& bytes : {std::string(5000, 'x'), store.substr(0, store.size() / 2), store.substr(0, 4096)}) {
    write_file_atomically(folder_ / "w/profile.sqlite", bytes);
    EXPECT_THAT(refused("simulate " + tasks() + " " + workspace()), HasSubstr("delete it to measure anew"));
  }
}

TEST_F(BadInput, WhatIfLeavesTheKeptPlanAndItsVariantsAlone) {
  const std::string plan = "plan " + tasks() + " " + workspace() + " --budget 2s";
  ASSERT_EQ(run_rtmdl(plan).status, 0);
  const auto kept = [&] {
    std::string all = read_file(folder_ / "w/plan.json") + read_file(folder_ / "w/plan.html");
    for (const auto& entry : fs::recursive_directory_iterator(folder_ / "w/variants")) all += entry.path().string();
    return all;
  };
  const std::string before = kept();
  EXPECT_EQ(run_rtmdl(plan + " --set faces.period=50ms --cores 1").status, 0);
  for (const char* file : {"what-if.json", "what-if.html", "what-if.svg"})
    EXPECT_TRUE(fs::exists(folder_ / "w" / file));
  EXPECT_THAT(read_file(folder_ / "w/what-if.html"), HasSubstr("--set faces.period=50ms"));
  const CommandResult small = run_rtmdl(plan + " --set storage=1B");
  EXPECT_EQ(small.status, 3) << small.err;
  EXPECT_THAT(small.err, HasSubstr(". Enough would be: storage "));
  EXPECT_THAT(small.out, HasSubstr("any one of these would be enough"));
  EXPECT_EQ(kept(), before);
}

TEST_F(BadInput, StandardOutputThatTakesNothing) {
  const std::string scale = "scale " + tasks() + " " + workspace() + " --budget 1s";
  ASSERT_EQ(run_rtmdl(scale).status, 0);
  const CommandResult full = run_rtmdl(scale + " >/dev/full");
  EXPECT_EQ(full.status, 2);
  EXPECT_THAT(full.err, HasSubstr("standard output: cannot write: No space left on device"));
  // A closed one must not lend its number to a file that is opened later.
  const CommandResult closed = run_rtmdl(scale + " >&-");
  EXPECT_EQ(closed.status, 2);
  EXPECT_THAT(closed.err, HasSubstr("standard output: cannot write: Bad file descriptor"));
  EXPECT_EQ(run_rtmdl(scale).status, 0);
}

TEST_F(BadInput, TwoProcessesOnOneNewWorkspaceDoNotDisturbEachOther) {
  const std::string file = tasks();
  std::vector<CommandResult> results(3);
  std::vector<std::thread> threads;
  for (CommandResult& r : results)
    threads.emplace_back([&] { r = run_rtmdl(fmt::format("run --json --duration 1s {} {}", file, workspace())); });
  for (std::thread& t : threads) t.join();
  for (const CommandResult& r : results) {
    EXPECT_EQ(r.status, 0) << r.err;
    EXPECT_EQ(r.out.front(), '{');
  }
  // Job records of one run, not of several: every line has all its fields.
  std::istringstream csv(read_file(folder_ / "w/runs/rtmdl.csv"));
  for (std::string line; std::getline(csv, line);) EXPECT_EQ(std::count(line.begin(), line.end(), ','), 8) << line;
  for (const auto& entry : fs::recursive_directory_iterator(folder_))
    EXPECT_EQ(entry.path().string().find(".part"), std::string::npos) << entry.path();
}

TEST(Help, TeachesAndEndsWell) {
  const CommandResult help = run_rtmdl("--help");
  EXPECT_EQ(help.status, 0);
  for (const char* verb : {"scale", "profile", "plan", "simulate", "run", "compare"})
    EXPECT_THAT(help.out, HasSubstr(verb));
  EXPECT_THAT(help.out, HasSubstr("Examples:\n  rtmdl compare"));
  for (const char* verb : {"scale", "profile", "plan", "simulate", "run", "compare"}) {
    const CommandResult one = run_rtmdl(std::string(verb) + " --help");
    EXPECT_EQ(one.status, 0);
    EXPECT_THAT(one.out, HasSubstr(fmt::format("  rtmdl {} tasks.yaml", verb)));
    EXPECT_THAT(one.out, HasSubstr("Exit status: 0 done"));
  }
  EXPECT_THAT(run_rtmdl("run --help").out, HasSubstr("dm-nmc"));
  EXPECT_THAT(run_rtmdl("--version").out, HasSubstr("rtmdl 0."));
}

}  // namespace
}  // namespace rtmdl
