#include "report/calibration.h"
#include "report/json.h"
#include "report/prediction_chart.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace rtmdl {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::Not;

PlanProblem problem() {
  PlanProblem p;
  p.processors = {{"gpu", true, 1}};
  PlanTask task;
  task.name = "faces";
  TaskOption option;
  option.variant = "int8";
  option.processor = "gpu";
  task.options = {option};
  p.tasks = {task};
  return p;
}

Calibration some(bool within) {
  Calibration c;
  const CalibratedTask task{"faces", 0.02, 0.01, {0.05, 0.025}, {0.03, 0.025}, 0.024, within};
  c.rounds = {{{{"chosen", {{0, 1}}, {task}}, {"tighter", {{0, 1}}, {task}}}}};
  c.correction.processors = {{"gpu", 1.25, 7, 30us, 90us, 100}};
  c.correction.options = {{"faces", "int8", "gpu", 1, {{1ms, 2ms}}}};
  c.holds = within;
  return c;
}

TEST(CalibrationTable, ShowsTheSpreadOfTheMeasuredRates) {
  const std::string text = calibration_table(some(false), problem());
  EXPECT_THAT(text, HasSubstr("2.5 % to 5.0 %"));
  EXPECT_THAT(text, HasSubstr("2.5 % to 3.0 %")) << "without stalls";
  EXPECT_THAT(text, HasSubstr("gpu: stages take 1.25 times the profile (median of 7); starting one takes 30 us"));
  EXPECT_THAT(text, HasSubstr("does not hold yet"));
  EXPECT_THAT(calibration_table(some(true), problem()), HasSubstr("the prediction holds"));
  EXPECT_THAT(calibration_table({}, problem()), Not(HasSubstr("jobs begin")));
}

TEST(CalibrationJson, HasEachRoundsStrategyAndItsNeighbours) {
  Plan plan;
  const Calibration calibration = some(true);
  const auto json = nlohmann::json::parse(plan_json(plan, problem(), nullptr, &calibration)).at("calibration");
  EXPECT_EQ(json.at("holds"), true);
  const auto& round = json.at("rounds").at(0);
  EXPECT_EQ(round.at("strategy"), "chosen");
  EXPECT_EQ(round.at("tasks").at(0).at("name"), "faces");
  EXPECT_EQ(round.at("tasks").at(0).at("predicted"), 0.02);
  EXPECT_EQ(round.at("tasks").at(0).at("measured"), (std::vector<double>{0.05, 0.025}));
  EXPECT_EQ(round.at("tasks").at(0).at("within"), true);
  EXPECT_EQ(round.at("neighbours").at(0).at("strategy"), "tighter");
  EXPECT_EQ(json.at("corrected").at(0).at("processor"), "gpu");
  EXPECT_EQ(json.at("corrected").at(0).at("factor"), 1.25);
  EXPECT_EQ(json.at("options").at(0).at("jobs"), 2);
  EXPECT_FALSE(nlohmann::json::parse(plan_json(plan, problem())).contains("calibration"));
}

TEST(PredictionChart, MarksEachTaskAndWhereItWouldBeWithoutStalls) {
  const std::string svg =
      prediction_svg({{"rtmdl", "set <1> faces", 0.01, 0.03, 0.02}, {"dm-nmc", "b", 0.4, 0.5, 0.5}});
  EXPECT_THAT(svg, HasSubstr("xmlns="));
  EXPECT_THAT(svg, HasSubstr("set &lt;1&gt; faces: predicted 1.0 %, measured 3.0 %"));
  EXPECT_THAT(svg, HasSubstr("class=\"p-rtmdl\""));
  EXPECT_THAT(svg, HasSubstr("class=\"p1\""));
  EXPECT_THAT(svg, HasSubstr("r=\"4\" class=\"hollow\"/>\n<circle"));
  EXPECT_THAT(prediction_svg({}), HasSubstr("</svg>"));
  EXPECT_THAT(prediction_svg({{"rtmdl", "a", 0.0001, 0.0001, 0}}), HasSubstr("predicted &lt;0.1 %")) << "still XML";
}

}  // namespace
}  // namespace rtmdl
