#include "report/front.h"

#include "base/atomic_file.h"
#include "report/html.h"
#include "report/look.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <regex>
#include <string>
#include <vector>

namespace rtmdl {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

Variant level(const std::string& id, double ms, double accuracy, double megabytes,
              const std::string& precision = "fp32") {
  Variant v;
  v.id = id;
  v.median = from_ms(ms);
  v.accuracy = accuracy;
  v.bytes = static_cast<std::int64_t>(megabytes * 1e6);
  v.precision = precision;
  return v;
}

TaskFront family(int levels, const std::string& name = "faces") {
  TaskFront front;
  front.family.task = name;
  front.metric = "top1";
  front.accuracy_min = 0.9;
  front.family.variants.push_back(level("source", 20, 0.975, 40));
  for (int i = 1; i < levels; ++i) {
    const double width = 1 - 0.04 * i;
    const char* precision = i % 3 == 0 ? "fp32" : i % 3 == 1 ? "int8" : "fp16";
    Variant v =
        level(std::string(i % 3 == 0 ? "" : precision) + "w" + std::to_string(width).substr(0, 4),
              20 * std::pow(width, 2.2) / (i % 3 == 1 ? 3 : 1), 0.975 - 0.006 * std::sqrt(i) - (i % 4 == 0 ? 0.01 : 0),
              40 * width * width / (i % 3 == 1 ? 4 : 1), precision);
    v.width = width;
    v.accuracy_loss = (0.975 - v.accuracy) / 0.975;
    v.shared_bytes = i % 5 == 0 ? v.bytes : 0;
    v.note = "a note";
    front.family.variants.push_back(v);
  }
  front.family.refused = {"w0.25: accuracy 81.25 % is below the 90.00 % asked for (narrow)",
                          "w0.2-int8: accuracy 80.1 % is below the 90.00 % asked for (narrow)",
                          "w0.9: 1.10x slower than source (20 -> 22 ms)"};
  return front;
}

ScaleReport report(std::vector<TaskFront> tasks) {
  ScaleReport r;
  r.workload = "edge-box";
  r.tasks = std::move(tasks);
  std::vector<TaskVariants> families;
  for (const TaskFront& t : r.tasks) families.push_back(t.family);
  r.bytes = stored_bytes(families);
  r.limit = 400'000'000;
  return r;
}

TEST(Dominated, IsWhatAnotherBeatsInBoth) {
  EXPECT_THAT(dominated({level("source", 20, 0.97, 1), level("slow", 25, 0.97, 1), level("fast", 5, 0.90, 1),
                         level("worse", 5, 0.89, 1), level("equal", 20, 0.97, 1), level("unmeasured", 0, 0.5, 1)}),
              ElementsAre(false, true, false, true, false, false));
  EXPECT_TRUE(dominated({}).empty());
}

TEST(GroupedRefusals, JoinsReasonsThatDifferInFigures) {
  const auto groups = grouped_refusals({"a: 1.40x slower than source (1 -> 2 ms)", "b: no operator for it",
                                        "c: 12x slower than source (3 -> 4 ms)", "a line without an id"});
  ASSERT_EQ(groups.size(), 3U);
  EXPECT_THAT(groups[0].ids, ElementsAre("a", "c"));
  EXPECT_EQ(groups[0].reason, "1.40x slower than source");
  EXPECT_EQ(groups[2].reason, "a line without an id");
}

TEST(ScaleTable, ComparesWithTheSourceAndMarksWhatIsDominated) {
  TaskFront front;
  front.family = {
      "faces", {level("source", 9, 1, 4), level("int8", 3, 0.99, 1), level("late", 4, 0.98, 2)}, {}, {}, false, true};
  const std::string text = scale_table(report({front}));
  EXPECT_THAT(sample::line_with(text, "int8"), HasSubstr("3.00x"));
  EXPECT_THAT(sample::line_with(text, "int8"), Not(HasSubstr("dominated")));
  EXPECT_THAT(sample::line_with(text, "late"), HasSubstr("dominated"));
  EXPECT_THAT(text, HasSubstr("dominated: another level is at least as fast and as accurate\n"));
  EXPECT_THAT(text, HasSubstr("storage: 7.0 MB of 400.0 MB\n"));
}

TEST(ScaleTable, SaysWhoLeavesWhereOfLevelsWithExits) {
  TaskFront front;
  front.family = {"clothes", {level("source", 9, 0.93, 4), level("exits", 4, 0.925, 4)}, {}, {}, false, true};
  EXPECT_THAT(scale_table(report({front})), Not(HasSubstr("sure from")));
  front.family.variants[1].exits.at = {{{"exit_1", SureMeasure::entropy, 0.625, false}, 7, 0.5, 0.75},
                                       {{"exit_2", SureMeasure::max, 0.875, false}, 9, 0.25, 0.8125}};
  const std::string text = scale_table(report({front}));
  EXPECT_THAT(sample::line_with(text, "entropy"),
              testing::AllOf(HasSubstr("exits"), HasSubstr("0.625"), HasSubstr("50"), HasSubstr("75")));
  EXPECT_THAT(sample::line_with(text, "max"), testing::AllOf(HasSubstr("0.875"), HasSubstr("25"), HasSubstr("81.2 %")));
}

TEST(ScaleTable, SaysBrieflyWhatWasLeftOut) {
  TaskFront front = family(3);
  front.family.dropped = {"w0.9: dropped to stay within storage: 60.0 MB (30.0 MB)"};
  front.family.finished = false;
  const std::string text = scale_table(report({front}));
  EXPECT_THAT(text, HasSubstr("  faces: refused w0.25, w0.2-int8: accuracy 81.25 % is below the 90.00 % asked for, and "
                              "the like\n"));
  EXPECT_THAT(text, HasSubstr("  faces: refused w0.9: 1.10x slower than source\n"));
  EXPECT_THAT(text, HasSubstr("  faces: not finished; the next start goes on\n"));
  const std::string all = scale_table(report({front}), true);
  EXPECT_THAT(all, HasSubstr("w0.2-int8: accuracy 80.1 %"));
  EXPECT_THAT(all, HasSubstr("a note"));
}

TEST(ScaleTable, OfManyReasonsNamesAFew) {
  TaskFront front = family(1);
  front.family.refused.clear();
  for (const char* reason : {"a", "b", "c", "d", "e", "f", "g"})
    front.family.refused.push_back(std::string("level: ") + reason);
  const std::string text = scale_table(report({front}));
  EXPECT_EQ(sample::count(text, "faces: refused"), 5);
  EXPECT_THAT(text, HasSubstr("faces: refused 3 more for other reasons; -v lists all\n"));
}

TEST(ScaleTable, MarksSyntheticData) {
  TaskFront front = family(2);
  front.synthetic = true;
  const std::string text = scale_table(report({front}));
  EXPECT_THAT(text, HasSubstr("faces *"));
  EXPECT_THAT(text, HasSubstr("* synthetic data"));
  EXPECT_THAT(front_svg(front), HasSubstr(">synthetic data</text>"));
  EXPECT_THAT(fronts_page(report({front})), HasSubstr("<span class=\"over\">synthetic data</span>"));
  EXPECT_THAT(scale_table(report({family(2)})), Not(HasSubstr("synthetic")));
}

TEST(ScaleTable, OfATaskWithoutLevelsSaysSo) {
  TaskFront late;
  late.family.task = "late";
  late.family.finished = false;
  EXPECT_THAT(sample::line_with(scale_table(report({late})), "late"), HasSubstr("none yet"));
}

TEST(FrontSvg, HasAMarkForEveryMeasuredLevel) {
  TaskFront front = family(20);
  front.family.variants.push_back(level("unmeasured", 0, 0.9, 1));
  const std::string svg = front_svg(front);
  EXPECT_EQ(sample::unbalanced(svg), "");
  EXPECT_EQ(sample::count(svg, "<title>"), 20);
  const auto worse = dominated(front.family.variants);
  EXPECT_EQ(sample::count(svg, "level hollow m-") - 1, std::count(worse.begin(), worse.end(), true))
      << "and one in the key";
  EXPECT_EQ(sample::count(svg, "class=\"ring\""), 2) << "the source and the key";
  EXPECT_THAT(svg, HasSubstr("top-1 accuracy"));
  EXPECT_THAT(svg, HasSubstr(" ms"));
}

/// Boxes of labels, from their places and the widths that the drawing counts with.
TEST(FrontSvg, KeepsLabelsApartAndInside) {
  for (const int n : {1, 2, 5, 20, 60}) {
    TaskFront front = family(std::min(n, 20));
    for (int i = 20; i < n; ++i)
      front.family.variants.push_back(front.family.variants[static_cast<std::size_t>(i % 20)]);
    for (Variant& v : front.family.variants) v.id += "-a-very-long-name-of-a-level";
    const std::string svg = front_svg(front);
    static const std::regex kLabel("<text x=\"([0-9.-]+)\" y=\"([0-9.-]+)\" class=\"value[^>]*>([^<]*)</text>");
    std::vector<std::array<double, 4>> boxes;
    for (std::sregex_iterator i(svg.begin(), svg.end(), kLabel), end; i != end; ++i) {
      const double x = std::stod((*i)[1]), y = std::stod((*i)[2]);
      boxes.push_back({x, y - 10, x + 6.2 * 24, y + 3});
      EXPECT_GE(x, 60);
      EXPECT_LE(boxes.back()[2], 702);
    }
    EXPECT_GE(boxes.size(), static_cast<std::size_t>(std::min(n, 4))) << n;
    for (std::size_t a = 0; a < boxes.size(); ++a)
      for (std::size_t b = 0; b < a; ++b)
        EXPECT_FALSE(boxes[a][0] < boxes[b][2] && boxes[b][0] < boxes[a][2] && boxes[a][1] < boxes[b][3] &&
                     boxes[b][1] < boxes[a][3])
            << n;
  }
}

TEST(FrontSvg, OfNothingOrOddFiguresIsStillADrawing) {
  EXPECT_EQ(sample::unbalanced(front_svg({})), "");
  EXPECT_THAT(front_svg({}), HasSubstr("nothing was measured"));
  TaskFront front;
  front.family.variants = {level("source", 5, std::numeric_limits<double>::quiet_NaN(), 1), level("one", 1e-6, 1, 0),
                           level("two", 1e6, 1, 1e6)};
  for (const bool standalone : {false, true}) {
    const std::string svg = front_svg(front, standalone);
    EXPECT_EQ(sample::unbalanced(svg), "");
    EXPECT_THAT(svg, Not(HasSubstr("\"nan")));
    EXPECT_THAT(svg, Not(HasSubstr("inf")));
  }
}

TEST(FrontSvg, StandaloneNeedsNothingElse) {
  const std::string svg = front_svg(family(5), true);
  EXPECT_TRUE(svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\""));
  EXPECT_THAT(svg, HasSubstr("prefers-color-scheme:dark"));
  for (const char* outside : {"<script", "<link", "href=", "url(", "@import"})
    EXPECT_THAT(svg, Not(HasSubstr(outside)));
}

