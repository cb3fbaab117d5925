#include "profiling/neighbour.h"

#include <rtmdl/error.h>

#include <algorithm>

#include <fmt/format.h>

namespace rtmdl {
namespace {
constexpr std::size_t kMostCopies = 3;
}

Neighbour::Neighbour(Engine& engine, const TaskSpec& task, const LoadRequest& request, const Frame& frame,
                     const std::vector<int>& cores, bool measured_is_fifo) {
  for (std::size_t i = 0; i < std::min(cores.size(), kMostCopies); ++i) {
    pipelines_.push_back(std::make_unique<Pipeline>(engine, task, request));
    if (!pipelines_.back()->pre(frame))
      bad_input(fmt::format("{}: pre-processing: frame {} does not fit the model's input", task.name, frame.index));
  }
  for (std::size_t i = 0; i < pipelines_.size(); ++i) {
    const ThreadPlacement placement{{cores[i]}, measured_is_fifo ? 0 : -1};
    threads_.emplace_back([this, i, placement] { work(*pipelines_[i], placement); });
  }
}

Neighbour::~Neighbour() {
  state_.store(State::ended);
  state_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void Neighbour::work(Pipeline& pipeline, ThreadPlacement placement) noexcept {
  place_current_thread(placement);  // best effort: without it the neighbour is only a less exact one
  while (true) {
    state_.wait(State::still);
    at_work_.fetch_add(1);
    while (state_.load() == State::running) pipeline.infer();
    at_work_.fetch_sub(1);
    at_work_.notify_all();
    if (state_.load() == State::ended) return;
  }
}

void Neighbour::start() noexcept {
  state_.store(State::running);
  state_.notify_all();
}

void Neighbour::stop() noexcept {
  state_.store(State::still);
  for (int working = at_work_.load(); working != 0; working = at_work_.load()) at_work_.wait(working);
}

}  // namespace rtmdl
