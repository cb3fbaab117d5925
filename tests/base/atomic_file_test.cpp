#include "base/atomic_file.h"
#include "base/hash.h"

#include <rtmdl/error.h>

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rtmdl {
namespace {

namespace fs = std::filesystem;

class AtomicFile : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("rtmdl-atomic-" + std::to_string(::getpid()) +
                                           ::testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }
  std::size_t files() const {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()));
  }
  fs::path folder_;
};

TEST_F(AtomicFile, IsThereWholeAndReplacesWhatWasThere) {
  write_file_atomically(folder_ / "a", "one");
  write_file_atomically(folder_ / "a", std::string("two\0three", 9));
  EXPECT_EQ(read_file(folder_ / "a"), std::string("two\0three", 9));
  EXPECT_EQ(files(), 1U);
}

TEST_F(AtomicFile, MakesTheFoldersAboveIt) {
  write_file_atomically(folder_ / "x" / "y" / "a", "one");
  EXPECT_EQ(read_file(folder_ / "x" / "y" / "a"), "one");
}

TEST_F(AtomicFile, AFullDiskLeavesTheOldFileAndNothingElse) {
  write_file_atomically(folder_ / "a", "old");
  // A limit on the size of files stands in for a full disk: write() fails half-way, as it would there.
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const rlimit small{4096, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  std::string message;
  try {
    write_file_atomically(folder_ / "a", std::string(100'000, 'x'));
  } catch (const Error& e) {
    message = e.what();
  }
  setrlimit(RLIMIT_FSIZE, &before);
  EXPECT_THAT(message, ::testing::HasSubstr("cannot write"));
  EXPECT_THAT(message, ::testing::HasSubstr("nothing was written"));
  EXPECT_EQ(read_file(folder_ / "a"), "old");
  EXPECT_EQ(files(), 1U);
}

TEST_F(AtomicFile, PartsOfProcessesThatWereKilledAreRemovedAndNothingElse) {
  const pid_t gone = fork();
  if (gone == 0) _exit(0);
  waitpid(gone, nullptr, 0);
  const std::string old = "x.onnx.part." + std::to_string(gone);
  for (const std::string& name :
       {old, part_of(folder_ / "mine").filename().string(), std::string("x.part.1y"), std::string("x.part.")})
    write_file_atomically(folder_ / name, "half");
  remove_leftover_parts(folder_);
  EXPECT_FALSE(fs::exists(folder_ / old));
  EXPECT_EQ(files(), 3U);
  remove_leftover_parts(folder_ / "nowhere");
}

TEST_F(AtomicFile, WhatCannotBeReadIsNamed) {
  try {
    static_cast<void>(read_file(folder_ / "none"));
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(std::string(e.what()), (folder_ / "none").string() + ": cannot read: No such file or directory");
  }
  EXPECT_THROW(static_cast<void>(read_file(folder_)), Error);
}

TEST(Hash, IsSha256) { EXPECT_EQ(sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"); }

}  // namespace
}  // namespace rtmdl
