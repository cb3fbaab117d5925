#include "training/taylor.h"

#include "data/random.h"
#include "training/tuning.h"

#include <rtmdl/error.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>

#include <fmt/format.h>

namespace rtmdl::training {
namespace {

constexpr std::int64_t kElementsPerBatch = 16;
constexpr std::uint64_t kDrawPurpose = 0x64726177;

/// Something whose squared gradient is what a change of the outputs costs.
at::Tensor root_of_cost(const TrainingLoss& loss, const std::vector<at::Tensor>& outputs,
                        const std::vector<at::Tensor>& wanted) {
  at::Tensor sum;
  for (std::size_t i = 0; i < loss.kinds().size(); ++i) {
    const TrainingLoss::Kind kind = loss.kinds()[i];
    if (kind == TrainingLoss::Kind::left_out) continue;
    const auto numel = static_cast<double>(outputs[i].numel());
    at::Tensor term;
    if (kind == TrainingLoss::Kind::values) {
      const at::Tensor signs = at::empty_like(wanted[i]).bernoulli_(0.5) * 2 - 1;
      const at::Tensor known = at::where(outputs[i].isfinite(), outputs[i] * signs, at::zeros_like(signs));
      term = known.sum() / std::sqrt(loss.variance(i) * numel);
    } else {
      const bool probabilities = kind == TrainingLoss::Kind::probabilities;
      const at::Tensor reached = log_probabilities(outputs[i], probabilities, 1).flatten(0, -2);
      const at::Tensor drawn =
          log_probabilities(wanted[i], probabilities, 1).flatten(0, -2).exp().nan_to_num(1).multinomial(1);
      term = reached.gather(1, drawn).sum() / std::sqrt(static_cast<double>(reached.size(0)));
    }
    sum = sum.defined() ? sum + term : term;
  }
  return sum;
}

/// Gradient times weight, summed over all axes but one; by tensor and axis.
class Products {
 public:
  explicit Products(const GraphModule& module) : module_(module) {}

  double of(const Channel& channel) {
    double sum = 0;
    for (const ChannelSlice& slice : channel.weights) {
      const std::vector<double>& along = products(slice.tensor, slice.axis);
      for (const std::int64_t i : slice.indices) {
        if (i < static_cast<std::int64_t>(along.size())) sum += along[static_cast<std::size_t>(i)];
      }
    }
    return sum;
  }

 private:
  const std::vector<double>& products(const std::string& tensor, int axis) {
    const auto [at, fresh] = sums_.try_emplace({tensor, axis});
    if (!fresh) return at->second;
    const at::Tensor* weight = module_.parameter(tensor);
    if (!weight || !weight->grad().defined() || axis >= weight->dim()) return at->second;
    const at::NoGradGuard no_grad;
    at::Tensor product = (weight->grad() * *weight).to(at::kCPU, at::kDouble).movedim(axis, 0);
    product = product.reshape({product.size(0), -1}).sum(1).contiguous();
    at->second.assign(product.data_ptr<double>(), product.data_ptr<double>() + product.numel());
    return at->second;
  }

  const GraphModule& module_;
  std::map<std::pair<std::string, int>, std::vector<double>> sums_;
};

}  // namespace

std::vector<std::vector<double>> taylor_importance(const Model& model, const Model* teacher,
                                                   const ChannelGroups& groups, TrainingData& data,
                                                   std::size_t examples, const Context& context) {
  examples = std::min(examples, data.size());
  if (examples == 0) bad_input(fmt::format("{}: no data to measure the importance of channels on", model.name));
  const at::Device device = at::hasCUDA() ? at::kCUDA : at::kCPU;
  GraphModule module(model, device);
  std::unique_ptr<GraphModule> other;
  if (teacher) other = std::make_unique<GraphModule>(*teacher, device);
  ExampleBatches batches(data);
  std::vector<GraphModule*> modules{&module};
  if (other) modules.push_back(other.get());
  const BatchPlan plan = plan_batches(modules, batches, data.size(), kElementsPerBatch, context);

  const auto wanted_for = [&](const Batch& batch) {
    const at::NoGradGuard no_grad;
    return other ? other->forward(named(*other, batch, teacher->name), Pass{})
                 : module.forward(named(module, batch, model.name), Pass{});
  };
  std::optional<TrainingLoss> loss;
  bool labels = data.labelled();
  std::vector<std::vector<double>> importance;
  for (const ChannelGroup& g : groups.groups) importance.emplace_back(g.channels.size(), 0.0);
  const auto at_once = static_cast<std::size_t>(plan.at_once);
  double count = 0;
  for (std::size_t begin = 0; begin < examples; begin += at_once) {
    if (context.stopping()) break;
    std::vector<std::size_t> picked;  // spread over the data
    for (std::size_t i = begin; i < std::min(examples, begin + at_once); ++i)
      picked.push_back(i * data.size() / examples);
    const Batch batch = batches.read(picked);
    at::manual_seed(Random(context.seed, kDrawPurpose, begin).next());
    const std::vector<at::Tensor> wanted = labels && loss ? std::vector<at::Tensor>{} : wanted_for(batch);
    if (!loss) {
      FineTuneOptions options;
      options.distillation = 0;
      loss.emplace(options, model.name, wanted, wanted, labels, data.classes());
      labels = labels && loss->needs_labels();
    }
    const std::vector<at::Tensor> outputs = module.forward(named(module, batch, model.name), Pass{});
    const at::Tensor cost = labels ? (*loss)(outputs, wanted, batch.labels) : root_of_cost(*loss, outputs, wanted);
    if (!cost.isfinite().item<bool>()) bad_input(fmt::format("{}: outputs that are no numbers", model.name));
    cost.backward();
    Products products(module);
    for (std::size_t g = 0; g < importance.size(); ++g) {
      for (std::size_t c = 0; c < importance[g].size(); ++c) {
        const double product = products.of(groups.groups[g].channels[c]);
        importance[g][c] += product * product;
      }
    }
    for (NamedTensor& p : module.parameters()) p.value.mutable_grad().reset();
    count += 1;
    context.report(fmt::format("{}: importance of channels", model.name),
                   static_cast<double>(std::min(begin + at_once, examples)) / static_cast<double>(examples));
  }
  for (auto& group : importance) {
    for (double& v : group) v /= std::max(count, 1.0);
  }
  return importance;
}

}  // namespace rtmdl::training
