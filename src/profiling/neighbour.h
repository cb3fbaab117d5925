#pragma once
/// The other work of a loaded box, while something is measured: a model run over and over on other cores.

#include "data/pipeline.h"

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace rtmdl {

class Neighbour {
 public:
  /// One copy of the task's model on each of the cores (at most 3), still at first. Kernel priority below
  /// anything measured: SCHED_OTHER, or SCHED_IDLE where what is measured cannot have SCHED_FIFO.
  Neighbour(Engine& engine, const TaskSpec& task, const LoadRequest& request, const Frame& frame,
            const std::vector<int>& cores, bool measured_is_fifo);
  ~Neighbour();
  Neighbour(const Neighbour&) = delete;
  Neighbour& operator=(const Neighbour&) = delete;

  void start() noexcept;
  void stop() noexcept;  ///< returns when all copies stand still

 private:
  void work(Pipeline& pipeline, ThreadPlacement placement) noexcept;

  enum class State : int { still, running, ended };
  std::atomic<State> state_{State::still};
  std::atomic<int> at_work_{0};
  std::vector<std::unique_ptr<Pipeline>> pipelines_;
  std::vector<std::thread> threads_;
};

}  // namespace rtmdl
