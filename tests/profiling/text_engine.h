#pragma once
/// An engine whose models are text files, "FACTOR MICROSECONDS": the output is the input (4 values; with the word
/// "picture" a gray one of 2 × 2 pixels) times the factor, and a run keeps the thread busy that long; with the word
/// "crowded" twice as long while another such model runs. Counts what is loaded and run.

#include "base/atomic_file.h"
#include "engine/engine.h"

#include <rtmdl/error.h>
#include <rtmdl/time.h>

#include <atomic>
#include <cstdio>
#include <map>
#include <mutex>

namespace rtmdl {

class TextExecutable final : public Executable {
 public:
  TextExecutable(double factor, Duration time, std::vector<std::int64_t> shape, std::atomic<int>& runs,
                 std::atomic<std::int64_t>& worked, std::atomic<int>* crowd)
      : factor_(factor),
        time_(time),
        runs_(runs),
        worked_(worked),
        crowd_(crowd),
        specs_{{"x", ElementType::f32, shape}},
        in_(ElementType::f32, shape),
        out_(in_) {}
  std::span<const TensorSpec> inputs() const noexcept override { return specs_; }
  std::span<const TensorSpec> outputs() const noexcept override { return specs_; }
  TensorView input(std::size_t) noexcept override { return in_.view(); }
  TensorView output(std::size_t) noexcept override { return out_.view(); }
  bool run() noexcept override {
    ++runs_;
    for (std::size_t i = 0; i < 4; ++i) out_.as<float>()[i] = static_cast<float>(factor_) * in_.as<float>()[i];
    if (crowd_) ++*crowd_;
    Duration left = time_;
    for (Time last = MonotonicClock::now(); left > Duration{};) {
      const Time now = MonotonicClock::now();
      left -= crowd_ && *crowd_ > 1 ? (now - last) / 2 : now - last;
      last = now;
    }
    if (crowd_) --*crowd_;
    worked_ += time_.count();
    return true;
  }
  void cancel() noexcept override {}
  void rearm() noexcept override {}
  void reset_state() noexcept override {}
  const char* last_error() const noexcept override { return ""; }

 private:
  double factor_;
  Duration time_;
  std::atomic<int>& runs_;
  std::atomic<std::int64_t>& worked_;
  std::atomic<int>* crowd_;
  std::vector<TensorSpec> specs_;
  Tensor in_, out_;
};

class TextEngine final : public Engine {
 public:
  std::unique_ptr<Executable> load(const LoadRequest& request) override {
    const std::string text = read_file(request.model);
    double factor = 0, microseconds = 0;
    if (std::sscanf(text.c_str(), "%lf %lf", &factor, &microseconds) != 2)
      bad_input(request.model.string() + ": not a fake model");
    if (request.device != "cpu" && request.device != accelerator)
      throw Error(ErrorCode::missing_device, request.device + " is not there");
    const std::lock_guard lock(mutex_);
    ++loads[request.model.filename().string()];
    const bool picture = text.find("picture") != std::string::npos;
    const std::vector<std::int64_t> shape =
        picture ? std::vector<std::int64_t>{1, 1, 2, 2} : std::vector<std::int64_t>{1, 4};
    return std::make_unique<TextExecutable>(factor, Duration(static_cast<std::int64_t>(1000 * microseconds)), shape,
                                            runs, worked, text.find("crowded") != std::string::npos ? &crowd : nullptr);
  }
  std::string version() const override { return name; }
  std::vector<std::string> devices() const override { return {"cpu"}; }

  [[nodiscard]] int loaded() const {
    int sum = 0;
    for (const auto& [model, count] : loads) sum += count;
    return sum;
  }

  std::string name = "fake 1";
  std::string accelerator = "none";
  std::map<std::string, int> loads;  ///< by file name
  std::atomic<int> runs{0};
  std::atomic<std::int64_t> worked{0};  ///< nanoseconds of all runs, as their models say
  std::atomic<int> crowd{0};            ///< crowded models that run

 private:
  std::mutex mutex_;
};

}  // namespace rtmdl
