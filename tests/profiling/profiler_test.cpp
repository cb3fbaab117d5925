#include "profiling/profiler.h"

#include "profiling/task_folder.h"
#include "profiling/text_engine.h"

#include "base/thread_placement.h"

#include <atomic>

#include <gmock/gmock.h>
#include <rtmdl/error.h>

#include <gtest/gtest.h>

namespace rtmdl {
namespace {

using std::chrono::microseconds;
using testing::AllOf;
using testing::HasSubstr;

struct ProfilerTest : testing::Test {
  ProfilerTest() {
    folder.write("faces.model", "1 300");
    folder.write("faces-fast.model", "1 100");
    folder.write("text.model", "1 500");
    options.per_variant = std::chrono::milliseconds(30);
    options.samples_wanted = 40;
    context.log = [this](LogLevel level, const std::string& line) {
      if (level == LogLevel::warning) warnings.push_back(line);
    };
  }

  [[nodiscard]] TaskFile parse(const std::string& more = "",
                               const std::string& data = "{source: synthetic, shape: [1, 4]}",
                               const std::string& processors = "") const {
    return folder.parse(
        processors + "tasks:\n  - {name: faces, model: faces.model, period: 10 ms, data: " + data + more +
        "}\n  - {name: text, model: text.model, period: 20 ms, data: {source: synthetic, shape: [1, 4]}}\n");
  }

  [[nodiscard]] Variant variant(const std::string& id, const std::string& file) const {
    Variant v;
    v.id = id;
    v.path = folder.path() / file;
    v.bytes = static_cast<std::int64_t>(std::filesystem::file_size(v.path));
    return v;
  }

  [[nodiscard]] std::vector<TaskVariants> variants() const {
    TaskVariants faces, text;
    faces.task = "faces";
    faces.variants = {variant("source", "faces.model"), variant("fast", "faces-fast.model")};
    faces.variants[1].accuracy = 0.97;
    faces.variants[1].accuracy_loss = 0.03;
    text.task = "text";
    text.variants = {variant("source", "text.model")};
    return {faces, text};
  }

  std::vector<TaskProfile> profile(const TaskFile& file) {
    return profile_tasks(engine, file, folder.workspace(), variants(), options, context);
  }

  static const VariantProfile* find(const TaskProfile& task, const std::string& id, const std::string& processor,
                                    int threads = 1) {
    for (const VariantProfile& v : task.variants)
      if (v.id == id && v.processor == processor && v.threads == threads) return &v;
    return nullptr;
  }

