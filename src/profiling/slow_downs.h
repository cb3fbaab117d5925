#pragma once
/// How much longer a task's inference takes beside a certain other task's than alone, measured pair by pair on
/// processors that share the machine or, with several slots, are the same.

#include "base/context.h"
#include "data/source.h"
#include "engine/engine.h"
#include "profiling/store.h"

#include "task/task_file.h"

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace rtmdl {

/// A variant on a processor, uncut and with one thread, that stands for others of its task there.
struct PairMember {
  std::size_t task = 0;  ///< in the task file
  std::string variant;   ///< id
  int processor = 0;     ///< in the task file
  LoadRequest request;
  std::string key;  ///< hash of all that its times depend on but the cores
  double load = 0;  ///< time of inference over period
};

/// Of members, by number. Both the same: copies beside each other, one on each slot (on accelerators of several).
struct PairSlowDown {
  std::size_t slowed = 0, by = 0;
  double factor = 1;  ///< time beside / time alone, medians
};

struct PairBench {
  Engine& engine;
  const TaskFile& file;
  Store& store;
  const Context& context;
  bool fifo = false;            ///< SCHED_FIFO for what is measured
  Time deadline = Time::max();  ///< after which measuring is as short as can be
  std::function<std::span<const Frame>(std::size_t task)> frames;
};

/// Measures what the store does not hold and stores it at once: 0.15 s a direction, more where jobs are long. At most
/// 200 pairs, those of the most load first; cores are taken to be alike. A pair that fails is left out with a warning.
/// When the context is stopped, returns what is known.
[[nodiscard]] std::vector<PairSlowDown> measure_pairs(const std::vector<PairMember>& members, const PairBench& bench);

/// Copies that are beside each other where a member of that processor is beside itself.
[[nodiscard]] int copies_beside(const ProcessorSpec& processor);

}  // namespace rtmdl
