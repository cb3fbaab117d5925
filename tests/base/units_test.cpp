#include "base/units.h"

#include <rtmdl/error.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rtmdl {
namespace {

using ::testing::HasSubstr;

std::string message_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::bad_input);
    return e.what();
  }
  return "no error";
}

TEST(Units, DurationsTakeEveryUnitThatPeopleWrite) {
  EXPECT_EQ(parse_duration("33.3 ms"), Duration(33'300'000));
  EXPECT_EQ(parse_duration("33.3ms"), Duration(33'300'000));
  EXPECT_EQ(parse_duration(" 20 us "), std::chrono::microseconds(20));
  EXPECT_EQ(parse_duration("20 µs"), std::chrono::microseconds(20));
  EXPECT_EQ(parse_duration("7 ns"), Duration(7));
  EXPECT_EQ(parse_duration("10min"), std::chrono::minutes(10));
  EXPECT_EQ(parse_duration("10m"), std::chrono::minutes(10));
  EXPECT_EQ(parse_duration("-1 s"), -std::chrono::seconds(1));
}

TEST(Units, ANumberWithoutItsUnitIsRefusedAndTheUnitsAreNamed) {
  EXPECT_EQ(message_of([] { static_cast<void>(parse_duration("33")); }),
            "'33' has no unit: write a time with one of ns, us, ms, s, min, h");
  EXPECT_THAT(message_of([] { static_cast<void>(parse_duration("33 parsecs")); }), HasSubstr("unknown unit 'parsecs'"));
  EXPECT_THAT(message_of([] { static_cast<void>(parse_bytes("60")); }), HasSubstr("'60' has no unit"));
  EXPECT_THAT(message_of([] { static_cast<void>(parse_fraction("0.95")); }), HasSubstr("'0.95' has no unit"));
}

TEST(Units, WhatIsNotAFiniteNumberIsRefused) {
  for (const char* text : {"nan ms", "inf s", "", "ms", "1e400 s", "--3 ms"})
    EXPECT_THAT(message_of([&] { static_cast<void>(parse_duration(text)); }), HasSubstr("is not a time")) << text;
  EXPECT_THAT(message_of([] { static_cast<void>(parse_duration("1e10 s")); }), HasSubstr("out of range"));
}

TEST(Units, BytesAreDecimalUnlessTheUnitSaysBinary) {
  EXPECT_EQ(parse_bytes("60 MB"), 60'000'000);
  EXPECT_EQ(parse_bytes("1.5 KiB"), 1536);
  EXPECT_THAT(message_of([] { static_cast<void>(parse_bytes("-1 MB")); }), HasSubstr("out of range"));
}

TEST(Units, PowerAndEnergyHaveTheirUnits) {
  EXPECT_DOUBLE_EQ(parse_watts("5 W"), 5);
  EXPECT_DOUBLE_EQ(parse_watts("250mW"), 0.25);
  EXPECT_DOUBLE_EQ(parse_joules("20 Wh"), 72'000);
  EXPECT_DOUBLE_EQ(parse_joules("120 mJ"), 0.12);
  EXPECT_THAT(message_of([] { static_cast<void>(parse_watts("5")); }), HasSubstr("one of uW, mW, W, kW"));
  EXPECT_THAT(message_of([] { static_cast<void>(parse_watts("5 J")); }), HasSubstr("unknown unit 'J': a power"));
  EXPECT_THAT(message_of([] { static_cast<void>(parse_joules("-1 J")); }), HasSubstr("out of range"));
  EXPECT_EQ(format_watts(5.25), "5.25 W");
  EXPECT_EQ(format_joules(0.12), "120 mJ");
  EXPECT_EQ(format_joules(72'000), "72 kJ");
}

TEST(Units, WhatIsPrintedReadsBackTheSame) {
  for (const Duration d : {Duration(7), Duration(20'000), Duration(33'300'000), Duration(2'000'000'000)})
    EXPECT_EQ(parse_duration(format_duration(d)), d);
  EXPECT_EQ(format_percent(0.953), "95.3 %");
  EXPECT_EQ(format_bytes(60'000'000), "60.0 MB");
}

}  // namespace
}  // namespace rtmdl
