// Three equal tasks on two cores: placed whole, two of them fill one; with one of them split both cores have room. As a
// user would run it.
#include "base/atomic_file.h"
#include "base/thread_placement.h"
#include "command.h"

#include <filesystem>
#include <set>
#include <string>

#include <unistd.h>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace rtmdl {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;
namespace fs = std::filesystem;

class SplitCommand : public ::testing::Test {
 protected:
  void SetUp() override {
    if (available_cores().size() < 2) GTEST_SKIP() << "one core";
    for (const char* name : {"a", "b", "c"})
      text_ += fmt::format(
          "  - {{name: {}, model: {}/assets/models/mlsd_320.onnx, data: {{source: images, path: "
          "{}/assets/data/pictures, "
          "size: [640, 480]}}, pre: {{resize: [320, 320], colour: rgb, alpha: 1, layout: NHWC}}, post: {{kind: lines, "
          "threshold: 0.1}}, scale: {{precision: [fp32]}}, period: 66 ms, deadline: 120 ms, miss_rate: 10 "
          "%<<MORE>>}}\n",
          name, RTMDL_SOURCE_DIR, RTMDL_SOURCE_DIR);
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string tasks(const std::string& more) const {
    std::string text = text_;
    for (std::size_t at = 0; (at = text.find("<<MORE>>")) != std::string::npos;) text.replace(at, 8, more);
    write_file_atomically(folder_ / "tasks.yaml", text);
    return fmt::format("'{}' --workspace '{}'", (folder_ / "tasks.yaml").string(), (folder_ / "workspace").string());
  }

  static Json json_of(const CommandResult& r) {
    EXPECT_TRUE(r.status == 0 || r.status == 3) << r.err;
    return Json::parse(r.out, nullptr, false);
  }

  std::string text_ = "processors: {cpu: {cores: [0]}, gpu: {device: cpu, cores: [1]}}\ntasks:\n";
  fs::path folder_ = fs::temp_directory_path() / fmt::format("rtmdl-split-{}", ::getpid());
};

TEST_F(SplitCommand, IsPlannedWhereItPaysAndRunsWithCountersThatAddUp) {
  const std::string file = tasks(", split: true");
  const Json profile = json_of(run_rtmdl("profile --json " + file));
  std::set<std::string> parts;
  for (const Json& v : profile["tasks"][2]["variants"])
    if (v.contains("parts")) {
      ASSERT_EQ(v["parts"].size(), 2U);
      EXPECT_GT(v["parts"][0]["ms"]["p50"].get<double>(), 0);
      parts.insert(v["parts"][0]["processor"].get<std::string>() + v["parts"][1]["processor"].get<std::string>());
    }
  EXPECT_EQ(parts, (std::set<std::string>{"cpugpu", "gpucpu"}));

  const Json plan = json_of(run_rtmdl("plan --json --load 66% " + file));
  int split = 0;
  for (const Json& t : plan["tasks"]) {
    if (!t.contains("parts")) continue;
    ++split;
    EXPECT_THAT(t["processor"].get<std::string>(), HasSubstr("+"));
    EXPECT_EQ(t["segments"], 2);
    EXPECT_GT(t["utilisation"]["gpu"].get<double>(), 0);
  }
  EXPECT_GE(split, 1);

  const Json run = json_of(run_rtmdl("run --json --load 66% --duration 5s " + file));
  for (const Json& t : run["tasks"]) {
    EXPECT_EQ(t["failed"], 0) << t;
    EXPECT_EQ(t["released"].get<int>(), t["completed"].get<int>() + t["dropped"].get<int>() + t["failed"].get<int>());
    EXPECT_GT(t["completed"].get<int>(), t["released"].get<int>() / 2) << t;
    EXPECT_GE(t["accuracy"].get<double>(), 0.999) << "the split model says what the source model says";
  }
  EXPECT_THAT(read_file(folder_ / "workspace/runs/rtmdl.csv"), HasSubstr("gpu:"));
}

TEST_F(SplitCommand, ATaskWithOneProcessorCannotBeSplit) {
  const CommandResult r = run_rtmdl("profile " + tasks(", split: true, processors: [gpu]"));
  EXPECT_EQ(r.status, 2);
  EXPECT_THAT(r.err, HasSubstr("tasks[0].split: true, but this task has one processor to run on"));
}

}  // namespace
}  // namespace rtmdl
