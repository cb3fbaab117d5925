#include "task/slowdown.h"

#include <rtmdl/error.h>

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rtmdl {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

TEST(Slowdown, IsReadAsItIsWritten) {
  const auto s = parse_slowdowns("1.5x@10s-20s,3x@500 ms-1s");
  ASSERT_EQ(s.size(), 2u);
  EXPECT_EQ(s[0].factor, 1.5);
  EXPECT_EQ(s[0].from, 10s);
  EXPECT_EQ(s[0].until, 20s);
  EXPECT_EQ(s[1].from, 500ms);
}

TEST(Slowdown, HoldsFromItsBeginningUntilItsEndAndWithOthers) {
  const auto s = parse_slowdowns("2x@1s-3s,3x@2s-4s");
  EXPECT_EQ(slowdown_at(s, 999ms), 1);
  EXPECT_EQ(slowdown_at(s, 1s), 2);
  EXPECT_EQ(slowdown_at(s, 2s), 6);
  EXPECT_EQ(slowdown_at(s, 3s), 3);
  EXPECT_EQ(slowdown_at(s, 4s), 1);
}

TEST(Slowdown, WhatIsNotOneIsRefused) {
  const auto refused = [](const std::string& text) -> std::string {
    try {
      static_cast<void>(parse_slowdowns(text));
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_THAT(refused("1.5@10s-20s"), HasSubstr("'1.5@10s-20s' is not accepted: write for instance 1.5x@10s-20s"));
  for (const char* text : {"", "x@1s-2s", "1.5x", "1.5x@10s", "1.5x@10s20s", "1.5x@-", "1.5x@1s-2s,", "@", "-@-"})
    EXPECT_NE(refused(text), "") << text;
  EXPECT_THAT(refused("0.5x@1s-2s"), HasSubstr("'0.5x' is out of range: 1x to 100x is accepted"));
  EXPECT_THAT(refused("nanx@1s-2s"), HasSubstr("out of range"));
  EXPECT_THAT(refused("2x@2s-1s"), HasSubstr("'2s-1s' ends before it begins"));
  EXPECT_THAT(refused("2x@1-2"), HasSubstr("1"));
}

}  // namespace
}  // namespace rtmdl
