// The only file that includes libtorch's headers: they are heavy to compile.
#include "training/train.h"

#include "base/atomic_file.h"
#include "base/units.h"
#include "training/batches.h"
#include "training/checkpoint.h"
#include "training/idx.h"
#include "training/network.h"
#include "training/onnx_export.h"
#include "training/train_options.h"

#include <rtmdl/error.h>
#include <rtmdl/time.h>

#include <ATen/CPUGeneratorImpl.h>
#include <malloc.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <cmath>
#include <thread>
#include <unordered_map>

#include <fmt/format.h>

namespace rtmdl {
namespace {

using namespace training;

constexpr int kTestBatch = 500;
constexpr int kMostHalvings = 8;
constexpr double kRunningAverageShare = 0.1;

/// The network's parameters as torch tensors, their momenta, and the forward pass.
class TorchNetwork {
 public:
  /// He et al. 2015: normal weights of variance 2 / (outputs x kernel area).
  TorchNetwork(Network network, std::uint64_t seed, bool mixed_precision)
      : network_(std::move(network)), specs_(parameters(network_)), mixed_precision_(mixed_precision) {
    const torch::NoGradGuard no_grad;
    auto generator = at::make_generator<at::CPUGeneratorImpl>(seed);
    for (const ParameterSpec& spec : specs_) {
      torch::Tensor value =
          spec.shape.size() == 4 ? torch::empty(spec.shape, at::MemoryFormat::ChannelsLast) : torch::zeros(spec.shape);
      if (spec.shape.size() == 4) {
        value.normal_(0, std::sqrt(2.0 / static_cast<double>(spec.shape[0] * spec.shape[2] * spec.shape[3])),
                      generator);
      } else if (spec.shape.size() == 2) {
        value.normal_(0, std::sqrt(1.0 / static_cast<double>(spec.shape[1])), generator);
      } else if (spec.name.ends_with(".scale") || spec.name.ends_with(".variance")) {
        value.fill_(1);
      }
      by_name_[spec.name] = value;
      all_.push_back(value);
      if (!spec.trained) continue;
      trained_.push_back(value.requires_grad_(true));
      momenta_.push_back(torch::zeros_like(value));
    }
  }

  [[nodiscard]] const Network& layout() const { return network_; }
  [[nodiscard]] std::int64_t count() const {
    std::int64_t sum = 0;
    for (const torch::Tensor& t : trained_) sum += t.numel();
    return sum;
  }

  [[nodiscard]] torch::Tensor logits(const torch::Tensor& images, bool training) const {
    const torch::Tensor input = training && mixed_precision_ ? images.to(torch::kBFloat16) : images;
    torch::Tensor x = unit(network_.stem, input, training).relu_();
    for (const ResidualBlock& block : network_.blocks) {
      torch::Tensor inner = unit(block.first, x, training).relu_();
      inner = unit(block.second, inner, training);
      x = inner.add_(block.shortcut ? unit(*block.shortcut, x, training) : x).relu_();
    }
    return torch::linear(x.to(torch::kFloat).mean({2, 3}), tensor("classifier.weight"), tensor("classifier.bias"));
  }

  /// One step of SGD with Nesterov momentum, weight decay as L2 (Sutskever et al. 2013 as torch.optim.SGD writes it).
  void step(double rate, double momentum, double weight_decay) {
    const torch::NoGradGuard no_grad;
    for (std::size_t i = 0; i < trained_.size(); ++i) {
      torch::Tensor& value = trained_[i];
      torch::Tensor& gradient = value.mutable_grad();
      if (value.dim() > 1) gradient.add_(value, weight_decay);
      momenta_[i].mul_(momentum).add_(gradient);
      value.add_(gradient.add_(momenta_[i], momentum), -rate);
      gradient.reset();
    }
  }

  /// False once a parameter or a running average has overflowed.
  [[nodiscard]] bool finite() const {
    for (const torch::Tensor& t : all_) {
      if (!torch::isfinite(t.detach()).all().item<bool>()) return false;
    }
    return true;
  }

  void store(Checkpoint& c) const {
    c.weights = flatten(all_);
    c.momenta = flatten(momenta_);
  }
  void restore(const Checkpoint& c) {
    unflatten(c.weights, all_);
    unflatten(c.momenta, momenta_);
  }

 private:
  [[nodiscard]] const torch::Tensor& tensor(const std::string& name) const { return by_name_.at(name); }

