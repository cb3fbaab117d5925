// The demo's task file at half the load that the box can carry, end to end, as a user would run it: real models, real
// data, the real binary. The workspace stays in the build folder, so that only the first run scales and profiles.
#include "base/atomic_file.h"
#include "command.h"
#include "short_data.h"

#include <filesystem>
#include <set>
#include <string>
#include <thread>

#include <signal.h>
#include <sys/wait.h>
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

const fs::path kSource = RTMDL_SOURCE_DIR;
const fs::path kWorkspace = fs::path(RTMDL_BINARY_DIR) / "edge-box.workspace";

Json json_of(const CommandResult& r) {
  EXPECT_EQ(r.status, 0) << r.err;
  const Json j = Json::parse(r.out, nullptr, false);
  EXPECT_FALSE(j.is_discarded()) << "stdout is one JSON object and nothing else: " << r.out.substr(0, 300);
  return j;
}

void expect_run_fields(const Json& run) {
  for (const char* key : {"policy", "seconds", "released", "missed", "miss_rate", "accuracy_loss", "preemption",
                          "machine_stalls", "tasks", "processors"})
    EXPECT_TRUE(run.contains(key)) << key;
  std::int64_t released = 0, missed = 0;
  for (const Json& t : run["tasks"]) {
    EXPECT_EQ(t["released"].get<std::int64_t>(),
              t["completed"].get<std::int64_t>() + t["dropped"].get<std::int64_t>() + t["failed"].get<std::int64_t>())
        << t["name"];
    EXPECT_EQ(t["failed"], 0) << t["name"];
    EXPECT_LE(t["response_ms"]["p50"].get<double>(), t["response_ms"]["p99"].get<double>());
    EXPECT_LE(t["response_ms"]["p99"].get<double>(), t["response_ms"]["max"].get<double>());
    released += t["released"].get<std::int64_t>();
    missed += t["missed"].get<std::int64_t>();
  }
  EXPECT_EQ(run["released"], released);
  EXPECT_EQ(run["missed"], missed);
}

/// The demo's file but for what only makes it longer: pictures of text are smaller, clothes fewer.
std::string edge_box() {
  const fs::path folder = fs::path(RTMDL_BINARY_DIR) / "edge-box-test";
  if (!fs::exists(folder / "clothes")) write_short_fashion(folder / "clothes", 4000, 1800);
  std::string text = read_file(kSource / "examples/edge-box/tasks.yaml");
  const auto all = [&](const std::string& was, const std::string& is) {
    EXPECT_NE(text.find(was), std::string::npos) << was;
    for (std::size_t at = 0; (at = text.find(was, at)) != std::string::npos; at += is.size())
      text.replace(at, was.size(), is);
  };
  all("../../assets/data/fashion-mnist", (folder / "clothes").string());
  all("../../assets", (kSource / "assets").string());
  all(" models/", " " + (kSource / "examples/edge-box/models/").string());
  all("480, 480", "320, 320");
  write_file_atomically(folder / "tasks.yaml", text);
  return fmt::format("'{}' --workspace '{}'", (folder / "tasks.yaml").string(), kWorkspace.string());
}

TEST(EdgeBox, IsScaledWithinItsStorage) {
  const std::string tasks = edge_box();
  const Json scaled = json_of(run_rtmdl("scale --quick --json " + tasks));
  EXPECT_LE(scaled["storage"]["bytes"].get<std::int64_t>(), scaled["storage"]["limit"].get<std::int64_t>());
  for (const Json& task : scaled["tasks"])
    for (const Json& v : task["variants"]) {
      EXPECT_TRUE(fs::exists(v["path"].get<std::string>())) << v["path"];
      const double least = v["precision"] != "int8" ? 0.0 : task["name"] == "clothes" ? 0.9 : 0.98;
      EXPECT_GE(v["accuracy"].get<double>(), least) << task["name"];
      if (task["name"] == "clothes") {
        EXPECT_LE(v["accuracy_loss"].get<double>(), 0.005) << "int8 stays within half a point";
      }
    }
}

