#include "scaling/slim.h"

#include "base/units.h"
#include "model/edit.h"
#include "model/fold.h"
#include "scaling/calibrate.h"
#include "scaling/shared_grid.h"
#include "scaling/source_indices.h"

#include <rtmdl/error.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include <fmt/format.h>

namespace rtmdl {
namespace {

/// A constant that these make may be far larger than what describes it.
const std::set<std::string> kGrowing{"ConstantOfShape", "Expand", "Tile", "Pad", "Resize", "Upsample", "OneHot"};
constexpr std::size_t kLargeConstant = 4096;

/// Source with weights as initializers; batch normalisations stay nodes, since fine-tuning wants them.
Model trainable(Engine& engine, const ScaleRequest& request) {
  Model model = load_model(request.model);
  normalise(model);
  std::vector<std::string> constants;
  for (const int i : constant_nodes(model)) {
    const auto& outputs = model.graph().node(i).output();
    constants.insert(constants.end(), outputs.begin(), outputs.end());
  }
  const auto values = values_of(engine, model, load_request_of(request), constants, request.folder);
  const Links links(model);
  fold_constants(model, [&](const std::string& name) -> const Tensor* {
    const auto it = values.find(name);
    if (it == values.end()) return nullptr;
    const int maker = links.producer(name);
    const bool grows = maker >= 0 && kGrowing.contains(model.graph().node(maker).op_type());
    return grows && it->second.bytes.size() > kLargeConstant ? nullptr : &it->second;
  });
  cut_unused_taps(model, specs_of(engine, model, load_request_of(request), request.folder));
  return model;
}

/// Progress from `low` to `high` of the whole.
Context part(const Context& whole, double low, double high) {
  Context context = whole;
  context.progress = [&whole, low, high](const std::string& what, double fraction) {
    whole.report(what, low + (high - low) * fraction);
  };
  return context;
}

/// What `narrow` has of `wide`, both given by their positions in the source; of these initializers only.
SourceIndices within(const SourceIndices& narrow, const SourceIndices& wide, const std::set<std::string>& names) {
  SourceIndices found;
  for (const std::string& name : names) {
    const auto n = narrow.find(name);
    auto& axes = found[name];  // with no axis listed: the same tensor
    if (n == narrow.end()) continue;
    const auto w = wide.find(name);
    axes = n->second;
    for (std::size_t a = 0; w != wide.end() && a < axes.size(); ++a) {
      const auto& of = w->second.at(a);
      if (of.empty()) continue;
      for (std::int64_t& i : axes[a]) i = std::find(of.begin(), of.end(), i) - of.begin();
    }
  }
  return found;
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
  source_macs_ = model_cost(source_, specs_of(engine_, source_, load_request_of(request_), request_.folder)).macs;
  if (tuner_ == nullptr || data_ == nullptr) cannot_tune_ = options_.why_not_tuned;
  else if (const auto why = tuner_->refuses(source_)) cannot_tune_ = *why;
  cutter_ = std::make_unique<Cutter>(engine_, request_, source_, cannot_tune_.empty() ? tuner_ : nullptr, data_);
  std::filesystem::create_directories(folder_);
}

std::filesystem::path Slimmer::file_of(const SlimLevel& level) const { return folder_ / (level.id() + ".onnx"); }

std::filesystem::path Slimmer::trunk_of(double width) const {
  return folder_ / fmt::format("trunk-{}.onnx", SlimLevel{width, 1}.id());
}

bool Slimmer::shares(const SlimLevel& level) const {
  return options_.shared > 0 && cannot_tune_.empty() && options_.widths.size() > 1 && level.depth == 1 &&
         std::find(options_.widths.begin(), options_.widths.end(), level.width) != options_.widths.end();
}

WeightScales Slimmer::shared_grid(const Model& model) const {
  const auto widest = trunk_of(*std::max_element(options_.widths.begin(), options_.widths.end()));
  if (!request_.wants("int8") || !std::filesystem::exists(widest)) return {};
  const Model wide = load_model(widest);
  const std::set<std::string> front = front_weights(wide, options_.shared);
  return grid_within(covering_grid(wide, front), within(read_indices(model), read_indices(wide), front), model);
}

std::string Slimmer::make_trunk(const Context& context) {
  std::vector<double> widths = options_.widths;
  std::sort(widths.begin(), widths.end(), std::greater<>());
  if (std::all_of(widths.begin(), widths.end(), [&](double w) { return std::filesystem::exists(trunk_of(w)); }))
    return {};
  std::vector<double> shares;
  for (const double w : widths) shares.push_back(w * w);
  const std::set<std::string> front = front_weights(source_, options_.shared);
  Cutter::Narrower narrower = cutter_->narrow(source_, shares, front, context);
  std::vector<Pruned>& forms = narrower.forms;
  if (!narrower.why_not.empty() || forms.empty()) return narrower.why_not;
  FineTuneRequest request = tuning(forms.front().model);
  for (Pruned& form : forms) {
    Student student;
    student.model = &form.model;
    if (&form != &forms.front()) student.shared = within(form.indices, forms.front().indices, front);
    request.students.push_back(std::move(student));
  }
  request.checkpoint = folder_ / "trunk.checkpoint";
  if (!tuner_->tune(request, part(context, 0.1, 0.4)).finished) return {};
  if (request_.wants("int8")) {  // before the forms are tuned, so that their other layers learn to live with it
    const WeightScales grid = covering_grid(forms.front().model, front);
    for (Pruned& form : forms)
      round_to_grid(form.model, grid_within(grid, within(form.indices, forms.front().indices, front), form.model));
  }
  for (std::size_t i = forms.size(); i-- > 0;) {  // the widest last: when it is there, all are
    write_indices(forms[i].model, forms[i].indices);
    save_model(forms[i].model, trunk_of(widths[i]));
  }
  return {};
}

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
    Start start;
    if (shares(level)) {
      outcome.refused = make_trunk(context);
      if (!outcome.refused.empty()) return outcome;
      outcome.finished = !context.stopping() && std::filesystem::exists(trunk_of(level.width));
      if (!outcome.finished) return outcome;
      start = {load_model(trunk_of(level.width)), level};
    } else {
      start = nearest(level);
    }
    form.model = std::move(start.model);
    indices_ = read_indices(form.model);
    note_.clear();
    reconstructed_ = false;
    if (level.depth != start.level.depth) {
      Cutter::Shorter shorter = cutter_->shorten(form.model, level.depth / start.level.depth,
                                                 front_weights(form.model, options_.shared), part(context, 0, 0.05));
      outcome.refused = shorter.why_not;
      if (!outcome.refused.empty()) return outcome;
      note_ = shorter.note;
      reconstructed_ = shorter.reconstructed;
      form.model = std::move(shorter.model);
    }
    if (level.width != start.level.width && !context.stopping()) {
      const double ratio = level.width / start.level.width;
      Cutter::Narrower narrower = cutter_->narrow(
          form.model, {ratio * ratio}, front_weights(form.model, options_.shared), part(context, 0.05, 0.15));
      outcome.refused = narrower.why_not;
      if (!outcome.refused.empty()) return outcome;
      reconstructed_ = reconstructed_ || narrower.reconstructed;
      for (Pruned& one : narrower.forms) {
        indices_ = compose(indices_, one.indices);
        form.model = std::move(one.model);
      }
    }
    if (!context.stopping()) describe(form.model);
    if (context.stopping() || !tune(form.model, level, context)) {
      outcome.finished = false;
      return outcome;
    }
    write_indices(form.model, indices_);
    form.note = note_;
    form.model.proto.set_doc_string(note_);
    save_model(form.model, file);
  }
  if (std::find(made_.begin(), made_.end(), level) == made_.end()) made_.push_back(level);
  if (shares(level)) form.weight_scales = shared_grid(form.model);
  outcome.form = std::move(form);
  return outcome;
}

