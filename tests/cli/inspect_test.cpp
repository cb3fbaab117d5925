// `rtmdl inspect` as a user calls it.
#include "base/atomic_file.h"
#include "command.h"
#include "model/models.h"

#include <filesystem>
#include <string>

#include <unistd.h>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace rtmdl {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using Json = nlohmann::json;
namespace fs = std::filesystem;

class InspectVerb : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / fmt::format("rtmdl-inspect-test-{}", ::getpid());
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string save(const Model& model, const std::string& name) {
    save_model(model, folder_ / name);
    return (folder_ / name).string();
  }
  static Json json_of(const std::string& arguments) {
    const CommandResult r = run_rtmdl("inspect --json " + arguments);
    EXPECT_EQ(r.status, 0) << r.err;
    EXPECT_EQ(r.err, "");
    return Json::parse(r.out);
  }
  static std::string refused(const std::string& arguments) {
    const CommandResult r = run_rtmdl("inspect " + arguments);
    EXPECT_EQ(r.status, 2) << r.err;
    EXPECT_EQ(r.out, "");
    EXPECT_EQ(std::count(r.err.begin(), r.err.end(), '\n'), 1) << r.err;
    return r.err;
  }

  fs::path folder_;
};

TEST_F(InspectVerb, PrintsWhatAModelIsMadeOf) {
  const CommandResult r = run_rtmdl("inspect " + save(test::resnet18(1), "resnet.onnx"));
  EXPECT_EQ(r.status, 0) << r.err;
  EXPECT_EQ(r.err, "");
  EXPECT_THAT(r.out, AllOf(HasSubstr("resnet.onnx\n  operator set 17 (IR version 8)\n"),
                           HasSubstr("output 'logits' f32 1x10"), HasSubstr("where a single tensor is live"),
                           HasSubstr("what can be scaled"), Not(HasSubstr("\033["))));
}

TEST_F(InspectVerb, TakesShapesFromTheCommandLine) {
  test::ModelMaker m;
  m.output(m.conv(m.input("a=b", {-1, 3, -1, -1}), 3, 8, 3));
  const std::string path = save(m.model(), "free.onnx");
  EXPECT_EQ(json_of(path)["models"][0]["inputs"][0]["shape"], Json({1, 3, 224, 224}));
  EXPECT_EQ(json_of("--shape a=b=2x3x64x48 " + path)["models"][0]["inputs"][0]["shape"], Json({2, 3, 64, 48}));
  EXPECT_THAT(refused("--shape a=b=2x3x64 " + path), HasSubstr("input 'a=b' has 4 dimensions, 3 were given"));
  EXPECT_THAT(refused("--shape x=1 " + path), HasSubstr("has no input 'x'"));
  EXPECT_THAT(refused("--shape a=b=1x3x8x8 --shape a=b=1x3x8x8 " + path), HasSubstr("names the input 'a=b' twice"));
  for (const char* wrong : {"a", "a=", "=1x2", "a=1x", "a=1x-3", "a=1x0", "a=1.5", "a=99999999999999999999"})
    EXPECT_THAT(refused(fmt::format("--shape {} {}", wrong, path)), HasSubstr("NAME=DIMENSIONS is")) << wrong;
  EXPECT_THAT(refused("--shape a=b=1x3x999999x999999 " + path), HasSubstr("more than 1e9 elements"));
}

TEST_F(InspectVerb, TakesShapesStateAndConstantsFromATaskFile) {
  test::ModelMaker m;  // an input, a state that is fed back, a constant
  const std::string sum = m.node("Add", {m.input("x", {-1, 8}), m.input("h", {-1, 8})});
  m.node("Mul", {sum, m.input("gain", {1})});
  m.last().set_output(0, "y");
  m.output("y");
  save(m.model(), "state.onnx");
  save(test::resnet18(1), "resnet.onnx");
  fs::create_directories(folder_ / "pictures");
  write_file_atomically(folder_ / "tasks.yaml",
                        "tasks:\n"
                        "  - {name: one, model: state.onnx, data: {source: images, path: pictures}, period: 30 ms,\n"
                        "     shapes: {x: [2, 8], h: [2, 8]}, state: {y: h}, inputs: {gain: 0.5}}\n"
                        "  - {name: two, model: resnet.onnx, data: {source: images, path: pictures}, period: 1 s}\n");
  const std::string tasks = (folder_ / "tasks.yaml").string();
  const Json both = json_of(tasks)["models"];
  ASSERT_EQ(both.size(), 2U);
  EXPECT_EQ(both[0]["name"], "one");
  EXPECT_EQ(both[0]["inputs"].size(), 3U);
  EXPECT_EQ(both[0]["inputs"][0]["shape"], Json({2, 8}));
  const Json two = json_of("--task two " + tasks)["models"];
  ASSERT_EQ(two.size(), 1U);
  EXPECT_EQ(two[0]["name"], "two");
  EXPECT_THAT(refused("--task tow " + tasks), HasSubstr("tasks.yaml: has no task 'tow'; it has 'one', 'two'"));
  EXPECT_THAT(refused("--shape x=1x8 " + tasks), HasSubstr("--shape is for a model"));
  EXPECT_THAT(refused("--task two " + (folder_ / "resnet.onnx").string()), HasSubstr("--task is for a task file"));
}

TEST_F(InspectVerb, LeavesNothingBehind) {
  fs::create_directories(folder_ / "scratch");
  const std::string scratch = fmt::format("TMPDIR='{}'", (folder_ / "scratch").string());
  EXPECT_EQ(run_rtmdl("inspect " + save(test::resnet18(1), "resnet.onnx"), scratch).status, 0);
  EXPECT_EQ(run_rtmdl("inspect " + (folder_ / "none.onnx").string(), scratch).status, 2);
  for (const auto& entry : fs::directory_iterator(folder_ / "scratch"))  // ONNX Runtime leaves a log there
    EXPECT_FALSE(entry.path().filename().string().starts_with("rtmdl")) << entry.path();
}

TEST_F(InspectVerb, HelpTeaches) {
  const CommandResult help = run_rtmdl("inspect --help");
  EXPECT_EQ(help.status, 0);
  EXPECT_THAT(help.out, AllOf(HasSubstr("rtmdl inspect model.onnx --shape"), HasSubstr("Exit status: 0 done")));
  EXPECT_THAT(refused(""), HasSubstr("FILE is required; see `rtmdl inspect --help`"));
  EXPECT_THAT(refused("--jsn x.onnx"), HasSubstr("did you mean '--json'?"));
}

}  // namespace
}  // namespace rtmdl
