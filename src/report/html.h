#pragma once
/// `compare` as one HTML page that needs nothing else: no network, no scripts, drawings as inline SVG, light and dark.

#include "planning/planner.h"
#include "report/task_info.h"
#include "runtime/runtime.h"

#include "scheduling/run_report.h"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rtmdl {

/// Of one run, to be embedded: a track per processor and slot with stages coloured by task, and a track per task with
/// its misses.
struct Timeline {
  std::string policy;
  std::string svg;    ///< from timeline_svg()
  std::string trace;  ///< file name of the full trace; may be empty
};

struct ComparePage {
  std::string workload;
  std::vector<RunReport> runs;
  std::vector<TaskInfo> tasks;  ///< may be empty: no deadlines and limits are drawn
  const Plan* plan = nullptr;   ///< with `problem`: what was chosen, and the Pareto front
  const PlanProblem* problem = nullptr;
  std::vector<Timeline> timelines;
  std::vector<std::pair<std::string, std::string>> machine;  ///< "processor" -> "…": facts about the box
  std::vector<std::string> notes;
};

/// UTF-8; every text that comes from outside is escaped.
[[nodiscard]] std::string compare_page(const ComparePage& page);

/// The first `length` of a run. At most about 200 kB: of more stages than fit, neighbours closer than a pixel are drawn
/// as one.
[[nodiscard]] std::string timeline_svg(const RunOutcome& outcome, const std::vector<TaskInfo>& tasks,
                                       Duration length = std::chrono::seconds(2));

/// & < > " ' escaped; control characters and bytes that are not UTF-8 replaced.
[[nodiscard]] std::string escape_html(std::string_view text);

}  // namespace rtmdl
