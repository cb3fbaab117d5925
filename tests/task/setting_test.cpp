#include <rtmdl/error.h>
#include "task/task_file.h"

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rtmdl {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;

constexpr const char* kFile =
    "processors: {cpu: {cores: [0]}, gpu: {device: tensorrt}}\n"
    "tasks:\n"
    "  - name: faces\n"
    "    model: CMakeLists.txt\n"
    "    data: {source: synthetic}\n"
    "    period: 33 ms\n"
    "    accuracy: &shared {min: 90 %}\n"
    "  - name: text\n"
    "    model: CMakeLists.txt\n"
    "    data: {source: synthetic}\n"
    "    period: 100 ms\n"
    "    deadline: 60 ms\n"
    "    accuracy: *shared\n";

TaskFile parse(const std::vector<std::string>& sets, const std::string& weights = "", const std::string& text = kFile) {
  std::vector<Setting> settings;
  for (const std::string& s : sets) settings.push_back(parse_setting(s));
  if (!weights.empty())
    for (Setting& s : parse_weights(weights)) settings.push_back(std::move(s));
  return TaskFile::parse(text, std::string(RTMDL_SOURCE_DIR) + "/tasks.yaml", settings);
}

std::string complaint(const std::vector<std::string>& sets, const std::string& weights = "") {
  try {
    static_cast<void>(parse(sets, weights));
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::bad_input);
    EXPECT_EQ(std::string(e.what()).find('\n'), std::string::npos);
    return e.what();
  }
  return "accepted";
}

TEST(Setting, ReplacesAndAddsScalars) {
  const TaskFile file = parse({"faces.period=20ms", "text.hard=true", "gpu.slots=2", "storage=40MB",
                               "text.scale.tuning.epochs=5", "faces.jitter = 1 ms"});
  EXPECT_EQ(file.tasks[0].period, milliseconds(20));
  EXPECT_EQ(file.tasks[0].deadline, milliseconds(20)) << "was not written: it follows the period";
  EXPECT_EQ(file.tasks[0].jitter, milliseconds(1));
  EXPECT_TRUE(file.tasks[1].hard);
  EXPECT_EQ(file.tasks[1].deadline, milliseconds(60));
  EXPECT_EQ(file.tasks[1].scale.tuning.epochs, 5);
  EXPECT_EQ(file.processors[1].slots, 2);
  EXPECT_EQ(file.storage, 40'000'000);
}

TEST(Setting, TouchesNoAliasOfWhatItReplaces) {
  const TaskFile file = parse({"faces.accuracy.min=80%", "faces.accuracy.weight=2"});
  EXPECT_DOUBLE_EQ(file.tasks[0].accuracy.min, 0.8);
  EXPECT_DOUBLE_EQ(file.tasks[0].accuracy.weight, 2);
  EXPECT_DOUBLE_EQ(file.tasks[1].accuracy.min, 0.9);
  EXPECT_DOUBLE_EQ(file.tasks[1].accuracy.weight, 1);
}

TEST(Setting, TheLaterOneWins) {
  EXPECT_EQ(parse({"faces.period=20ms", "faces.period=10ms"}).tasks[0].period, milliseconds(10));
}

TEST(Setting, WeightsAreThoseOfTheTasksNamed) {
  const TaskFile file = parse({}, "faces=3, text=0.5");
  EXPECT_DOUBLE_EQ(file.tasks[0].accuracy.weight, 3);
  EXPECT_DOUBLE_EQ(file.tasks[1].accuracy.weight, 0.5);
}

TEST(Setting, WorksWithoutAListOfProcessors) {
  const std::string text = kFile;
  EXPECT_EQ(parse({"cpu.slots=2"}, "", text.substr(text.find("tasks:"))).processors.at(0).slots, 2);
}