  [[nodiscard]] torch::Tensor unit(const ConvUnit& u, const torch::Tensor& x, bool training) const {
    const torch::Tensor y =
        torch::conv2d(x, tensor(u.name + ".weight").to(x.scalar_type()), {}, u.stride, u.kernel / 2);
    return torch::batch_norm(y, tensor(u.name + ".scale"), tensor(u.name + ".shift"), tensor(u.name + ".mean"),
                             tensor(u.name + ".variance"), training, kRunningAverageShare, kBatchNormEpsilon, false);
  }

  static std::vector<float> flatten(const std::vector<torch::Tensor>& tensors) {
    std::vector<float> values;
    for (const torch::Tensor& t : tensors) {
      const torch::Tensor plain = t.detach().contiguous();
      values.insert(values.end(), plain.data_ptr<float>(), plain.data_ptr<float>() + plain.numel());
    }
    return values;
  }
  static void unflatten(const std::vector<float>& values, const std::vector<torch::Tensor>& tensors) {
    const torch::NoGradGuard no_grad;
    std::size_t done = 0;
    for (const torch::Tensor& t : tensors) {
      const auto size = static_cast<std::size_t>(t.numel());
      if (done + size > values.size()) throw Error(ErrorCode::internal, "checkpoint shorter than the network");
      t.copy_(torch::from_blob(const_cast<float*>(values.data()) + done, t.sizes()));
      done += size;
    }
  }

  Network network_;
  std::vector<ParameterSpec> specs_;
  bool mixed_precision_;
  std::unordered_map<std::string, torch::Tensor> by_name_;
  std::vector<torch::Tensor> all_, trained_, momenta_;
};

struct Batch {
  torch::Tensor images;  ///< channels last: what libtorch's convolutions are fastest with
  torch::Tensor labels;
};

Batch make_batch(const LabelledImages& set, std::span<const std::int32_t> indices, const Augmentation& augmentation,
                 std::uint64_t seed, int epoch) {
  const auto n = static_cast<std::int64_t>(indices.size());
  Batch batch{torch::empty({n, 1, set.rows, set.columns}, at::MemoryFormat::ChannelsLast),
              torch::empty({n}, torch::kLong)};
  fill_batch(set, indices, augmentation, seed, epoch, batch.images.data_ptr<float>(),
             batch.labels.data_ptr<std::int64_t>());
  return batch;
}

double accuracy(const TorchNetwork& network, const LabelledImages& set) {
  const torch::NoGradGuard no_grad;
  std::int64_t right = 0;
  std::vector<std::int32_t> indices;
  for (int begin = 0; begin < set.count; begin += kTestBatch) {
    indices.clear();
    for (int i = begin; i < std::min(set.count, begin + kTestBatch); ++i) indices.push_back(i);
    const Batch batch = make_batch(set, indices, {0, false}, 0, 0);
    right += network.logits(batch.images, false).argmax(1).eq(batch.labels).sum().item<std::int64_t>();
  }
  return static_cast<double>(right) / set.count;
}

/// One run: from the checkpoint, if there is one, to the model.
class Training {
 public:
  Training(const TrainOptions& options, const Context& context, Dataset data)
      : options_(options),
        context_(context),
        data_(std::move(data)),
        network_(resnet18(options.widths, 1, kClasses), context.seed, options.mixed_precision),
        path_(options.checkpoint.empty() ? std::filesystem::path(options.output.string() + ".checkpoint")
                                         : options.checkpoint),
        batch_(std::min(options.batch, data_.train.count)),
        steps_(data_.train.count / batch_) {
    state_.options_hash = hash_of(options_, data_, context_.seed);
    if (auto saved = load_checkpoint(path_, state_.options_hash)) {
      network_.restore(*saved);
      state_ = std::move(*saved);
      context_.info(fmt::format("going on from {}: epoch {} of {}", path_.string(), state_.epoch + 1, options_.epochs));
    } else {
      network_.store(state_);
    }
  }

  TrainResult run() {
    TrainResult result;
    result.parameters = network_.count();
    saved_ = state_;
    last_tick_ = MonotonicClock::now();
    bool evaluated = false;
    while (state_.epoch < options_.epochs) {
      if (!train_epoch()) {
        if (network_.finite()) save();
        context_.info(fmt::format("stopped; the same command goes on from {}", path_.string()));
        result.seconds = state_.seconds;
        return result;
      }
      const double loss = state_.loss_sum / steps_;
      state_.epoch += 1;
      state_.step = 0;
      state_.loss_sum = 0;
      result.test_accuracy = accuracy(network_, data_.test);
      evaluated = true;
      save();
      const double left = state_.seconds / state_.epoch * (options_.epochs - state_.epoch);
      context_.info(fmt::format("epoch {}/{}: loss {:.4f}, test accuracy {}, {:.0f} s left", state_.epoch,
                                options_.epochs, loss, format_percent(result.test_accuracy, 2), left));
    }
    if (!evaluated) result.test_accuracy = accuracy(network_, data_.test);
    result.seconds = state_.seconds;
    result.bytes = write_model(result.test_accuracy);
    result.finished = true;
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
    return result;
  }

