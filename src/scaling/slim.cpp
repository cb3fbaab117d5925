#include "scaling/slim.h"

#include "base/units.h"
#include "model/edit.h"
#include "scaling/blocks.h"
#include "scaling/calibrate.h"
#include "scaling/precision.h"
#include "scaling/source_indices.h"

#include <rtmdl/error.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>

#include <fmt/format.h>

namespace rtmdl {
namespace {

constexpr std::size_t kErrorSets = 4;
constexpr std::size_t kErrorRuns = 160;  ///< of pruned candidates, at most: each is a load and kErrorSets runs
constexpr std::size_t kTaylorExamples = 512;
constexpr double kLeastWidth = 0.125;  ///< of a group

/// Source with weights as initializers; batch normalisations stay nodes, since fine-tuning wants them.
Model trainable(Engine& engine, const ScaleRequest& request) {
  Model model = load_model(request.model);
  normalise(model);
  std::vector<std::string> constants;
  for (const int i : constant_nodes(model)) {
    const auto& outputs = model.graph().node(i).output();
    constants.insert(constants.end(), outputs.begin(), outputs.end());
  }
  LoadRequest at;
  at.shapes = request.shapes;
  at.state = request.state;
  at.constants = request.constants;
  const auto values = values_of(engine, model, at, constants, request.folder);
  fold_constants(model, [&](const std::string& name) -> const Tensor* {
    const auto it = values.find(name);
    return it == values.end() ? nullptr : &it->second;
  });
  return model;
}

LoadRequest request_at(const ScaleRequest& request) {
  LoadRequest at;
  at.model = request.model;
  at.shapes = request.shapes;
  at.state = request.state;
  at.constants = request.constants;
  return at;
}

bool has_batch_normalisation(const Model& model) {
  const auto& nodes = model.graph().node();
  return std::any_of(nodes.begin(), nodes.end(), [](const auto& n) { return is_op(n, "BatchNormalization"); });
}

std::string counts(const ChannelGroups& groups, const Kept& kept) {
  std::size_t before = 0, after = 0;
  for (std::size_t g = 0; g < kept.size(); ++g) {
    before += groups.groups[g].channels.size();
    after += kept[g].size();
  }
  return fmt::format("{} of {} channels", after, before);
}

/// Weight-carrying nodes in the order of the graph.
std::vector<int> layers(const Model& model) {
  const Links links(model);
  std::vector<int> found;
  for (int i = 0; i < model.graph().node_size(); ++i) {
    const auto& node = model.graph().node(i);
    const bool linear = is_op(node, "Conv") || is_op(node, "ConvTranspose") || is_op(node, "Gemm") ||
                        is_op(node, "MatMul") || is_op(node, "LSTM") || is_op(node, "GRU") || is_op(node, "RNN");
    if (linear && node.input_size() > 1 && links.constant(node.input(1)) != nullptr) found.push_back(i);
  }
  return found;
}

/// Weights of the first layers: they stay as they are.
std::set<std::string> front_weights(const Model& model, double share) {
  std::set<std::string> front;
  const std::vector<int> all = layers(model);
  const Links links(model);
  const auto n = static_cast<std::size_t>(std::lround(share * static_cast<double>(all.size())));
  for (std::size_t i = 0; i < std::min(n, all.size()); ++i) {
    const auto& node = model.graph().node(all[i]);
    for (int k = 1; k < node.input_size(); ++k)
      if (links.constant(node.input(k)) != nullptr) front.insert(node.input(k));
  }
  return front;
}

}  // namespace

std::string SlimLevel::id() const {
  std::string text;
  if (width != 1) text = fmt::format("w{:g}", width);
  if (depth != 1) text += fmt::format("{}d{:g}", text.empty() ? "" : "-", depth);
  return text.empty() ? "source" : text;
}

std::vector<SlimLevel> slim_levels(const std::vector<double>& widths, const std::vector<double>& depths) {
  std::vector<SlimLevel> levels;
  for (const double w : widths.empty() ? std::vector<double>{1} : widths)
    for (const double d : depths.empty() ? std::vector<double>{1} : depths) {
      const SlimLevel level{w, d};
      if ((w != 1 || d != 1) && std::find(levels.begin(), levels.end(), level) == levels.end()) levels.push_back(level);
    }
  const auto size = [](const SlimLevel& l) { return l.width * l.width * l.depth; };
  std::sort(levels.begin(), levels.end(), [&](const SlimLevel& a, const SlimLevel& b) { return size(a) > size(b); });
  // Halving again and again: the middle of the largest gap that is left, the planner gets a coarse front early.
  std::vector<SlimLevel> ordered;
  const auto half = std::min_element(levels.begin(), levels.end(), [&](const SlimLevel& a, const SlimLevel& b) {
    return std::abs(std::log(size(a) / 0.25)) < std::abs(std::log(size(b) / 0.25));
  });
  while (!levels.empty()) {
    auto next = ordered.empty() ? half : levels.begin();
    if (!ordered.empty()) {
      double widest = -1;
      for (auto it = levels.begin(); it != levels.end(); ++it) {
        double gap = std::abs(std::log(size(*it)));  // from the source
        for (const SlimLevel& o : ordered) gap = std::min(gap, std::abs(std::log(size(*it) / size(o))));
        if (gap > widest + 1e-9) {
          widest = gap;
          next = it;
        }
      }
    }
    ordered.push_back(*next);
    levels.erase(next);
  }
  return ordered;
}

Slimmer::Slimmer(Engine& engine, const ScaleRequest& request, FineTuner* tuner, TrainingData* data, SlimOptions options,
                 std::filesystem::path folder)
    : engine_(engine),
      request_(request),
      tuner_(tuner),
      data_(data),
      options_(std::move(options)),
      folder_(std::move(folder)),
      source_(trainable(engine, request)) {
  source_macs_ = model_cost(source_, specs_of(engine_, source_, request_at(request_), request_.folder)).macs;
  if (tuner_ == nullptr) cannot_tune_ = "there is no training library";
  else if (data_ == nullptr) cannot_tune_ = "there are no inputs to learn from";
  else if (const auto why = tuner_->refuses(source_)) cannot_tune_ = *why;
  std::filesystem::create_directories(folder_);
}

std::filesystem::path Slimmer::file_of(const SlimLevel& level) const { return folder_ / (level.id() + ".onnx"); }

/// What differs least in size from the level among those that are wider and deeper; the source if none is.
Slimmer::Start Slimmer::nearest(const SlimLevel& level) const {
  Start start{source_, {}};
  double best = std::numeric_limits<double>::max();
  for (const SlimLevel& made : made_) {
    if (made.width < level.width || made.depth < level.depth || made == level) continue;
    const double distance = std::log(made.width * made.width * made.depth / (level.width * level.width * level.depth));
    if (distance >= best) continue;
    best = distance;
    start.level = made;
  }
  if (start.level != SlimLevel{}) start.model = load_model(file_of(start.level));
  return start;
}

double Slimmer::output_error(const Model& candidate) {
  const std::size_t n = std::min(kErrorSets, request_.calibration.size());
  LoadRequest at = request_at(request_);
  if (!error_)
    error_ = std::make_unique<OutputError>(
        engine_, at,
        std::vector<InputSet>(request_.calibration.begin(), request_.calibration.begin() + static_cast<long>(n)));
  const ScratchModel file(candidate, request_.folder);
  at.model = file.path();
  return error_->of(at);
}

std::vector<std::vector<double>> Slimmer::importance_of(const Model& model, const ChannelGroups& groups,
                                                        const Context& context) {
  if (cannot_tune_.empty()) {
    context.report("importance of channels", 0.05);
    const Model* teacher = data_->labelled() ? nullptr : &source_;
    return tuner_->taylor_importance(model, teacher, groups, *data_, kTaylorExamples, context);
  }
  return importance(model, groups, has_batch_normalisation(model) ? Importance::bn_scale : Importance::magnitude);
}

std::vector<std::vector<double>> Slimmer::harm_of(const Model& model, const TensorSpecs& specs,
                                                  const ChannelGroups& groups,
                                                  const std::vector<std::vector<double>>& importance,
                                                  const std::vector<double>& steps, const Context& context) {
  std::vector<std::vector<double>> harm(groups.groups.size(), std::vector<double>(steps.size(), 0));
  for (std::size_t g = 0; g < groups.groups.size(); ++g)
    for (std::size_t k = 0; k < steps.size() && !context.stopping(); ++k) {
      context.report("sensitivity of layers", 0.05 + 0.1 * static_cast<double>(g) / static_cast<double>(harm.size()));
      std::vector<double> ratio(groups.groups.size(), 1);
      ratio[g] = steps[k];
      const double error = output_error(prune(model, specs, groups, most_important(groups, importance, ratio)).model);
      harm[g][k] = std::isfinite(error) ? error : 1;
    }
  return harm;
}

std::string Slimmer::shorten(Model& model, double depth, const Context& context) {
  const TensorSpecs specs = specs_of(engine_, model, request_at(request_), request_.folder);
  const std::vector<Block> blocks = find_blocks(model, specs);
  if (blocks.empty()) return "no block of it can be left out";
  std::vector<double> harm;
  for (std::size_t b = 0; b < blocks.size() && !context.stopping(); ++b) {
    context.report("harm of leaving out blocks",
                   0.02 + 0.03 * static_cast<double>(b) / static_cast<double>(blocks.size()));
    const double error = output_error(remove_blocks(model, blocks, {static_cast<int>(b)}));
    harm.push_back((std::isfinite(error) ? error : 1) / static_cast<double>(std::max<std::int64_t>(1, blocks[b].macs)));
  }
  if (context.stopping()) return {};
  std::vector<int> order(blocks.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int a, int b) { return harm[static_cast<std::size_t>(a)] < harm[static_cast<std::size_t>(b)]; });
  const double all = static_cast<double>(blocks.size());
  order.resize(static_cast<std::size_t>(std::clamp(std::round((1 - depth) * all), 1.0, all)));
  std::sort(order.begin(), order.end());
  model = remove_blocks(model, blocks, order);
  normalise(model);
  note_ = fmt::format("{} of {} blocks", blocks.size() - order.size(), blocks.size());
  return {};
}

