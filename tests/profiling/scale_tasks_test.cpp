#include "profiling/scale_tasks.h"

#include "profiling/task_folder.h"
#include "profiling/text_engine.h"
#include "scaling/calibrate.h"

#include <atomic>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rtmdl {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* kTwoTasks = R"(
tasks:
  - {name: faces, model: faces.model, data: {source: synthetic, shape: [1, 4]}, period: 10 ms}
  - {name: text, model: text.model, data: {source: synthetic, shape: [1, 4]}, period: 20 ms}
)";

struct ScaleTasksTest : testing::Test {
  ScaleTasksTest() {
    folder.write("faces.model", "1 10 source of faces, longer than its levels");
    folder.write("text.model", "1 20 source of text, longer than its levels");
    options.scale = [this](Engine& e, const ScaleRequest& request, const Context& c) {
      return fake_scale(e, request, c);
    };
    context.log = [this](LogLevel, const std::string& line) { log.push_back(line); };
  }

  /// The source and one level, "int8", twice as fast; and one refused.
  ScaleOutcome fake_scale(Engine&, const ScaleRequest& request, const Context& c) {
    ++scaled;
    ScaleOutcome outcome;
    Variant source;
    source.id = "source";
    source.path = request.model;
    source.bytes = static_cast<std::int64_t>(std::filesystem::file_size(request.model));
    source.median = std::chrono::microseconds(20);
    Variant level = source;
    level.id = level.precision = "int8";
    level.path = request.folder / (request.model.stem().string() + "-int8.model");
    write_file_atomically(level.path, request.model.stem() == "faces" ? "1 5" : "1.01 7");
    level.bytes = static_cast<std::int64_t>(std::filesystem::file_size(level.path));
    level.median = std::chrono::microseconds(10);
    LoadRequest candidate;
    candidate.model = level.path;
    level.accuracy = request.accuracy(candidate);
    outcome.variants = {source, level};
    outcome.refused = {"int8-mixed: 1.40x slower than fp32"};
    if (stop_in_scale) stop.store(true);
    outcome.finished = !c.stopping();
    return outcome;
  }

  std::vector<TaskVariants> scaled_tasks(const TaskFile& file) {
    return scale_tasks(engine, file, folder.workspace(), options, context);
  }

  static std::vector<std::string> ids(const TaskVariants& task) {
    std::vector<std::string> all;
    for (const Variant& v : task.variants) all.push_back(v.id);
    return all;
  }

  TaskFolder folder;
  TextEngine engine;
  ScaleTasksOptions options;
  Context context;
  std::vector<std::string> log;
  int scaled = 0;
  bool stop_in_scale = false;
  std::atomic<bool> stop{false};
};

TEST_F(ScaleTasksTest, GivesEveryTaskItsVariantsAndSaysSo) {
  const auto tasks = scaled_tasks(folder.parse(kTwoTasks));
  ASSERT_EQ(tasks.size(), 2u);
  EXPECT_EQ(tasks[0].task, "faces");
  EXPECT_THAT(ids(tasks[0]), ElementsAre("source", "int8"));
  EXPECT_EQ(tasks[0].variants[0].path, folder.path() / "faces.model");
  EXPECT_THAT(tasks[1].refused, ElementsAre("int8-mixed: 1.40x slower than fp32"));
  EXPECT_FALSE(tasks[0].reused);
  EXPECT_THAT(log, testing::Contains(
                       AllOf(HasSubstr("faces: int8"), HasSubstr("2.0x faster"), HasSubstr("agreement 100.0 %"))));
  EXPECT_THAT(log, testing::Contains(AllOf(HasSubstr("text: not kept"), HasSubstr("1.40x slower"))));
}

TEST_F(ScaleTasksTest, MakesNothingTwice) {
  const auto first = scaled_tasks(folder.parse(kTwoTasks));
  const int loads = engine.loaded();
  const auto second = scaled_tasks(folder.parse(kTwoTasks));
  EXPECT_EQ(scaled, 2);
  EXPECT_EQ(engine.loaded(), loads);
  ASSERT_EQ(second.size(), 2u);
  EXPECT_TRUE(second[0].reused);
  for (std::size_t t = 0; t < 2; ++t)
    for (std::size_t v = 0; v < 2; ++v) {
      EXPECT_EQ(second[t].variants[v].path.lexically_normal(), first[t].variants[v].path.lexically_normal());
      EXPECT_EQ(second[t].variants[v].accuracy, first[t].variants[v].accuracy);
      EXPECT_EQ(second[t].variants[v].median, first[t].variants[v].median);
    }
}