  TaskFolder folder;
  TextEngine engine;
  ProfileOptions options;
  Context context;
  std::vector<std::string> warnings;
};

TEST_F(ProfilerTest, MeasuresEveryVariantWithEveryNumberOfThreads) {
  const std::vector<TaskProfile> tasks = profile(parse());
  ASSERT_EQ(tasks.size(), 2u);
  const std::size_t cores = available_cores().size();
  EXPECT_EQ(tasks[0].variants.size(), 2 * cores);
  EXPECT_EQ(tasks[1].variants.size(), cores);
  const VariantProfile* source = find(tasks[0], "source", "cpu");
  const VariantProfile* fast = find(tasks[0], "fast", "cpu");
  ASSERT_TRUE(source && fast);
  EXPECT_TRUE(source->source);
  EXPECT_FALSE(fast->source);
  EXPECT_EQ(fast->accuracy, 0.97);
  EXPECT_EQ(fast->accuracy_loss, 0.03);
  EXPECT_GE(summary(source->infer).min, microseconds(300));
  EXPECT_GE(summary(fast->infer).min, microseconds(100));
  EXPECT_LT(summary(fast->infer).p50, microseconds(300));
  EXPECT_GE(
      source->infer.alone.size() + source->infer.busy.size() + static_cast<std::size_t>(source->infer.stalls.count),
      30u);
  EXPECT_GT(source->infer.busy.size(), source->infer.alone.size());
  EXPECT_FALSE(source->infer.alone.empty());
  EXPECT_GT(source->interference, 0.5);
  EXPECT_GE(source->memory, source->bytes);
}

TEST_F(ProfilerTest, MeasuresNothingTwice) {
  const std::vector<TaskProfile> first = profile(parse());
  const int loads = engine.loaded(), runs = engine.runs;
  const std::vector<TaskProfile> second = profile(parse());
  EXPECT_EQ(engine.loaded(), loads);
  EXPECT_EQ(engine.runs, runs);
  EXPECT_TRUE(second[0].variants[0].reused);
  EXPECT_EQ(second[0].variants[0].infer.busy, first[0].variants[0].infer.busy);
}

TEST_F(ProfilerTest, APeriodIsNoReasonToMeasureButDataIs) {
  (void)profile(parse());
  const int loads = engine.loaded();
  (void)profile(parse(", deadline: 9 ms, jitter: 1 ms, miss_rate: 3 %"));
  EXPECT_EQ(engine.loaded(), loads);
  const int faces = engine.loads["faces-fast.model"];
  (void)profile(parse("", "{source: synthetic, shape: [1, 4], frames: 7}"));
  EXPECT_GT(engine.loads["faces-fast.model"], faces);
}

TEST_F(ProfilerTest, AnotherPostProcessingLeavesTheTimesOfInferenceAsTheyWere) {
  const auto before = profile(parse());
  const auto after = profile(parse(", post: {kind: scalar}"));
  EXPECT_EQ(before[0].variants[0].infer.busy, after[0].variants[0].infer.busy);
  EXPECT_NE(before[0].variants[0].post.busy, after[0].variants[0].post.busy);
}

TEST_F(ProfilerTest, AnotherLibraryVersionIsMeasuredAnew) {
  (void)profile(parse());
  const int loads = engine.loaded();
  engine.name = "fake 2";
  (void)profile(parse());
  EXPECT_GT(engine.loaded(), loads);
}

TEST_F(ProfilerTest, ADeviceThatWasAskedForAndIsNotThereEndsIt) {
  try {
    static_cast<void>(profile(
        parse("", "{source: synthetic, shape: [1, 4]}", "processors: {cpu: {cores: [0]}, gpu: {device: webgpu}}\n")));
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::missing_device);
    EXPECT_THAT(e.what(), HasSubstr("webgpu is not there"));
  }
}

TEST_F(ProfilerTest, AnAcceleratorIsMeasuredThroughItsDevice) {
  engine.accelerator = "webgpu";
  const auto tasks = profile(
      parse("", "{source: synthetic, shape: [1, 4]}", "processors: {cpu: {cores: [0]}, gpu: {device: webgpu}}\n"));
  const VariantProfile* on_gpu = find(tasks[0], "source", "gpu");
  ASSERT_TRUE(on_gpu);
  EXPECT_EQ(on_gpu->processor_index, 1);
  EXPECT_GE(on_gpu->infer.stalls.of, 30);
  EXPECT_FALSE(on_gpu->infer.busy.empty());
}

TEST_F(ProfilerTest, AStoppedStartIsContinuedByTheNext) {
  std::atomic<bool> stop{false};
  context.stop = &stop;
  int reports = 0;
  context.progress = [&](const std::string&, double) {
    if (++reports == 2) stop.store(true);
  };
  const auto part = profile(parse());
  EXPECT_EQ(part[0].variants.size() + part[1].variants.size(), 1u);
  stop.store(false);
  const int fast = engine.loads["faces-fast.model"];
  context.progress = {};
  const auto all = profile(parse());
  EXPECT_TRUE(all[0].variants[0].reused);
  EXPECT_FALSE(all[1].variants[0].reused);
  EXPECT_GT(engine.loads["faces-fast.model"], fast);
}

TEST_F(ProfilerTest, ABudgetShortensMeasuringToTheLeastNumberOfSamples) {
  options.per_variant = std::chrono::seconds(20);
  options.budget = std::chrono::milliseconds(100);
  const Time start = MonotonicClock::now();
  const auto tasks = profile(parse());
  EXPECT_LT(MonotonicClock::now() - start, std::chrono::seconds(10));
  for (const VariantProfile& v : tasks[0].variants) EXPECT_GE(v.infer.stalls.of, 30);
}

struct ProfilerPairs : ProfilerTest {
  static constexpr const char* kData = "{source: synthetic, shape: [1, 4]}";
  static constexpr const char* kTwoSlots = "processors: {cpu: {cores: [0, 1], slots: 2}}\n";
  void SetUp() override {
    if (available_cores().size() < 2) GTEST_SKIP() << "nothing runs beside anything on one core";
  }
  static double factor(const VariantProfile& slowed, const std::string& by) {
    for (const SlowDown& s : slowed.slow_downs)
      if (s.variant == by) return s.factor;
    return 0;
  }
};

TEST_F(ProfilerPairs, AreMeasuredBothWaysForTwoVariantsOfEachTask) {
  folder.write("faces-fast.model", "1 300 crowded");
  folder.write("text.model", "1 500 crowded");
  const auto tasks = profile(parse("", kData, kTwoSlots));
  const VariantProfile* source = find(tasks[0], "source", "cpu");
  const VariantProfile* fast = find(tasks[0], "fast", "cpu");
  const VariantProfile* text = find(tasks[1], "source", "cpu");
  ASSERT_TRUE(source && fast && text);
  ASSERT_EQ(text->slow_downs.size(), 2u) << "with both of the other task";
  EXPECT_EQ(text->slow_downs[0].task, "faces");
  EXPECT_EQ(text->slow_downs[0].processor, "cpu");
  ASSERT_EQ(fast->slow_downs.size(), 1u);
  EXPECT_GT(factor(*fast, "source"), 1.4);
  EXPECT_GT(factor(*text, "fast"), 1.4);
  EXPECT_LT(factor(*source, "source"), 1.4) << "it does not mind";
  EXPECT_LT(factor(*text, "source"), 1.4);
  EXPECT_EQ(text->representative, "source");
  EXPECT_EQ(fast->representative, "fast");
}

TEST_F(ProfilerPairs, OfMostLoadComeFirstHoweverCloseJobsMayCome) {
  folder.write("sound.model", "1 400");
  const TaskFile file = folder.parse(
      std::string(kTwoSlots) + "tasks:\n  - {name: faces, model: faces.model, period: 10 ms, data: " + kData +
      "}\n  - {name: text, model: text.model, arrivals: {poisson: {mean: 1 s}}, deadline: 1 s, data: " + kData +
      "}\n  - {name: sound, model: sound.model, period: 50 ms, data: " + kData + "}\n");
  std::vector<TaskVariants> all = variants();
  all[0].variants.pop_back();
  all.push_back({});
  all.back().task = "sound";
  all.back().variants = {variant("source", "sound.model")};
  std::vector<std::string> beside_faces;
  context.progress = [&](const std::string& what, double) {
    for (const char* other : {"text", "sound"})
      if (what == "faces source on cpu beside " + std::string(other) + " source on cpu") beside_faces.push_back(other);
  };
  static_cast<void>(profile_tasks(engine, file, folder.workspace(), all, options, context));
  EXPECT_THAT(beside_faces, testing::ElementsAre("sound", "text")) << "text comes once a second";
}

TEST_F(ProfilerPairs, AreMeasuredOnceWhereverTheTwoRun) {
  const auto loads_of = [&](const std::string& processors) {
    const int before = engine.loads["text.model"];
    static_cast<void>(profile(parse("", kData, processors)));
    return engine.loads["text.model"] - before;
  };
  EXPECT_GT(loads_of(kTwoSlots), 0);
  EXPECT_EQ(loads_of(kTwoSlots), 0);
  // Each core is a processor now. Times are of other cores, but a pair on two cores was measured.
  const int measured = loads_of("processors: {cpu: {cores: [0]}, gpu: {device: cpu, cores: [1]}}\n");
  EXPECT_LE(measured, 2 + 2 * 2) << "two processors, and a neighbour for times on each";
}

TEST_F(ProfilerPairs, GoOnWhereTheyWereStopped) {
  std::atomic<bool> stop{false};
  context.stop = &stop;
  context.progress = [&](const std::string& what, double) {
    if (what.find("fast on cpu beside text") != std::string::npos) stop.store(true);
  };
  const auto part = profile(parse("", kData, kTwoSlots));
  const VariantProfile* source = find(part[0], "source", "cpu");
  ASSERT_TRUE(source);
  EXPECT_EQ(source->slow_downs.size(), 1u) << "measured before it was stopped";
  const double known = factor(*source, "source");
  stop.store(false);
  context.progress = {};
  const auto all = profile(parse("", kData, kTwoSlots));
  EXPECT_EQ(factor(*find(all[0], "source", "cpu"), "source"), known);
  EXPECT_EQ(find(all[1], "source", "cpu")->slow_downs.size(), 2u);
}

TEST_F(ProfilerPairs, DemandIsTheShareOfTheCoresOrWhatCopiesTell) {
  engine.accelerator = "cuda:0";
  folder.write("faces.model", "1 300 crowded");
  const auto tasks =
      profile(parse("", kData, "processors: {cpu: {cores: [0, 1]}, gpu: {device: \"cuda:0\", slots: 2}}\n"));
  EXPECT_NEAR(find(tasks[0], "source", "cpu")->demand, 0.5, 0.15) << "one thread on two cores";
  EXPECT_GT(find(tasks[0], "source", "gpu")->demand, 0.7) << "two copies take twice as long";
  EXPECT_LT(find(tasks[1], "source", "gpu")->demand, 0.7);
}

TEST(PlanningTimes, AreThoseBesideABusyNeighbour) {
  StageTimes times;
  times.alone = {Duration(5), Duration(4)};
  EXPECT_EQ(planning_times(times), (std::vector<Duration>{Duration(4), Duration(5)}));
  times.busy = {Duration(9), Duration(7), Duration(8)};
  EXPECT_EQ(planning_times(times), (std::vector<Duration>{Duration(7), Duration(8), Duration(9)}));
  const StageSummary s = summary(times);
  EXPECT_EQ(s.min, Duration(7));
  EXPECT_EQ(s.p50, Duration(8));
  EXPECT_EQ(s.p99, Duration(9));
  EXPECT_EQ(s.max, Duration(9));
  EXPECT_EQ(s.samples, 3u);
  EXPECT_EQ(summary(StageTimes{}).samples, 0u);
}

}  // namespace
}  // namespace rtmdl