TEST(EdgeBoxAtHalfLoad, RunsEndToEnd) {
  const std::string tasks = edge_box();
  json_of(run_rtmdl("scale --quick --json " + tasks));
  json_of(run_rtmdl("profile --budget 20s --json " + tasks));
  const Json plan = json_of(run_rtmdl("plan --json --load 50% " + tasks));
  EXPECT_TRUE(plan["feasible"].get<bool>());
  EXPECT_EQ(plan["tasks"].size(), 5U);
  EXPECT_TRUE(plan["search"]["proven_optimal"].get<bool>());
  EXPECT_THAT(plan["search"]["model"].get<std::string>(), HasSubstr("simulation"));
  EXPECT_EQ(plan["search"]["loss_bound"], plan["objective"]["accuracy_loss"]);
  for (const Json& t : plan["tasks"]) {
    EXPECT_LE(t["expected_miss_rate"].get<double>(), t["miss_rate_limit"].get<double>()) << t["name"];
    EXPECT_GE(t["expected_miss_rate_95"].get<double>(), 0) << t["name"];
  }
  EXPECT_THAT(read_file(kWorkspace / "plan.html"), HasSubstr("</html>"));
  EXPECT_THAT(read_file(kWorkspace / "plan.svg"), HasSubstr("</svg>"));

  const fs::path log = kWorkspace / "candidates.csv";
  json_of(run_rtmdl(fmt::format("plan --json --load 50% --log '{}' {}", log.string(), tasks)));
  EXPECT_THAT(
      read_file(log),
      HasSubstr("fate,about,accuracy_loss,miss_rate,speech,speech on,speech threads,speech segments,speech priority"));
  EXPECT_THAT(read_file(log), HasSubstr("\nfeasible,"));

  const Json simulated = json_of(run_rtmdl("simulate --json --load 50% --duration 20s " + tasks));
  expect_run_fields(simulated);
  for (const Json& t : simulated["tasks"]) {
    EXPECT_LE(t["mean_miss_rate"].get<double>(), 0.01) << t["name"];
    EXPECT_GE(t["mean_miss_rate_95"].get<double>(), 0) << t["name"];
  }
  EXPECT_LE(simulated["miss_rate"].get<double>(), 0.01);

  const Json compared =
      json_of(run_rtmdl("compare --json --load 50% --policies default,edf-nmc,rtmdl --duration 4s " + tasks));
  ASSERT_EQ(compared["policies"].size(), 3U);
  EXPECT_NEAR(compared["source_load"].get<double>(), 0.5, 0.001);
  for (const Json& run : compared["policies"]) {
    expect_run_fields(run);
    for (const Json& t : run["tasks"])
      EXPECT_EQ(t.contains("predicted_miss_rate"), run["policy"] != "default") << t["name"];
    // The same seeded releases for everybody: a grid of 4 s.
    for (std::size_t t = 0; t < 5; ++t)
      EXPECT_EQ(run["tasks"][t]["released"], compared["policies"][0]["tasks"][t]["released"]);
  }
  const Json& ours = compared["policies"][2];
  EXPECT_LE(ours["miss_rate"].get<double>(), 0.25) << "half the load leaves room even on a noisy machine";
  EXPECT_LE(ours["accuracy_loss"].get<double>(), 0.05);
  EXPECT_TRUE(Json::accept(read_file(kWorkspace / "runs/rtmdl.trace.json")));
  EXPECT_GT(fs::file_size(kWorkspace / "runs/rtmdl.pftrace"), 1000U);
  EXPECT_EQ(ours["trace"]["records"].get<int>() + ours["trace"]["lost"].get<int>(), ours["released"].get<int>());
  EXPECT_THAT(read_file(kWorkspace / "runs/compare.html"), HasSubstr("</html>"));
  EXPECT_THAT(read_file(kWorkspace / "runs/rtmdl.csv"), HasSubstr("task,job,frame,variant,fate"));

  // A load of 2 for half of the time: lighter variants meanwhile, the plan's before.
  const Json adapted =
      json_of(run_rtmdl("run --json --load 50% --policy adaptive --slowdown 2.5x@2s-4s --duration 4s " + tasks));
  expect_run_fields(adapted);
  EXPECT_EQ(adapted["policy"], "adaptive");
  std::int64_t switches = 0;
  for (const Json& t : adapted["tasks"]) {
    switches += t["switches"].get<std::int64_t>();
    if (!t.contains("variants")) continue;
    std::int64_t completed = 0;
    for (const Json& v : t["variants"]) completed += v["completed"].get<std::int64_t>();
    EXPECT_EQ(completed, t["completed"].get<std::int64_t>()) << t["name"];
  }
  EXPECT_GT(switches, 0);
  for (const Json& p : adapted["processors"]) EXPECT_GT(p["slowdown"].get<double>(), 0.5) << p["name"];
  EXPECT_THAT(run_rtmdl("run --slowdown 2y@1s-2s " + tasks).err, HasSubstr("--slowdown: '2y@1s-2s' is not accepted"));
}

