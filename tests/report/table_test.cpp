#include "report/table.h"

#include "report/describe.h"
#include "report/look.h"
#include "report/sample.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <sstream>

namespace rtmdl {
namespace {

using testing::HasSubstr;
using testing::Not;

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

std::size_t widest(const std::string& text) {
  std::size_t width = 0;
  for (const std::string& line : lines_of(text))
    if (line.find("note") != 0 && line.find("! more") != 0) width = std::max(width, display_width(line));
  return width;
}

std::vector<RunReport> three_policies() {
  return {sample::outcome("default", sample::edge_box(1, "source", 0), 20, 1).report,
          sample::outcome("dm-nmc", sample::edge_box(0.8, "source", 0), 20, 1).report,
          sample::outcome("rtmdl", sample::edge_box(0.3, "int8-mixed", 0.003), 20, 1).report};
}

TEST(DisplayWidth, counts_columns_not_bytes) {
  EXPECT_EQ(display_width(""), 0u);
  EXPECT_EQ(display_width("faces"), 5u);
  EXPECT_EQ(display_width("naïve µs"), 8u);
  EXPECT_EQ(display_width("e\u0301"), 1u);  // a combining accent
  EXPECT_EQ(display_width("顔"), 2u);
  EXPECT_EQ(display_width("🙂"), 2u);
  EXPECT_EQ(display_width("\xff\xc3"), 2u);  // damaged: a replacement each
}

TEST(Table, aligns_numbers_right_and_text_left) {
  Table table({{"task", Align::left}, {"ms"}, {"note", Align::left}});
  table.row({"faces", "1.5", "a"}).rule().row({"顔", "12.25"});
  EXPECT_EQ(table.to_string(),
            "task      ms  note\n"
            "──────────────────\n"
            "faces    1.5  a\n"
            "──────────────────\n"
            "顔     12.25\n");
}

TEST(Table, paints_without_moving_anything) {
  Table table({{"a"}, {"b"}});
  table.row({{"1", Tone::bad}, "22"});
  EXPECT_EQ(table.to_string(true), "\033[1ma\033[0m   \033[1mb\033[0m\n─────\n\033[1;31m1\033[0m  22\n");
}

TEST(Table, keeps_control_characters_from_the_terminal) {
  Table table({{"a", Align::left}});
  table.row({"x\033[31m\ny\xff"});
  EXPECT_EQ(lines_of(table.to_string()).back(), "x [31m y\uFFFD");
}

TEST(Table, refuses_more_cells_than_columns) {
  Table table({{"a"}});
  EXPECT_THROW(table.row({"1", "2"}), std::invalid_argument);
}

TEST(Percent, is_never_rounded_to_none_or_all) {
  EXPECT_EQ(percent(0), "0 %");
  EXPECT_EQ(percent(0.00001), "<0.1 %");
  EXPECT_EQ(percent(0.0042), "0.4 %");
  EXPECT_EQ(percent(0.43), "43.0 %");
  EXPECT_EQ(percent(0.99999), ">99.9 %");
  EXPECT_EQ(percent(1), "100 %");
  EXPECT_EQ(percent(std::numeric_limits<double>::quiet_NaN()), "–");
}

TEST(ShortNumber, has_three_digits) {
  EXPECT_EQ(short_number(0), "0");
  EXPECT_EQ(short_number(0.0001), "<0.001");
  EXPECT_EQ(short_number(0.1234), "0.123");
  EXPECT_EQ(short_number(0.9999), "1.00");
  EXPECT_EQ(short_number(12.345), "12.3");
  EXPECT_EQ(short_number(99.97), "100");
  EXPECT_EQ(short_number(12345), "12345");
}

TEST(Grouped, parts_thousands) {
  EXPECT_EQ(grouped(999), "999");
  EXPECT_EQ(grouped(1234567), "1 234 567");
  EXPECT_EQ(grouped(-1234), "-1 234");
}

TEST(CompareTable, says_who_misses_what_and_at_which_cost) {
  const auto policies = three_policies();
  const auto tasks = sample::infos(sample::edge_box(1, "", 0));
  const std::string text = compare_table(policies, tasks);
  EXPECT_EQ(lines_of(text).front(), headline(policies));
  EXPECT_THAT(headline(policies), HasSubstr("default misses 27."));
  EXPECT_THAT(headline(policies), HasSubstr("rtmdl 0.1 % at a loss of 1.5 % of accuracy"));
  EXPECT_THAT(sample::line_with(text, "text  "), HasSubstr("99.3 % !"));
  EXPECT_THAT(sample::line_with(text, "accuracy loss"), HasSubstr("1.5 %"));
  EXPECT_THAT(text, HasSubstr("int8-mixed"));
  EXPECT_LE(widest(text), 120u) << text;
}

TEST(CompareTable, of_five_policies_fits_120_columns) {
  auto policies = three_policies();
  policies.insert(policies.end(), {policies[0], policies[1]});
  policies[3].policy = "edf";
  policies[4].policy = "um-cooperative";
  EXPECT_LE(widest(compare_table(policies, sample::infos(sample::edge_box(1, "", 0)))), 120u);
}

TEST(CompareTable, without_limits_marks_nothing) {
  const std::string text = compare_table(three_policies());
  EXPECT_THAT(text, Not(HasSubstr("!")));
  EXPECT_EQ(compare_table({}), "");
}

TEST(CompareTable, gives_each_note_once_with_its_policies) {
  auto policies = three_policies();
  policies[0].notes = {"no privilege"};
  policies[2].notes = {"no privilege", "lost"};
  const std::string text = compare_table(policies);
  EXPECT_THAT(text, HasSubstr("note (default, rtmdl): no privilege\nnote (rtmdl): lost\n"));
}

TEST(RunTable, fits_and_shows_failures_only_if_there_are_some) {
  RunReport r = three_policies()[2];
  const auto tasks = sample::infos(sample::edge_box(1, "", 0));
  EXPECT_LE(widest(run_table(r, tasks)), 120u) << run_table(r, tasks);
  EXPECT_THAT(run_table(r, tasks), Not(HasSubstr("failed")));
  r.tasks[0].failed = 3;
  EXPECT_THAT(run_table(r, tasks), HasSubstr("failed"));
  EXPECT_THAT(run_table(r, tasks), HasSubstr("machine stalls: 1, up to 12.5 ms; they explain 2 of the misses"));
  EXPECT_THAT(run_table(r, tasks), Not(HasSubstr("records of jobs")));
  r.trace = {1234, 3, 10 * r.seconds};
  EXPECT_THAT(run_table(r, tasks), HasSubstr("records of jobs: 1 234, 3 lost; collecting and scoring them took "));
  EXPECT_THAT(run_table(r, tasks), HasSubstr("1.0 % of a core"));
}

TEST(RunTable, survives_what_is_not_a_number_and_tasks_without_jobs) {
  RunReport r;
  r.policy = "p";
  r.tasks.resize(1);
  r.tasks[0].miss_rate = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THAT(run_table(r), HasSubstr("–"));
}

TEST(PlanTable, goes_by_priority_and_gives_the_reason) {
  const PlanProblem problem = sample::problem();
  Plan plan = sample::plan(problem);
  std::swap(plan.tasks[0].choice.priority, plan.tasks[4].choice.priority);
  const std::string text = plan_table(plan, problem);
  EXPECT_LE(widest(text), 120u);
  EXPECT_LT(text.find("classes"), text.find("speech"));
  EXPECT_THAT(text, HasSubstr("feasible: the least loss"));
  EXPECT_THAT(text, HasSubstr("storage: 14.2 MB of 60.0 MB"));
  EXPECT_THAT(text, HasSubstr("exact, 214 of 32 000 strategies simulated in 0.310 s, proven optimal"));
  plan.feasible = false;
  EXPECT_THAT(plan_table(plan, problem), HasSubstr("NOT FEASIBLE"));
  EXPECT_THAT(plan_table({}, problem), HasSubstr("NOT FEASIBLE"));
}

TEST(ProfileTable, shows_the_distribution) {
  VariantProfile v;
  v.id = "int8-mixed";
  v.processor = "cpu";
  for (int i = 1; i <= 100; ++i) v.infer.busy.push_back(from_ms(i));
  const std::string text = profile_table({{"faces", {v}}});
  EXPECT_THAT(sample::line_with(text, "int8-mixed"), HasSubstr("50.0    99.0     100"));
  EXPECT_LE(widest(text), 120u);
}

TEST(ProfileTable, shows_what_a_job_takes_and_where_that_is_from) {
  VariantProfile v;
  v.id = "int8";
  v.processor = "cpu";
  v.joules = 0.25;
  EXPECT_THAT(profile_table({{"faces", {v}}}), AllOf(HasSubstr("J/job"), Not(HasSubstr("from  "))));
  VariantProfile measured = v;
  measured.id = "source";
  measured.metered = true;
  const std::string text = profile_table({{"faces", {v, measured}}});
  EXPECT_THAT(sample::line_with(text, "int8"), HasSubstr("model"));
  EXPECT_THAT(sample::line_with(text, "source"), HasSubstr("0.250  measured"));
}

TEST(ProfileTable, shows_units_of_early_exits_and_their_mean) {
  VariantProfile v;
  v.id = "exits";
  v.processor = "gpu";
  v.cuts = {7, 9};
  v.infer.busy = {from_ms(7)};
  for (const double ms : {4.0, 2.0, 1.0}) v.segment_times.emplace_back().busy = {from_ms(ms)};
  v.exits.at = {{{}, 7, 0.5, 0.8}, {{}, 9, 0.25, 0.9}};
  const std::string text = profile_table({{"clothes", {v}}});
  EXPECT_THAT(text, HasSubstr("gpu, 3 units"));
  EXPECT_THAT(text, HasSubstr("4.00 + 2.00 + 1.00"));
  EXPECT_THAT(text, HasSubstr("5.25"));
  EXPECT_LE(widest(text), 128u);
}

}  // namespace
}  // namespace rtmdl
