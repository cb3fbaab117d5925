#include "planning/problem_from_profile.h"

#include <rtmdl/error.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rtmdl {
namespace {

using std::chrono::milliseconds;
using testing::AllOf;
using testing::HasSubstr;

StageTimes times(std::initializer_list<int> busy_ms, std::initializer_list<int> alone_ms = {}) {
  StageTimes t;
  for (const int ms : busy_ms) t.busy.emplace_back(milliseconds(ms));
  for (const int ms : alone_ms) t.alone.emplace_back(milliseconds(ms));
  return t;
}

VariantProfile variant(const std::string& id, const std::string& processor, int threads,
                       std::initializer_list<int> infer_ms, double accuracy = 1) {
  VariantProfile v;
  v.id = id;
  v.processor = processor;
  v.threads = threads;
  v.pre = times({1}, {9});
  v.infer = times(infer_ms, {1});
  v.post = times({2});
  v.accuracy = accuracy;
  v.accuracy_loss = 1 - accuracy;
  v.content = "hash of " + id;
  v.bytes = 1000;
  v.memory = 3000;
  v.source = id == "source";
  return v;
}

TaskFile task_file(const std::string& task = "",
                   const std::string& processors = "{cpu: {cores: [0]}, gpu: {device: webgpu}}") {
  // The model only has to be there.
  return TaskFile::parse(
      "storage: 5 MB\nprocessors: " + processors +
          "\ntasks:\n  - {name: faces, model: CMakeLists.txt, data: {source: synthetic}, period: 50 ms" + task + "}\n",
      std::string(RTMDL_SOURCE_DIR) + "/tasks.yaml");
}

std::vector<TaskProfile> profile(std::vector<VariantProfile> variants) { return {{"faces", std::move(variants)}}; }

TEST(ProblemFromProfile, TakesThePowerThatWasMetered) {
  VariantProfile v = variant("source", "gpu", 1, {10});
  v.infer.watts = 5;
  const PlanProblem problem = make_problem(task_file(), profile({v}));
  const TaskOption& o = problem.tasks[0].options[0];
  EXPECT_FALSE(o.stages[0].watts);
  EXPECT_EQ(o.stages[1].watts, 5);
  EXPECT_NEAR(o.joules, 5 * 0.01001, 1e-9) << "dispatch included";
}

TEST(ProblemFromProfile, HasTheTimesAloneAscendingBesideThoseUnderLoad) {
  VariantProfile v = variant("source", "gpu", 1, {12, 10, 11});
  v.infer = times({12, 10, 11}, {9, 7, 8});
  v.post = times({}, {2});
  const PlanProblem problem = make_problem(task_file(), profile({v}));
  const TaskOption& o = problem.tasks[0].options[0];
  EXPECT_THAT(o.stages[1].alone.sorted, testing::ElementsAre(milliseconds(7), milliseconds(8), milliseconds(9)));
  EXPECT_THAT(o.stages[2].times.sorted, testing::ElementsAre(milliseconds(2)));
  EXPECT_TRUE(o.stages[2].alone.sorted.empty()) << "it is planned with those already";
}

TEST(ProblemFromProfile, CountsLoadByTheMeanIntervalAndProofsByTheShortest) {
  const TaskFile file = TaskFile::parse(
      "tasks:\n  - {name: faces, model: CMakeLists.txt, data: {source: synthetic}, post: {kind: detections}, "
      "arrivals: {sporadic: {min: 100 ms, mean: 200 ms}}}\n"
      "  - {name: each, model: CMakeLists.txt, data: {source: synthetic}, after: faces, per: detection, max: 4, "
      "deadline: 150 ms}\n",
      std::string(RTMDL_SOURCE_DIR) + "/tasks.yaml");
  std::vector<TaskProfile> profiles{{"faces", {variant("source", "cpu", 1, {10})}},
                                    {"each", {variant("source", "cpu", 1, {10})}}};
  EXPECT_THAT(mean_intervals(file, profiles), testing::ElementsAre(milliseconds(200), milliseconds(50)))
      << "as many as can be";
  profiles[0].detections = {0, 1, 7, 0};
  const PlanProblem problem = make_problem(file, profiles);
  EXPECT_EQ(problem.tasks[0].period, milliseconds(100));
  EXPECT_EQ(mean_interval(problem.tasks[0]), milliseconds(200));
  EXPECT_EQ(mean_interval(problem.tasks[1]), milliseconds(160)) << "five jobs in four of 200 ms";
  EXPECT_EQ(problem.tasks[1].period, milliseconds(25));
  EXPECT_EQ(problem.tasks[1].jitter, milliseconds(100 + 100 - 25));
  EXPECT_NEAR(utilisation(problem.tasks[1], problem.tasks[1].options[0]), 13.0 / 160, 1e-9);
}

TEST(ProblemFromProfile, AChainsDeadlineHasToLeaveRoomForAllOfIt) {
  const TaskFile file = TaskFile::parse(
      "tasks:\n  - {name: faces, model: CMakeLists.txt, data: {source: synthetic}, period: 50 ms}\n"
      "  - {name: then, model: CMakeLists.txt, data: {source: synthetic}, after: faces, deadline: 25 ms}\n",
      std::string(RTMDL_SOURCE_DIR) + "/tasks.yaml");
  const std::vector<TaskProfile> profiles{{"faces", {variant("source", "cpu", 1, {10})}},
                                          {"then", {variant("source", "cpu", 1, {10})}}};
  try {
    static_cast<void>(make_problem(file, profiles));
    FAIL();
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), AllOf(HasSubstr("25 ms cannot be met"), HasSubstr("26 ms"), HasSubstr("tasks before")));
  }
}

