#include "runtime/compiled_plan.h"

#include "api/planned_folder.h"
#include "base/atomic_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rtmdl {
namespace {

using testing::AllOf;
using testing::HasSubstr;

struct CompiledPlanTest : testing::Test {
  /// The error after `from` in the plan has become `to`.
  std::string after(const std::string& from, const std::string& to) const {
    const std::string text = read_file(folder.compiled());
    std::string changed = text;
    const auto at = changed.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    changed.replace(at, from.size(), to);
    write_file_atomically(folder.compiled(), changed);
    const std::string error =
        error_of([&] { static_cast<void>(load_compiled_plan(folder.compiled(), folder.tasks())); });
    write_file_atomically(folder.compiled(), text);
    return error;
  }
  const PlannedFolder folder{2};
};

TEST_F(CompiledPlanTest, ComesBackAsItWas) {
  TaskFile file = TaskFile::load(folder.tasks());
  file.stretch(2);
  RunConfig config;
  config.processors = file.processors;
  for (int t = 0; t < 2; ++t) {
    RunTask task;
    task.spec = &file.tasks[static_cast<std::size_t>(t)];
    task.variant = "w0.5-int8";
    task.request = load_request(*task.spec, task.spec->model, {{"image", {1, 1, 14, 14}}});
    task.request.cuts = {3, 9};
    task.priority = 2 - t;
    task.places.front().threads = 3;
    task.utilisation = 0.25;
    task.stage_times.assign(5, {Duration(10), Duration(20)});
    task.stage_limits.assign(5, Duration(30));
    task.stage_watts.assign(5, 1.25);
    task.joules = 0.5;
    task.failures_to_fall_back = 3;
    task.fallbacks.push_back(task);
    task.pressures = {1, 0.1};
    task.fallbacks[0].variant = "source";
    task.fallbacks[0].request.cuts = {};
    task.fallbacks[0].stage_times = {};
    task.fallbacks[0].stage_limits = {};
    task.fallbacks[0].stage_watts = {};
    task.fallbacks[0].stage_loads.assign(3, {Duration(5), Duration(6)});
    task.fallbacks[0].loss = 0.125;
    config.tasks.push_back(task);
  }
  save_compiled_plan(folder.compiled(), file, config);
  const CompiledPlan plan = load_compiled_plan(folder.compiled(), folder.tasks());
  EXPECT_EQ(plan.config.name, "rtmdl");
  ASSERT_EQ(plan.config.tasks.size(), 2u);
  for (std::size_t t = 0; t < 2; ++t) {
    const RunTask &a = config.tasks[t], &b = plan.config.tasks[t];
    EXPECT_EQ(b.spec, &plan.file->tasks[t]);
    EXPECT_EQ(b.spec->period, std::chrono::milliseconds(40)) << "as planned, not as written";
    EXPECT_EQ(b.variant, a.variant);
    EXPECT_TRUE(std::filesystem::equivalent(b.request.model, a.request.model));
    EXPECT_EQ(b.request.shapes.at("image"), (std::vector<std::int64_t>{1, 1, 14, 14}));
    EXPECT_EQ(b.request.cuts, a.request.cuts);
    EXPECT_EQ(b.priority, a.priority);
    EXPECT_EQ(b.places, a.places);
    EXPECT_EQ(b.utilisation, a.utilisation);
    ASSERT_EQ(b.stage_times.size(), 5u);
    EXPECT_EQ(b.stage_times[4].beside, Duration(20));
    EXPECT_EQ(b.stage_limits, a.stage_limits);
    EXPECT_EQ(b.stage_watts, a.stage_watts);
    EXPECT_EQ(b.joules, 0.5);
    EXPECT_EQ(b.pressures, a.pressures);
    EXPECT_TRUE(b.fallbacks[0].pressures.empty());
    EXPECT_EQ(b.failures_to_fall_back, 3);
    ASSERT_EQ(b.fallbacks.size(), 1u);
    EXPECT_EQ(b.fallbacks[0].variant, "source");
    EXPECT_TRUE(b.fallbacks[0].request.cuts.empty());
    EXPECT_EQ(b.fallbacks[0].places, a.places);
    ASSERT_EQ(b.fallbacks[0].stage_loads.size(), 3u);
    EXPECT_EQ(b.fallbacks[0].stage_loads[2].likely, Duration(6));
    EXPECT_EQ(b.fallbacks[0].loss, 0.125);
    EXPECT_TRUE(b.stage_loads.empty());
    EXPECT_FALSE(b.loss);
  }
}

TEST_F(CompiledPlanTest, KeepsWhatTheBoxLivesOnAndMayDraw) {
  const std::string text = read_file(folder.tasks());
  std::string changed =
      "energy: {budget: 2 W, meter: hwmon, harvest: {trace: rf, power: 1 W, capacitor: 4 J}}\n" + text;
  changed.replace(changed.find("]}}"), 3, "], power: {busy: 3 W}}}");
  folder.write("tasks.yaml", changed);
  const TaskFile file = TaskFile::load(folder.tasks());
  RunConfig config;
  config.processors = file.processors;
  config.energy.supply = make_supply(*file.energy.harvest);
  config.energy.rule = {.eta = 0.25, .optional_joules = 2, .mandatory_joules = 0.5, .capacity_joules = 4};
  for (const TaskSpec& spec : file.tasks) {
    RunTask& task = config.tasks.emplace_back();
    task.spec = &spec;
    task.request = load_request(spec, spec.model);
    task.priority = static_cast<int>(config.tasks.size());
  }
  save_compiled_plan(folder.compiled(), file, config);
  const RunEnergy energy = load_compiled_plan(folder.compiled(), folder.tasks()).config.energy;
  EXPECT_EQ(energy.limit, 2);
  EXPECT_EQ(energy.meter, MeterKind::hwmon);
  ASSERT_TRUE(energy.supply);
  EXPECT_EQ(energy.supply->capacitor.capacity, 4);
  EXPECT_EQ(energy.rule.eta, 0.25);
  EXPECT_EQ(energy.rule.optional_joules, 2);
  EXPECT_EQ(energy.rule.mandatory_joules, 0.5);
  EXPECT_EQ(energy.rule.capacity_joules, 4);
  EXPECT_THAT(after("\"joules\": 0.0", "\"joules\": -1.0"), HasSubstr("watts or joules that cannot be"));
}

TEST_F(CompiledPlanTest, ASplitModelKeepsThePlaceOfEachSegment) {
  folder.write("tasks.yaml", "processors: {cpu: {cores: [0]}, gpu: {device: webgpu}}\n" +
                                 read_file(folder.tasks()).substr(read_file(folder.tasks()).find("tasks:")));
  const TaskFile file = TaskFile::load(folder.tasks());
  RunConfig config;
  config.processors = file.processors;
  for (std::size_t t = 0; t < 2; ++t) {
    RunTask task;
    task.spec = &file.tasks[t];
    task.request = load_request(*task.spec, task.spec->model);
    task.request.cuts = {9};
    task.places = {{static_cast<int>(t), 1, 1}, {1 - static_cast<int>(t), 1, 1}};
    task.priority = static_cast<int>(t) + 1;
    config.tasks.push_back(task);
  }
  save_compiled_plan(folder.compiled(), file, config);
  const CompiledPlan plan = load_compiled_plan(folder.compiled(), folder.tasks());
  for (std::size_t t = 0; t < 2; ++t) EXPECT_EQ(plan.config.tasks[t].places, config.tasks[t].places);
  EXPECT_EQ(place_name(plan.config.processors, plan.config.tasks[0]), "cpu+gpu@9");
  EXPECT_EQ(place_name(plan.config.processors, plan.config.tasks[1]), "gpu+cpu@9");
}

TEST_F(CompiledPlanTest, KeepsArrivalsAsTheyWerePlayed) {
  const std::string text = read_file(folder.tasks());
  std::string changed = text;
  changed.replace(changed.find("period: 20 ms"), 13, "arrivals: {sporadic: {min: 20 ms, mean: 50 ms}}");
  folder.write("tasks.yaml", changed);
  TaskFile file = TaskFile::load(folder.tasks());
  file.stretch(2);
  RunConfig config;
  config.processors = file.processors;
  for (TaskSpec& spec : file.tasks) {
    RunTask& task = config.tasks.emplace_back();
    task.spec = &spec;
    task.request = load_request(spec, spec.model);
    task.priority = static_cast<int>(config.tasks.size());
  }
  save_compiled_plan(folder.compiled(), file, config);
  const CompiledPlan plan = load_compiled_plan(folder.compiled(), folder.tasks());
  EXPECT_EQ(plan.file->tasks[0].arrivals, file.tasks[0].arrivals);
  EXPECT_EQ(plan.file->tasks[0].arrivals.calm.mean, std::chrono::milliseconds(100));
  EXPECT_EQ(plan.file->tasks[0].period, std::chrono::milliseconds(40));
  EXPECT_THAT(after("\"times\": []", "\"times\": [5]"), HasSubstr("of another kind"));
}

TEST_F(CompiledPlanTest, IsOfOneVersionOfItsTaskFile) {
  folder.write("tasks.yaml", read_file(folder.tasks()) + "# a note\n");
  EXPECT_THAT(error_of([&] { static_cast<void>(load_compiled_plan(folder.compiled(), folder.tasks())); }),
              AllOf(HasSubstr("compiled.json"), HasSubstr("the task file has changed since"), HasSubstr("rtmdl plan")));
}

TEST_F(CompiledPlanTest, ModelsInTheWorkspaceMoveWithIt) {
  TaskFile file = TaskFile::load(folder.tasks());
  const auto inside = folder.compiled().parent_path() / "variants" / "a.onnx";
  std::filesystem::create_directories(inside.parent_path());
  std::filesystem::copy_file(file.tasks[0].model, inside);
  folder.write("tasks.yaml", read_file(folder.tasks()));
  RunConfig config;
  config.processors = file.processors;
  for (int t = 0; t < 2; ++t) {
    RunTask task;
    task.spec = &file.tasks[static_cast<std::size_t>(t)];
    task.request = load_request(*task.spec, inside);
    task.priority = t + 1;
    config.tasks.push_back(task);
  }
  save_compiled_plan(folder.compiled(), file, config);
  const auto elsewhere = folder.path() / "elsewhere";
  std::filesystem::rename(folder.compiled().parent_path(), elsewhere);
  const CompiledPlan plan = load_compiled_plan(elsewhere / kCompiledPlanFile, folder.tasks());
  EXPECT_TRUE(std::filesystem::equivalent(plan.config.tasks[0].request.model, elsewhere / "variants" / "a.onnx"));
}

TEST_F(CompiledPlanTest, SaysWhatIsWrongInOneLine) {
  EXPECT_THAT(after("\"threads\": 1", "\"threads\": 0"), HasSubstr("its threads is not a whole number from 1"));
  EXPECT_THAT(after("\"threads\": 1", "\"threads\": 1.5"), HasSubstr("threads"));
  EXPECT_THAT(after("\"slots\": 1", "\"slots\": 2"), HasSubstr("slots"));
  EXPECT_THAT(after("\"priority\": 2", "\"priority\": 1"), HasSubstr("same priority"));
  EXPECT_THAT(after("\"name\": \"t1\"", "\"name\": \"x\""), HasSubstr("other tasks than 't1'"));
  EXPECT_THAT(after("\"processor\": \"cpu\"", "\"processor\": \"gpu\""), HasSubstr("processor 'gpu'"));
  EXPECT_THAT(after("\"period_ns\": 20000000", "\"period_ns\": -1"), HasSubstr("period_ns"));
  EXPECT_THAT(after("\"model_sha256\": \"", "\"model_sha256\": \"0"), HasSubstr("another one now"));
  EXPECT_THAT(after("\"model\": \"", "\"model\": \"/none"), HasSubstr("is gone"));
  EXPECT_THAT(after("\"cuts\": []", "\"cuts\": [1,2,3,4,5,6,7,8]"), HasSubstr("too many segments"));
  EXPECT_THAT(after("\"stage_times_ns\": []", "\"stage_times_ns\": [[1,2]]"), HasSubstr("times of 1 stages"));
  EXPECT_THAT(after("\"stage_limits_ns\": []", "\"stage_limits_ns\": [1]"), HasSubstr("times of 1 stages"));
  EXPECT_THAT(after("\"places\": [", "\"places\": [{\"processor\": \"cpu\", \"threads\": 1, \"slots\": 1},"),
              HasSubstr("2 places for 1 segments"));
  EXPECT_THAT(after("\"stage_times_ns\": []", "\"pressures\": [1], \"stage_times_ns\": []"),
              HasSubstr("pressures of 1 of 2 tasks"));
  EXPECT_THAT(after("\"stage_times_ns\": []", "\"pressures\": [1, 1.5], \"stage_times_ns\": []"),
              HasSubstr("between 0 and 1"));
  EXPECT_THAT(after("\"stage_times_ns\": []", "\"pressures\": \"no\", \"stage_times_ns\": []"),
              HasSubstr("not a compiled plan"));
  EXPECT_THAT(after("\"modes\": [", "\"modes\": 7, \"x\": ["), HasSubstr("1 to 16 modes"));
  EXPECT_THAT(after("\"compiled_plan\": 3", "\"compiled_plan\": 1"), HasSubstr("another version of rtmdl"));
  EXPECT_THAT(after("\"tasks\": [", "\"tasks\": 3, \"x\": ["), HasSubstr("2 tasks"));
  EXPECT_THAT(after("{", ""), HasSubstr("not a compiled plan"));
}

}  // namespace
}  // namespace rtmdl