/// A small task of its own, so that scaling takes seconds; without int8 levels, none.
std::string small_task(const fs::path& folder, const std::string& precisions = "fp32, int8") {
  write_file_atomically(folder / "tasks.yaml",
                        fmt::format("tasks:\n  - name: faces\n    model: {0}/assets/models/blazeface_128.onnx\n    "
                                    "data: {{source: images, path: {0}/assets/data/pictures}}\n"
                                    "    pre: {{letterbox: [128, 128], scale: 0.00784, shift: -1, layout: NHWC}}\n    "
                                    "post: {{kind: detections, decoder: blazeface}}\n"
                                    "    period: 33 ms\n    accuracy: {{min: 50 %}}\n"
                                    "    scale: {{precision: [{1}]}}\n",
                                    kSource.string(), precisions));
  return fmt::format("'{}' --workspace '{}'", (folder / "tasks.yaml").string(), (folder / "workspace").string());
}

TEST(Calibration, PlaysAndLeavesWhatItLearntToTheNextCommand) {
  const fs::path folder = fs::temp_directory_path() / fmt::format("rtmdl-calibrate-{}", ::getpid());
  const std::string tasks = small_task(folder, "fp32");
  const Json before = json_of(run_rtmdl("plan --json " + tasks));
  EXPECT_FALSE(before.contains("calibration"));
  const fs::path log = folder / "candidates.csv";
  const Json after =
      json_of(run_rtmdl(fmt::format("plan --json --calibrate --calibrate-for 2s --log '{}' {}", log.string(), tasks)));
  EXPECT_THAT(read_file(log), HasSubstr("\nfeasible,"));
  const Json& calibration = after["calibration"];
  ASSERT_GE(calibration["rounds"].size(), 1U);
  ASSERT_LE(calibration["rounds"].size(), 4U);
  const Json& task = calibration["rounds"][0]["tasks"][0];
  EXPECT_EQ(task["name"], "faces");
  EXPECT_EQ(task["measured"].size(), 2U) << "played twice";
  EXPECT_EQ(calibration["corrected"].size(), 1U);
  EXPECT_GT(calibration["corrected"][0]["factor"].get<double>(), 0.1);
  EXPECT_GT(calibration["options"][0]["jobs"].get<int>(), 50);
  const CommandResult simulated = run_rtmdl("simulate -v --json --duration 5s " + tasks);
  EXPECT_THAT(simulated.err, HasSubstr("planning with what calibration showed of"));
  fs::remove_all(folder);
}

pid_t start(const std::string& arguments) {
  const pid_t child = fork();
  if (child == 0) {
    const std::string line = fmt::format("exec '{}/rtmdl' {} >/dev/null 2>&1 </dev/null", RTMDL_BINARY_DIR, arguments);
    execl("/bin/sh", "sh", "-c", line.c_str(), nullptr);
    _exit(127);
  }
  return child;
}

TEST(Kill, AtAnyMomentTheNextStartGoesOn) {
  const fs::path folder = fs::temp_directory_path() / fmt::format("rtmdl-kill-{}", ::getpid());
  const std::string tasks = small_task(folder);
  for (const int ms : {40, 150, 400, 900, 1700}) {
    const pid_t child = start("profile " + tasks);
    std::this_thread::sleep_for(std::chrono::milliseconds(ms));
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
  }
  const Json scaled = json_of(run_rtmdl("scale --quick --json " + tasks));
  EXPECT_EQ(scaled["tasks"][0]["variants"][0]["id"], "source");
  const Json profile = json_of(run_rtmdl("profile --json " + tasks));
  std::set<std::string> made, measured;
  for (const Json& v : scaled["tasks"][0]["variants"]) made.insert(v["id"]);
  for (const Json& v : profile["tasks"][0]["variants"]) measured.insert(v["id"]);
  EXPECT_EQ(made, measured);
  for (const auto& entry : fs::directory_iterator(folder / "workspace/variants"))
    EXPECT_EQ(entry.path().extension(), ".onnx") << "only whole files: " << entry.path();
  fs::remove_all(folder);
}

TEST(CtrlC, EndsARunCleanlyWithResults) {
  const fs::path folder = fs::temp_directory_path() / fmt::format("rtmdl-ctrlc-{}", ::getpid());
  const std::string tasks = small_task(folder, "fp32");
  json_of(run_rtmdl("plan --json " + tasks));
  const pid_t child = start(fmt::format("run {}", tasks));
  const fs::path part = folder / fmt::format("workspace/runs/rtmdl.csv.part.{}", child);
  for (int i = 0; i < 600 && !fs::exists(part); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  ASSERT_TRUE(fs::exists(part));
  std::this_thread::sleep_for(std::chrono::seconds(1));
  kill(child, SIGINT);
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  EXPECT_TRUE(fs::exists(folder / "workspace/runs/rtmdl.csv"));
  EXPECT_FALSE(fs::exists(part));
  fs::remove_all(folder);
}

}  // namespace
}  // namespace rtmdl