std::string Slimmer::narrow(Model& model, double share, const Context& context) {
  const ChannelGroups groups = verified_channel_groups(engine_, model, request_at(request_), request_.folder);
  if (groups.groups.empty())
    return groups.whole.empty() ? "it has no channels"
                                : fmt::format("nothing can be narrower: '{}' keeps its channels because {}",
                                              groups.whole.front().name, groups.whole.front().reason);
  const TensorSpecs specs = specs_of(engine_, model, request_at(request_), request_.folder);
  const auto important = importance_of(model, groups, context);
  if (context.stopping()) return {};
  std::vector<double> steps{0.75, 0.5, 0.25};
  if (groups.groups.size() * steps.size() > kErrorRuns) steps = {0.5};
  const auto harm = harm_of(model, specs, groups, important, steps, context);
  if (context.stopping()) return {};
  const std::vector<double> ratio = ratios_for(model, specs, groups, important, harm, steps, share, kLeastWidth);
  const Kept kept = most_important(groups, important, ratio);
  Pruned pruned = prune(model, specs, groups, kept);
  const auto macs = static_cast<double>(model_cost(pruned.model, pruned.specs).macs);
  if (macs > 0.98 * static_cast<double>(model_cost(model, specs).macs))
    return fmt::format("its {} channel groups leave nothing to cut", groups.groups.size());
  indices_ = compose(indices_, pruned.indices);
  model = std::move(pruned.model);
  if (!note_.empty()) note_ += ", ";
  note_ += fmt::format("{}, {} of the multiply-accumulates", counts(groups, kept),
                       format_percent(macs / static_cast<double>(std::max<std::int64_t>(1, source_macs_)), 0));
  return {};
}

