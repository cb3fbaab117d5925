#include "training/tuning.h"

#include "base/units.h"
#include "data/random.h"
#include "training/detection_loss.h"

#include <rtmdl/error.h>

#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

#include <fmt/format.h>

namespace rtmdl::training {
namespace {

constexpr int kMostHalvings = 8;
constexpr std::int64_t kSnapshotSteps = 32;
constexpr double kSaveSeconds = 20;
constexpr std::size_t kMostHeldOut = 1024;
constexpr double kHeldOutShare = 0.08;
constexpr std::int64_t kStatisticsElements = 1000;
constexpr std::int64_t kLossElements = 64;  // looked at to see what the outputs are
constexpr std::int64_t kUntimedSteps = 2;   // memory is allocated in them
constexpr std::int64_t kTimedSteps = 3;     // before the first estimate
constexpr std::uint64_t kSplitPurpose = 0x73706c69, kOrderPurpose = 0x6f726465, kStepPurpose = 0x73746570;
constexpr std::int64_t kMostParts = 1 << 12;

std::vector<std::size_t> permutation(std::size_t n, std::uint64_t seed, std::uint64_t purpose, std::uint64_t index) {
  std::vector<std::size_t> order(n);
  std::iota(order.begin(), order.end(), 0);
  Random random(seed, purpose, index);
  shuffle(order, random);
  return order;
}

bool has_bfloat16() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512bf16") != 0;
#else
  return false;
#endif
}

std::string decimal(double v) { return fmt::format("{:.1f}", v); }

}  // namespace

Tuning::Tuning(const FineTuneRequest& request, const Context& context)
    : request_(request),
      options_(request.options),
      context_(context),
      device_(at::hasCUDA() ? at::kCUDA : at::kCPU),
      batches_(*request.data),
      last_tick_(MonotonicClock::now()),
      last_save_(last_tick_) {
  students_.reserve(request.students.size());
  for (const Student& s : request.students)
    students_.emplace_back(s, students_.empty() ? nullptr : &students_.front().module(), device_);
  if (request.teacher && options_.objective != Objective::labels)
    teacher_ = std::make_unique<GraphModule>(*request.teacher, device_);
  split_data();
  std::vector<GraphModule*> modules;
  for (TrainedStudent& s : students_) {
    const at::NoGradGuard no_grad;
    s.bind_shared();
    modules.push_back(&s.module());
  }
  if (teacher_) modules.push_back(teacher_.get());
  plan_ = plan_batches(modules, batches_, request.data->size(), options_.batch, context);
  plan_.per_step = std::min<std::int64_t>(plan_.per_step, static_cast<std::int64_t>(trained_on_.size()));
  plan_.at_once = std::min(plan_.at_once, plan_.per_step);
  steps_per_epoch_ = std::max<std::int64_t>(1, static_cast<std::int64_t>(trained_on_.size()) / plan_.per_step);

  plain_pass_.bfloat16 = options_.mixed_precision && device_.is_cpu() && has_bfloat16();
  training_pass_ = plain_pass_;
  training_pass_.batch_statistics = plan_.own_statistics;
  training_pass_.dropout = true;
  for (const TrainedStudent& s : students_) {
    for (const at::Tensor& w : s.own_weights()) weights_.push_back(w);
  }
  optimizer_.emplace(weights_, options_);
  tensors_.now = weights_;
  for (const TrainedStudent& s : students_) {
    for (const NamedTensor& n : s.module().statistics()) tensors_.now.push_back(n.value);
  }
  for (const at::Tensor& t : optimizer_->state()) tensors_.now.push_back(t);
  make_loss();
  if (request.after_epoch) {
    for (const Student& s : request.students) untrained_.push_back(*s.model);
  }
}

/// Held out: enough to see a gain, never so many that little is left to learn from.
void Tuning::split_data() {
  const std::size_t size = request_.data->size();
  const std::vector<std::size_t> order = permutation(size, options_.seed, kSplitPurpose, 0);
  const auto share = static_cast<std::size_t>(std::lround(static_cast<double>(size) * kHeldOutShare));
  const std::size_t held = size < 2 ? 0 : std::clamp<std::size_t>(share, 1, kMostHeldOut);
  held_out_.assign(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(held));
  trained_on_.assign(order.begin() + static_cast<std::ptrdiff_t>(held), order.end());
  if (held_out_.empty()) held_out_ = trained_on_;
  std::sort(held_out_.begin(), held_out_.end());
}