TEST(FrontsPage, IsOneFileThatNeedsNothingElse) {
  TaskFront late;
  late.family.task = "late";
  const std::string html = fronts_page(report({family(5), family(20, "clothes"), family(1, "lines"), late}));
  EXPECT_EQ(sample::unbalanced(html), "");
  for (const char* outside : {"<script", "<link", "<img", "href=", "src=", "url(", "@import", "http"})
    EXPECT_THAT(html, Not(HasSubstr(outside)));
  for (const char* text : {"rtmdl scale: edge-box", "4 tasks, 26 levels; the fastest are", "storage bound",
                           "3 left out", "No level was made yet.", "of the 400.0 MB that the task file allows"})
    EXPECT_THAT(html, HasSubstr(text));
}

TEST(FrontsPage, EscapesHostileTextsEverywhere) {
  const std::string evil = "<script>alert(1)</script>\"'>&";
  TaskFront front = family(3, evil);
  front.metric = evil;
  for (Variant& v : front.family.variants) v.id = v.note = v.precision = evil;
  front.family.refused = {evil + ": " + evil};
  front.family.dropped = {evil};
  ScaleReport r = report({front});
  r.workload = evil;
  const std::string html = fronts_page(r);
  EXPECT_THAT(html, Not(HasSubstr("<script")));
  EXPECT_THAT(html, Not(HasSubstr("\"'>")));
  EXPECT_EQ(sample::unbalanced(html), "");
}