TEST(Setting, MessagesNameTheOption) {
  const std::vector<std::pair<std::string, std::string>> rows{
      {"faces.period=20", "--set faces.period=20: '20' has no unit"},
      {"faces.period=0s", "--set faces.period=0s: '0s' is out of range: 100 us to"},
      {"faces.perid=20ms", "--set faces.perid=20ms: unknown key 'perid'; did you mean 'period'?"},
      {"face.period=20ms", "--set face.period=20ms: no task or processor has the name 'face'; did you mean 'faces'?"},
      {"xyzzy.period=1s",
       "no task or processor has the name 'xyzzy'; there are storage, memory, adapt, faces, text, cpu, gpu"},
      {"storag=40MB", "no task or processor has the name 'storag'; did you mean 'storage'?"},
      {"faces=20ms", "--set faces=20ms: 'faces' is a task; write which of its keys, such as faces.period=20ms"},
      {"gpu=2", "'gpu' is a processor; write which of its keys, such as gpu.slots=2"},
      {"faces.accuracy=1", "--set faces.accuracy=1: tasks[0].accuracy is a map; set one of its keys"},
      {"faces.period.x=1", "tasks[0].period is a value and has no key 'x'"},
      {"faces.miss_rate=101%", "--set faces.miss_rate=101%: 101% is out of range: 0 % to 100 % is accepted"},
      {"faces.accuracy.mim=1%", "--set faces.accuracy.mim=1%: unknown key 'mim'; did you mean 'min'?"},
      {"gpu.slots=0", "--set gpu.slots=0: 0 is out of range: 1 to"},
      {"text.deadline=900ms", "--set text.deadline=900ms: '900ms' is beyond what the queue allows"},
      {"text.period=10ms", "tasks.yaml:12: tasks[1].deadline: '60 ms' is beyond what the queue allows"},
      {"faces.scale.tuning.epoch=1", "--set faces.scale.tuning.epoch=1: unknown key 'epoch'; did you mean 'epochs'?"},
      {"faces.", "--set faces.: not of the form KEY=VALUE"},
      {"faces.period=", "--set faces.period=: not of the form KEY=VALUE"},
      {"=3", "--set =3: not of the form KEY=VALUE"},
      {".=3", "--set .=3: not a key"},
      {"faces..period=3ms", "not a key"},
  };
  for (const auto& [set, expected] : rows) {
    EXPECT_THAT(complaint({set}), HasSubstr(expected)) << set;
  }
  EXPECT_THAT(complaint({}, "face=3"),
              HasSubstr("--weights face=3: no task or processor has the name 'face'; did you"));
  EXPECT_THAT(complaint({}, "faces=-1"), HasSubstr("--weights faces=-1: -1 is out of range: 0 to 1"));
  EXPECT_THAT(complaint({}, "faces"), HasSubstr("--weights faces: not of the form TASK=WEIGHT"));
  EXPECT_THAT(complaint({}, "gpu=2"), HasSubstr("--weights gpu=2: no task or processor has the name 'gpu'"));
}

TEST(Setting, LinesOfWhatIsBesideItStay) {
  try {
    static_cast<void>(parse({"faces.period=20ms", "text.jitter=1ms"}, "", std::string(kFile) + "    offset: 3\n"));
    FAIL();
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), HasSubstr("tasks.yaml:14: tasks[1].offset: '3' has no unit"));
  }
}

TEST(Setting, KnowsWhatOnlyThePlanDependsOn) {
  for (const char* set : {"faces.period=1s", "tasks.faces.accuracy.min=1%", "gpu.slots=2", "gpu.kernel=deadline",
                          "storage=1MB", "a.hard=true"})
    EXPECT_TRUE(only_planning(parse_setting(set))) << set;
  for (const char* set : {"faces.model=x", "gpu.cores=1", "faces.scale.storage=100%", "faces.accuracy.metric=top1"})
    EXPECT_FALSE(only_planning(parse_setting(set))) << set;
}

}  // namespace
}  // namespace rtmdl
