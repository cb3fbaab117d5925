// One row per kind of bad input: one clear line on stderr, exit status 2, nothing half-written.
#include "base/atomic_file.h"
#include "command.h"

#include <algorithm>
#include <filesystem>
#include <string>

#include <unistd.h>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rtmdl {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;
namespace fs = std::filesystem;

class BadInput : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / fmt::format("rtmdl-bad-{}-{}", ::getpid(), ::testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::create_directories(folder_ / "pictures");
    fs::create_symlink(fs::path(RTMDL_SOURCE_DIR) / "assets/models/blazeface_128.onnx", folder_ / "faces.onnx");
    fs::copy(fs::path(RTMDL_SOURCE_DIR) / "assets/data/pictures/astronaut.png", folder_ / "pictures");
  }
  void TearDown() override { fs::remove_all(folder_); }

  /// A task file that is right but for what a test puts in.
  std::string tasks(const std::string& timing = "    period: 33.3 ms\n", const std::string& model = "faces.onnx", const std::string& top = "") {
    const std::string text = fmt::format(
        "{}tasks:\n  - name: faces\n    model: {}\n    data: {{source: images, path: pictures}}\n"
        "    pre: {{resize: [128, 128], layout: NHWC, scale: 0.00784, shift: -1}}\n    post: {{kind: detections, decoder: blazeface}}\n{}",
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
    for (const auto& entry : fs::recursive_directory_iterator(folder_)) EXPECT_EQ(entry.path().string().find(".part"), std::string::npos) << entry.path();
    return line;
  }
  std::string workspace() { return fmt::format("--workspace '{}'", (folder_ / "w").string()); }

  fs::path folder_;
};

TEST_F(BadInput, UnknownKeyNamesTheNearest) {
  EXPECT_THAT(refused("scale " + tasks("    perid: 33.3 ms\n")), HasSubstr("tasks.yaml:7: tasks[0].perid: unknown key 'perid'; did you mean 'period'?"));
}

TEST_F(BadInput, MissingUnit) { EXPECT_THAT(refused("plan " + tasks("    period: 33\n")), HasSubstr("tasks[0].period: '33' has no unit")); }

TEST_F(BadInput, NegativeOrZeroPeriod) {
  EXPECT_THAT(refused("run " + tasks("    period: -1 ms\n")), HasSubstr("tasks[0].period: '-1 ms' is out of range"));
  EXPECT_THAT(refused("run " + tasks("    period: 0 s\n")), HasSubstr("tasks[0].period: '0 s' is out of range"));
}

TEST_F(BadInput, DeadlineBeyondWhatTheQueueAllows) {
  EXPECT_THAT(refused("plan " + tasks("    period: 10 ms\n    deadline: 50 ms\n")), HasSubstr("tasks[0].deadline: '50 ms' is beyond what the queue allows"));
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
  EXPECT_THAT(refused("scale " + tasks("    period: 33 ms\n", "text.onnx") + " " + workspace()), HasSubstr("text.onnx"));
}

TEST_F(BadInput, ModelWithAnOperatorThatOnnxRuntimeRefuses) {
  std::string bytes = read_file(folder_ / "faces.onnx");
  // Every "Conv" operator becomes "Conw": same length, so that the file stays well-formed.
  for (std::size_t at = 0; (at = bytes.find("\x22\x04" "Conv", at)) != std::string::npos; ++at) bytes[at + 5] = 'w';
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
  EXPECT_THAT(refused("plan " + tasks("    period: 33 ms\n  - name: faces\n    model: faces.onnx\n    data: {source: images, path: pictures}\n    period: 1 s\n")),
              HasSubstr("two tasks have the name 'faces'"));
}

TEST_F(BadInput, ACoreThatDoesNotExist) {
  EXPECT_THAT(refused("run " + tasks("    period: 33 ms\n", "faces.onnx", "processors: {cpu: {cores: [977]}}\n")), HasSubstr("core 977 does not exist on this machine"));
}

TEST_F(BadInput, AWorkspaceOfANewerVersion) {
  write_file_atomically(folder_ / "w" / "workspace-version", "12\n");
  EXPECT_THAT(refused("scale " + tasks() + " " + workspace()), HasSubstr("was written by a newer rtmdl (version 12"));
}

TEST_F(BadInput, AFullDiskLeavesNothingHalfWritten) {
  // A file-size limit of 1 kB stands in for a full disk: every write beyond it fails. SIGXFSZ is ignored so that write() reports it.
  EXPECT_THAT(refused("scale " + tasks() + " " + workspace(), "trap '' XFSZ; ulimit -f 1;"), HasSubstr("rtmdl: "));
  const CommandResult again = run_rtmdl("scale " + tasks() + " " + workspace() + " --budget 1s");
  EXPECT_EQ(again.status, 0) << again.err;
}

TEST_F(BadInput, UnknownPolicyMethodVerbAndOption) {
  EXPECT_THAT(refused("run --policy rtmld " + tasks() + " " + workspace()), HasSubstr("unknown policy 'rtmld' (did you mean 'rtmdl'?)"));
  EXPECT_THAT(refused("compare --policies default,foo " + tasks() + " " + workspace()), HasSubstr("unknown policy 'foo'"));
  EXPECT_THAT(refused("simulate --policy default " + tasks() + " " + workspace()), HasSubstr("cannot be simulated"));
  EXPECT_THAT(refused("dance " + tasks()), StartsWith("rtmdl: "));
  EXPECT_THAT(refused("run --loud " + tasks()), StartsWith("rtmdl: "));
  EXPECT_THAT(refused("run --load 105 " + tasks() + " " + workspace()), HasSubstr("--load: '105' has no unit"));
  EXPECT_THAT(refused("plan --load 2000% " + tasks() + " " + workspace()), HasSubstr("--load: '2000%' is out of range: 1.0 % to 1000.0 % is accepted"));
  EXPECT_THAT(refused("run --duration 5 " + tasks() + " " + workspace()), HasSubstr("--duration: '5' has no unit"));
  EXPECT_THAT(refused("run /nowhere/tasks.yaml"), HasSubstr("/nowhere/tasks.yaml: cannot read: No such file or directory"));
}

TEST(Help, TeachesAndEndsWell) {
  const CommandResult help = run_rtmdl("--help");
  EXPECT_EQ(help.status, 0);
  for (const char* verb : {"scale", "profile", "plan", "simulate", "run", "compare"}) EXPECT_THAT(help.out, HasSubstr(verb));
  EXPECT_THAT(run_rtmdl("run --help").out, HasSubstr("dm-nmc"));
  EXPECT_THAT(run_rtmdl("--version").out, HasSubstr("rtmdl 0."));
}

}  // namespace
}  // namespace rtmdl
