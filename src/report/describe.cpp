#include "report/describe.h"

#include <cmath>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace rtmdl {

std::string percent(double fraction) {
  if (!std::isfinite(fraction)) return "–";
  const double x = fraction * 100;
  if (x == 0) return "0 %";
  if (x < 0) return "-" + percent(-fraction);
  if (x < 0.1) return "<0.1 %";
  if (x == 100) return "100 %";
  if (x > 99.9 && x < 100) return ">99.9 %";
  return fmt::format("{:.1f} %", x);
}

std::string short_number(double x) {
  if (!std::isfinite(x)) return "–";
  const double size = std::abs(x);
  if (size == 0) return "0";
  if (size >= 99.95) return fmt::format("{:.0f}", x);
  if (size >= 9.995) return fmt::format("{:.1f}", x);
  if (size >= 0.9995) return fmt::format("{:.2f}", x);
  if (size >= 0.0005) return fmt::format("{:.3f}", x);
  return x > 0 ? "<0.001" : ">-0.001";
}

std::string grouped(std::int64_t n) {
  std::string digits = fmt::format("{}", n);
  const std::size_t first = n < 0 ? 1 : 0;
  for (std::size_t i = digits.size(); i > first + 3; i -= 3) digits.insert(i - 3, 1, ' ');
  return digits;
}

std::string place_text(const std::string& processor, int segments) {
  return segments > 1 ? fmt::format("{}, {} segments", processor, segments) : processor;
}

std::string place_text(const TaskOption& option) {
  return place_text(option.processor, is_split(option) ? 1 : segments_of(option)) + (option.alone ? ", alone" : "");
}

StageTimes only_alone(const StageTimes& times) {
  StageTimes alone;
  alone.alone = times.alone;
  alone.stalls = times.stalls;
  return alone;
}

const TaskReport* task_in(const RunReport& report, const std::string& name) {
  for (const TaskReport& t : report.tasks)
    if (t.name == name) return &t;
  return nullptr;
}

std::vector<std::string> task_names(const std::vector<RunReport>& reports) {
  std::vector<std::string> names;
  for (const RunReport& r : reports)
    for (const TaskReport& t : r.tasks)
      if (std::find(names.begin(), names.end(), t.name) == names.end()) names.push_back(t.name);
  return names;
}

std::string change_text(const ChangeReport& change) {
  std::string text = fmt::format("at {:.6g} s {}: {}", change.at_s, change.asked,
                                 change.answer == "lighter" ? "admitted with lighter variants" : change.answer);
  std::vector<std::string> swaps;
  for (const ChangeReport::Swap& swap : change.swaps)
    swaps.push_back(fmt::format("{}: {} instead of {}, loss {}{}", swap.task, swap.to, swap.from,
                                swap.accuracy_loss < 0 ? "−" : "+", percent(std::abs(swap.accuracy_loss))));
  if (!swaps.empty()) text += fmt::format(" ({})", fmt::join(swaps, "; "));
  if (change.effective_s) text += fmt::format(", since {:.3f} s", *change.effective_s);
  if (change.effective_s && change.between_jobs) text += ", between jobs";
  if (change.held_back > 0) text += fmt::format(", {} releases were held back for it", grouped(change.held_back));
  if (!change.reason.empty()) text += ": " + change.reason;
  return text;
}

}  // namespace rtmdl
