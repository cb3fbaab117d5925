#include "report/calibration.h"

#include "base/units.h"
#include "planning/stage_draw.h"
#include "report/describe.h"
#include "report/json_number.h"
#include "report/table.h"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace rtmdl {
namespace {

using Json = nlohmann::ordered_json;

Json numbers(const std::vector<double>& values) {
  Json list = Json::array();
  for (const double v : values) list.push_back(json_number(v));
  return list;
}

/// Of each stall the processor that it took away longest.
TimeDistribution lasting_of(const StallTimes& stalls) {
  TimeDistribution lasting;
  for (const std::vector<Duration>& one : stalls.lasting)
    if (!one.empty()) lasting.sorted.push_back(*std::max_element(one.begin(), one.end()));
  std::sort(lasting.sorted.begin(), lasting.sorted.end());
  return lasting;
}

std::string range(const std::vector<double>& values) {
  if (values.empty()) return "–";
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  const std::string low = percent(*least), high = percent(*most);
  return low == high ? low : fmt::format("{} to {}", low, high);
}

const TaskOption& option_of(const PlayedStrategy& strategy, std::size_t t, const PlanProblem& problem) {
  return problem.tasks[t].options[static_cast<std::size_t>(strategy.choices[t].option)];
}

}  // namespace

std::string calibration_table(const Calibration& calibration, const PlanProblem& problem, bool colour) {
  Table table({{"round"},
               {"strategy", Align::left},
               {"task", Align::left},
               {"variant", Align::left},
               {"on", Align::left},
               {"predicted"},
               {"measured"},
               {"without stalls"},
               {"chance"},
               {"  ", Align::left},
               {"corrected"}});
  for (std::size_t r = 0; r < calibration.rounds.size(); ++r) {
    if (r > 0) table.rule();
    std::string round = fmt::format("{}", r + 1);
    for (const PlayedStrategy& strategy : calibration.rounds[r].strategies) {
      std::string kind = strategy.kind;
      for (std::size_t t = 0; t < strategy.tasks.size(); ++t) {
        const CalibratedTask& task = strategy.tasks[t];
        const TaskOption& option = option_of(strategy, t, problem);
        table.row({round,
                   {kind, Tone::strong},
                   task.name,
                   option.variant,
                   place_text(option),
                   percent(task.predicted),
                   range(task.measured),
                   {range(task.unstalled), Tone::faint},
                   {"± " + percent(task.chance), Tone::faint},
                   task.within ? Cell("=", Tone::good) : Cell("!", Tone::bad),
                   percent(task.corrected)});
        round.clear();
        kind.clear();
      }
    }
  }
  std::string text = table.to_string(colour);
  text +=
      "\n! further from the prediction than 1.5 points and chance, machine stalls set aside. Measured: least to most "
      "of "
      "the plays; corrected: predicted after the round\n";
  for (const ProcessorCorrection& p : calibration.correction.processors) {
    text += fmt::format("{}: stages take {:.2f} times the profile (median of {})", p.name, p.factor, p.stages);
    if (p.dispatches > 0)
      text += fmt::format("; starting one takes {} (90 % within {})", format_duration(p.dispatch),
                          format_duration(p.dispatch_p90));
    if (const double together = p.moments.correlation(); together > 0)
      text += fmt::format("; times of one moment ({}) correlate by {:.2f}",
                          format_duration(std::chrono::round<std::chrono::milliseconds>(kMoment)), together * together);
    text += '\n';
  }
  if (const StallTimes& s = calibration.correction.stalls; s.seconds > 0 && s.count > 0) {
    const TimeDistribution lasting = lasting_of(s);
    text += fmt::format(
        "the machine stood still {:.1f} times a second, for {} (90 % within {}); predictions count that\n",
        s.count / s.seconds, format_duration(lasting.quantile(0.5)), format_duration(lasting.quantile(0.9)));
  }
  if (!calibration.rounds.empty())
    text += fmt::format("jobs begin {} after their release (99 % within {})\n",
                        format_duration(calibration.lateness_p50), format_duration(calibration.lateness_p99));
  text += calibration.settled ? "calibrated: the prediction holds, and planning again finds nothing better\n"
          : calibration.holds ? "calibrated: the prediction holds\n"
                              : "the prediction does not hold yet; another --calibrate goes on from here\n";
  if (!calibration.plan.feasible && !calibration.rounds.empty())
    text += "no strategy keeps every limit: the plan is the nearest of those that were played\n";
  return text;
}

Json calibration_object(const Calibration& calibration, const PlanProblem& problem) {
  Json json;
  json["holds"] = calibration.holds;
  json["settled"] = calibration.settled;
  json["lateness_us"] = {{"p50", json_number(to_ms(calibration.lateness_p50) * 1000)},
                         {"p99", json_number(to_ms(calibration.lateness_p99) * 1000)}};
  json["rounds"] = Json::array();
  for (const CalibrationRound& round : calibration.rounds) {
    // The chosen strategy's fields, then its neighbours.
    Json strategies = Json::array();
    for (const PlayedStrategy& strategy : round.strategies) {
      Json one;
      one["strategy"] = strategy.kind;
      one["holds"] = strategy.holds();
      one["tasks"] = Json::array();
      for (std::size_t t = 0; t < strategy.tasks.size(); ++t) {
        const CalibratedTask& task = strategy.tasks[t];
        const TaskOption& option = option_of(strategy, t, problem);
        one["tasks"].push_back({{"name", task.name},
                                {"variant", option.variant},
                                {"processor", option.processor},
                                {"threads", option.threads},
                                {"segments", segments_of(option)},
                                {"priority", strategy.choices[t].priority},
                                {"predicted", json_number(task.predicted)},
                                {"measured", numbers(task.measured)},
                                {"measured_without_stalls", numbers(task.unstalled)},
                                {"chance", json_number(task.chance)},
                                {"within", task.within},
                                {"corrected", json_number(task.corrected)}});
      }
      strategies.push_back(std::move(one));
    }
    Json played = strategies.empty() ? Json::object() : strategies.front();
    if (!strategies.empty()) strategies.erase(0);
    played["neighbours"] = std::move(strategies);
    json["rounds"].push_back(std::move(played));
  }
  json["corrected"] = Json::array();
  for (const ProcessorCorrection& p : calibration.correction.processors)
    json["corrected"].push_back(
        {{"processor", p.name},
         {"factor", json_number(p.factor)},
         {"stages", p.stages},
         {"dispatch_us", json_number(to_ms(p.dispatch) * 1000)},
         {"dispatch_p90_us", json_number(to_ms(p.dispatch_p90) * 1000)},
         {"moment_correlation", json_number(p.moments.correlation() * p.moments.correlation())}});
  if (const StallTimes& s = calibration.correction.stalls; s.seconds > 0) {
    const TimeDistribution lasting = lasting_of(s);
    json["machine_stalls"] = {{"per_second", json_number(s.count / s.seconds)},
                              {"p50_ms", json_number(to_ms(lasting.quantile(0.5)))},
                              {"p90_ms", json_number(to_ms(lasting.quantile(0.9)))}};
  }
  json["options"] = Json::array();
  for (const OptionTimes& o : calibration.correction.options)
    json["options"].push_back({{"task", o.task},
                               {"variant", o.variant},
                               {"processor", o.processor},
                               {"threads", o.threads},
                               {"segments", std::max<std::size_t>(o.stages.size(), 3) - 2},
                               {"jobs", o.jobs()}});
  return json;
}

}  // namespace rtmdl
