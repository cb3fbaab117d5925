#include "engine/fake/fake_engine.h"

#include <rtmdl/error.h>

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <thread>

#include <time.h>

#include <fmt/format.h>

namespace rtmdl {
namespace {

Duration thread_time() noexcept {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return std::chrono::seconds(t.tv_sec) + Duration(t.tv_nsec);
}

}  // namespace

void spin_for(Duration time) noexcept {
  const Duration end = thread_time() + time;
  while (thread_time() < end) {
  }
}

Fault FaultDice::roll() noexcept {
  if (rolled_++ < script_.sound || script_.rate <= 0 ||
      std::uniform_real_distribution<double>()(random_) >= script_.rate)
    return Fault::none;
  return script_.kinds[std::uniform_int_distribution<std::size_t>(0, script_.kinds.size() - 1)(random_)];
}

void fill_with_nan(Executable& executable) noexcept {
  for (std::size_t i = 0; i < executable.outputs().size(); ++i) {
    const TensorView output = executable.output(i);
    if (output.type == ElementType::f32) std::ranges::fill(output.as<float>(), std::numeric_limits<float>::quiet_NaN());
  }
}

class FakeEngine::Loaded final : public Executable {
 public:
  Loaded(FakeEngine& engine, const FakeModel& model, const LoadRequest& request)
      : engine_(engine), model_(model), segments_(static_cast<int>(request.cuts.size()) + 1), dice_(model.faults) {
    const auto fixed = [&](TensorSpec spec) {
      if (const auto s = request.shapes.find(spec.name); s != request.shapes.end()) spec.shape = s->second;
      for (auto& d : spec.shape)
        if (d < 0) d = 1;
      return spec;
    };
    for (const TensorSpec& in : model.inputs) {
      if (request.constants.count(in.name) != 0) continue;
      input_specs_.push_back(fixed(in));
      inputs_.emplace_back(in.type, input_specs_.back().shape);
    }
    for (const TensorSpec& out : model.outputs) {
      output_specs_.push_back(fixed(out));
      outputs_.emplace_back(out.type, output_specs_.back().shape);
    }
  }

  std::span<const TensorSpec> inputs() const noexcept override { return input_specs_; }
  std::span<const TensorSpec> outputs() const noexcept override { return output_specs_; }
  TensorView input(std::size_t i) noexcept override { return inputs_[i].view(); }
  TensorView output(std::size_t i) noexcept override { return outputs_[i].view(); }

  int segments() const noexcept override { return segments_; }
  bool run() override {
    for (int k = 0; k < segments_; ++k)
      if (!run_segment(k)) return false;
    return true;
  }
  bool run_segment(int k) override {
    const std::int64_t n = runs_;
    if (k == 0) fault_ = dice_.roll();
    const int times = fault_ == Fault::slow ? kSlowFault : 1;
    if (!model_.times.empty())
      pass(model_.times[static_cast<std::size_t>(n) % model_.times.size()] / segments_ * times);
    if (k == 0 && fault_ == Fault::hangs) hang();
    if (k == 0 && fault_ == Fault::throws) throw std::runtime_error("scripted exception");
    if (cancelled_) {
      error_ = "cancelled";
      return false;
    }
    if (k + 1 < segments_) return true;
    ++runs_;
    if (model_.fail_every > 0 && (n + 1) % model_.fail_every == 0) {
      error_ = "scripted failure";
      return false;
    }
    if (fault_ == Fault::fails) {
      error_ = "scripted loss of the device";
      return false;
    }
    if (model_.fill) model_.fill(*this, n);
    else if (nan_left_) zero_outputs();
    nan_left_ = fault_ == Fault::nan;
    if (nan_left_) fill_with_nan(*this);
    return true;
  }
  void cancel() noexcept override { cancelled_ = true; }
  void rearm() noexcept override { cancelled_ = false; }
  void reset_state() noexcept override {}
  const char* last_error() const noexcept override { return error_; }

 private:
  void hang() noexcept {
    const Time end = MonotonicClock::now() + model_.faults.hang_at_most;
    while (MonotonicClock::now() < end && (model_.faults.deaf || !cancelled_)) {
      if (model_.how == FakeTime::spin) spin_for(std::chrono::microseconds(50));
      else std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
  }
  void zero_outputs() noexcept {
    for (Tensor& output : outputs_) std::ranges::fill(output.bytes, std::byte{0});
  }
  void pass(Duration time) noexcept {
    switch (model_.how) {
      case FakeTime::spin: return spin_for(time);
      case FakeTime::sleep: return std::this_thread::sleep_for(time);
      case FakeTime::virtual_: engine_.elapsed_ += time.count();
    }
  }

  FakeEngine& engine_;
  const FakeModel model_;
  const int segments_;
  std::vector<TensorSpec> input_specs_, output_specs_;
  std::vector<Tensor> inputs_, outputs_;
  std::int64_t runs_ = 0;
  FaultDice dice_;
  Fault fault_ = Fault::none;  ///< of the run in progress
  bool nan_left_ = false;      ///< in the outputs
  std::atomic<bool> cancelled_{false};
  const char* error_ = "";
};

std::unique_ptr<Executable> FakeEngine::load(const LoadRequest& request) {
  const auto model = models_.find(request.model.stem().string());
  if (model == models_.end()) bad_input(fmt::format("{}: no model of this name is scripted", request.model.string()));
  {
    const std::lock_guard lock(mutex_);
    loads_.push_back(request);
  }
  return std::make_unique<Loaded>(*this, model->second, request);
}

std::vector<LoadRequest> FakeEngine::loads() const {
  const std::lock_guard lock(mutex_);
  return loads_;
}

}  // namespace rtmdl