TEST(ProblemFromProfile, FindsTheCorrelationOfAJobsStagesWhereSamplesPairUp) {
  VariantProfile v = variant("source", "gpu", 1, {});
  for (StageTimes* t : {&v.pre, &v.infer, &v.post}) {
    *t = {};
    for (int k = 0; k < 40; ++k) t->busy.emplace_back(std::chrono::microseconds(5 + 7 * k % 40));
    t->stalls.of = 40;
  }
  const auto correlation = [&] { return make_problem(task_file(), profile({v})).tasks[0].options[0].correlation; };
  EXPECT_NEAR(correlation(), 1, 1e-9);
  v.post.stalls.count = 1;  // something was left out of it, who knows where
  EXPECT_EQ(correlation(), 0);
}

TEST(ProblemFromProfile, CarriesTheTaskAndItsStages) {
  const TaskFile file = task_file(
      ", deadline: 40 ms, jitter: 1 ms, offset: 2 ms, miss_rate: 2 %, hard: true, queue: 3, accuracy: {weight: 2}");
  const PlanProblem problem = make_problem(file, profile({variant("source", "gpu", 1, {12, 10, 11})}));
  ASSERT_EQ(problem.processors.size(), 2u);
  EXPECT_EQ(problem.processors[1].name, "gpu");
  EXPECT_TRUE(problem.processors[0].preemptive);
  EXPECT_FALSE(problem.processors[1].preemptive);
  EXPECT_EQ(problem.storage, 5'000'000);
  EXPECT_EQ(problem.dispatch, std::chrono::microseconds(10));
  ASSERT_EQ(problem.tasks.size(), 1u);
  const PlanTask& task = problem.tasks[0];
  EXPECT_EQ(task.name, "faces");
  EXPECT_EQ(task.period, milliseconds(50));
  EXPECT_EQ(task.deadline, milliseconds(40));
  EXPECT_EQ(task.jitter, milliseconds(1));
  EXPECT_EQ(task.offset, milliseconds(2));
  EXPECT_EQ(task.miss_rate_limit, 0.02);
  EXPECT_TRUE(task.hard);
  EXPECT_EQ(task.queue, 3);
  EXPECT_EQ(task.weight, 2);
  ASSERT_EQ(task.options.size(), 1u);
  const TaskOption& option = task.options[0];
  EXPECT_TRUE(option.source);
  EXPECT_EQ(option.processor, "gpu");
  EXPECT_EQ(option.memory, 3000);
  EXPECT_EQ(option.content, "hash of source");
  ASSERT_EQ(option.stages.size(), 3u);
  EXPECT_EQ(option.stages[0].processor, 0);
  EXPECT_EQ(option.stages[1].processor, 1);
  EXPECT_EQ(option.stages[2].processor, 0);
  // The times beside a busy neighbour, ascending.
  EXPECT_EQ(option.stages[0].times.sorted, (std::vector<Duration>{milliseconds(1)}));
  EXPECT_EQ(option.stages[1].times.sorted,
            (std::vector<Duration>{milliseconds(10), milliseconds(11), milliseconds(12)}));
}

