#pragma once
/// Plain-text tables for a terminal.

#include "planning/planner.h"
#include "profiling/profiler.h"
#include "profiling/scale_tasks.h"
#include "report/task_info.h"

#include "scheduling/run_report.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rtmdl {

/// Columns that a terminal gives to a UTF-8 text: combining marks take none, East Asian wide characters and emoji two,
/// control characters none.
[[nodiscard]] std::size_t display_width(std::string_view utf8);

enum class Align { left, right };
/// Colours are for a terminal only; the text alone says everything.
enum class Tone { plain, good, bad, faint, strong };

struct Cell {
  std::string text;
  Tone tone = Tone::plain;
  Cell(std::string t, Tone tn = Tone::plain) : text(std::move(t)), tone(tn) {}  // NOLINT(google-explicit-constructor)
  Cell(const char* t) : text(t) {}                                              // NOLINT(google-explicit-constructor)
};

/// Of an accuracy loss: faint where there is none.
[[nodiscard]] Cell loss_cell(double loss);

class Table {
 public:
  struct Column {
    std::string title;
    Align align = Align::right;
  };
  explicit Table(std::vector<Column> columns);
  /// Missing cells are empty; throws std::invalid_argument on more cells than columns. Control characters and newlines
  /// in a cell become spaces.
  Table& row(std::vector<Cell> cells);
  Table& rule();
  /// Lines end with '\n' and have no trailing spaces.
  [[nodiscard]] std::string to_string(bool colour = false) const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<Cell>> rows_;  ///< an empty row is a rule
};

/// `tasks` may be empty: then no limits and deadlines are shown. `colour`: ANSI, for a terminal.
[[nodiscard]] std::string run_table(const RunReport& report, const std::vector<TaskInfo>& tasks = {},
                                    bool colour = false);
/// What each policy misses, and what accuracy that costs: per policy, then per task and policy.
[[nodiscard]] std::string compare_table(const std::vector<RunReport>& policies, const std::vector<TaskInfo>& tasks = {},
                                        bool colour = false);
[[nodiscard]] std::string plan_table(const Plan& plan, const PlanProblem& problem, bool colour = false);
[[nodiscard]] std::string profile_table(const std::vector<TaskProfile>& tasks, bool colour = false);
/// One sentence: "default misses 43.0 % of its jobs; rtmdl 0.4 % at a loss of 0.3 % of accuracy, summed over tasks." Of
/// more than three policies, the first and rtmdl (else the one that misses least). Empty for fewer than two.
[[nodiscard]] std::string headline(const std::vector<RunReport>& policies);

}  // namespace rtmdl
