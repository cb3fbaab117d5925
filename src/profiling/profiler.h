#pragma once
/// `rtmdl profile`: execution times (and with `energy.meter` what is drawn) of every variant, stage by stage, on every
/// processor that can run it, with 1..n threads and, where a stage that has begun cannot be preempted, cut into 1, 2,
/// 4, … segments. Of tasks with `split` also cut in two at up to three places, each part on each processor. Then how
/// much two variants of each task, the slowest and one in the middle, slow those of other tasks down.

#include "base/context.h"
#include "engine/engine.h"
#include "profiling/scale_tasks.h"
#include "profiling/store.h"
#include "task/workspace.h"

#include "task/task_file.h"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace rtmdl {

struct ProfileOptions {
  Duration budget{};  ///< for all; zero: none. Measuring gets shorter to fit, down to samples_min
  Duration per_variant =
      std::chrono::seconds(2);  ///< per variant × processor × threads; up to twice that to reach samples_wanted
  int samples_min = 30;         ///< under load, taken however long it takes
  int samples_wanted = 100;
  int samples_max = 2000;
  int max_threads = 0;  ///< 0: the cores of the processor
  std::uint64_t seed = 1;
  std::filesystem::path sysfs = "/sys";  ///< where `energy.meter` is; another one in tests
};

/// What another task's variant, on its processor, does to inference beside it.
struct SlowDown {
  std::string task, variant, processor;
  double factor = 1;  ///< time beside it / time alone
};

/// One variant on one processor (or split over two) with one number of threads.
struct VariantProfile {
  std::string id;                  ///< of the variant
  std::string processor;           ///< of the infer stage, by name; of a split model place_name() of both
  int processor_index = 0;         ///< in the task file; of a split model that of its first part
  std::vector<std::string> split;  ///< the processor of each segment, by name; empty: all run on `processor`
  int threads = 1;
  StageTimes pre, infer, post;            ///< pre and post on the host processor
  std::vector<int> cuts;                  ///< where the model was cut into segments (LoadRequest); empty: one
  std::vector<StageTimes> segment_times;  ///< of a model that was cut: of each, where `infer` is all of them
  double interference = 1;                ///< busy / alone, medians of infer
  double demand = 1;                 ///< share of the processor that infer uses: of its cores; of an accelerator of
                                     ///< several slots what copies beside each other told
  std::string representative;        ///< id of the variant that was measured in pairs for this one; empty: none
  std::vector<SlowDown> slow_downs;  ///< pair by pair (slow_downs.h), of representatives with one thread and uncut
  EarlyExits exits;                  ///< of a variant that has some: segments are its units
  double accuracy = 1, accuracy_loss = 0;
  std::string content;      ///< hash of the model: two tasks may have the same one
  std::string key;          ///< hash of all that its times depend on
  std::int64_t bytes = 0;   ///< on disk
  std::int64_t memory = 0;  ///< resident when loaded: at least `bytes`; approximate
  bool source = false;
  bool reused = false;  ///< all of it was in the store
  /// That a job takes beyond what the box draws idle, on average, with the times that plans count with; absent: neither
  /// metered nor is the processors' power known.
  std::optional<double> joules;
  bool metered = false;  ///< inference was; else it is computed from `power`
};

/// What inference takes on average, jobs of early exits as they leave: of the medians.
[[nodiscard]] Duration mean_of_units(const VariantProfile& v);
[[nodiscard]] inline int segments_of(const VariantProfile& v) { return static_cast<int>(v.cuts.size()) + 1; }

struct TaskProfile {
  std::string name;
  std::vector<VariantProfile> variants;
  /// Boxes that the source model finds on each of the first frames of the stream; measured where another task runs
  /// after this one, once per detection. Empty: not known.
  std::vector<std::uint8_t> detections{};
};

struct StageSummary {
  Duration min{}, p50{}, p99{}, max{};
  std::size_t samples = 0;
};

/// The times that planning uses: those with a busy neighbour (a box under load is what plans are for; the times alone
/// are the optimist's), or alone where no core was left for a neighbour. Ascending.
[[nodiscard]] std::vector<Duration> planning_times(const StageTimes& times);
[[nodiscard]] StageSummary summary(const StageTimes& times);

/// Measures what the store does not hold and stores it at once: a killed call is continued by the next. Uses SCHED_FIFO
/// where permitted and says once where not. A meter that is not there is said, and nothing is metered. A variant that a
/// processor's device refuses is left out there with a warning; one that no processor runs throws, and so does a device
/// that is not there. When the context is stopped, returns what is complete.
[[nodiscard]] std::vector<TaskProfile> profile_tasks(Engine& engine, const TaskFile& file, const Workspace& workspace,
                                                     const std::vector<TaskVariants>& variants,
                                                     const ProfileOptions& options, const Context& context);

}  // namespace rtmdl
