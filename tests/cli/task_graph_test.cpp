// A detector that comes at random and a classifier of what it finds, through every verb, as a user would run them.
#include "base/atomic_file.h"
#include "command.h"
#include "signs_model.h"

#include <filesystem>
#include <string>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace rtmdl {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using Json = nlohmann::json;
namespace fs = std::filesystem;

class TaskGraph : public testing::Test {
 protected:
  TaskGraph() {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    save_signs_model(folder_ / "signs.onnx");
    write_file_atomically(folder_ / "tasks.yaml", fmt::format(R"(
tasks:
  - name: faces
    model: {0}/models/blazeface_128.onnx
    data: {{source: images, path: {0}/data/pictures, size: [640, 480]}}
    pre: {{letterbox: [128, 128], colour: rgb, scale: 0.00784314, shift: -1, layout: NHWC}}
    post: {{kind: detections, decoder: blazeface, threshold: 0.5, iou: 0.3}}
    arrivals: {{sporadic: {{min: 60 ms, mean: 120 ms}}}}
    scale: {{precision: [fp32]}}
  - name: each
    model: signs.onnx
    data: {{source: signs, count: {{training: 8, calibration: 8, evaluation: 16, stream: 8}}}}
    post: {{kind: classes, k: 1}}
    after: faces
    per: detection
    max: 3
    deadline: 120 ms
    scale: {{precision: [fp32]}}
)",
                                                              RTMDL_SOURCE_DIR "/assets"));
  }
  ~TaskGraph() override { fs::remove_all(folder_); }
  CommandResult rtmdl(const std::string& verb) const {
    return run_rtmdl(fmt::format("{} '{}' --workspace '{}'", verb, (folder_ / "tasks.yaml").string(),
                                 (folder_ / "workspace").string()));
  }
  Json json(const std::string& verb) const {
    const CommandResult r = rtmdl(verb + " --json");
    EXPECT_EQ(r.status, 0) << r.err;
    return Json::parse(r.out, nullptr, false);
  }
  const fs::path folder_ =
      fs::path(RTMDL_BINARY_DIR) / "task-graph-test" / testing::UnitTest::GetInstance()->current_test_info()->name();
};

TEST_F(TaskGraph, IsPlannedSimulatedAndRun) {
  const Json plan = json("plan --budget 20s");
  EXPECT_TRUE(plan["feasible"].get<bool>());
  const Json simulated = json("simulate --duration 20s"), again = json("simulate --duration 20s");
  EXPECT_EQ(simulated["tasks"][1]["released"], again["tasks"][1]["released"]);
  const auto jobs = [](const Json& run, int task) { return run["tasks"][task]["released"].get<double>(); };
  EXPECT_NEAR(jobs(simulated, 0), 20 / 0.12, 45);
  EXPECT_GT(jobs(simulated, 1), 0) << "there are faces in the pictures";

  const Json run = json("run --duration 4s"), expected = json("simulate --duration 4s");
  EXPECT_EQ(jobs(run, 0), jobs(expected, 0)) << "the same seed, the same releases";
  EXPECT_GT(jobs(run, 1), 0);
  EXPECT_LE(jobs(run, 1), 3 * jobs(run, 0));
  for (const Json& t : run["tasks"])
    EXPECT_EQ(t["released"].get<int>(), t["completed"].get<int>() + t["dropped"].get<int>() + t["failed"].get<int>());
  EXPECT_EQ(run["tasks"][1]["failed"], 0) << "parts of every size are taken";
  EXPECT_THAT(read_file(folder_ / "workspace/runs/rtmdl.csv"), HasSubstr("\neach,0,"));
}

TEST_F(TaskGraph, IsRefusedInOneLineWhereItMakesNoSense) {
  const CommandResult r = rtmdl("plan --set each.max=40");
  EXPECT_EQ(r.status, 2);
  EXPECT_THAT(r.err, AllOf(HasSubstr("--set each.max=40"), HasSubstr("16")));
}

}  // namespace
}  // namespace rtmdl