TEST_F(ScaleTasksTest, APeriodDoesNotMakeThemAnewButDataDoes) {
  (void)scaled_tasks(folder.parse(kTwoTasks));
  std::string text = kTwoTasks;
  text.replace(text.find("20 ms"), 5, "99 ms");
  (void)scaled_tasks(folder.parse(text));
  EXPECT_EQ(scaled, 2);
  text.replace(text.rfind("[1, 4]}"), 7, "[1, 4], frames: 9}");
  (void)scaled_tasks(folder.parse(text));
  EXPECT_EQ(scaled, 3);
}

TEST_F(ScaleTasksTest, MakesAgainWhatIsNotOnTheDiskAnyMore) {
  const auto tasks = scaled_tasks(folder.parse(kTwoTasks));
  std::filesystem::remove(tasks[0].variants[1].path);
  const auto again = scaled_tasks(folder.parse(kTwoTasks));
  EXPECT_EQ(scaled, 3);
  EXPECT_TRUE(std::filesystem::exists(again[0].variants[1].path));
  EXPECT_TRUE(again[1].reused);
}

TEST_F(ScaleTasksTest, ClearsAwayWhatAKilledProcessLeft) {
  const auto variants = folder.workspace().variants();
  const auto mine = scratch_path(variants, "0.onnx"), dead = variants / ".scratch-2147483646-0.onnx";
  for (const auto& file : {mine, dead}) write_file_atomically(file, "1 1");
  (void)scaled_tasks(folder.parse(kTwoTasks));
  EXPECT_TRUE(std::filesystem::exists(mine));
  EXPECT_FALSE(std::filesystem::exists(dead));
}

TEST_F(ScaleTasksTest, AStoppedStartIsContinuedByTheNext) {
  context.stop = &stop;
  stop_in_scale = true;
  const auto stopped = scaled_tasks(folder.parse(kTwoTasks));
  ASSERT_EQ(stopped.size(), 2u);
  EXPECT_FALSE(stopped[1].finished);
  EXPECT_TRUE(stopped[1].variants.empty());
  stop.store(false);
  stop_in_scale = false;
  const auto tasks = scaled_tasks(folder.parse(kTwoTasks));
  EXPECT_TRUE(tasks[0].finished);
  EXPECT_THAT(ids(tasks[1]), ElementsAre("source", "int8"));
}

TEST_F(ScaleTasksTest, ASpentBudgetLeavesTheSource) {
  options.budget = Duration(1);
  const auto tasks = scaled_tasks(folder.parse(kTwoTasks));
  EXPECT_THAT(ids(tasks[0]), ElementsAre("source"));
  EXPECT_FALSE(tasks[0].finished);
  EXPECT_EQ(scaled, 0);
  options.budget = {};
  EXPECT_THAT(ids(scaled_tasks(folder.parse(kTwoTasks))[0]), ElementsAre("source", "int8"));
}

TEST_F(ScaleTasksTest, ScoresVariantsThatAreBroughtAlong) {
  folder.write("mine.model", "1.0001 1");
  folder.write("wrong.model", "9 1");
  const auto tasks =
      scaled_tasks(folder.parse("tasks: [{name: faces, model: faces.model, variants: [mine.model, wrong.model], "
                                "data: {source: synthetic, shape: [1, 4]}, period: 10 ms}]"));
  EXPECT_THAT(ids(tasks[0]), ElementsAre("source", "int8", "mine"));
  EXPECT_EQ(tasks[0].variants[2].path, folder.path() / "mine.model");
  EXPECT_THAT(tasks[0].refused, testing::Contains(AllOf(HasSubstr("wrong: agreement"), HasSubstr("below the 95.0 %"))));
}

TEST_F(ScaleTasksTest, AVariantThatIsNoModelIsNamed) {
  folder.write("other.model", "no numbers");
  const std::string message = error_of([&] {
    (void)scaled_tasks(
        folder.parse("tasks: [{name: faces, model: faces.model, variants: [other.model], data: {source: synthetic, "
                     "shape: [1, 4]}, period: 10 ms}]"));
  });
  EXPECT_THAT(message, AllOf(HasSubstr("tasks.yaml:1"), HasSubstr("other.model"), HasSubstr("not an ONNX model")));
}

TEST_F(ScaleTasksTest, ADamagedLevelIsMadeAgain) {
  const auto tasks = scaled_tasks(folder.parse(kTwoTasks));
  write_file_atomically(tasks[0].variants[1].path, "9 5");  // as long as it was
  (void)scaled_tasks(folder.parse(kTwoTasks));
  EXPECT_EQ(scaled, 3);
  EXPECT_EQ(read_file(tasks[0].variants[1].path), "1 5");
}

