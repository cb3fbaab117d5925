#include "report/plan_page.h"

#include "report/look.h"
#include "report/sample.h"
#include "report/table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

namespace rtmdl {
namespace {

using testing::HasSubstr;
using testing::Not;

struct PlannedContent {
  PlanProblem problem = sample::problem();
  Plan plan = sample::plan(problem);
  std::string page(std::vector<std::string> changes = {}) const {
    return plan_page({"edge-box", &plan, &problem, std::move(changes)});
  }
};

TEST(PlanPage, IsOneFileThatSaysWhatWasChosenAndWhy) {
  const std::string html = PlannedContent{}.page();
  for (const char* outside : {"<script", "<link", "<img", "href=", "src=", "url(", "http"})
    EXPECT_THAT(html, Not(HasSubstr(outside)));
  for (const char* text :
       {"rtmdl plan: edge-box", "Every task keeps its limit; 1.0 % of accuracy is lost, 0.1 % of jobs",
        "the least loss at which every task keeps its limit", "The trades", "Who misses what",
        "What each processor is used for", "in 0.310 s", "<b>chosen</b>", "14.2 MB of 60.0 MB", "exact, proven"})
    EXPECT_THAT(html, HasSubstr(text));
  EXPECT_EQ(sample::count(html, "<svg"), sample::count(html, "</svg>"));
  EXPECT_EQ(sample::count(html, "<div"), sample::count(html, "</div>"));
  EXPECT_THAT(html, Not(HasSubstr("What if")));
  EXPECT_THAT(html, Not(HasSubstr("What would be enough")));
}

TEST(PlanPage, NamesWhatIsNotAsTheFileSaysEscaped) {
  EXPECT_THAT(PlannedContent{}.page({"--set a.b=<x>", "--cores 1"}),
              HasSubstr("What if: <code>--set a.b=&lt;x&gt;</code> <code>--cores 1</code>."));
}

TEST(PlanPage, OfNoFeasibleStrategySaysWhatWouldBeEnough) {
  PlannedContent c;
  c.plan.feasible = false;
  c.plan.relaxations = {{"deadline", "faces", "20 ms", "27 ms", 0.35, "faces: deadline 27 ms instead of 20 ms"}};
  const std::string html = c.page();
  for (const char* text : {"No strategy keeps every limit.", "What would be enough", "The nearest strategy",
                           "<li>faces: deadline 27 ms instead of 20 ms</li>"})
    EXPECT_THAT(html, HasSubstr(text));
  const std::string table = plan_table(c.plan, c.problem);
  EXPECT_THAT(table, HasSubstr("any one of these would be enough, the smallest change first:\n"
                               "  faces: deadline 27 ms instead of 20 ms\n"));
  c.plan.relaxations = {{"stretch", "", "1", "4.2", 3.2, "all periods and deadlines 4.2 times as long"}};
  EXPECT_THAT(plan_table(c.plan, c.problem), HasSubstr("no change of one task, processor or bound was found"));
  c.plan.relaxations->clear();
  EXPECT_THAT(c.page(), HasSubstr("No single change was found"));
}

TEST(PlanPage, HoldsWithNothingInIt) {
  const Plan plan;
  const PlanProblem problem;
  EXPECT_THAT(plan_page({"", &plan, &problem, {}}), HasSubstr("</html>"));
}

TEST(PlanFront, MarksPointsTheChosenOneAndBrokenLimits) {
  PlannedContent c;
  const std::string svg = plan_front_svg(c.plan, c.problem, true);
  EXPECT_THAT(svg, HasSubstr("xmlns=\"http://www.w3.org/2000/svg\""));
  EXPECT_THAT(svg, HasSubstr("<style>"));
  EXPECT_EQ(sample::count(svg, "<title>"), 4u);
  EXPECT_EQ(sample::count(svg, "a limit is broken: "), 2u);
  EXPECT_EQ(sample::count(svg, "class=\"ring\""), 2u) << "in the key and once in the drawing";
  EXPECT_THAT(svg, HasSubstr("chosen: 1.0 % lost, 0.1 % missed"));
  EXPECT_THAT(svg, HasSubstr("1.0 % of accuracy lost, 0.1 % of jobs missed: speech source, faces int8"));
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
}

TEST(PlanFront, DrawsTheNearestStrategyWhereNoneIsOnTheFront) {
  PlannedContent c;
  c.plan.feasible = false;
  for (ParetoPoint& p : c.plan.pareto) p.chosen = p.feasible = false;
  c.plan.miss_rate = std::numeric_limits<double>::quiet_NaN();
  const std::string svg = plan_front_svg(c.plan, c.problem);
  EXPECT_EQ(sample::count(svg, "class=\"ring\""), 2u);
  EXPECT_THAT(svg, HasSubstr("nearest: 1.0 % lost"));
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
}

TEST(FrontSentence, SaysWhatTheNeighboursWouldBe) {
  PlannedContent c;
  EXPECT_EQ(
      front_sentence(c.plan),
      "1.00 point more loss would avoid all misses (0.1 % to 0 %); 0.500 points less would miss 7.0 % and break a "
      "limit");
  EXPECT_THAT(plan_table(c.plan, c.problem), HasSubstr("front: 1.00 point more loss would avoid"));
  c.plan.pareto[2].miss_rate = 0.012;
  c.plan.pareto[3].miss_rate = 0.006;
  EXPECT_THAT(front_sentence(c.plan), HasSubstr("would halve the misses (1.2 % to 0.6 %)"));
  c.plan.pareto[3].miss_rate = 0.011;
  EXPECT_THAT(front_sentence(c.plan), HasSubstr("would lower the misses (1.2 % to 1.1 %)"));
  c.plan.pareto[3].miss_rate = 0.003;
  EXPECT_THAT(front_sentence(c.plan), HasSubstr("would divide the misses by 4 (1.2 % to 0.3 %)"));
  c.plan.pareto = {c.plan.pareto[2]};
  EXPECT_EQ(front_sentence(c.plan), "");
}

TEST(Difference, IsWhatAPointDoesOtherwise) {
  const PlannedContent c;
  EXPECT_EQ(difference(c.plan.pareto[2], c.plan, c.problem), "");
  EXPECT_EQ(difference(c.plan.pareto[0], c.plan, c.problem),
            "faces: source instead of int8, text: source instead of int8");
  ParetoPoint other = c.plan.pareto[2];
  other.chosen = false;
  EXPECT_EQ(difference(other, c.plan, c.problem), "another order of priorities");
}

}  // namespace
}  // namespace rtmdl
