#include "profiling/segmentation.h"

#include "base/thread_placement.h"
#include "engine/fake/fake_engine.h"
#include "model/models.h"
#include "profiling/profiler.h"
#include "profiling/task_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>

namespace rtmdl {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::IsEmpty;

/// Runs nothing: a node takes the time that is written for it.
class NodeTimes final : public Engine {
 public:
  explicit NodeTimes(std::vector<Duration> times) : times_(std::move(times)) {}
  std::unique_ptr<Executable> load(const LoadRequest& request) override {
    loads.push_back(request.cuts);
    if (!request.cuts.empty() && refuses) bad_input("the shape of what crosses depends on the data");
    return std::make_unique<Loaded>(times_, request.cuts);
  }
  std::string version() const override { return "node times"; }
  std::vector<std::string> devices() const override { return {}; }

  std::vector<std::vector<int>> loads;
  bool refuses = false;

 private:
  class Loaded final : public Executable {
   public:
    Loaded(const std::vector<Duration>& times, const std::vector<int>& cuts) : segments_(cuts.size() + 1) {
      for (std::size_t i = 0; i < times.size(); ++i)
        segments_[static_cast<std::size_t>(std::upper_bound(cuts.begin(), cuts.end(), static_cast<int>(i)) -
                                           cuts.begin())] += times[i];
    }
    std::span<const TensorSpec> inputs() const noexcept override { return {}; }
    std::span<const TensorSpec> outputs() const noexcept override { return {}; }
    TensorView input(std::size_t) noexcept override { return {}; }
    TensorView output(std::size_t) noexcept override { return {}; }
    int segments() const noexcept override { return static_cast<int>(segments_.size()); }
    bool run() noexcept override {
      for (int k = 0; k < segments(); ++k) run_segment(k);
      return true;
    }
    bool run_segment(int k) noexcept override {
      spin_for(segments_[static_cast<std::size_t>(k)]);
      return true;
    }
    void cancel() noexcept override {}
    void rearm() noexcept override {}
    void reset_state() noexcept override {}
    const char* last_error() const noexcept override { return ""; }