/// How much of the source it is.
void Slimmer::describe(const Model& model) {
  const auto macs = model_cost(model, specs_of(engine_, model, load_request_of(request_), request_.folder)).macs;
  if (!note_.empty()) note_ += ", ";
  note_ += fmt::format(
      "{} of the multiply-accumulates",
      format_percent(static_cast<double>(macs) / static_cast<double>(std::max<std::int64_t>(1, source_macs_)), 0));
  if (reconstructed_) note_ += ", reconstructed";
}

FineTuneRequest Slimmer::tuning(const Model& model) const {
  FineTuneRequest request;
  request.teacher = &source_;
  request.data = data_;
  request.options = options_.tuning;
  if (!has_batch_normalisation(model)) {  // steps must be small where nothing keeps activations in range
    request.options.adamw = true;
    request.options.learning_rate = std::min(request.options.learning_rate, 1e-3);
  }
  return request;
}

bool Slimmer::tune(Model& model, const SlimLevel& level, const Context& context) {
  if (!cannot_tune_.empty()) {
    note_ += ", not fine-tuned";
    if (cannot_tune_ != options_.why_not_tuned) note_ += fmt::format(" ({})", cannot_tune_);
    return true;
  }
  FineTuneRequest request = tuning(model);
  const Model untuned = model;
  Student student;
  student.model = &model;
  if (options_.shared > 0) student.frozen = front_weights(model, options_.shared);
  request.students.push_back(std::move(student));
  request.checkpoint = folder_ / (level.id() + ".checkpoint");
  const FineTuneResult result = tuner_->tune(request, part(context, 0.4, 0.65));
  if (!result.finished) return false;
  const bool gained = result.loss_after < result.loss_before;
  if (!gained) model = untuned;
  note_ += gained ? "," : ", nothing gained by";
  note_ += fmt::format(" {} steps of fine-tuning{}", result.steps, result.stopped_early ? " (stopped early)" : "");
  if (options_.shared > 0)
    note_ += fmt::format(", the first {} of its layers shared", format_percent(options_.shared, 0));
  context.debug(fmt::format("{}: {}: held-out loss {:.4g} -> {:.4g} in {:.0f} s", source_.name, level.id(),
                            result.loss_before, result.loss_after, result.seconds));
  return true;
}

}  // namespace rtmdl
