#pragma once
/// Figures and names as people read them: the same wording in tables, pages and JSON.

#include "planning/planner.h"
#include "profiling/profiler.h"

#include "scheduling/run_report.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

namespace rtmdl {

/// "0 %", "<0.1 %", "0.4 %", "43.0 %", ">99.9 %", "100 %": never rounded to 0 or 100 unless it is. "–" if not finite.
[[nodiscard]] std::string percent(double fraction);
/// Three significant digits, no exponent: "0.123", "4.56", "78.9", "1234". "–" if not finite.
[[nodiscard]] std::string short_number(double x);
/// Thousands apart: "12 345".
[[nodiscard]] std::string grouped(std::int64_t n);

/// The option that a plan chose for a task. Throws std::out_of_range on a plan of another problem.
[[nodiscard]] inline const TaskOption& chosen_option(const PlannedTask& planned, const PlanTask& task) {
  return task.options.at(static_cast<std::size_t>(planned.choice.option));
}

/// "gpu", or "gpu, 4 segments".
[[nodiscard]] std::string place_text(const std::string& processor, int segments);
[[nodiscard]] std::string place_text(const TaskOption& option);  ///< also "gpu, alone"

/// Without the times beside a busy neighbour.
[[nodiscard]] StageTimes only_alone(const StageTimes& times);

/// "at 10 s faces.join: admitted with lighter variants (signs: int8 instead of source, loss +1.2 %), since 10.1 s".
[[nodiscard]] std::string change_text(const ChangeReport& change);

/// The task of that name in a report, or null.
[[nodiscard]] const TaskReport* task_in(const RunReport& report, const std::string& name);
/// Names of the tasks of all reports, each once, in the order of their first mention.
[[nodiscard]] std::vector<std::string> task_names(const std::vector<RunReport>& reports);

}  // namespace rtmdl