   private:
    std::vector<Duration> segments_;
  };
  std::vector<Duration> times_;
};

struct SegmentationTest : testing::Test {
  LoadRequest chain(std::size_t nodes) {
    test::ModelMaker m;
    std::string x = m.input("x", {1, 4});
    for (std::size_t i = 0; i < nodes; ++i) x = m.node("Abs", {x});
    m.output(x);
    save_model(m.model(), folder.path() / "chain.onnx");
    LoadRequest request;
    request.model = folder.path() / "chain.onnx";
    return request;
  }
  static std::vector<Duration> times(std::initializer_list<int> of) {
    std::vector<Duration> all;
    for (const int t : of) all.push_back(t * microseconds(150));
    return all;
  }
  std::vector<Segmentation> choose(NodeTimes& engine, const LoadRequest& request, int most) {
    // Above what else runs here, if that is permitted: times are what is tested.
    return choose_segmentations(engine, request, most, {{}, realtime_permitted() ? 80 : 0}, context);
  }
  TaskFolder folder;
  Context context;
};

TEST_F(SegmentationTest, CutsWhereTheMeasuredTimeIsHalved) {
  NodeTimes engine(times({1, 1, 1, 1, 1, 1, 1, 12}));
  const auto found = choose(engine, chain(8), 3);
  ASSERT_EQ(found.size(), 1U);
  ASSERT_EQ(found[0].cuts.size(), 1U);
  EXPECT_GE(found[0].cuts[0], 6) << "7 is best; 6 is a twelfth worse, which is noise on a busy machine";
  EXPECT_LT(found[0].longest, found[0].total);
}

TEST_F(SegmentationTest, EachFinerOneHasAShorterLongestSegment) {
  NodeTimes engine(std::vector<Duration>(16, microseconds(100)));
  const auto found = choose(engine, chain(16), 8);
  ASSERT_EQ(found.size(), 3U);
  for (std::size_t k = 0; k < 3; ++k) EXPECT_EQ(found[k].cuts.size() + 1, 2U << k);
  EXPECT_NEAR(found[0].cuts[0], 8, 1);
  EXPECT_GT(found[0].longest, found[1].longest);
  EXPECT_GT(found[1].longest, found[2].longest);
}

TEST_F(SegmentationTest, OneLongNodeIsNotWorthMoreCutsThanItTakesToSetItApart) {
  NodeTimes engine(times({1, 40, 1, 1}));
  EXPECT_LE(choose(engine, chain(4), 8).size(), 1U) << "none, but for noise";
}

TEST_F(SegmentationTest, ShortModelsStayWhole) {
  NodeTimes engine(std::vector<Duration>(8, microseconds(10)));
  EXPECT_THAT(choose(engine, chain(8), 8), IsEmpty());
  EXPECT_EQ(engine.loads.size(), 1U);
}

TEST_F(SegmentationTest, ModelsThatCannotBeCutOrReadStayWhole) {
  NodeTimes engine(std::vector<Duration>(8, milliseconds(1)));
  EXPECT_THAT(choose(engine, chain(1), 8), IsEmpty());
  engine.refuses = true;
  EXPECT_THAT(choose(engine, chain(8), 8), IsEmpty());
  engine.refuses = false;
  LoadRequest request;
  request.model = folder.write("other.onnx", "in a format that only the back-end knows");
  EXPECT_THAT(choose(engine, request, 8), IsEmpty());
}

TEST_F(SegmentationTest, DoesNotPartAConvolutionFromWhatIsComputedWithIt) {
  test::ModelMaker m;
  std::string x = m.input("x", {1, 4, 8, 8});
  std::vector<Duration> node_times;
  for (int i = 0; i < 6; ++i) {
    x = m.node("Relu", {m.conv(x, 4, 4, 3)});
    node_times.insert(node_times.end(), {microseconds(300), microseconds(300)});
  }
  m.output(x);
  save_model(m.model(), folder.path() / "convolutions.onnx");
  LoadRequest request;
  request.model = folder.path() / "convolutions.onnx";
  NodeTimes engine(node_times);
  const auto found = choose(engine, request, 4);
  ASSERT_FALSE(found.empty());
  for (const Segmentation& s : found)
    for (const int cut : s.cuts) EXPECT_EQ(cut % 2, 0) << "between Conv and Relu";
}

TEST_F(SegmentationTest, MayBeSplitAtQuartersOfTheMeasuredTime) {
  NodeTimes engine(times({4, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}));
  const std::vector<int> places = choose_split_places(engine, chain(13), {{}, realtime_permitted() ? 80 : 0}, context);
  ASSERT_EQ(places.size(), 3U);
  EXPECT_NEAR(places[0], 1, 1);
  EXPECT_NEAR(places[1], 5, 1);
  EXPECT_NEAR(places[2], 9, 1);
}

TEST_F(SegmentationTest, WhatIsShortOrCannotBeCutIsNotSplit) {
  NodeTimes fast(std::vector<Duration>(8, microseconds(10))), slow(std::vector<Duration>(8, milliseconds(1)));
  EXPECT_THAT(choose_split_places(fast, chain(8), {}, context), IsEmpty());
  EXPECT_EQ(choose_split_places(slow, chain(2), {}, context).size(), 1U) << "there is one place";
  slow.refuses = true;
  EXPECT_THAT(choose_split_places(slow, chain(8), {}, context), IsEmpty());
}

struct SegmentProfileTest : testing::Test {
  SegmentProfileTest() {
    test::ModelMaker m;
    std::string x = m.input("x", {1, 16, 64, 64});
    for (int i = 0; i < 12; ++i) x = m.node("Relu", {m.conv(x, 16, 16, 3)});
    m.node("GlobalAveragePool", {x});
    m.last().set_output(0, "y");
    m.output("y");
    save_model(m.model(), folder.path() / "layers.onnx");
    options.per_variant = milliseconds(60);
    options.samples_wanted = 40;
    options.max_threads = 1;
  }
  std::vector<TaskProfile> profile(const std::string& gpu, const std::string& task = "") {
    const TaskFile file = folder.parse("processors: {gpu: {device: cpu, cores: [0], " + gpu +
                                       "}}\ntasks: [{name: t, model: layers.onnx, period: 50 ms, "
                                       "data: {source: synthetic, shape: [1, 16, 64, 64]}" +
                                       task + "}]\n");
    TaskVariants family;
    family.task = "t";
    Variant v;
    v.id = "source";
    v.path = folder.path() / "layers.onnx";
    v.bytes = static_cast<std::int64_t>(std::filesystem::file_size(v.path));
    family.variants = {v};
    return profile_tasks(*engine, file, folder.workspace(), {family}, options, context);
  }
  static std::vector<int> segments(const std::vector<TaskProfile>& tasks) {
    std::vector<int> counts;
    for (const VariantProfile& v : tasks[0].variants) counts.push_back(segments_of(v));
    return counts;
  }
  TaskFolder folder;
  std::unique_ptr<Engine> engine = make_onnxruntime_engine();
  ProfileOptions options;
  Context context;
};

TEST_F(SegmentProfileTest, SegmentsAreMeasuredWhereNothingElseCanInterruptAStage) {
  const auto tasks = profile("preemptive: false");
  const std::vector<int> counts = segments(tasks);
  ASSERT_GE(counts.size(), 2U);
  EXPECT_EQ(counts.front(), 1);
  EXPECT_TRUE(std::is_sorted(counts.begin(), counts.end()));
  for (const VariantProfile& v : tasks[0].variants) {
    ASSERT_EQ(v.segment_times.size(), v.cuts.empty() ? 0 : v.cuts.size() + 1);
    for (const StageTimes& segment : v.segment_times) {
      EXPECT_EQ(segment.stalls.of, v.infer.stalls.of);
      EXPECT_EQ(v.pre.stalls.of, v.infer.stalls.of) << "stages of one job go together";
      EXPECT_LT(summary(segment).p50, summary(v.infer).p50);
    }
  }
}

TEST_F(SegmentProfileTest, WhatTheKernelPreemptsStaysWhole) {
  if (!realtime_permitted()) GTEST_SKIP() << "SCHED_FIFO is not permitted: nothing preempts";
  EXPECT_THAT(segments(profile("preemptive: true")), ElementsAre(1));
}

TEST_F(SegmentProfileTest, WhereToCutIsRememberedAndMeasuredOnce) {
  const auto first = profile("preemptive: false");
  const auto second = profile("preemptive: false");
  ASSERT_EQ(second[0].variants.size(), first[0].variants.size());
  for (std::size_t i = 0; i < first[0].variants.size(); ++i) {
    EXPECT_TRUE(second[0].variants[i].reused);
    EXPECT_EQ(second[0].variants[i].cuts, first[0].variants[i].cuts);
    EXPECT_EQ(second[0].variants[i].key, first[0].variants[i].key);
  }
}

TEST_F(SegmentProfileTest, PartsAreMeasuredOnEachProcessorAndGoTogetherBothWays) {
  if (available_cores().size() < 2) GTEST_SKIP() << "one core";
  const auto both = [&] {
    return profile("preemptive: true}, npu: {device: cpu, cores: [1]", ", split: true")[0].variants;
  };
  const std::vector<VariantProfile> variants = both();
  std::map<std::string, const VariantProfile*> by_place;
  for (const VariantProfile& v : variants)
    if (segments_of(v) == 1 || !v.split.empty()) by_place[v.processor] = &v;
  ASSERT_TRUE(by_place.contains("gpu") && by_place.contains("npu"));
  std::size_t splits = 0;
  for (const auto& [name, v] : by_place) {
    if (v->split.empty()) continue;
    ++splits;
    EXPECT_EQ(v->split.size(), 2U);
    EXPECT_NE(v->split[0], v->split[1]);
    EXPECT_EQ(name, place_name(v->split, v->cuts));
    ASSERT_TRUE(by_place.contains(place_name({v->split[1], v->split[0]}, v->cuts)));
    const VariantProfile& back = *by_place[place_name({v->split[1], v->split[0]}, v->cuts)];
    EXPECT_NE(v->key, back.key);
    ASSERT_EQ(v->segment_times.size(), 2U);
    for (const StageTimes& part : v->segment_times) EXPECT_GT(summary(part).p50, Duration::zero());
    EXPECT_GT(summary(v->infer).p50, std::max(summary(v->segment_times[0]).p50, summary(v->segment_times[1]).p50));
  }
  EXPECT_GE(splits, 2U);
  EXPECT_LE(splits, 2 * kMostSplitPlaces);
  for (const VariantProfile& v : both()) EXPECT_TRUE(v.reused) << v.processor;
}

TEST_F(SegmentProfileTest, TheTaskFileSaysHowManyAtMost) {
  EXPECT_THAT(segments(profile("preemptive: false, segments: 1")), ElementsAre(1));
  for (const int count : segments(profile("preemptive: false, segments: 2"))) EXPECT_LE(count, 2);
}

}  // namespace
}  // namespace rtmdl
