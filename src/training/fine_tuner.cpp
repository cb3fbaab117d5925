#include "training/fine_tuner.h"

#include "training/graph_module.h"
#include "training/taylor.h"
#include "training/tuning.h"

#include <rtmdl/error.h>

#include <ATen/Parallel.h>
#include <malloc.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <thread>

#include <fmt/format.h>

namespace rtmdl {
namespace {

/// Activations are tens of megabytes that come and go at every step: without this the C library gives each back to the
/// kernel, and a tenth of the time goes into zeroing pages.
void keep_freed_memory() {
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
}

/// oneDNN 2.6, which libtorch convolves with, writes past its buffers in the backward pass of some convolutions of few
/// channels, with its kernels for AVX2. Those for AVX take 1.4 to 1.8 times as long, ATen's own 15 times. On processors
/// with AVX-512 neither is used. oneDNN reads the variable when it first works.
void keep_off_unsound_kernels() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("avx512bw") == 0)
    ::setenv("DNNL_MAX_CPU_ISA", "AVX", 0);
#endif
}

void prepare_libtorch(int threads) {
  keep_freed_memory();
  keep_off_unsound_kernels();
  at::set_num_threads(threads > 0 ? threads : static_cast<int>(std::max(1U, std::thread::hardware_concurrency())));
}

/// What torch throws is no Error of ours, and whoever calls may not know its type.
template <typename Work>
auto translated(const std::string& name, Work&& work) {
  try {
    return work();
  } catch (const c10::Error& e) {
    const std::string text = e.what_without_backtrace();
    throw Error(ErrorCode::internal, fmt::format("{}: libtorch: {}", name, text.substr(0, text.find('\n'))));
  }
}

void check(const FineTuneRequest& request) {
  if (request.students.empty() || !request.data) throw Error(ErrorCode::internal, "fine-tuning without a student");
  const std::string& name = request.students.front().model->name;
  const FineTuneOptions& o = request.options;
  const auto refuse = [&](const char* what, double value, const char* accepted) {
    bad_input(fmt::format("{}: {} of {}: {} is accepted", name, what, value, accepted));
  };
  if (request.data->size() == 0) bad_input(fmt::format("{}: no data to learn from", name));
  if (!(o.epochs >= 0 && o.epochs < 1e6)) refuse("epochs", o.epochs, "0 to a million");
  if (!(o.learning_rate >= 0 && std::isfinite(o.learning_rate))) refuse("learning rate", o.learning_rate, "0 or more");
  if (!(o.weight_decay >= 0 && std::isfinite(o.weight_decay))) refuse("weight decay", o.weight_decay, "0 or more");
  if (!(o.temperature > 0 && std::isfinite(o.temperature))) refuse("temperature", o.temperature, "more than 0");
  if (!(o.momentum >= 0 && o.momentum < 1)) refuse("momentum", o.momentum, "0 to below 1");
  if (!(o.label_smoothing >= 0 && o.label_smoothing < 1)) refuse("label smoothing", o.label_smoothing, "0 to below 1");
  if ((o.objective == Objective::boxes) != request.detector.has_value())
    throw Error(ErrorCode::internal, name + ": boxes are learnt with a detector's target, and with nothing else");
  if (request.detector && (o.augment_shift > 0 || o.augment_mirror))
    throw Error(ErrorCode::internal, name + ": boxes would not move with their pictures");
  if (o.batch < 1) refuse("batch", o.batch, "1 or more");
  if (o.steps_max < 0) refuse("largest number of steps", static_cast<double>(o.steps_max), "0 or more");
}

class TorchFineTuner : public FineTuner {
 public:
  [[nodiscard]] std::optional<std::string> refuses(const Model& model) const override {
    return training::GraphModule::refuses(model);
  }

  FineTuneResult tune(const FineTuneRequest& request, const Context& context) override {
    check(request);
    prepare_libtorch(request.options.threads);
    return translated(request.students.front().model->name, [&] { return training::Tuning(request, context).run(); });
  }

  [[nodiscard]] std::vector<std::vector<double>> taylor_importance(const Model& model, const Model* teacher,
                                                                   const ChannelGroups& groups, TrainingData& data,
                                                                   std::size_t examples,
                                                                   const Context& context) override {
    prepare_libtorch(0);
    return translated(model.name,
                      [&] { return training::taylor_importance(model, teacher, groups, data, examples, context); });
  }
};

}  // namespace

std::unique_ptr<FineTuner> make_fine_tuner() { return std::make_unique<TorchFineTuner>(); }

}  // namespace rtmdl
