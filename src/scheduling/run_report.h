#pragma once
/// What a run (real or simulated) gave, in numbers. The JSON of `run` and `simulate` is this, field by field.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace rtmdl {

struct ResponseTimes {
  double p50_ms = 0, p99_ms = 0, max_ms = 0;  ///< of completed jobs, from nominal release to completion
};

/// Of a task whose jobs may be given lighter variants.
struct VariantShare {
  std::string variant;
  std::int64_t completed = 0;  ///< jobs that ran it
};

struct TaskReport {
  std::string name, variant;
  int priority = 0;
  std::int64_t released = 0, completed = 0, missed = 0, dropped = 0,
               failed = 0;     ///< released = completed + dropped + failed; missed: late, dropped or failed
  std::int64_t abandoned = 0;  ///< of the dropped: in progress at their deadline (`late: abort`)
  double miss_rate = 0;
  std::int64_t stalled = 0;                   ///< of the missed: those that a stall of the machine explains
  std::optional<double> mean_miss_rate;       ///< of a simulation: over many seeds
  double mean_miss_rate_95 = 0;               ///< half width of its 95 % confidence interval
  std::optional<double> predicted_miss_rate;  ///< of a real run: what the simulator expected of it
  double accuracy = 0;                        ///< over completed jobs, each scored at the variant that it ran
  double effective_accuracy = 0;              ///< a missed job counts 0
  double accuracy_loss = 0;                   ///< against the source model on the same inputs
  std::int64_t switches = 0;                  ///< changes of variant during the run
  std::vector<VariantShare> variants;         ///< that its jobs ran, the planned first; empty: one for all
  std::int64_t throttled = 0;                 ///< times that a job used its reservation up (SCHED_DEADLINE)
  std::optional<double> joules;               ///< that its stages took beyond what the box draws idle
  ResponseTimes response;
};

struct ProcessorReport {
  std::string name;
  double busy = 0;                   ///< share of time
  std::optional<double> at_once{};   ///< of a real run on several slots: stages in progress while any was
  std::optional<double> gain{};      ///< likewise: what that gained over one after the other
  std::optional<double> slowdown{};  ///< of a real run: time that stages took, over what the profile expects of them
  std::string kernel{};  ///< of a real run: what orders its threads, "fifo", "deadline" or "other"; else empty
};

struct MachineStalls {
  std::int64_t count = 0;
  double max_ms = 0;
  std::int64_t missed = 0;  ///< missed jobs that a stall of the machine explains; they are in `missed` too
};

/// What watching cost: a record per job goes through a ring to the collector's thread.
struct TraceReport {
  std::int64_t records = 0;     ///< that came through
  std::int64_t lost = 0;        ///< the ring was full; counts of jobs and misses are exact all the same
  double collector_cpu_ms = 0;  ///< processor time of the collector's thread: scoring results included
};

/// Something that was asked for while it ran: a task that comes or goes, another rate.
struct ChangeReport {
  struct Swap {
    std::string task, from, to;  ///< variants
    double accuracy_loss = 0;    ///< weighted, more than before
  };
  std::string asked;  ///< "faces.join"
  double at_s = 0;
  std::string answer;  ///< "admitted", "lighter" (with smaller variants of others), "refused"
  std::string reason;  ///< of a refusal, and of what was not carried out
  std::vector<Swap> swaps;
  std::optional<double> effective_s;  ///< since when it is so
  bool between_jobs = false;          ///< it took a moment in which no job was pending
  std::int64_t held_back = 0;         ///< releases of soft tasks, until that came
};

/// Of a capacitor that a source of energy charges.
struct HarvestReport {
  double eta = 0;        ///< predictability of the source
  double harvested = 0;  ///< joules that it gave
  double left = 0;       ///< joules that are stored at the end
  double off = 0;        ///< seconds in which there was too little to begin anything
};

struct EnergyReport {
  std::string meter;                 ///< "constant": computed from the processors' power; "rapl", "hwmon"
  double joules = 0, watts = 0;      ///< used, on average
  std::optional<double> by_model{};  ///< watts, of a run that was metered: what constant power gives
  std::optional<double> limit{};     ///< watts
  std::optional<HarvestReport> harvest{};
};
/// By how much of the limit more was drawn; up to kSameBudget counts as within it.
[[nodiscard]] double over_budget(const EnergyReport& energy);
inline constexpr double kSameBudget = 0.03;

struct RunReport {
  std::string policy;
  double seconds = 0;
  std::int64_t released = 0, missed = 0;
  double miss_rate = 0;
  double accuracy_loss = 0;  ///< Σ wᵢ·lossᵢ over tasks
  std::string preemption;    ///< "kernel", "cooperative", "none" (left to the operating system), "simulated"
  MachineStalls stalls;
  std::vector<TaskReport> tasks;
  std::vector<ProcessorReport> processors;
  std::optional<TraceReport> trace;  ///< of a real run
  std::vector<ChangeReport> changes;
  std::optional<EnergyReport> energy;
  std::vector<std::string> notes;  ///< said once each: missing privileges, lost records, unscored jobs
};

/// Nearest-rank percentiles; sorts its argument.
[[nodiscard]] ResponseTimes response_times(std::vector<float>& responses_ms);
/// Fills the totals from the tasks, with `weights[i]` for task i.
void sum_up(RunReport& report, const std::vector<double>& weights);

}  // namespace rtmdl
