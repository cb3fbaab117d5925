#include "base/excerpt.h"

#include <rtmdl/error.h>

#include <gtest/gtest.h>

namespace rtmdl {
namespace {

TEST(Excerpt, ShowsControlCharactersAsEscapes) {
  EXPECT_EQ(one_line("a\nb\tc\x1b[2J"), "a\\nb\\tc\\x1b[2J");
  EXPECT_EQ(one_line("plain, also in UTF-8: µ"), "plain, also in UTF-8: µ");
}

TEST(Excerpt, CutsLongTextAtAWholeCharacter) {
  EXPECT_EQ(excerpt("short"), "short");
  EXPECT_EQ(excerpt("abcdef", 3), "abc…");
  EXPECT_EQ(excerpt("abµdef", 3), "ab…");
}

TEST(Error, IsOneLineWhateverItQuotes) {
  EXPECT_STREQ(Error(ErrorCode::bad_input, "found 'x\ny'").what(), "found 'x\\ny'");
}

}  // namespace
}  // namespace rtmdl
