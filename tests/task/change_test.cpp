#include "task/change.h"

#include <rtmdl/error.h>

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rtmdl {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

TaskFile three_tasks() {
  TaskFile file;
  for (const char* name : {"faces", "speech", "signs"}) {
    TaskSpec& task = file.tasks.emplace_back();
    task.name = name;
    task.period = task.deadline = 40ms;
  }
  return file;
}

std::string refused(const std::string& text, const TaskFile& file = three_tasks()) {
  try {
    auto changes = parse_changes(text);
    resolve_changes(changes, file);
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

TEST(Change, IsReadAsItIsWrittenInTheOrderOfTime) {
  auto changes = parse_changes("signs.leave@25s, faces.join@10s,speech.period = 50 ms@20 s, speech.deadline=45ms@20s");
  ASSERT_EQ(changes.size(), 4u);
  resolve_changes(changes, three_tasks());
  EXPECT_EQ(text_of(changes[0]), "faces.join");
  EXPECT_EQ(changes[0].task, 0);
  EXPECT_EQ(changes[0].when, 10s);
  EXPECT_EQ(text_of(changes[1]), "speech.period=50 ms");
  EXPECT_EQ(changes[1].period, 50ms);
  EXPECT_EQ(changes[2].deadline, 45ms);
  EXPECT_EQ(text_of(changes[3]), "signs.leave");
  EXPECT_TRUE(starts_absent(changes, 0));
  EXPECT_FALSE(starts_absent(changes, 1));
  EXPECT_FALSE(starts_absent(changes, 2));
}

TEST(Change, WhatIsNotOneIsRefused) {
  EXPECT_THAT(refused("faces@10s"), HasSubstr("'faces@10s' is not accepted: write for instance faces.join@10s"));
  for (const char* text : {"", "faces", "faces.join", ".join@1s", "faces.@1s", "faces.join=2@1s", "faces.period@1s",
                           "faces.jump@1s", "faces.leave@", "faces.leave@1s,", "@.", "faces@1s.join"})
    EXPECT_NE(refused(text), "") << text;
  EXPECT_THAT(refused("faces.leave@5"), HasSubstr("'5' has no unit"));
  EXPECT_THAT(refused("faces.leave@-5s"), HasSubstr("is before the start"));
  EXPECT_THAT(refused("faces.period=1us@5s"), HasSubstr("is out of range: 100 us to 60.0 min is accepted"));
}

TEST(Change, MustFitItsTaskAndWhatWasBefore) {
  EXPECT_THAT(refused("fases.join@1s"), HasSubstr("there is no task 'fases'; did you mean 'faces'?"));
  EXPECT_THAT(refused("faces.leave@1s,faces.leave@2s"), HasSubstr("faces.leave@2 s: it is not there"));
  EXPECT_THAT(refused("faces.join@1s,faces.join@2s"), HasSubstr("faces.join@2 s: it is there already"));
  EXPECT_THAT(refused("faces.leave@1s,faces.period=50ms@2s"), HasSubstr("it is not there"));
  EXPECT_EQ(refused("faces.leave@1s,faces.join@2s,faces.leave@3s"), "");
  EXPECT_THAT(refused("faces.deadline=100ms@1s"),
              HasSubstr("the deadline of 100 ms is beyond what the queue allows: at most 80 ms is accepted"));
  EXPECT_EQ(refused("faces.period=100ms@1s,faces.deadline=90ms@2s"), "") << "the deadline goes with the period";
  TaskFile file = three_tasks();
  file.tasks[0].late = Late::abort;
  file.tasks[2].after.task = 1;
  EXPECT_THAT(refused("faces.join@1s", file), HasSubstr("it has `late: abort`"));
  EXPECT_THAT(refused("speech.leave@1s", file), HasSubstr("other tasks run after it"));
  EXPECT_THAT(refused("signs.leave@1s", file), HasSubstr("it runs after another task"));
  file = three_tasks();
  file.tasks[0].arrivals.kind = ArrivalSpec::Kind::random;
  EXPECT_THAT(refused("faces.period=50ms@1s", file), HasSubstr("its releases are not periodic"));
}

}  // namespace
}  // namespace rtmdl