TEST_F(ScaleTasksTest, KeepsWithinTheStorageBoundAndRemembersWhatItDropped) {
  const std::string bounded = "storage: 60 B\n" + std::string(kTwoTasks);
  const auto tasks = scaled_tasks(folder.parse(bounded));
  EXPECT_LE(stored_bytes(tasks), 60);
  EXPECT_THAT(ids(tasks[0]), ElementsAre("source", "int8"));
  EXPECT_THAT(ids(tasks[1]), ElementsAre("int8"));
  EXPECT_THAT(tasks[1].dropped, ElementsAre(AllOf(HasSubstr("source"), HasSubstr("storage: 60 B"))));
  (void)scaled_tasks(folder.parse(bounded));
  EXPECT_EQ(scaled, 2);
  EXPECT_TRUE(std::filesystem::exists(folder.path() / "text.model"));  // the user's file is not ours to remove
}

TEST_F(ScaleTasksTest, AnImpossibleStorageBoundNamesTheLeastPossible) {
  const std::string message = error_of(
      [&] { (void)scaled_tasks(folder.parse("storage: 8 B\n" + std::string(kTwoTasks))); }, ErrorCode::infeasible);
  EXPECT_THAT(message, AllOf(HasSubstr("storage: 8 B"), HasSubstr("least possible is 9 B")));
}

TEST_F(ScaleTasksTest, ADroppedLevelLeavesTheDiskAndComesBackWithALargerBound) {
  folder.write("mine.model", "1 1");  // smaller than the level
  const std::string text =
      "\ntasks: [{name: text, model: text.model, variants: [mine.model], data: {source: synthetic, shape: [1, 4]}, "
      "period: 10 ms}]";
  auto tasks = scaled_tasks(folder.parse("storage: 4 B" + text));
  EXPECT_THAT(ids(tasks[0]), ElementsAre("mine"));
  EXPECT_TRUE(std::filesystem::is_empty(folder.workspace().variants()));
  tasks = scaled_tasks(folder.parse("storage: 1 MB" + text));
  EXPECT_THAT(ids(tasks[0]), ElementsAre("source", "int8", "mine"));
  EXPECT_TRUE(std::filesystem::exists(tasks[0].variants[1].path));
}

/// An IDX file of 8 gray pictures of 2 × 2 pixels, the first pixel the brightest; or of 8 labels.
std::string idx(bool pictures, char label = 0) {
  const std::string count{0, 0, 0, 8}, two{0, 0, 0, 2};
  std::string text = pictures ? std::string{0, 0, 8, 3} + count + two + two : std::string{0, 0, 8, 1} + count;
  for (int i = 0; i < 8; ++i) text += pictures ? std::string{100, static_cast<char>(i), 1, 2} : std::string{label};
  return text;
}

TEST_F(ScaleTasksTest, ASourceBelowTheAccuracyAskedForIsBadInput) {
  folder.write("classes.model", "1 0 picture");
  for (const char* part : {"train", "t10k"}) {
    folder.write(std::string("idx/") + part + "-images-idx3-ubyte", idx(true));
    folder.write(std::string("idx/") + part + "-labels-idx1-ubyte", idx(false, 0));
  }
  const std::string text =
      "tasks:\n - {name: things, model: classes.model, data: {source: idx, path: idx, batch: 1}, post: {kind: "
      "classes}, period: 10 ms,\n"
      "    accuracy: {metric: top1,\n      min: 90 %}}";
  options.scale = [](Engine&, const ScaleRequest& request, const Context&) {
    ScaleOutcome outcome;
    Variant source;
    source.id = "source";
    source.path = request.model;
    source.bytes = 11;
    LoadRequest self;
    self.model = request.model;
    source.accuracy = request.accuracy(self);
    outcome.variants = {source};
    return outcome;
  };
  EXPECT_EQ(scaled_tasks(folder.parse(text))[0].variants[0].accuracy, 1);
  folder.write("idx/t10k-labels-idx1-ubyte", idx(false, 3));
  EXPECT_THAT(
      error_of([&] { (void)scaled_tasks(folder.parse(text)); }),
      AllOf(HasSubstr("tasks.yaml:4"), HasSubstr("accuracy.min"), HasSubstr("top1 0.0 %"), HasSubstr("90.0 %")));
}

}  // namespace
}  // namespace rtmdl