void Tuning::make_loss() {
  if (options_.objective == Objective::boxes) return;
  const at::NoGradGuard no_grad;
  TrainedStudent& first = students_.front();
  const std::string& name = request_.students.front().model->name;
  std::vector<std::vector<at::Tensor>> outputs, taught;
  std::int64_t elements = 0;
  for (std::size_t i = 0; i < held_out_.size() && elements < kLossElements; ++i) {
    const Batch batch = batches_.read(std::span(held_out_).subspan(i, 1));
    outputs.push_back(first.module().forward(named(first.module(), batch, name), plain_pass_));
    if (teacher_) taught.push_back(teach(batch));
    elements += std::max<std::int64_t>(batch.elements, 1);
  }
  // One behind the other where they go together; else the first one speaks for all.
  const auto joined = [](const std::vector<std::vector<at::Tensor>>& all) {
    std::vector<at::Tensor> result;
    for (std::size_t o = 0; !all.empty() && o < all[0].size(); ++o) {
      std::vector<at::Tensor> column;
      for (const auto& row : all) {
        const at::Tensor& t = row[o];
        const bool fits = t.dim() > 0 && t.dim() == all[0][o].dim() && t.sizes().slice(1) == all[0][o].sizes().slice(1);
        if (fits) column.push_back(t);
      }
      result.push_back(column.empty() ? all[0][o] : at::cat(column));
    }
    return result;
  };
  loss_.emplace(options_, name, joined(outputs), joined(taught), request_.data->labelled(), request_.data->classes());
}

at::Tensor Tuning::loss_of(const std::vector<at::Tensor>& outputs, const std::vector<at::Tensor>& taught,
                           const Batch& batch) const {
  return loss_ ? (*loss_)(outputs, taught, batch.labels) : detection_loss(outputs, *request_.detector, batch.boxes);
}

std::vector<at::Tensor> Tuning::teach(const Batch& batch) {
  const at::NoGradGuard no_grad;
  return teacher_->forward(named(*teacher_, batch, request_.teacher->name), plain_pass_);
}

FineTuneResult Tuning::run() {
  FineTuneResult result;
  bool training = true;
  try {
    resume();
    result.loss_before = progress_.loss_before;
    for (;;) {
      training = true;
      train();
      save();
      training = false;
      if (!tensors_.best.empty() && held_out_loss() > progress_.best_loss) restore(tensors_.best);
      estimate_statistics();
      result.loss_after = held_out_loss();
      if (std::isfinite(result.loss_after) || progress_.total == 0) break;
      step_back(fmt::format("a loss of {} on held-out data", result.loss_after));
    }
  } catch (const Stopped&) {
    if (training && finite()) save();
    if (!request_.checkpoint.empty())
      context_.info(fmt::format("stopped; the same request goes on from {}", request_.checkpoint.string()));
    for (std::size_t s = 0; s < untrained_.size(); ++s) *request_.students[s].model = std::move(untrained_[s]);
    result.steps = progress_.step;
    result.seconds = progress_.seconds;
    result.halvings = progress_.halvings;
    return result;
  }
  const at::NoGradGuard no_grad;
  for (TrainedStudent& s : students_) {
    s.bind_shared();
    s.write_back();
  }
  tick();
  std::error_code ignored;
  if (!request_.checkpoint.empty()) std::filesystem::remove(request_.checkpoint, ignored);
  result.finished = true;
  result.steps = progress_.step;
  result.seconds = progress_.seconds;
  result.halvings = progress_.halvings;
  result.stopped_early = early_;
  return result;
}

void Tuning::resume() {
  const double wanted = std::ceil(options_.epochs * static_cast<double>(steps_per_epoch_) - 1e-9);
  std::int64_t total = options_.epochs > 0 && !weights_.empty() ? std::max<std::int64_t>(1, std::llround(wanted)) : 0;
  if (options_.steps_max > 0) total = std::min(total, options_.steps_max);
  evaluate_every_ = std::max<std::int64_t>(1, std::min(steps_per_epoch_, (total + 9) / 10));
  std::string reason;
  if (!request_.checkpoint.empty()) {
    key_ = key_of(request_);
    if (const auto saved = load_tuning(request_.checkpoint, key_, tensors_, reason)) {
      progress_ = *saved;
      early_ = options_.patience > 0 && progress_.evaluations_without_gain >= options_.patience;
      context_.info(fmt::format("going on from {}: step {} of {}", request_.checkpoint.string(), progress_.step,
                                progress_.total));
      snapshot();
      return;
    }
    if (!reason.empty() && request_.keep_foreign_checkpoint)
      bad_input(
          fmt::format("{}: this checkpoint cannot be gone on from, {}; repeat the command that made it, or delete "
                      "the file to start over",
                      request_.checkpoint.string(), reason));
    if (!reason.empty()) context_.info(fmt::format("{} is not used: {}", request_.checkpoint.string(), reason));
  }
  progress_.total = total;
  report("fine-tuning, loss before");
  const Time begin = MonotonicClock::now();
  progress_.loss_before = held_out_loss();
  evaluation_seconds_ = to_seconds(MonotonicClock::now() - begin);
  if (options_.patience > 0 && std::isfinite(progress_.loss_before)) {
    progress_.best_loss = progress_.loss_before;
    tensors_.best = copies();
  }
  snapshot();
}

