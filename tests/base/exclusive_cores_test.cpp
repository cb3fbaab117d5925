#include "base/exclusive_cores.h"

#include <rtmdl/error.h>

#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <sstream>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rtmdl {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

/// Cpusets as folders and files that take whatever is written.
class ExclusiveCoresTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / fmt::format("rtmdl-cpusets-{}", ::getpid());
    place_ = {folder_ / "v1", folder_ / "v2", folder_ / "proc", [](const char* path) {
                std::error_code ec;
                return fs::remove_all(path, ec) > 0 ? 0 : -1;
              }};
    process_born(std::to_string(::getpid()), "77");
  }
  void TearDown() override { fs::remove_all(folder_); }

  void write(const fs::path& path, const std::string& text) {
    fs::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }
  std::string read(const fs::path& path) {
    std::stringstream text;
    text << std::ifstream(path).rdbuf();
    std::string all = text.str();
    while (all.ends_with('\n')) all.pop_back();
    return all;
  }
  void process_born(const std::string& process, const std::string& ticks) {
    write(folder_ / "proc" / process / "stat",
          process + " (a name) with) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 " + ticks + " 20\n");
  }
  void v1(const std::string& balance = "1") {
    write(place_.v1 / "cpuset.cpus", "0-3\n");
    write(place_.v1 / "cpuset.mems", "0\n");
    write(place_.v1 / "cpuset.sched_load_balance", balance + "\n");
  }
  void v2(const std::string& controllers = "cpuset cpu io") {
    write(folder_ / "proc" / "self" / "cgroup", "1:name=systemd:/x\n0::/own\n");
    write(place_.v2 / "own" / "cgroup.controllers", controllers + "\n");
    write(place_.v2 / "own" / "cgroup.subtree_control", "\n");
  }
  fs::path group(const std::string& name) const { return fmt::format("rtmdl-{}-77-{}", ::getpid(), name); }
  std::vector<std::string> folders(const fs::path& in) const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(in))
      if (entry.is_directory()) names.push_back(entry.path().filename());
    return names;
  }
  std::string complaint(const std::vector<std::vector<int>>& sets) {
    try {
      const ExclusiveCores cores(sets, place_);
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::missing_device);
      return e.what();
    }
    return "made";
  }
  fs::path folder_;
  CpusetPlace place_;
};

TEST_F(ExclusiveCoresTest, CpusetsAreMadeAndTheMachineIsAsItWasAfterwards) {
  v1();
  {
    const ExclusiveCores cores({{1}, {2, 3}}, place_);
    EXPECT_EQ(read(place_.v1 / group("0") / "cpuset.cpus"), "1");
    EXPECT_EQ(read(place_.v1 / group("1") / "cpuset.cpus"), "2,3");
    EXPECT_EQ(read(place_.v1 / group("1") / "cpuset.mems"), "0");
    EXPECT_EQ(read(place_.v1 / group("1") / "cpuset.cpu_exclusive"), "1");
    EXPECT_EQ(read(place_.v1 / group("others") / "cpuset.cpus"), "0") << "these go on being balanced";
    EXPECT_EQ(read(place_.v1 / "cpuset.sched_load_balance"), "0");
    EXPECT_TRUE(cores.join(1, 4711));
    EXPECT_EQ(read(place_.v1 / group("1") / "tasks"), "4711");
    EXPECT_FALSE(cores.join(7, 4711));
  }
  EXPECT_EQ(read(place_.v1 / "tasks"), "4711") << "a thread that was left in it";
  EXPECT_THAT(folders(place_.v1), IsEmpty());
  EXPECT_EQ(read(place_.v1 / "cpuset.sched_load_balance"), "1");
}

TEST_F(ExclusiveCoresTest, BalancingThatSomebodyTurnedOffStaysOff) {
  v1("0");
  {
    const ExclusiveCores cores({{1}}, place_);
    EXPECT_THAT(folders(place_.v1), ElementsAre(group("0")));
  }
  EXPECT_EQ(read(place_.v1 / "cpuset.sched_load_balance"), "0");
}

