#include "calibration/correction_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include <unistd.h>

namespace rtmdl {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;

TaskFile task_file(const std::string& processors = "{cpu: {cores: [0]}, gpu: {device: tensorrt}}") {
  return TaskFile::parse(
      "processors: " + processors +
          "\ntasks:\n  - {name: faces, model: CMakeLists.txt, data: {source: synthetic}, period: 50 ms}\n",
      std::string(RTMDL_SOURCE_DIR) + "/tasks.yaml");
}

std::vector<TaskProfile> profile() {
  TaskProfile faces{"faces", {}};
  for (const char* id : {"source", "int8"})
    for (const char* processor : {"cpu", "gpu"}) {
      VariantProfile v;
      v.id = id;
      v.processor = processor;
      v.key = std::string("times of ") + id + " on " + processor;
      faces.variants.push_back(v);
    }
  return {faces};
}

ModelCorrection some() {
  ModelCorrection c;
  c.options = {{"faces", "int8", "gpu", 1, {{1ms, 2ms}, {4ms, 3ms}, {1us, 2us}}}};
  c.processors = {{"cpu", 1.25, 5, 8us, 20us, 300, {2, 50, 700}}, {"gpu", 0.75, 1, 30us, 90us, 100}};
  c.stalls = {60, 90, {{1ms, 0ms}, {2ms, 3ms}}};
  return c;
}

struct CorrectionStore : testing::Test {
  std::filesystem::path folder =
      std::filesystem::temp_directory_path() / ("rtmdl-corrections-" + std::to_string(getpid()));
  CalibratedBox box{"this machine", "engine 1"};
  std::vector<std::string> warnings;
  Context context;

  CorrectionStore() {
    std::filesystem::create_directories(folder);
    context.log = [this](LogLevel, const std::string& m) { warnings.push_back(m); };
  }
  ~CorrectionStore() override { std::filesystem::remove_all(folder); }
  [[nodiscard]] std::filesystem::path file() const { return folder / "profile.sqlite"; }
};

TEST_F(CorrectionStore, KeepsWhatRanAloneOnItsProcessorApart) {
  Store store(file());
  ModelCorrection alone = some();
  alone.options[0].alone = true;
  save_correction(store, box, task_file(), profile(), alone);
  ModelCorrection c = load_correction(store, box, task_file(), profile(), context);
  ASSERT_EQ(c.options.size(), 1u);
  EXPECT_TRUE(c.options[0].alone);
  save_correction(store, box, task_file(), profile(), some());
  c = load_correction(store, box, task_file(), profile(), context);
  ASSERT_EQ(c.options.size(), 2u);
  EXPECT_NE(c.options[0].alone, c.options[1].alone);
}

TEST_F(CorrectionStore, GivesBackWhatWasSaved) {
  {
    Store store(file());
    save_correction(store, box, task_file(), profile(), some());
  }
  Store store(file());
  const ModelCorrection c = load_correction(store, box, task_file(), profile(), context);
  ASSERT_EQ(c.options.size(), 1u);
  EXPECT_EQ(c.options[0].variant, "int8");
  EXPECT_EQ(c.options[0].processor, "gpu");
  EXPECT_EQ(c.options[0].stages, some().options[0].stages);
  ASSERT_EQ(c.processors.size(), 2u);
  EXPECT_EQ(c.processors[0].factor, 1.25);
  EXPECT_EQ(c.processors[1].dispatch_p90, 90us);
  EXPECT_EQ(c.processors[1].dispatches, 100);
  EXPECT_EQ(c.processors[0].moments.correlation(), some().processors[0].moments.correlation());
  EXPECT_GT(c.processors[0].moments.correlation(), 0);
  EXPECT_EQ(c.processors[1].moments.pairs, 0);
  EXPECT_EQ(c.stalls.seconds, 60);
  EXPECT_EQ(c.stalls.count, 90);
  EXPECT_EQ(c.stalls.lasting, some().stalls.lasting);
  EXPECT_TRUE(warnings.empty());
}

TEST_F(CorrectionStore, KnowsNothingOfAnotherMachineEngineLayoutOrModel) {
  Store store(file());
  save_correction(store, box, task_file(), profile(), some());
  const auto nothing = [&](const CalibratedBox& on, const TaskFile& of, const std::vector<TaskProfile>& p) {
    const ModelCorrection c = load_correction(store, on, of, p, context);
    return c.options.empty() && c.processors.empty() && c.stalls.seconds == 0;
  };
  EXPECT_TRUE(nothing({"another", "engine 1"}, task_file(), profile()));
  EXPECT_TRUE(nothing({"this machine", "engine 2"}, task_file(), profile()));
  EXPECT_TRUE(nothing(box, task_file("{cpu: {cores: [0]}, gpu: {device: tensorrt, slots: 2}}"), profile()));
  std::vector<TaskProfile> other = profile();
  for (VariantProfile& v : other[0].variants) v.key += " of another model";
  EXPECT_TRUE(load_correction(store, box, task_file(), other, context).options.empty());
}

TEST_F(CorrectionStore, IgnoresADamagedEntryWithOneLine) {
  {
    Store store(file());
    save_correction(store, box, task_file(), profile(), some());
  }
  Database(file()).execute("UPDATE run_times SET stages = 5; UPDATE speeds SET factor = -1 WHERE what = 'cpu'");
  Store store(file());
  const ModelCorrection c = load_correction(store, box, task_file(), profile(), context);
  EXPECT_TRUE(c.options.empty());
  ASSERT_EQ(c.processors.size(), 1u);
  EXPECT_EQ(c.processors[0].name, "gpu");
  EXPECT_THAT(warnings, ElementsAre(HasSubstr("'faces int8 on gpu, 1 threads' is damaged: ignored"),
                                    HasSubstr("'cpu' is damaged: ignored")));
}

}  // namespace
}  // namespace rtmdl