void Tuning::train() {
  while (progress_.step < progress_.total && !early_) {
    heed_stop();
    const double loss = step();
    const double limit = std::isfinite(progress_.loss_before) ? 1e3 * (1 + progress_.loss_before)
                                                              : std::numeric_limits<double>::infinity();
    if (!std::isfinite(loss) || loss > limit) {
      step_back(fmt::format("loss {:.4g}", loss));
      continue;
    }
    progress_.loss = progress_.step == 0 ? loss : 0.9 * progress_.loss + 0.1 * loss;
    progress_.step += 1;
    tick();
    fit_into_budget();
    if (progress_.step % kSnapshotSteps == 0) {
      if (!finite()) {
        step_back("weights that are no numbers");
        continue;
      }
      snapshot();
    }
    evaluate_now_and_then();
    report("");
    tell_epoch();
    if (to_seconds(MonotonicClock::now() - last_save_) > kSaveSeconds && finite()) save();
  }
}

std::vector<std::size_t> Tuning::examples_of(std::int64_t step) {
  const std::int64_t epoch = step / steps_per_epoch_;
  if (epoch != epoch_of_order_) {
    epoch_order_ = permutation(trained_on_.size(), options_.seed, kOrderPurpose, static_cast<std::uint64_t>(epoch));
    epoch_of_order_ = epoch;
  }
  const auto begin = static_cast<std::size_t>(step % steps_per_epoch_ * plan_.per_step);
  std::vector<std::size_t> examples;
  for (std::size_t i = 0; i < static_cast<std::size_t>(plan_.per_step); ++i)
    examples.push_back(trained_on_[epoch_order_[begin + i]]);
  return examples;
}

std::optional<ExampleBatches::Order> Tuning::order_of(std::int64_t step, std::int64_t part) {
  if (part * plan_.at_once >= plan_.per_step) {
    step += 1;
    part = 0;
  }
  if (step >= progress_.total) return std::nullopt;
  const std::vector<std::size_t> all = examples_of(step);
  const auto begin = all.begin() + part * plan_.at_once;
  const auto end = all.begin() + std::min(plan_.per_step, (part + 1) * plan_.at_once);
  return ExampleBatches::Order{static_cast<std::uint64_t>(step * kMostParts + part), {begin, end}};
}

std::vector<std::size_t> Tuning::turn() const {
  const std::size_t n = students_.size();
  if (n <= 2) return n == 1 ? std::vector<std::size_t>{0} : std::vector<std::size_t>{0, 1};
  Random random(options_.seed, kStepPurpose + 1, static_cast<std::uint64_t>(progress_.step));
  return {0, 1 + random.below(static_cast<std::uint32_t>(n) - 2), n - 1};
}

double Tuning::step() {
  at::manual_seed(Random(options_.seed, kStepPurpose, static_cast<std::uint64_t>(progress_.step)).next());
  const std::vector<std::size_t> now = turn();
  const Movement movement{options_.augment_shift, options_.augment_mirror, options_.seed};
  double sum = 0;
  for (std::int64_t part = 0; part * plan_.at_once < plan_.per_step; ++part) {
    const auto order = order_of(progress_.step, part);
    const Batch batch = batches_.read(*order, movement, order_of(progress_.step, part + 1));
    const double share = static_cast<double>(order->examples.size()) / static_cast<double>(plan_.per_step);
    sum += train_batch(batch, now, share);
    if (!std::isfinite(sum)) {
      optimizer_->drop_gradients();
      return sum;
    }
  }
  average_shared_gradients(now);
  optimizer_->step(rate());
  return sum;
}

