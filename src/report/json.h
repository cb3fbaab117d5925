#pragma once
/// What every verb prints with --json: one object, two spaces of indent, no newline at the end. The names of fields are
/// a promise (docs/design.md, "Commands and what they print"); fields may be added. Every number is finite and has at
/// most six significant digits; what is unknown is null. Text that is not UTF-8 is repaired, never refused.

#include "calibration/calibrate.h"
#include "planning/planner.h"
#include "planning/proof.h"
#include "profiling/profiler.h"
#include "report/front.h"

#include "scheduling/run_report.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace rtmdl {

/// Besides the promised fields: "median_ms", "note", "refused", "dropped".
[[nodiscard]] std::string scale_json(const ScaleReport& report);
/// "ms" is of the infer stage as planning sees it (with a busy neighbour, if there was a core for one); "alone_ms",
/// "pre_ms", "post_ms" beside it; "slow_downs" of the variants that were measured pair by pair, of which others name
/// theirs in "representative".
[[nodiscard]] std::string profile_json(const std::vector<TaskProfile>& tasks);
/// With a proof (--explain), it is in the field "proof"; with a calibration, each round's chosen strategy with its
/// neighbours, and what was corrected, in "calibration".
[[nodiscard]] std::string plan_json(const Plan& plan, const PlanProblem& problem, const Proof* proof = nullptr,
                                    const Calibration* calibration = nullptr);
[[nodiscard]] std::string proof_json(const Proof& proof);
/// Of `run` and `simulate`.
[[nodiscard]] std::string run_json(const RunReport& report);
/// `source_load` as source_load() gives it.
[[nodiscard]] std::string compare_json(const std::string& workload, double source_load,
                                       const std::vector<RunReport>& policies);

}  // namespace rtmdl
