#pragma once
/// What a policy would do on this box, told by the simulator from the profile.

#include "planning/policies.h"
#include "planning/problem.h"
#include "planning/requests.h"

#include "scheduling/run_report.h"
#include "task/slowdown.h"

#include <cstdint>
#include <span>
#include <vector>

namespace rtmdl {

/// The report that a run of this length and seed should give. Not for policies with `system_defaults`: what the
/// operating system decides is not simulated. With `requests` (begun again) `choices` are LoadedOptions::choices.
[[nodiscard]] RunReport predict(const PolicyInfo& policy, const PlanProblem& problem, const Choices& choices,
                                Duration length, std::uint64_t seed, std::span<const Slowdown> slowdowns = {},
                                Requests* requests = nullptr);

/// What a task is expected to miss in one run of a given length, over many seeds.
struct ExpectedMisses {
  double mean = 0, deviation = 0;  ///< of the miss rate; deviation from run to run
  double half_width = 0;           ///< of the 95 % confidence interval of the mean (Student's t)
};

/// Simulates `runs` runs of this length from the start, each with another seed: relations between the tasks' phases may
/// drift over minutes, so a longer simulation would be another workload.
[[nodiscard]] std::vector<ExpectedMisses> expected_misses(Policy policy, const PlanProblem& problem,
                                                          const Choices& choices, Duration length, std::uint64_t seed,
                                                          int runs = 16);
[[nodiscard]] std::vector<ExpectedMisses> expected_misses(const PolicyInfo& policy, const PlanProblem& problem,
                                                          const Choices& choices, Duration length, std::uint64_t seed,
                                                          int runs, std::span<const Slowdown> slowdowns,
                                                          Requests* requests = nullptr);

}  // namespace rtmdl