TEST_F(ExclusiveCoresTest, WhatKilledProcessesLeftIsRemovedAndWhatRunsIsNot) {
  v1("0");
  process_born("12", "900");
  for (const char* stale : {"rtmdl-11-500-0", "rtmdl-11-500-others", "rtmdl-12-500-0"})
    fs::create_directory(place_.v1 / stale);
  for (const char* other : {"docker", "rtmdl-", "rtmdl-x-1-0", "rtmdl-tests"}) fs::create_directory(place_.v1 / other);
  fs::create_directory(place_.v1 / "rtmdl-12-900-0");
  ExclusiveCores::clean_up(place_);
  EXPECT_THAT(folders(place_.v1),
              testing::UnorderedElementsAre("docker", "rtmdl-", "rtmdl-x-1-0", "rtmdl-tests", "rtmdl-12-900-0"));
  EXPECT_EQ(read(place_.v1 / "cpuset.sched_load_balance"), "1") << "the dead process had turned it off";
}

TEST_F(ExclusiveCoresTest, WithoutBalancingTurnedOffByUsNothingIsRestored) {
  v1("0");
  fs::create_directory(place_.v1 / "rtmdl-11-500-0");
  ExclusiveCores::clean_up(place_);
  EXPECT_THAT(folders(place_.v1), IsEmpty());
  EXPECT_EQ(read(place_.v1 / "cpuset.sched_load_balance"), "0");
}

TEST_F(ExclusiveCoresTest, WhatIsRefusedLeavesNothing) {
  v1();
  fs::create_directory(place_.v1 / group("1"));
  EXPECT_THAT(complaint({{1}, {2}}), HasSubstr(group("1").string() + ": cannot be made: File exists"));
  EXPECT_THAT(folders(place_.v1), ElementsAre(group("1")));
  EXPECT_EQ(read(place_.v1 / "cpuset.sched_load_balance"), "1");
}

TEST_F(ExclusiveCoresTest, OnCgroupV2PartitionsAreMadeBelowTheProcessesOwn) {
  v2();
  {
    const ExclusiveCores cores({{1, 2}}, place_);
    const fs::path made = place_.v2 / "own" / group("0");
    EXPECT_EQ(read(place_.v2 / "own" / "cgroup.subtree_control"), "+cpuset");
    EXPECT_EQ(read(made / "cgroup.type"), "threaded");
    EXPECT_EQ(read(made / "cpuset.cpus"), "1,2");
    EXPECT_EQ(read(made / "cpuset.cpus.partition"), "root");
    EXPECT_TRUE(cores.join(0, 4711));
    EXPECT_EQ(read(made / "cgroup.threads"), "4711");
  }
  EXPECT_EQ(read(place_.v2 / "own" / "cgroup.threads"), "4711");
  EXPECT_EQ(read(place_.v2 / "own" / "cgroup.subtree_control"), "-cpuset");
  EXPECT_THAT(folders(place_.v2 / "own"), IsEmpty());
}

TEST_F(ExclusiveCoresTest, AKernelWithoutTheControllerIsToldOf) {
  v2("cpu io");
  EXPECT_THAT(complaint({{1}}), HasSubstr("v2/own: there is no cpuset controller, neither of cgroup v1 nor of v2"));
  EXPECT_THAT(folders(place_.v2 / "own"), IsEmpty());
}

TEST(CoreList, IsReadAsTheKernelWritesIt) {
  EXPECT_THAT(parse_core_list("0-2,5,7-8"), ElementsAre(0, 1, 2, 5, 7, 8));
  EXPECT_THAT(parse_core_list("3"), ElementsAre(3));
  EXPECT_THAT(parse_core_list(""), IsEmpty());
  EXPECT_THAT(parse_core_list("1-x"), IsEmpty());
  EXPECT_THAT(parse_core_list("1;2"), IsEmpty());
}

}  // namespace
}  // namespace rtmdl