TEST(ProblemFromProfile, LeavesOutWhatIsBelowTheAccuracyButNeverTheSource) {
  const TaskFile file = task_file(", accuracy: {min: 95 %}");
  const PlanProblem problem =
      make_problem(file, profile({variant("source", "cpu", 1, {10}, 0.9), variant("int8", "cpu", 1, {5}, 0.949),
                                  variant("half", "cpu", 1, {5}, 0.95)}));
  ASSERT_EQ(problem.tasks[0].options.size(), 2u);
  EXPECT_EQ(problem.tasks[0].options[0].variant, "source");
  EXPECT_EQ(problem.tasks[0].options[1].variant, "half");
  ASSERT_EQ(problem.tasks[0].refused.size(), 1u) << "kept aside: a lower accuracy.min would admit it";
  EXPECT_EQ(problem.tasks[0].refused[0].variant, "int8");
  EXPECT_EQ(problem.tasks[0].accuracy_min, 0.95);
}

TEST(ProblemFromProfile, StagesHaveOneThreadWhereTheKernelOrdersByDeadlines) {
  const auto options = [](const std::string& keys) {
    const TaskFile file = task_file("", "{cpu: {cores: [0]}, gpu: {device: cpu, cores: [1]" + keys + "}}");
    return make_problem(file, profile({variant("source", "gpu", 1, {13}), variant("source", "gpu", 2, {7})}))
        .tasks[0]
        .options.size();
  };
  EXPECT_EQ(options(""), 2u);
  EXPECT_EQ(options(", kernel: deadline"), 1u);
}

TEST(ProblemFromProfile, MoreThreadsHaveToPayByThirtyPerCent) {
  const TaskFile file = task_file("", "{cpu: {cores: [0, 1]}}");
  const auto options = [&](int two_threads_ms) {
    return make_problem(file,
                        profile({variant("source", "cpu", 1, {13}), variant("source", "cpu", 2, {two_threads_ms})}))
        .tasks[0]
        .options.size();
  };
  EXPECT_EQ(options(10), 2u);
  EXPECT_EQ(options(11), 1u);
}

TEST(ProblemFromProfile, AStageTakesAsManySlotsAsItsThreadsNeed) {
  const TaskFile file = task_file("", "{cpu: {cores: [0, 1], slots: 2}}");
  const PlanProblem problem =
      make_problem(file, profile({variant("source", "cpu", 1, {20}), variant("source", "cpu", 2, {10})}));
  EXPECT_EQ(problem.processors[0].slots, 2);
  const std::vector<TaskOption>& options = problem.tasks[0].options;
  ASSERT_EQ(options.size(), 2u);
  EXPECT_EQ(options[0].stages[1].slots, 1);
  EXPECT_EQ(options[1].stages[1].slots, 2);
  EXPECT_EQ(options[1].stages[0].slots, 1);
  EXPECT_EQ(slots_of_threads(2, 2, 4), 1);
  EXPECT_EQ(slots_of_threads(3, 2, 4), 2);
  EXPECT_EQ(slots_of_threads(4, 1, 4), 1);
  EXPECT_EQ(slots_of_threads(1, 4, 2), 1) << "more slots than cores";
  EXPECT_EQ(slots_of_threads(2, 4, 2), 2);
}

/// Two tasks on two processors; of the first a slow and a fast variant were measured in pairs, and `int8` is like fast.
struct TwoTasks {
  TaskFile file = TaskFile::parse(
      "processors: {cpu: {cores: [0]}, gpu: {device: \"cuda:0\", slots: 2}}\ntasks:\n"
      "  - {name: faces, model: CMakeLists.txt, data: {source: synthetic}, period: 50 ms}\n"
      "  - {name: text, model: CMakeLists.txt, data: {source: synthetic}, period: 50 ms}\n",
      std::string(RTMDL_SOURCE_DIR) + "/tasks.yaml");
  std::vector<TaskProfile> profiles{{"faces", {}}, {"text", {}}};

  TwoTasks() {
    for (const char* id : {"source", "fast", "int8"}) add(0, id);
    profiles[0].variants[2].representative = "fast";
    profiles[0].variants[2].demand = 0.25;
    add(1, "source");
    measured(0, 0, 1, 0, 1.2);
    measured(0, 1, 1, 0, 1.1);
    measured(1, 0, 0, 0, 3.0);
    measured(1, 0, 0, 1, 1.6);
  }
  void add(std::size_t task, const char* id) {
    VariantProfile v = variant(id, "gpu", 1, {});
    v.infer = times({12, 12, 12}, {10, 10, 10});
    v.interference = 1.2;
    v.demand = 0.5;
    v.representative = id;
    profiles[task].variants.push_back(v);
  }
  void measured(std::size_t task, std::size_t variant, std::size_t by, std::size_t by_variant, double factor) {
    profiles[task].variants[variant].slow_downs.push_back(
        {profiles[by].name, profiles[by].variants[by_variant].id, "gpu", factor});
  }
};

