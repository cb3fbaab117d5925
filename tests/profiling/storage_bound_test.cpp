#include "profiling/storage_bound.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace rtmdl {
namespace {

using testing::ElementsAre;

StoredFile file(int task, const char* content, std::int64_t bytes, double accuracy, std::int64_t median,
                bool source = false) {
  return {task, content, bytes, accuracy, median, source};
}

TEST(StorageBound, KeepsAllThatFits) {
  const std::vector<StoredFile> files{file(0, "a", 100, 1, 10, true), file(0, "b", 30, 0.99, 5)};
  const StorageChoice choice = choose_within(files, 130);
  EXPECT_THAT(choice.keep, ElementsAre(true, true));
  EXPECT_EQ(choice.bytes, 130);
  EXPECT_EQ(choice.least, 30);
  EXPECT_TRUE(choice.fits);
}

TEST(StorageBound, CountsASharedFileOnce) {
  const std::vector<StoredFile> files{file(0, "a", 100, 1, 10, true), file(0, "a", 100, 0.9, 5),
                                      file(1, "a", 100, 1, 10, true)};
  EXPECT_EQ(distinct_bytes(files), 100);
  EXPECT_THAT(choose_within(files, 100).keep, ElementsAre(true, true, true));
}

TEST(StorageBound, DropsTheDominatedBeforeTheLarge) {
  const std::vector<StoredFile> files{file(0, "a", 100, 1, 10, true), file(0, "b", 50, 0.99, 5),
                                      file(0, "worse", 60, 0.98, 6)};
  EXPECT_THAT(choose_within(files, 150).keep, ElementsAre(true, true, false));
}

TEST(StorageBound, UnknownTimesDominateNothing) {
  const std::vector<StoredFile> files{file(0, "a", 100, 1, 10, true), file(0, "b", 50, 0.99, 0),
                                      file(0, "c", 60, 0.98, 6)};
  EXPECT_THAT(choose_within(files, 150).keep, ElementsAre(false, true, true));
}

TEST(StorageBound, DropsAsFewAsItNeedsTo) {
  const std::vector<StoredFile> files{file(0, "a", 100, 1, 10, true), file(0, "b", 25, 0.99, 5),
                                      file(1, "c", 80, 1, 8, true), file(1, "d", 20, 0.97, 4)};
  const StorageChoice choice = choose_within(files, 130);
  EXPECT_THAT(choice.keep, ElementsAre(false, true, true, true));
  EXPECT_EQ(choice.bytes, 125);
}

TEST(StorageBound, AmongEqualsTheSourceStays) {
  const std::vector<StoredFile> files{file(0, "a", 100, 1, 10, true), file(0, "b", 100, 0.99, 5),
                                      file(0, "c", 10, 0.9, 1)};
  EXPECT_THAT(choose_within(files, 120).keep, ElementsAre(true, false, true));
}

TEST(StorageBound, SaysTheLeastPossible) {
  const std::vector<StoredFile> files{file(0, "a", 100, 1, 10, true), file(0, "b", 25, 0.99, 5),
                                      file(1, "c", 80, 1, 8, true)};
  const StorageChoice choice = choose_within(files, 104);
  EXPECT_FALSE(choice.fits);
  EXPECT_EQ(choice.least, 105);
  EXPECT_THAT(choice.keep, ElementsAre(false, true, true));
}

TEST(StorageBound, NeverExceedsTheBoundAndLeavesNoTaskBare) {
  std::mt19937 random(7);
  for (int round = 0; round < 300; ++round) {
    std::vector<StoredFile> files;
    const int tasks = 1 + static_cast<int>(random() % 4);
    for (int t = 0; t < tasks; ++t)
      for (int v = 0; v < 1 + static_cast<int>(random() % 5); ++v) {
        const std::int64_t content = random() % 12;  // the content tells the bytes
        files.push_back({t, std::to_string(content), 10 + 7 * content, (90 + random() % 11) / 100.0,
                         1 + static_cast<std::int64_t>(random() % 50), v == 0});
      }
    const std::int64_t limit = static_cast<std::int64_t>(random() % 300);
    const StorageChoice choice = choose_within(files, limit);
    EXPECT_EQ(choice.fits, choice.least <= limit);
    if (choice.fits) {
      EXPECT_LE(choice.bytes, limit);
    }
    std::vector<StoredFile> kept;
    std::vector<bool> served(static_cast<std::size_t>(tasks), false);
    for (std::size_t i = 0; i < files.size(); ++i)
      if (choice.keep[i]) {
        kept.push_back(files[i]);
        served[static_cast<std::size_t>(files[i].task)] = true;
      }
    EXPECT_EQ(distinct_bytes(kept), choice.bytes);
    EXPECT_THAT(served, testing::Each(true));
  }
}

}  // namespace
}  // namespace rtmdl