TEST(FrontsPage, OfNothingIsStillAPage) { EXPECT_EQ(sample::unbalanced(fronts_page({})), ""); }

TEST(RelativeFrontSvg, ComparesFamiliesWithTheirSources) {
  const std::vector<MeasuredLevel> paper{{23.7, 85.5}, {12.1, 80.7}, {14.4, 82.3}, {19.7, 83.9}, {18.1, 84.0}};
  const std::string svg =
      relative_front_svg({{10, 0.9}, {2, 0.89}, {5, 0.7}}, paper, {"VGG-19, ours", "VGG19, RT-mDL"});
  EXPECT_EQ(sample::unbalanced(svg), "");
  EXPECT_EQ(sample::count(svg, "<title>"), 8);
  EXPECT_EQ(sample::count(svg, "level hollow m-fp32"), 1);
  EXPECT_EQ(sample::count(svg, "level hollow m-int8"), 1) << "19.7 ms for 83.9 %";
  EXPECT_EQ(sample::count(svg, "class=\"steps m-"), 2);
  EXPECT_THAT(svg, HasSubstr("VGG19, RT-mDL"));
  EXPECT_THAT(svg, HasSubstr("20.0 % of the latency"));
  EXPECT_EQ(sample::unbalanced(relative_front_svg({}, {}, {})), "");
}

TEST(FrontsPage, IsRenderedByABrowser) {
  if (std::system("command -v chromium >/dev/null 2>&1") != 0) GTEST_SKIP() << "chromium is not installed";
  const std::filesystem::path folder = testing::TempDir() + "/rtmdl_fronts_test";
  std::filesystem::remove_all(folder);
  write_file_atomically(folder / "page.html",
                        fronts_page(report({family(5), family(20, "clothes"), family(1, "lines")})));
  const std::string command =
      "timeout 60 chromium --headless --no-sandbox --disable-gpu --disable-background-networking --user-data-dir=" +
      (folder / "profile").string() + " --window-size=1240,1600 --screenshot=" + (folder / "page.png").string() +
      " file://" + (folder / "page.html").string() + " > " + (folder / "log").string() + " 2>&1";
  ASSERT_EQ(std::system(command.c_str()), 0) << read_file(folder / "log");
  EXPECT_GT(std::filesystem::file_size(folder / "page.png"), 50'000u);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace rtmdl