TEST(ProblemFromProfile, PairsSayHowFarOneTaskSlowsAnotherDown) {
  const TwoTasks two;
  const PlanProblem problem = make_problem(two.file, two.profiles);
  const auto& faces = problem.tasks[0].options;
  const auto& text = problem.tasks[1].options;
  EXPECT_EQ(faces[1].kind, faces[2].kind) << "one stands for the other";
  EXPECT_NEAR(slow_down(problem, faces[0], text[0]).value(), 1.2, 1e-9);
  EXPECT_DOUBLE_EQ(pressure(problem, faces[0], text[0]).value(), 1);
  EXPECT_NEAR(pressure(problem, faces[1], text[0]).value(), (0.1 + 0.05) / (0.2 + 0.05), 1e-9);
  EXPECT_NEAR(slow_down(problem, text[0], faces[1]).value(), 1.6, 1e-9);
  EXPECT_NEAR(slow_down(problem, text[0], faces[2]).value(), 1.3, 1e-9) << "it uses half as much of the processor";
  EXPECT_FALSE(pressure(problem, text[0], text[0])) << "no task is beside itself";
}

TEST(ProblemFromProfile, TimesAreThoseBesideTheWorstPair) {
  const TwoTasks two;
  const PlanProblem problem = make_problem(two.file, two.profiles);
  const TaskOption& text = problem.tasks[1].options[0];
  EXPECT_EQ(text.stages[1].times.max(), milliseconds(30)) << "3 times those alone, where a neighbour on cores took 1.2";
  EXPECT_EQ(text.stages[1].alone.sorted.back(), milliseconds(10));
  EXPECT_DOUBLE_EQ(text.slow_down, 3);
  EXPECT_DOUBLE_EQ(pressure(problem, text, problem.tasks[0].options[0]).value(), 1);
  EXPECT_EQ(text.stages[0].times.max(), milliseconds(1)) << "pairs are of inference";
  EXPECT_EQ(problem.tasks[0].options[0].stages[1].times.max(), milliseconds(12))
      << "nothing is worse than was measured";
}

TEST(ProblemFromProfile, WhatIsMuchFasterAloneMayKeepTheProcessorForItself) {
  const TwoTasks two;
  const PlanProblem problem = make_problem(two.file, two.profiles);
  ASSERT_EQ(problem.tasks[1].options.size(), 2u);
  const TaskOption& alone = problem.tasks[1].options[1];
  EXPECT_TRUE(alone.alone);
  EXPECT_EQ(alone.stages[0].slots, 1);
  EXPECT_EQ(alone.stages[1].slots, 2);
  EXPECT_EQ(alone.stages[1].times.max(), milliseconds(12)) << "beside what the cores run";
  for (const TaskOption& o : problem.tasks[0].options) EXPECT_FALSE(o.alone) << "1.2 times is not worth it";
}

TEST(ProblemFromProfile, NothingIsBesideATaskThatHasTheOnlyProcessorForItself) {
  const TaskFile file = task_file("", "{cpu: {cores: [0, 1], slots: 2}}");
  VariantProfile v = variant("source", "cpu", 1, {});
  v.infer = times({15, 14}, {10, 9});
  const PlanProblem problem = make_problem(file, profile({v}));
  ASSERT_EQ(problem.tasks[0].options.size(), 2u);
  EXPECT_THAT(problem.tasks[0].options[1].stages[1].times.sorted,
              testing::ElementsAre(milliseconds(9), milliseconds(10)));
  EXPECT_TRUE(problem.tasks[0].options[1].stages[1].alone.sorted.empty());
  v.infer = times({11}, {10});
  EXPECT_EQ(make_problem(file, profile({v})).tasks[0].options.size(), 1u);
}

