#pragma once
/// SGD with Nesterov momentum, and AdamW, with their state where checkpoints can reach it.

#include "scaling/fine_tuner.h"

#include <ATen/ATen.h>

#include <vector>

namespace rtmdl::training {

class Optimizer {
 public:
  /// Decay acts on tensors of two axes and more only.
  Optimizer(std::vector<at::Tensor> weights, const FineTuneOptions& options);

  /// Weights without a gradient (students whose turn it was not) stay, with their momenta. Gradients are gone then.
  /// SGD: Sutskever et al. 2013, as torch.optim.SGD writes it, decay as L2. AdamW: Loshchilov & Hutter 2019.
  void step(double rate);
  void drop_gradients();
  /// Momenta, second moments and counts of steps: change in place. Same order in every process.
  [[nodiscard]] std::vector<at::Tensor> state() const;

 private:
  void sgd(std::size_t i, double rate);
  void adam(std::size_t i, double rate);

  std::vector<at::Tensor> weights_, first_, second_;
  at::Tensor steps_;  ///< by weight
  double decay_, momentum_;
  bool adamw_;
};

}  // namespace rtmdl::training
