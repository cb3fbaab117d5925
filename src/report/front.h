#pragma once
/// The families that `rtmdl scale` made, as people see them: which levels trade accuracy for latency best, as a table,
/// as drawings, as one page. Pure.

#include "profiling/scale_tasks.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rtmdl {

/// One task's family.
struct TaskFront {
  TaskVariants family;
  std::string metric = "agreement";  ///< as in the task file: what accuracy means
  double accuracy_min = 0;           ///< levels below were refused; 0: draws no line
  bool synthetic = false;  ///< its data were made up by us: accuracies say nothing of the world, and are so marked
};

struct ScaleReport {
  std::string workload;  ///< names the page
  std::vector<TaskFront> tasks;
  std::int64_t bytes = 0;             ///< of all files, shared ones once: stored_bytes()
  std::optional<std::int64_t> limit;  ///< the storage bound
};

/// By variant: whether another is at least as fast and as accurate, and better in one of the two. What was not measured
/// dominates nothing and is not dominated.
[[nodiscard]] std::vector<bool> dominated(const std::vector<Variant>& variants);

/// Several levels refused for one reason: the reason is the first one's, its parenthesised details left out.
struct Refusals {
  std::vector<std::string> ids;
  std::string reason;
};
/// Groups lines "ID: reason (details)" by reason, whatever the figures in it; in the order of their first.
[[nodiscard]] std::vector<Refusals> grouped_refusals(const std::vector<std::string>& lines);

/// A row per level, then what was refused or dropped, reason by reason. `all`: also what was done to each level, and
/// every refused line. `colour`: ANSI, for a terminal.
[[nodiscard]] std::string scale_table(const ScaleReport& report, bool all = false, bool colour = false);

/// Latency (logarithmic) against accuracy: a mark per level, its area by bytes, its colour by precision, hollow if
/// dominated; the front as steps; the source ringed. Inline SVG whose colours come from the page's style sheet
/// (page_style.h); `standalone`: a file of its own, light and dark, that needs nothing else.
[[nodiscard]] std::string front_svg(const TaskFront& task, bool standalone = false);

/// Every task's front with its table, and what the storage bound leaves: one HTML page that needs nothing else.
[[nodiscard]] std::string fronts_page(const ScaleReport& report);

struct MeasuredLevel {
  double ms = 0, accuracy = 0;
};
/// Two families on one drawing, each relative to its source, which is the first of it: latency (logarithmic) against
/// accuracy, dominated levels hollow. `titles` name them in the key. Standalone SVG.
[[nodiscard]] std::string relative_front_svg(const std::vector<MeasuredLevel>& ours,
                                             const std::vector<MeasuredLevel>& paper,
                                             const std::vector<std::string>& titles);

}  // namespace rtmdl
