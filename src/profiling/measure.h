#pragma once
/// The stages of one loaded variant, timed as the runtime will run them.

#include "base/context.h"
#include "base/thread_placement.h"
#include "data/pipeline.h"
#include "profiling/neighbour.h"
#include "profiling/store.h"

#include <rtmdl/time.h>

#include <span>
#include <vector>

namespace rtmdl {

/// Where the measured stages run.
struct Bench {
  std::vector<int> host_cores;   ///< of pre and post
  std::vector<int> infer_cores;  ///< of infer; of a device: where it is submitted from
  bool fifo = false;             ///< SCHED_FIFO 80, as the runtime's workers
  bool cpu_clock = true;         ///< the calling thread does all the work of infer: its CPU time tells stalls
  [[nodiscard]] ThreadPlacement on(const std::vector<int>& cores) const { return {cores, fifo ? 80 : 0}; }
};

struct MeasureLimits {
  Duration length{};           ///< up to twice that to reach `wanted`
  int min = 30, wanted = 100;  ///< of those under load, which plans are made of
  int max = 2000;              ///< of all
  int busy_per_alone = 3;      ///< jobs under load for each alone
  Duration warm_up = std::chrono::milliseconds(50);
};

struct PipelineTimes {
  StageTimes pre, infer, post;
  std::vector<StageTimes> segments;  ///< of a pipeline that infers in several: of each, where `infer` is all of them
};

/// Runs whole jobs on the frames in turn, each stage (each segment of an infer stage) timed by itself, for about
/// `length`: some of them alone, the others beside the neighbour (null: there is no core for one) and with this
/// core's caches emptied before each job, as if other tasks had run in between. Warm-up jobs are not counted. Between
/// jobs it pauses, so that real-time throttling and the hypervisor are not provoked. Throws Error(bad_input) if a stage
/// fails. Returns early, with what it has, when the context is stopped.
[[nodiscard]] PipelineTimes measure(Pipeline& pipeline, std::span<const Frame> frames, const Bench& bench,
                                    Neighbour* neighbour, const MeasureLimits& limits, const Context& context);

/// Busy / alone, medians; 1 where one of them is not known.
[[nodiscard]] double slow_down_of(const StageTimes& times);

}  // namespace rtmdl
