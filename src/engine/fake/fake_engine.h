#pragma once
/// An engine with no inference: models take scripted times, give scripted outputs and fail on command. For tests of
/// everything above the engine.

#include "engine/engine.h"

#include <rtmdl/time.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace rtmdl {

/// How a scripted time passes.
enum class FakeTime {
  spin,     ///< uses the processor, as inference does (thread CPU time)
  sleep,    ///< waits, as for an accelerator
  virtual_  ///< adds to FakeEngine::elapsed() and returns at once
};

struct FakeModel {
  std::vector<TensorSpec> inputs{{"input", ElementType::f32, {1}}};
  std::vector<TensorSpec> outputs{{"output", ElementType::f32, {1}}};
  std::vector<Duration> times;  ///< of successive runs, in a circle; segments share one evenly. Empty: no time
  FakeTime how = FakeTime::spin;
  int fail_every = 0;                                       ///< every n-th run fails; 0: none
  std::function<void(Executable&, std::int64_t run)> fill;  ///< writes outputs; empty: zeros
};

/// Thread-safe but for script(), which comes first.
class FakeEngine final : public Engine {
 public:
  /// The model that a file of this name (without folder and extension) stands for.
  void script(const std::string& stem, FakeModel model) { models_[stem] = std::move(model); }

  std::unique_ptr<Executable> load(const LoadRequest& request) override;
  std::string version() const override { return "fake 1"; }
  std::vector<std::string> devices() const override { return {"CPUExecutionProvider"}; }

  [[nodiscard]] Duration elapsed() const noexcept { return Duration(elapsed_.load()); }  ///< virtual time spent
  [[nodiscard]] std::vector<LoadRequest> loads() const;                                  ///< every load so far

 private:
  class Loaded;
  std::map<std::string, FakeModel> models_;
  std::atomic<std::int64_t> elapsed_{0};
  mutable std::mutex mutex_;
  std::vector<LoadRequest> loads_;
};

/// Uses the calling thread's processor for this long (thread CPU time: preemption does not count).
void spin_for(Duration time) noexcept;

}  // namespace rtmdl
