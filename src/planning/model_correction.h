#pragma once
/// What real runs taught about the planning model: stage times as they were beside the other tasks, how much faster or
/// slower a processor is than its profile says, what starting a stage costs there. Pure: a function of what was
/// measured and of the problem.

#include "planning/correlation.h"
#include "planning/problem.h"

#include <string>
#include <vector>

namespace rtmdl {

/// Stage times of one option, job by job: stages[s][k] is stage s of the k-th job that was measured.
struct OptionTimes {
  std::string task, variant, processor;  ///< names of the option that ran
  int threads = 1;
  std::vector<std::vector<Duration>> stages;  ///< equally many of each
  bool alone = false;                         ///< TaskOption::alone
  [[nodiscard]] std::size_t jobs() const { return stages.empty() ? 0 : stages.front().size(); }
};

/// Stalls of the machine in some seconds of runs.
struct StallTimes {
  double seconds = 0, count = 0;
  std::vector<std::vector<Duration>> lasting;  ///< as StallModel's; the newest kMostStalls
  StallTimes& operator+=(const StallTimes& later);
};
inline constexpr std::size_t kMostStalls = 500;
inline constexpr double kStallMemory = 600;  ///< seconds; beyond that older ones count for less

/// What one or several runs showed, machine stalls taken out of the times.
struct Observation {
  std::vector<OptionTimes> options;
  std::vector<std::vector<Duration>> dispatch;  ///< per processor of the problem: from ready to started
  std::vector<MomentPairs> moments;             ///< per processor of the problem
  StallTimes stalls;
  std::vector<Duration> lateness;  ///< of releases: from the grid (and its jitter) to the first stage
};
/// Adds what `more` saw of the same problem's processors; times of an option that is there follow those.
void append(Observation& to, const Observation& more);

struct ProcessorCorrection {
  std::string name;
  double factor = 1;  ///< measured / profiled, median over the stages that ran there, each with the weight of its time
  int stages = 0;     ///< that the factor rests on; 0: none, and the factor is 1
  Duration dispatch{};  ///< mean without the longest 1 %: it is a load
  Duration dispatch_p90{};
  int dispatches = 0;     ///< samples; 0: not measured
  MomentPairs moments{};  ///< without pairs: not measured
};

struct ModelCorrection {
  std::vector<OptionTimes> options;
  std::vector<ProcessorCorrection> processors;
  StallTimes stalls;
  [[nodiscard]] bool empty() const { return options.empty() && processors.empty() && stalls.seconds <= 0; }
};

inline constexpr std::size_t kOwnTimes = 50;  ///< samples from which on an option has the distribution of its own
inline constexpr std::size_t kMostCorrected = 2000;  ///< the newest so many jobs of an option are kept

/// `profiled` is the uncorrected problem. Options that it does not have are left out.
[[nodiscard]] ModelCorrection correction_from(const PlanProblem& profiled, const Observation& observed);

/// `newer` where it knows enough (kOwnTimes jobs of an option, any stage of a processor), else both.
[[nodiscard]] ModelCorrection merged(const ModelCorrection& older, const ModelCorrection& newer);

/// Corrects an uncorrected problem. An option that ran kOwnTimes jobs or more gets the distribution and the correlation
/// measured (its contention is in there: `alone` is emptied); one that ran fewer is scaled by a factor that its jobs
/// and its processor's factor share in; other options of that task are scaled by what the task's stages showed where
/// they run, the rest by their processor's factor. Times that proofs rest on are never shortened. Values that are not
/// finite or not positive correct nothing.
void apply(PlanProblem& problem, const ModelCorrection& correction);

}  // namespace rtmdl
