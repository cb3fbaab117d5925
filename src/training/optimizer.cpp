#include "training/optimizer.h"

#include <cmath>

namespace rtmdl::training {
namespace {

constexpr double kFirst = 0.9, kSecond = 0.999, kEpsilon = 1e-8;  // Kingma & Ba 2015

}  // namespace

Optimizer::Optimizer(std::vector<at::Tensor> weights, const FineTuneOptions& options)
    : weights_(std::move(weights)),
      steps_(at::zeros({static_cast<std::int64_t>(weights_.size())})),
      decay_(options.weight_decay),
      momentum_(options.momentum),
      adamw_(options.adamw) {
  for (const at::Tensor& w : weights_) {
    first_.push_back(at::zeros_like(w.detach()));
    if (adamw_) second_.push_back(at::zeros_like(w.detach()));
  }
}

void Optimizer::step(double rate) {
  const at::NoGradGuard no_grad;
  for (std::size_t i = 0; i < weights_.size(); ++i) {
    if (!weights_[i].grad().defined()) continue;
    if (adamw_) adam(i, rate);
    else sgd(i, rate);
    weights_[i].mutable_grad().reset();
  }
}

void Optimizer::sgd(std::size_t i, double rate) {
  at::Tensor gradient = weights_[i].grad();
  if (weights_[i].dim() > 1) gradient = gradient.add(weights_[i], decay_);
  first_[i].mul_(momentum_).add_(gradient);
  weights_[i].add_(gradient.add(first_[i], momentum_), -rate);
}

void Optimizer::adam(std::size_t i, double rate) {
  const at::Tensor& gradient = weights_[i].grad();
  float& steps = steps_.data_ptr<float>()[i];
  steps += 1;
  first_[i].mul_(kFirst).add_(gradient, 1 - kFirst);
  second_[i].mul_(kSecond).addcmul_(gradient, gradient, 1 - kSecond);
  if (weights_[i].dim() > 1) weights_[i].mul_(1 - rate * decay_);
  const double unbiased = std::sqrt(1 - std::pow(kSecond, steps));
  weights_[i].addcdiv_(first_[i], (second_[i].sqrt() / unbiased).add_(kEpsilon), -rate / (1 - std::pow(kFirst, steps)));
}

void Optimizer::drop_gradients() {
  for (at::Tensor& w : weights_) w.mutable_grad().reset();
}

std::vector<at::Tensor> Optimizer::state() const {
  std::vector<at::Tensor> all = first_;
  all.insert(all.end(), second_.begin(), second_.end());
  all.push_back(steps_);
  return all;
}

}  // namespace rtmdl::training
