// A task file with a WebGPU device, as a user would run it. Mesa's software driver stands in for a GPU, see
// tests/engine/webgpu_test.cpp.
#include "base/atomic_file.h"
#include "command.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>

#include <unistd.h>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace rtmdl {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

class WebGpuCommand : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!std::getenv("VK_DRIVER_FILES")) GTEST_SKIP() << "VK_DRIVER_FILES names no driver: scripts/setup --tests";
    setenv("LP_NUM_THREADS", "1", 0);  // tests run side by side
    setenv("MESA_SHADER_CACHE_DIR", RTMDL_BINARY_DIR "/shaders", 0);
  }
  void TearDown() override { fs::remove_all(folder_); }

  /// Two models on the device, one on the CPU. Returns what names the file and a workspace.
  std::string tasks(const std::string& gpu = "{device: webgpu, segments: 2}") const {
    write_file_atomically(
        folder_ / "tasks.yaml",
        fmt::format("processors: {{cpu: {{cores: [0]}}, gpu: {1}}}\ntasks:\n"
                    "  - {{name: front, model: {0}/models/blazeface_128.onnx, processors: [gpu], period: 500 ms, "
                    "<<FACES>>}}\n"
                    "  - {{name: back, model: {0}/models/blazeface_128.onnx, processors: [gpu], period: 700 ms, "
                    "<<FACES>>}}\n"
                    "  - {{name: beside, model: {0}/models/blazeface_128.onnx, processors: [cpu], period: 50 ms, "
                    "<<FACES>>}}\n",
                    assets_.string(), gpu));
    std::string text = read_file(folder_ / "tasks.yaml");
    const std::string faces = fmt::format(
        "data: {{source: images, path: {}/data/pictures}}, pre: {{letterbox: [128, 128], scale: 0.00784, shift: -1, "
        "layout: NHWC}}, post: {{kind: detections, decoder: blazeface}}, scale: {{precision: [fp32]}}, accuracy: "
        "{{min: 50 %}}, miss_rate: 50 %",
        assets_.string());
    for (std::size_t at = 0; (at = text.find("<<FACES>>")) != std::string::npos;) text.replace(at, 9, faces);
    write_file_atomically(folder_ / "tasks.yaml", text);
    return fmt::format("'{}' --workspace '{}'", (folder_ / "tasks.yaml").string(), (folder_ / "workspace").string());
  }

  static nlohmann::json json_of(const CommandResult& r) {
    EXPECT_EQ(r.status, 0) << r.err;
    return nlohmann::json::parse(r.out, nullptr, false);
  }

  /// The last line of stderr, which is all that rtmdl says there: the driver's own lines come before.
  static std::string complaint(const CommandResult& r) {
    EXPECT_EQ(r.out, "");
    const auto at = r.err.find("rtmdl: ");
    EXPECT_NE(at, std::string::npos) << r.err;
    const std::string line = at == std::string::npos ? "" : r.err.substr(at);
    EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1) << r.err;
    return line;
  }

  fs::path folder_ = fs::temp_directory_path() / fmt::format("rtmdl-webgpu-{}", ::getpid());
  fs::path assets_ = fs::path(RTMDL_SOURCE_DIR) / "assets";
};

TEST_F(WebGpuCommand, ProfilesPlansAndRuns) {
  const std::string file = tasks();
  const auto profile = json_of(run_rtmdl("profile --budget 5s --json " + file));
  for (const auto& task : profile["tasks"])
    for (const auto& variant : task["variants"])
      EXPECT_EQ(variant["processor"], task["name"] == "beside" ? "cpu" : "gpu") << variant;
  const auto plan = json_of(run_rtmdl("plan --json " + file));
  for (const auto& task : plan["tasks"]) {
    EXPECT_EQ(task["processor"], task["name"] == "beside" ? "cpu" : "gpu");
    EXPECT_EQ(task["slots"], 1);
    EXPECT_GE(task["accuracy"].get<double>(), 0.5);
  }
  const auto run = json_of(run_rtmdl("run --json --duration 4s " + file));
  ASSERT_EQ(run["tasks"].size(), 3U);
  for (const auto& task : run["tasks"]) {
    EXPECT_GE(task["released"].get<int>(), 5) << task;
    EXPECT_GE(task["completed"].get<int>(), 1) << task;
    EXPECT_EQ(task["failed"], 0) << task;
    EXPECT_EQ(task["released"].get<int>(),
              task["completed"].get<int>() + task["dropped"].get<int>() + task["failed"].get<int>())
        << task;
  }
  for (const auto& processor : run["processors"])
    if (processor["name"] == "gpu") {
      EXPECT_GT(processor["busy"].get<double>(), 0);
    }
}

TEST_F(WebGpuCommand, MeasuresPartsOfModelsOnTheDeviceAndOnTheCpu) {
  std::string file = tasks();
  std::string text = read_file(folder_ / "tasks.yaml");
  const std::string kept = "processors: [cpu], period: 50 ms";
  text.replace(text.find(kept), kept.size(), "split: true, period: 50 ms");
  write_file_atomically(folder_ / "tasks.yaml", text);
  const auto profile = json_of(run_rtmdl("profile --json " + file));
  std::map<std::string, double> parts;  // by processor: of the first part, over all places to split at
  for (const auto& variant : profile["tasks"][2]["variants"]) {
    if (!variant.contains("parts")) continue;
    EXPECT_EQ(variant["segments"], 2) << variant;
    for (const auto& part : variant["parts"]) EXPECT_GT(part["ms"]["p50"].get<double>(), 0) << variant;
    parts[variant["parts"][0]["processor"]] += variant["parts"][0]["ms"]["p50"].get<double>();
  }
  ASSERT_EQ(parts.size(), 2U) << profile;
  EXPECT_GT(parts["gpu"], parts["cpu"]) << "a software driver";
  const auto plan = json_of(run_rtmdl("plan --json " + file));
  EXPECT_TRUE(plan["feasible"].get<bool>());
}

TEST_F(WebGpuCommand, RefusesMoreThanOneSlot) {
  const CommandResult r = run_rtmdl("profile " + tasks("{device: webgpu, slots: 2}"));
  EXPECT_EQ(r.status, 2);
  EXPECT_THAT(complaint(r), HasSubstr("processors.gpu.slots: 2 slots; a webgpu device runs one model at a time, "
                                      "accepted is 1"));
}

TEST_F(WebGpuCommand, AMissingDriverSaysWhatToInstall) {
  const CommandResult r = run_rtmdl("profile --json " + tasks(), "VK_DRIVER_FILES=/dev/null");
  EXPECT_EQ(r.status, 4);
  EXPECT_THAT(complaint(r), HasSubstr("device 'webgpu' does not start: Failed to get a WebGPU adapter"));
  EXPECT_THAT(complaint(r), HasSubstr("install libvulkan1 and the GPU's Vulkan driver"));
}

}  // namespace
}  // namespace rtmdl