Slimmer::Outcome Slimmer::make(const SlimLevel& level, const Context& context) {
  Outcome outcome;
  const auto file = file_of(level);
  SlimForm form;
  form.id = level.id();
  form.width = level.width;
  form.depth = level.depth;
  if (std::filesystem::exists(file)) {
    form.model = load_model(file);
    form.note = form.model.proto.doc_string();
  } else {
    Start start = nearest(level);
    form.model = std::move(start.model);
    indices_ = read_indices(form.model);
    note_.clear();
    if (level.depth != start.level.depth) {
      outcome.refused = shorten(form.model, level.depth / start.level.depth, context);
      if (!outcome.refused.empty()) return outcome;
    }
    if (level.width != start.level.width && !context.stopping()) {
      const double ratio = level.width / start.level.width;
      outcome.refused = narrow(form.model, ratio * ratio, context);
      if (!outcome.refused.empty()) return outcome;
    }
    if (!context.stopping()) tune(form.model, level, context);
    if (context.stopping()) {
      outcome.finished = false;
      return outcome;
    }
    write_indices(form.model, indices_);
    form.note = note_;
    form.model.proto.set_doc_string(note_);
    save_model(form.model, file);
  }
  if (std::find(made_.begin(), made_.end(), level) == made_.end()) made_.push_back(level);
  outcome.form = std::move(form);
  return outcome;
}

void Slimmer::tune(Model& model, const SlimLevel& level, const Context& context) {
  if (!cannot_tune_.empty()) {
    note_ += fmt::format(", not fine-tuned ({})", cannot_tune_);
    return;
  }
  FineTuneRequest request;
  request.teacher = &source_;
  Student student;
  student.model = &model;
  if (options_.shared > 0) student.frozen = front_weights(model, options_.shared);
  request.students.push_back(std::move(student));
  request.data = data_;
  request.options = options_.tuning;
  if (!has_batch_normalisation(model)) {  // steps must be small where nothing keeps activations in range
    request.options.adamw = true;
    request.options.learning_rate = std::min(request.options.learning_rate, 1e-3);
  }
  request.checkpoint = folder_ / (level.id() + ".checkpoint");
  Context inner = context;
  inner.progress = [&context](const std::string& what, double fraction) {
    context.report(what, 0.15 + 0.5 * fraction);
  };
  const FineTuneResult result = tuner_->tune(request, inner);
  if (!result.finished) return;
  note_ += fmt::format(", {} steps of fine-tuning{}", result.steps, result.stopped_early ? " (stopped early)" : "");
  context.debug(fmt::format("{}: {}: held-out loss {:.4g} -> {:.4g} in {:.0f} s", source_.name, level.id(),
                            result.loss_before, result.loss_after, result.seconds));
}

}  // namespace rtmdl
