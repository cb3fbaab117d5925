#pragma once
/// What a calibration found, for people and for programs. Pure.

#include "calibration/calibrate.h"

#include <string>

#include <nlohmann/json_fwd.hpp>

namespace rtmdl {

/// A row per task of each strategy that was played: predicted, measured (least to most of its plays), predicted after
/// correction; then what the processors were corrected by. `problem` has the names of what the choices mean. `colour`:
/// ANSI, for a terminal.
[[nodiscard]] std::string calibration_table(const Calibration& calibration, const PlanProblem& problem,
                                            bool colour = false);
/// The object that `plan --json` has as "calibration".
[[nodiscard]] nlohmann::ordered_json calibration_object(const Calibration& calibration, const PlanProblem& problem);

}  // namespace rtmdl
