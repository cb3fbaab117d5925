#pragma once
/// Another engine's models, some runs of which go wrong.

#include "engine/fake/fake_engine.h"

#include <atomic>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

namespace rtmdl {

class FaultyEngine final : public Engine {
 public:
  /// `faults` by the name of the model's file without extension; others are sound.
  FaultyEngine(Engine& real, std::map<std::string, FaultScript> faults) : real_(real), faults_(std::move(faults)) {}

  std::unique_ptr<Executable> load(const LoadRequest& request) override {
    const auto faults = faults_.find(request.model.stem().string());
    std::unique_ptr<Executable> loaded = real_.load(request);
    if (faults == faults_.end()) return loaded;
    return std::make_unique<Loaded>(std::move(loaded), faults->second);
  }
  std::string version() const override { return real_.version(); }
  std::vector<std::string> devices() const override { return real_.devices(); }

 private:
  class Loaded final : public Executable {
   public:
    Loaded(std::unique_ptr<Executable> real, const FaultScript& script)
        : real_(std::move(real)), script_(script), dice_(script) {}
    std::span<const TensorSpec> inputs() const noexcept override { return real_->inputs(); }
    std::span<const TensorSpec> outputs() const noexcept override { return real_->outputs(); }
    TensorView input(std::size_t i) noexcept override { return real_->input(i); }
    TensorView output(std::size_t i) noexcept override { return real_->output(i); }
    int segments() const noexcept override { return real_->segments(); }
    bool run() override {
      for (int k = 0; k < segments(); ++k)
        if (!run_segment(k)) return false;
      return true;
    }
    bool run_segment(int k) override {
      if (k == 0) fault_ = dice_.roll();
      if (k == 0 && fault_ == Fault::hangs) {
        const Time end = MonotonicClock::now() + script_.hang_at_most;
        while (MonotonicClock::now() < end && (script_.deaf || !cancelled_))
          std::this_thread::sleep_for(std::chrono::microseconds(50));
        return false;
      }
      if (k == 0 && fault_ == Fault::throws) throw std::runtime_error("injected exception");
      if (k == 0 && fault_ == Fault::fails) return false;
      for (int n = 1; n < (fault_ == Fault::slow ? kSlowFault : 1); ++n)
        if (!real_->run_segment(k)) return false;
      if (!real_->run_segment(k)) return false;
      if (k + 1 == segments() && fault_ == Fault::nan) fill_with_nan(*real_);
      return true;
    }
    void cancel() noexcept override {
      cancelled_ = true;
      real_->cancel();
    }
    void rearm() noexcept override {
      cancelled_ = false;
      real_->rearm();
    }
    void reset_state() noexcept override { real_->reset_state(); }
    const char* last_error() const noexcept override {
      return fault_ == Fault::none ? real_->last_error() : "injected fault";
    }

   private:
    std::unique_ptr<Executable> real_;
    const FaultScript script_;
    FaultDice dice_;
    Fault fault_ = Fault::none;
    std::atomic<bool> cancelled_{false};
  };

  Engine& real_;
  const std::map<std::string, FaultScript> faults_;
};

}  // namespace rtmdl
