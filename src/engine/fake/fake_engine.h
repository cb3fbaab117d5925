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
#include <random>
#include <string>
#include <vector>

namespace rtmdl {

/// How a scripted time passes.
enum class FakeTime {
  spin,     ///< uses the processor, as inference does (thread CPU time)
  sleep,    ///< waits, as for an accelerator
  virtual_  ///< adds to FakeEngine::elapsed() and returns at once
};

enum class Fault : std::uint8_t {
  none,
  fails,   ///< run() gives false, as of a device that is lost
  throws,  ///< run() throws std::runtime_error
  nan,     ///< every float of the outputs is NaN
  slow,    ///< takes kSlowFault times its time
  hangs    ///< goes on until it is cancelled, or for `hang_at_most`
};
inline constexpr int kSlowFault = 10;

/// Which runs go wrong, at random.
struct FaultScript {
  double rate = 0;  ///< share of the runs, 0..1
  std::uint64_t seed = 1;
  std::int64_t sound = 16;  ///< runs that go well at first: those of a warm-up
  std::vector<Fault> kinds{Fault::throws, Fault::hangs, Fault::nan, Fault::slow};  ///< each as often
  Duration hang_at_most = std::chrono::seconds(10);
  bool deaf = false;  ///< what hangs does not hear cancel()
};
/// What happens to one run after the other.
class FaultDice {
 public:
  explicit FaultDice(const FaultScript& script) : script_(script), random_(script.seed) {}
  Fault roll() noexcept;

 private:
  FaultScript script_;
  std::mt19937_64 random_;
  std::int64_t rolled_ = 0;
};
/// Sets every float of the outputs to NaN.
void fill_with_nan(Executable& executable) noexcept;

struct FakeModel {
  std::vector<TensorSpec> inputs{{"input", ElementType::f32, {1}}};
  std::vector<TensorSpec> outputs{{"output", ElementType::f32, {1}}};
  std::vector<Duration> times;  ///< of successive runs, in a circle; segments share one evenly. Empty: no time
  FakeTime how = FakeTime::spin;
  int fail_every = 0;                                       ///< every n-th run fails; 0: none
  FaultScript faults;                                       ///< besides
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