double Tuning::train_batch(const Batch& batch, const std::vector<std::size_t>& now, double share) {
  std::vector<at::Tensor> taught;
  if (needs_teacher()) taught = teach(batch);
  double sum = 0;
  for (const std::size_t s : now) {
    students_[s].bind_shared();
    GraphModule& module = students_[s].module();
    const auto outputs = module.forward(named(module, batch, request_.students[s].model->name), training_pass_);
    const at::Tensor loss = loss_of(outputs, taught, batch) * share;
    sum += loss.item<double>() / static_cast<double>(now.size());
    if (!std::isfinite(sum)) break;
    if (loss.requires_grad()) loss.backward();
  }
  return sum;
}

/// So that a weight that three students move is not moved three times as far.
void Tuning::average_shared_gradients(const std::vector<std::size_t>& now) {
  const at::NoGradGuard no_grad;
  std::unordered_map<at::TensorImpl*, std::pair<at::Tensor, int>> users;
  for (const std::size_t s : now) {
    for (const at::Tensor& t : students_[s].moved_of_master()) {
      auto& [tensor, count] = users[t.unsafeGetTensorImpl()];
      tensor = t;
      count += 1;
    }
  }
  for (auto& [_, user] : users) {
    if (user.first.grad().defined()) user.first.mutable_grad().div_(user.second + 1);  // and the first student itself
  }
}

/// Linear warm-up, then half a cosine; at the middle of the step, so that none has a rate of zero.
double Tuning::rate() const {
  const double at = (static_cast<double>(progress_.step) + 0.5) / static_cast<double>(progress_.total);
  const double up = std::clamp(options_.warm_up, 0.0, 1.0);
  const double factor = at < up ? at / up : 0.5 * (1 + std::cos(std::numbers::pi * (at - up) / std::max(1 - up, 1e-9)));
  return std::ldexp(options_.learning_rate * factor, -progress_.halvings);
}

void Tuning::step_back(const std::string& why) {
  const int halvings = progress_.halvings + 1;
  const std::string where =
      fmt::format("{}: {} at step {}", request_.students.front().model->name, why, progress_.step + 1);
  if (halvings > kMostHalvings) {
    std::error_code ignored;
    if (!request_.checkpoint.empty()) std::filesystem::remove(request_.checkpoint, ignored);
    bad_input(fmt::format("{} even after halving the learning rate of {} {} times; start with a lower one", where,
                          options_.learning_rate, kMostHalvings));
  }
  restore(good_.tensors);
  progress_.step = good_.step;
  progress_.halvings = halvings;
  context_.warn(fmt::format("{}: back to step {} at learning rate {:.3g}", where, progress_.step,
                            std::ldexp(options_.learning_rate, -halvings)));
}

void Tuning::evaluate_now_and_then() {
  if (options_.patience <= 0 || progress_.step % evaluate_every_ != 0) return;
  const double loss = held_out_loss();
  if (loss < progress_.best_loss * (1 - 1e-4)) {
    progress_.best_loss = loss;
    progress_.evaluations_without_gain = 0;
    tensors_.best = copies();
    return;
  }
  progress_.evaluations_without_gain += 1;
  early_ = progress_.evaluations_without_gain >= options_.patience;
}

void Tuning::tell_epoch() {
  if (!request_.after_epoch || progress_.step % steps_per_epoch_ != 0) return;
  if (!finite()) return;  // the next look at the weights goes back
  save();
  const at::NoGradGuard no_grad;
  for (TrainedStudent& s : students_) {
    s.bind_shared();
    s.write_back();
  }
  request_.after_epoch(static_cast<int>(progress_.step / steps_per_epoch_), progress_.loss);
  last_tick_ = MonotonicClock::now();  // whoever looks at them is not training
}

void Tuning::fit_into_budget() {
  if (first_step_ < 0) {
    if (++untimed_ == kUntimedSteps) {
      first_step_ = progress_.step;
      first_seconds_ = progress_.seconds;
    }
  } else if (progress_.step > first_step_) {
    seconds_per_step_ = (progress_.seconds - first_seconds_) / static_cast<double>(progress_.step - first_step_);
  }
  if (options_.budget.count() <= 0) return;
  const double left = to_seconds(options_.budget) - progress_.seconds - seconds_at_end();
  const std::int64_t remaining = progress_.total - progress_.step;
  std::int64_t possible = remaining;
  if (left <= 0) possible = 0;
  else if (first_step_ >= 0 && progress_.step - first_step_ >= kTimedSteps && seconds_per_step_ > 0)
    possible = static_cast<std::int64_t>(left / seconds_per_step_);
  // Small differences are noise, and every change moves the rate.
  if (possible < remaining - remaining / 20) {
    progress_.total = progress_.step + possible;
    context_.debug(fmt::format("{} steps fit into the budget", progress_.total));
  }
}

