// Models that run partly on one processor and partly on another, as a program that opens their plan sees it.
#include "model/split.h"
#include "api/pictures.h"
#include "base/thread_placement.h"
#include "profiling/task_folder.h"
#include "runtime/compiled_plan.h"

#include <cstdlib>

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace rtmdl {
namespace {

/// Two tasks with the same model: one begins on `cpu` and goes over to `gpu` in the middle, the other the other way
/// round.
struct SplitFolder : TaskFolder {
  explicit SplitFolder(const std::string& gpu) {
    std::string text =
        fmt::format("processors: {{cpu: {{cores: [{}]}}, gpu: {}}}\ntasks:\n", available_cores().front(), gpu);
    for (const char* name : {"there", "back"})
      text += fmt::format(
          "  - {{name: {}, model: {}/examples/edge-box/models/fashion_resnet18.onnx, shapes: {{image: [1, 1, 28, "
          "28]}}, "
          "data: {{source: synthetic, shape: [1, 1, 28, 28]}}, post: {{kind: classes, k: 1}}, period: 20 ms}}\n",
          name, RTMDL_SOURCE_DIR);
    write("tasks.yaml", text);
    const TaskFile file = TaskFile::load(tasks());
    RunConfig config;
    config.processors = file.processors;
    const std::vector<Seam> seams = find_seams(load_model(file.tasks[0].model), 1);
    for (std::size_t t = 0; t < 2; ++t) {
      RunTask task;
      task.spec = &file.tasks[t];
      task.variant = "source";
      task.request = load_request(file.tasks[t], file.tasks[t].model);
      task.request.cuts = {seams[seams.size() / 2].node};
      task.places = t == 0 ? std::vector<RunPlace>{{0}, {1}} : std::vector<RunPlace>{{1}, {0}};
      task.priority = static_cast<int>(t) + 1;
      config.tasks.push_back(std::move(task));
    }
    save_compiled_plan(path() / "tasks.workspace" / kCompiledPlanFile, file, config);
  }
  [[nodiscard]] std::filesystem::path tasks() const { return path() / "tasks.yaml"; }
};

void expect_what_the_whole_model_says(const SplitFolder& folder, float tolerance) {
  Results results;
  RuntimeOptions options;
  options.on_result = [&](const JobResult& job) { results(job); };
  options.on_message = [](const std::string&) {};
  Runtime box(folder.tasks(), options);
  EXPECT_TRUE(box.task(0).processor.starts_with("cpu+gpu@")) << box.task(0).processor;
  EXPECT_TRUE(box.task(1).processor.starts_with("gpu+cpu@")) << box.task(1).processor;
  constexpr int kPictures = 6;
  for (int i = 0; i < kPictures; ++i) {
    for (const int task : {0, 1}) {
      Input in = input_of(picture(i));
      in.tag = i;
      ASSERT_EQ(box.submit(task, in), Submitted::accepted);
    }
    ASSERT_TRUE(results.wait_for(2 * static_cast<std::size_t>(i + 1)));
  }
  for (const TaskStatistics& s : box.statistics().tasks) EXPECT_EQ(s.completed, kPictures);
  for (const Results::Kept& r : results.all()) {
    ASSERT_EQ(r.job.end, JobEnd::completed);
    const Result want = expected_result(folder.tasks(), *picture(static_cast<int>(r.job.tag)));
    EXPECT_EQ(r.result.classes, want.classes);
    ASSERT_EQ(r.result.scores.size(), want.scores.size());
    for (std::size_t k = 0; k < want.scores.size(); ++k) EXPECT_NEAR(r.result.scores[k], want.scores[k], tolerance);
  }
}

TEST(SplitOverTwoCores, GivesWhatTheWholeModelSays) {
  const std::vector<int> cores = available_cores();
  if (cores.size() < 2) GTEST_SKIP() << "one core";
  expect_what_the_whole_model_says(SplitFolder(fmt::format("{{device: cpu, cores: [{}]}}", cores[1])), 1e-5F);
}

TEST(SplitWithWebGpu, GivesWhatTheWholeModelSays) {
  if (!std::getenv("VK_DRIVER_FILES")) GTEST_SKIP() << "VK_DRIVER_FILES names no driver: scripts/setup --tests";
  setenv("LP_NUM_THREADS", "1", 0);  // tests run side by side
  setenv("MESA_SHADER_CACHE_DIR", RTMDL_BINARY_DIR "/shaders", 0);
  expect_what_the_whole_model_says(SplitFolder("{device: webgpu}"), 1e-3F);
}

}  // namespace
}  // namespace rtmdl
