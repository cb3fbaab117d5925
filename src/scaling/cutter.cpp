#include "scaling/cutter.h"

#include "model/edit.h"
#include "scaling/calibrate.h"
#include "scaling/reconstruct.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <numeric>

#include <fmt/format.h>

namespace rtmdl {
namespace {

constexpr std::size_t kCutErrorSets = 4;
constexpr std::size_t kErrorRuns = 160;  ///< of cut models, at most: each is a load and kCutErrorSets runs
constexpr std::size_t kTaylorExamples = 512;
constexpr double kLeastWidth = 0.125;        ///< of a group
constexpr std::size_t kSensitivitySets = 8;  ///< that readers are reconstructed with for a first look
constexpr std::size_t kReconstructionSets = 512;
constexpr std::size_t kReconstructionBytes = 64u << 20;  ///< of examples beyond the calibration sets

std::size_t bytes_of(const InputSet& set) {
  return std::accumulate(set.begin(), set.end(), std::size_t{0},
                         [](std::size_t sum, const Tensor& tensor) { return sum + tensor.bytes.size(); });
}

/// From the narrowest on, each gets what it lacks of the one before.
void nest(std::vector<Kept>& kept) {
  for (std::size_t i = kept.size() - 1; i-- > 0;)
    for (std::size_t g = 0; g < kept[i].size(); ++g) {
      std::vector<int> both;
      std::set_union(kept[i][g].begin(), kept[i][g].end(), kept[i + 1][g].begin(), kept[i + 1][g].end(),
                     std::back_inserter(both));
      kept[i][g] = std::move(both);
    }
}

}  // namespace

LoadRequest load_request_of(const ScaleRequest& request) {
  LoadRequest at;
  at.model = request.model;
  at.shapes = request.shapes;
  at.state = request.state;
  at.constants = request.constants;
  return at;
}

Cutter::Cutter(Engine& engine, const ScaleRequest& request, const Model& source, FineTuner* tuner, TrainingData* data)
    : engine_(engine), request_(request), source_(source), tuner_(tuner), data_(data) {}

double Cutter::harm(const Model& candidate) {
  if (!error_) {
    const auto n = static_cast<std::ptrdiff_t>(std::min(kCutErrorSets, request_.calibration.size()));
    const auto& sets = request_.calibration;
    error_ = std::make_unique<OutputError>(engine_, load_request_of(request_),
                                           std::vector<InputSet>(sets.begin(), sets.begin() + n));
  }
  const ScratchModel file(candidate, request_.folder);
  LoadRequest at = load_request_of(request_);
  at.model = file.path();
  const double error = error_->of(at);
  return std::isfinite(error) ? error : 1;
}

std::vector<std::vector<double>> Cutter::importance_of(const Model& model, const ChannelGroups& groups,
                                                       const Context& context) {
  if (tuner_ == nullptr)
    return importance(model, groups, has_batch_normalisation(model) ? Importance::bn_scale : Importance::magnitude);
  context.report("importance of channels", 0);
  return tuner_->taylor_importance(model, data_->labelled() ? nullptr : &source_, groups, *data_, kTaylorExamples,
                                   context);
}

std::span<const InputSet> Cutter::reconstruction_sets() {
  if (!sets_.empty()) return sets_;
  const auto& calibration = request_.calibration;
  const auto all = std::accumulate(calibration.begin(), calibration.end(), std::size_t{0},
                                   [](std::size_t sum, const InputSet& set) { return sum + bytes_of(set); });
  if (all >= kReconstructionBytes || data_ == nullptr) return calibration;  // large inputs are not kept twice
  sets_ = calibration;
  const std::size_t more = std::min(data_->size(), kReconstructionSets);
  for (std::size_t i = 0, bytes = 0; i < more && bytes < kReconstructionBytes; ++i) {
    sets_.push_back(data_->at(i * data_->size() / more).inputs);
    bytes += bytes_of(sets_.back());
  }
  return sets_;
}

bool Cutter::reconstruct_layers(const Model& model, const TensorSpecs& specs, Pruned& form,
                                const std::set<std::string>& sliced, const Context& context) {
  const double before = harm(form.model);
  Pruned better = form;
  const int layers = reconstruct(engine_, model, specs, better, sliced, Readers::all, load_request_of(request_),
                                 reconstruction_sets(), request_.folder, context);
  const double after = layers > 0 ? harm(better.model) : before;
  context.debug(
      fmt::format("{}: {} layers reconstructed: output error {:.4g} -> {:.4g}", source_.name, layers, before, after));
  if (after >= before) return false;
  form = std::move(better);
  return true;
}

Cutter::Narrower Cutter::narrow(const Model& model, const std::vector<double>& shares,
                                const std::set<std::string>& sliced, const Context& context) {
  Narrower narrower;
  const ChannelGroups groups = verified_channel_groups(engine_, model, load_request_of(request_), request_.folder);
  const std::size_t n = groups.groups.size();
  if (n == 0) {
    narrower.why_not = groups.whole.empty() ? "it has no channels"
                                            : fmt::format("nothing can be narrower: '{}' keeps its channels because {}",
                                                          groups.whole.front().name, groups.whole.front().reason);
    return narrower;
  }
  const TensorSpecs specs = specs_of(engine_, model, load_request_of(request_), request_.folder);
  const auto important = importance_of(model, groups, context);
  std::vector<double> steps{0.75, 0.5, 0.25};
  if (n * steps.size() > kErrorRuns) steps = {0.5};
  const std::span<const InputSet> sets = request_.calibration;
  const std::span<const InputSet> few = sets.first(std::min(sets.size(), kSensitivitySets));
  Context quiet = context;  // of one layer after another; the progress is that of all
  quiet.progress = {};
  std::vector<std::vector<double>> harms(n, std::vector<double>(steps.size()));
  for (std::size_t g = 0; g < n; ++g)
    for (std::size_t k = 0; k < steps.size(); ++k) {
      if (context.stopping()) return narrower;
      context.report("sensitivity of layers", static_cast<double>(g) / static_cast<double>(n));
      std::vector<double> ratio(n, 1);
      ratio[g] = steps[k];
      Pruned form = prune(model, specs, groups, most_important(groups, important, ratio));
      reconstruct(engine_, model, specs, form, sliced, Readers::of_lost_only, load_request_of(request_), few,
                  request_.folder, quiet);
      harms[g][k] = harm(form.model);
    }
  std::vector<Kept> kept;
  for (const double share : shares)
    kept.push_back(most_important(groups, important,
                                  ratios_for(model, specs, groups, important, harms, steps, share, kLeastWidth)));
  nest(kept);
  for (const Kept& k : kept) narrower.forms.push_back(prune(model, specs, groups, k));
  const auto most = model_cost(narrower.forms.front().model, narrower.forms.front().specs).macs;
  if (static_cast<double>(most) > 0.98 * static_cast<double>(model_cost(model, specs).macs)) {
    narrower.forms.clear();
    narrower.why_not = fmt::format("its {} channel groups leave nothing to cut", n);
  }
  for (Pruned& form : narrower.forms) {
    const bool better = reconstruct_layers(model, specs, form, sliced, context);
    if (&form == &narrower.forms.front()) narrower.reconstructed = better;
  }
  return narrower;
}

Cutter::Shorter Cutter::shorten(const Model& model, double depth, const std::set<std::string>& sliced,
                                const Context& context) {
  Shorter shorter;
  const TensorSpecs specs = specs_of(engine_, model, load_request_of(request_), request_.folder);
  const std::vector<Block> blocks = find_blocks(model, specs);
  if (blocks.empty()) {
    shorter.why_not = "no block of it can be left out";
    return shorter;
  }
  std::vector<double> harms;
  for (std::size_t b = 0; b < blocks.size(); ++b) {
    if (context.stopping()) return shorter;
    context.report("harm of leaving out blocks", static_cast<double>(b) / static_cast<double>(blocks.size()));
    harms.push_back(harm(remove_blocks(model, blocks, {static_cast<int>(b)})) /
                    static_cast<double>(std::max<std::int64_t>(1, blocks[b].macs)));
  }
  std::vector<int> order(blocks.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
    return harms[static_cast<std::size_t>(a)] < harms[static_cast<std::size_t>(b)];
  });
  const double all = static_cast<double>(blocks.size());
  order.resize(static_cast<std::size_t>(std::clamp(std::round((1 - depth) * all), 1.0, all)));
  std::sort(order.begin(), order.end());
  Pruned left{remove_blocks(model, blocks, order), {}, {}};
  normalise(left.model);
  shorter.reconstructed = reconstruct_layers(model, specs, left, sliced, context);
  shorter.model = std::move(left.model);
  shorter.note = fmt::format("{} of {} blocks", blocks.size() - order.size(), blocks.size());
  return shorter;
}

}  // namespace rtmdl
