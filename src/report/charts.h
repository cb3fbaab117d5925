#pragma once
/// The drawings of the comparison page: inline SVG whose colours come from the page's style sheet (page_style.h).

#include "planning/planner.h"
#include "report/task_info.h"

#include "scheduling/run_report.h"

#include <string>
#include <string_view>
#include <vector>

namespace rtmdl {

/// Style class of a policy's colour: "rtmdl" has its own in every report.
[[nodiscard]] std::string policy_class(const std::vector<RunReport>& runs, std::size_t run);
/// Style class of a task's colour.
[[nodiscard]] std::string task_class(std::size_t task);
/// At most `characters`, an ellipsis for the rest; not escaped.
[[nodiscard]] std::string shortened(std::string_view text, std::size_t characters);

/// Share of jobs missed, per task and in all, a bar per policy, with each task's limit.
[[nodiscard]] std::string miss_chart(const std::vector<RunReport>& runs, const std::vector<TaskInfo>& tasks);
/// Policies by accuracy loss and miss rate, with the planner's Pareto front if there is one.
[[nodiscard]] std::string trade_chart(const std::vector<RunReport>& runs, const std::vector<ParetoPoint>& pareto);
/// Median, 99th percentile and maximum response per task and policy, as shares of the deadline (in ms where there is
/// none), on a logarithmic axis.
[[nodiscard]] std::string response_chart(const std::vector<RunReport>& runs, const std::vector<TaskInfo>& tasks);

}  // namespace rtmdl
