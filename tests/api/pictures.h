#pragma once
/// Pictures of 28 x 28 for a task of planned_folder.h, and what comes of them.

#include <rtmdl/runtime.h>

#include "data/pipeline.h"
#include "engine/engine.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace rtmdl {

inline constexpr std::array<std::int64_t, 4> kShape{1, 1, 28, 28};

inline std::shared_ptr<std::vector<float>> picture(int seed) {
  auto values = std::make_shared<std::vector<float>>(28 * 28);
  for (std::size_t i = 0; i < values->size(); ++i)
    (*values)[i] = static_cast<float>((i * 7 + static_cast<std::size_t>(seed) * 131) % 97) / 97;
  return values;
}

inline Input input_of(const std::shared_ptr<std::vector<float>>& values) {
  return Input::tensor(values->data(), ElementType::f32, kShape, values);
}

/// Kept as they come, from the delivering thread.
class Results {
 public:
  struct Kept {
    JobResult job;
    std::string variant;
    Result result;
  };
  void operator()(const JobResult& job) {
    const std::lock_guard<std::mutex> guard(lock_);
    kept_.push_back({job, std::string(job.variant), job.result ? *job.result : Result{}});
  }
  [[nodiscard]] std::vector<Kept> all() const {
    const std::lock_guard<std::mutex> guard(lock_);
    return kept_;
  }
  /// Gives up after a while that no machine takes.
  bool wait_for(std::size_t count) const {
    for (int i = 0; i < 10'000 && all().size() < count; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    return all().size() >= count;
  }

 private:
  mutable std::mutex lock_;
  std::vector<Kept> kept_;
};

/// What the same model says outside of any runtime.
inline Result expected_result(const std::filesystem::path& tasks, const std::vector<float>& values) {
  const TaskFile file = TaskFile::load(tasks);
  const auto engine = make_onnxruntime_engine();
  Pipeline pipeline(*engine, file.tasks[0], load_request(file.tasks[0], file.tasks[0].model));
  Frame frame;
  frame.tensor = Tensor(ElementType::f32, {kShape.begin(), kShape.end()});
  std::copy(values.begin(), values.end(), frame.tensor.as<float>().begin());
  Result result;
  pipeline.run(frame, result);
  return result;
}

}  // namespace rtmdl
