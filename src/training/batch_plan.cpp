#include "training/tuning.h"

#include "base/units.h"

#include <rtmdl/error.h>

#include <algorithm>
#include <array>

#include <fmt/format.h>

namespace rtmdl::training {
namespace {

constexpr std::int64_t kMostActivationBytes = std::int64_t{3} << 29;  // 1.5 GB
constexpr double kSame = 1e-4;
constexpr std::size_t kShapesLookedAt = 16;

/// The two outputs one behind the other, along whatever axis gives the shape of `together`.
bool same(const at::Tensor& first, const at::Tensor& second, const at::Tensor& together) {
  for (std::int64_t axis = 0; axis < first.dim(); ++axis) {
    if (first.dim() != second.dim() || first.dim() != together.dim()) return false;
    std::vector<std::int64_t> shape = first.sizes().vec();
    shape[static_cast<std::size_t>(axis)] += second.size(axis);
    std::vector<std::int64_t> other = second.sizes().vec();
    other[static_cast<std::size_t>(axis)] = first.size(axis);
    if (together.sizes().vec() != shape || other != first.sizes().vec()) continue;
    const at::Tensor alone = at::cat({first, second}, axis).to(at::kFloat);
    const at::Tensor known = alone.isfinite();
    if (!known.any().item<bool>()) return true;
    const at::Tensor apart = (alone - together.to(at::kFloat)).abs().masked_select(known);
    return apart.max().item<double>() <= kSame * std::max(alone.masked_select(known).abs().max().item<double>(), 1e-6);
  }
  return false;
}

}  // namespace

NamedInputs named(const GraphModule& module, const Batch& batch, const std::string& model) {
  if (module.input_names().size() != batch.inputs.size())
    bad_input(
        fmt::format("{}: has {} inputs, the data give {}", model, module.input_names().size(), batch.inputs.size()));
  NamedInputs inputs;
  for (std::size_t i = 0; i < batch.inputs.size(); ++i) inputs[module.input_names()[i]] = batch.inputs[i];
  return inputs;
}

BatchPlan plan_batches(const std::vector<GraphModule*>& modules, ExampleBatches& batches, std::size_t size,
                       std::int64_t elements_per_step, const Context& context) {
  const at::NoGradGuard no_grad;
  const std::array<std::size_t, 2> pair{0, size / 2};
  const Batch first = batches.read(std::span(pair).first(1));
  std::int64_t bytes = 1;
  for (GraphModule* m : modules) {
    m->relax_batch(named(*m, first, "model"));
    bytes = std::max(bytes, m->activation_bytes());
  }
  BatchPlan plan;
  plan.per_step = std::max<std::int64_t>(1, elements_per_step / std::max<std::int64_t>(first.elements, 1));
  plan.at_once = std::clamp<std::int64_t>(kMostActivationBytes / bytes, 1, plan.per_step);
  if (size < 2 || plan.per_step < 2) return plan;

  std::string why;
  std::vector<std::size_t> looked_at;
  for (std::size_t i = 0; i < std::min(size, kShapesLookedAt); ++i) looked_at.push_back(i * size / kShapesLookedAt);
  if (size < kShapesLookedAt) {
    for (std::size_t i = 0; i < size; ++i) looked_at[i] = i;
  }
  if (!batches.equal_shapes(looked_at)) {
    why = "examples differ in shape";
  } else {
    const Batch second = batches.read(std::span(pair).last(1));
    const Batch both = batches.read(pair);
    for (GraphModule* m : modules) {
      try {
        const auto alone = m->forward(named(*m, first, "model"), false);
        const auto other = m->forward(named(*m, second, "model"), false);
        const auto together = m->forward(named(*m, both, "model"), false);
        for (std::size_t o = 0; o < alone.size() && why.empty(); ++o) {
          if (!same(alone[o], other[o], together[o]))
            why = fmt::format("output '{}' of two examples together is not that of each alone", m->output_names()[o]);
        }
      } catch (const Error& e) {
        why = e.what();
      }
      if (!why.empty()) break;
    }
  }
  if (!why.empty()) {
    context.info(fmt::format("trained one example at a time: {}", why));
    plan.at_once = 1;
    plan.own_statistics = false;
  }
  return plan;
}

}  // namespace rtmdl::training