 private:
  /// False when asked to stop; state_ then says how far it came.
  bool train_epoch() {
    const std::vector<std::int32_t> order = epoch_order(data_.train.count, context_.seed, state_.epoch);
    for (;;) {
      if (context_.stopping()) return false;
      if (state_.step == steps_) {
        if (network_.finite()) return true;
        step_back("weights that are no numbers");
      }
      const auto begin = static_cast<std::size_t>(state_.step) * static_cast<std::size_t>(batch_);
      const double loss = train_step(std::span(order).subspan(begin, static_cast<std::size_t>(batch_)));
      if (!std::isfinite(loss)) {
        step_back(fmt::format("loss {}", loss));
        continue;
      }
      state_.loss_sum += loss;
      state_.step += 1;
      context_.report(fmt::format("training: epoch {}/{}", state_.epoch + 1, options_.epochs), progress());
    }
  }

  double train_step(std::span<const std::int32_t> indices) {
    const Batch batch =
        make_batch(data_.train, indices, {options_.padding, options_.mirror}, context_.seed, state_.epoch);
    const torch::Tensor loss = torch::cross_entropy_loss(network_.logits(batch.images, true), batch.labels, {},
                                                         at::Reduction::Mean, -100, options_.label_smoothing);
    loss.backward();
    // The middle of the step, so that neither the first nor the last is lost on a rate of 0.
    const double middle = progress() + 0.5 / (static_cast<double>(steps_) * options_.epochs);
    network_.step(std::ldexp(rate_at(options_, middle), -state_.halvings), options_.momentum, options_.weight_decay);
    return loss.item<double>();
  }

  /// To the last checkpoint, which is of this epoch or of its beginning, at half the rate.
  void step_back(const std::string& why) {
    const int halvings = state_.halvings + 1;
    const std::string where =
        fmt::format("{} in epoch {}, step {}", why, state_.epoch + 1, std::min(state_.step + 1, steps_));
    if (halvings > kMostHalvings) {
      bad_input(
          fmt::format("{} even after halving the learning rate of {} {} times; start with a lower one and delete {}",
                      where, options_.learning_rate, kMostHalvings, path_.string()));
    }
    const double seconds = state_.seconds;
    state_ = saved_;
    state_.seconds = seconds;
    state_.halvings = halvings;
    network_.restore(state_);
    save();
    context_.warn(fmt::format("{}: back to epoch {}, step {} at learning rate {:.3g}", where, state_.epoch + 1,
                              state_.step + 1, std::ldexp(options_.learning_rate, -halvings)));
  }

  void save() {
    const Time now = MonotonicClock::now();
    state_.seconds += to_seconds(now - last_tick_);
    last_tick_ = now;
    network_.store(state_);
    save_checkpoint(path_, state_);
    saved_ = state_;
  }

  std::int64_t write_model(double test_accuracy) {
    ExportOptions about;
    about.rows = data_.train.rows;
    about.columns = data_.train.columns;
    about.doc_string = fmt::format("input: pixel/255; test accuracy {}; made by: {}", format_percent(test_accuracy, 2),
                                   train_command(options_, context_.seed));
    const std::string bytes = to_onnx(network_.layout(), state_.weights, about);
    write_file_atomically(options_.output, bytes);
    return static_cast<std::int64_t>(bytes.size());
  }

  [[nodiscard]] double progress() const {
    return (state_.epoch + static_cast<double>(state_.step) / steps_) / options_.epochs;
  }

  const TrainOptions& options_;
  const Context& context_;
  Dataset data_;
  TorchNetwork network_;
  std::filesystem::path path_;
  int batch_;
  int steps_;
  Checkpoint state_;
  Checkpoint saved_;
  Time last_tick_;
};

/// Activations are tens of megabytes that come and go at every step: without this the C library gives each back to the
/// kernel, and a tenth of the time goes into zeroing pages.
void keep_freed_memory() {
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
}

}  // namespace

TrainResult train(const TrainOptions& options, const Context& context) {
  check(options);
  keep_freed_memory();
  at::set_num_threads(options.threads > 0 ? options.threads
                                          : static_cast<int>(std::max(1U, std::thread::hardware_concurrency())));
  return Training(options, context, read_idx_folder(options.data, kClasses)).run();
}

}  // namespace rtmdl