TEST(ProblemFromProfile, ADeadlineThatNothingCanMeetNamesTheFastest) {
  const TaskFile file = task_file(",\n      deadline: 8 ms");
  std::string message;
  try {
    (void)make_problem(file, profile({variant("source", "cpu", 1, {30}), variant("int8", "gpu", 1, {6, 5, 7})}));
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::bad_input);
    message = error.what();
  }
  EXPECT_THAT(message, AllOf(HasSubstr("tasks.yaml:5"), HasSubstr("deadline"), HasSubstr("8 ms"),
                             HasSubstr("int8 on gpu"), HasSubstr("9 ms")));
  EXPECT_NO_THROW((void)make_problem(task_file(", deadline: 9 ms"), profile({variant("int8", "gpu", 1, {6, 5, 7})})));
}

TEST(ProblemFromProfile, ATaskThatIsNotProfiledIsBadInput) {
  std::string message;
  try {
    (void)make_problem(task_file(), {});
  } catch (const Error& error) {
    message = error.what();
  }
  EXPECT_THAT(message, HasSubstr("rtmdl profile"));
}

TEST(ProblemFromProfile, SegmentsAreStagesOfTheirOwn) {
  VariantProfile whole = variant("source", "gpu", 1, {12, 10, 11}), cut = whole;
  cut.cuts = {7, 19};
  cut.segment_times = {times({4, 5, 6}), times({3}), times({2})};
  const PlanProblem problem = make_problem(task_file(), profile({whole, cut}));
  ASSERT_EQ(problem.tasks[0].options.size(), 2U);
  const TaskOption& o = problem.tasks[0].options[1];
  EXPECT_EQ(segments_of(problem.tasks[0].options[0]), 1);
  EXPECT_EQ(segments_of(o), 3);
  EXPECT_THAT(o.cuts, testing::ElementsAre(7, 19));
  ASSERT_EQ(o.stages.size(), 5U);
  for (const int s : {1, 2, 3}) EXPECT_EQ(o.stages[static_cast<std::size_t>(s)].processor, 1);
  EXPECT_EQ(o.stages[0].processor, 0);
  EXPECT_EQ(o.stages[4].processor, 0);
  EXPECT_EQ(o.stages[1].times.max(), milliseconds(6));
  EXPECT_EQ(o.stages[3].times.max(), milliseconds(2));
}

TEST(ProblemFromProfile, UnitsOfEarlyExitsAreStagesThatJobsMayLeaveOut) {
  VariantProfile v = variant("source", "gpu", 1, {12});
  v.cuts = {7, 19};
  v.segment_times = {times({4}), times({3}), times({2})};
  v.exits.at = {{{}, 7, 0.5, 0.8}, {{}, 19, 0.25, 0.9}};
  v.exits.whole_accuracy = 0.95;
  v.exits.units = {1, 3, 2, 1};
  const TaskOption o = make_problem(task_file(), profile({v})).tasks[0].options[0];
  EXPECT_EQ(o.optional_from, 2);
  EXPECT_EQ(o.leaves, v.exits.units);
  EXPECT_THAT(o.unit_accuracy, testing::ElementsAre(0.8, 0.9, 0.95));
  EXPECT_EQ(o.stages[1].reach, 1);
  EXPECT_EQ(o.stages[2].reach, 0.5);
  EXPECT_EQ(o.stages[3].reach, 0.25);
}

/// With what its parts take.
VariantProfile split_variant(bool gpu_first, int cut, int first_ms, int rest_ms) {
  VariantProfile v = variant("source", "", 1, {first_ms + rest_ms});
  v.split = {"cpu", "gpu"};
  if (gpu_first) std::swap(v.split[0], v.split[1]);
  v.cuts = {cut};
  v.processor = place_name(v.split, v.cuts);
  v.segment_times = {times({first_ms}), times({rest_ms})};
  return v;
}

std::vector<std::string> place_names(const TaskFile& file, std::vector<VariantProfile> variants) {
  std::vector<std::string> names;
  for (const TaskOption& o : make_problem(file, profile(std::move(variants))).tasks[0].options)
    names.push_back(o.processor);
  return names;
}