double Tuning::seconds_at_end() const {
  double seconds = evaluation_seconds_;
  const std::int64_t batches = kStatisticsElements / std::max<std::int64_t>(1, plan_.per_step);
  if (std::any_of(students_.begin(), students_.end(), [](const TrainedStudent& s) { return s.has_statistics(); }))
    seconds += 0.4 * static_cast<double>(batches) * seconds_per_step_;
  return seconds;
}

void Tuning::estimate_statistics() {
  if (!plan_.own_statistics) return;
  const at::NoGradGuard no_grad;
  for (std::size_t s = 0; s < students_.size(); ++s) {
    students_[s].bind_shared();
    if (!students_[s].has_statistics()) continue;
    GraphModule& module = students_[s].module();
    Pass pass = plain_pass_;
    pass.batch_statistics = true;
    std::int64_t elements = 0;
    const auto at_once = static_cast<std::size_t>(plan_.at_once);
    for (std::size_t k = 0; (k + 1) * at_once <= trained_on_.size() && elements < kStatisticsElements; ++k) {
      heed_stop();
      report("fine-tuning, statistics of batch normalisations");
      const Batch batch = batches_.read(std::span(trained_on_).subspan(k * at_once, at_once));
      pass.running_share = 1 / static_cast<double>(k + 1);  // the mean of all batches
      (void)module.forward(named(module, batch, request_.students[s].model->name), pass);
      elements += batch.elements;
    }
  }
}

double Tuning::held_out_loss() {
  const at::NoGradGuard no_grad;
  double sum = 0;
  for (TrainedStudent& s : students_) s.bind_shared();
  const auto at_once = static_cast<std::size_t>(plan_.at_once);
  for (std::size_t begin = 0; begin < held_out_.size(); begin += at_once) {
    heed_stop();
    const auto part = std::span(held_out_).subspan(begin, std::min(at_once, held_out_.size() - begin));
    const Batch batch = batches_.read(part);
    std::vector<at::Tensor> taught;
    if (needs_teacher()) taught = teach(batch);
    for (std::size_t s = 0; s < students_.size(); ++s) {
      GraphModule& module = students_[s].module();
      const auto outputs = module.forward(named(module, batch, request_.students[s].model->name), plain_pass_);
      sum += loss_of(outputs, taught, batch).item<double>() * static_cast<double>(part.size());
    }
  }
  return sum / static_cast<double>(held_out_.size() * students_.size());
}

std::vector<at::Tensor> Tuning::copies() const {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> all;
  for (const at::Tensor& t : tensors_.now) all.push_back(t.detach().clone());
  return all;
}

void Tuning::snapshot() { good_ = {progress_.step, copies()}; }

void Tuning::restore(const std::vector<at::Tensor>& tensors) {
  const at::NoGradGuard no_grad;
  for (std::size_t i = 0; i < tensors.size(); ++i) tensors_.now[i].copy_(tensors[i]);
}

bool Tuning::finite() const {
  const at::NoGradGuard no_grad;
  return std::all_of(tensors_.now.begin(), tensors_.now.end(),
                     [](const at::Tensor& t) { return t.detach().isfinite().all().item<bool>(); });
}

void Tuning::save() {
  tick();
  if (request_.checkpoint.empty()) return;
  save_tuning(request_.checkpoint, key_, progress_, tensors_);
  last_save_ = MonotonicClock::now();
}

void Tuning::tick() {
  const Time now = MonotonicClock::now();
  progress_.seconds += to_seconds(now - last_tick_);
  last_tick_ = now;
}

void Tuning::report(const std::string& what) {
  const auto total = static_cast<double>(std::max<std::int64_t>(progress_.total, 1));
  const double done = progress_.total == 0 ? 0 : static_cast<double>(progress_.step) / total;
  if (!what.empty()) {
    context_.report(what, done);
    return;
  }
  const auto epochs = [&](std::int64_t steps) {
    return decimal(static_cast<double>(steps) / static_cast<double>(steps_per_epoch_));
  };
  const double left = static_cast<double>(progress_.total - progress_.step) * seconds_per_step_ + seconds_at_end();
  context_.report(
      fmt::format("fine-tuning, epoch {} of {}, loss {:.4g}{}", epochs(progress_.step), epochs(progress_.total),
                  progress_.loss, seconds_per_step_ > 0 ? fmt::format(", {:.0f} s left", left) : ""),
      done);
}

}  // namespace rtmdl::training