TEST(ProblemFromProfile, PartsOfASplitModelAreStagesOnTheirProcessors) {
  const PlanProblem problem = make_problem(
      task_file(", split: true"),
      profile({variant("source", "cpu", 1, {20}), split_variant(false, 7, 8, 11), split_variant(true, 7, 9, 10)}));
  ASSERT_EQ(problem.tasks[0].options.size(), 3U);
  const TaskOption &whole = problem.tasks[0].options[0], &there = problem.tasks[0].options[1],
                   &back = problem.tasks[0].options[2];
  EXPECT_FALSE(is_split(whole));
  EXPECT_TRUE(is_split(there));
  EXPECT_EQ(there.processor, "cpu+gpu@7");
  EXPECT_EQ(back.processor, "gpu+cpu@7");
  EXPECT_THAT(there.cuts, testing::ElementsAre(7));
  const auto processors = [](const TaskOption& o) {
    std::vector<int> all;
    for (const StageOption& s : o.stages) all.push_back(s.processor);
    return all;
  };
  EXPECT_THAT(processors(there), testing::ElementsAre(0, 0, 1, 0));
  EXPECT_THAT(processors(back), testing::ElementsAre(0, 1, 0, 0));
  EXPECT_EQ(there.stages[1].times.max(), milliseconds(8));
  EXPECT_EQ(there.stages[2].times.max(), milliseconds(11));
}

TEST(ProblemFromProfile, EachPartTakesTheSlotsOfItsOwnProcessor) {
  VariantProfile v = split_variant(false, 7, 8, 8);
  v.threads = 2;
  VariantProfile single = v;
  single.threads = 1;
  single.infer = times({40});
  const PlanProblem problem = make_problem(
      task_file(", split: true", "{cpu: {cores: [0, 1], slots: 2}, gpu: {device: webgpu}}"), profile({single, v}));
  ASSERT_EQ(problem.tasks[0].options.size(), 2U);
  EXPECT_EQ(problem.tasks[0].options[1].stages[1].slots, 2);
  EXPECT_EQ(problem.tasks[0].options[1].stages[2].slots, 1);
}

TEST(ProblemFromProfile, ATaskIsSplitOnlyIfItAsksForItAndMayRunOnBoth) {
  const std::vector<VariantProfile> variants{variant("source", "cpu", 1, {20}), split_variant(false, 7, 8, 11)};
  EXPECT_THAT(place_names(task_file(", split: true"), variants), testing::ElementsAre("cpu", "cpu+gpu@7"));
  EXPECT_THAT(place_names(task_file(), variants), testing::ElementsAre("cpu"));
  EXPECT_THAT(place_names(task_file(", split: true, processors: [cpu, npu]",
                                    "{cpu: {cores: [0]}, gpu: {device: webgpu}, npu: {device: openvino}}"),
                          variants),
              testing::ElementsAre("cpu"));
}

TEST(ProblemFromProfile, ASplitHasToSpareBothProcessors) {
  const TaskFile file = task_file(", split: true");
  const auto kept = [&](std::vector<VariantProfile> splits) {
    splits.insert(splits.begin(), {variant("source", "cpu", 1, {20}), variant("source", "gpu", 1, {30})});
    std::vector<std::string> names = place_names(file, splits);
    names.erase(names.begin(), names.begin() + 2);
    return names;
  };
  EXPECT_THAT(kept({split_variant(false, 5, 5, 25), split_variant(false, 9, 12, 18)}),
              testing::ElementsAre("cpu+gpu@5", "cpu+gpu@9"));
  EXPECT_THAT(kept({split_variant(false, 5, 5, 31)}), testing::IsEmpty()) << "the gpu could do all of it";
  EXPECT_THAT(kept({split_variant(false, 9, 21, 18)}), testing::IsEmpty()) << "the cpu could";
  EXPECT_THAT(kept({split_variant(false, 5, 13, 25), split_variant(false, 9, 12, 18)}),
              testing::ElementsAre("cpu+gpu@9"));
}

TEST(ProblemFromProfile, MoreSegmentsHaveToBeShorter) {
  VariantProfile whole = variant("source", "gpu", 1, {20}), two = whole, four = whole;
  two.cuts = {9};
  two.segment_times = {times({10}), times({11})};
  four.cuts = {4, 9, 14};
  four.segment_times = {times({2}), times({2}), times({9}), times({8})};
  const auto segments = [&] {
    std::vector<int> all;
    for (const TaskOption& o : make_problem(task_file(), profile({whole, two, four})).tasks[0].options)
      all.push_back(segments_of(o));
    return all;
  };
  EXPECT_THAT(segments(), testing::ElementsAre(1, 2, 4));
  four.segment_times[2] = times({10});
  EXPECT_THAT(segments(), testing::ElementsAre(1, 2, 4));
  four.segment_times[2] = times({11});
  EXPECT_THAT(segments(), testing::ElementsAre(1, 2)) << "as long as two give";
  two.segment_times[0] = times({19});
  EXPECT_THAT(segments(), testing::ElementsAre(1, 4));
}

}  // namespace
}  // namespace rtmdl
