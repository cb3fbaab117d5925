#include "scaling/reconstruct.h"

#include "model/edit.h"
#include "model/tensor_data.h"
#include "scaling/calibrate.h"

#include <Eigen/Cholesky>
#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <optional>

namespace rtmdl {
namespace {

using Matrix = Eigen::MatrixXf;  // column-major
using Vector = Eigen::VectorXf;
using Indices = std::vector<std::int64_t>;

constexpr std::int64_t kChannelsMax = 2048;
constexpr std::int64_t kRowsPerChannel = 8;
constexpr std::int64_t kRowsLeast = 4096;
constexpr std::int64_t kRowsPerSet = 128;  ///< neighbouring positions tell little more
constexpr std::int64_t kSetsLeast = 8;
constexpr float kRidges[] = {1e-4F, 1e-3F, 1e-2F, 1e-1F};  ///< of the mean variance of the kept channels

/// Where a layer's channels lie. Inputs and outputs are the first two dimensions of the weights, in either order.
struct Layout {
  std::size_t input_axis = 0, output_axis = 0;  ///< of the weights
  int channel_axis = 1;                         ///< of the tensor that it reads
  bool constant_part = false;                   ///< it has a bias, or may be given one
};

struct Reader {
  int node = 0;  ///< of the pruned model
  Layout layout;
  std::vector<std::int64_t> shape;  ///< of the weights before
  std::vector<float> weights;       ///< before
  Indices outputs;                  ///< what was kept of them
};

/// Readers of one tensor that have the same of its channels left (all of them, where only what is upstream changed).
struct Loss {
  std::string before, after;  ///< the tensor in either model
  int axis = 1;
  std::int64_t channels = 0;
  Indices kept;
  std::vector<Reader> readers;
};

/// One row a position, one column a channel; inputs in turns for the fit and for its check.
using Rows = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
struct Samples {
  std::vector<float> fit, check;
};

/// Moments of what the pruned model has in a place (x) and of what was there before (y).
struct Moments {
  Matrix xx, xy;
  Vector x, y;
};

std::optional<Layout> layout_of(const onnx::NodeProto& node, const onnx::TensorProto& weights) {
  Layout layout;
  const std::int64_t group = attribute_or(node, "group", std::int64_t{1});
  if (is_op(node, "Conv") || is_op(node, "ConvTranspose")) {
    if (group != 1 || weights.dims_size() < 3) return std::nullopt;
    const bool transposed = is_op(node, "ConvTranspose");
    layout.input_axis = transposed ? 0 : 1;
    layout.output_axis = transposed ? 1 : 0;
    layout.constant_part = true;
    return layout;
  }
  if (weights.dims_size() != 2) return std::nullopt;
  if (is_op(node, "Gemm") && attribute_or(node, "transA", std::int64_t{0}) == 0) {
    const bool transposed = attribute_or(node, "transB", std::int64_t{0}) != 0;
    layout.input_axis = transposed ? 1 : 0;
    layout.output_axis = transposed ? 0 : 1;
    layout.constant_part = attribute_or(node, "alpha", 1.0F) == 1 && attribute_or(node, "beta", 1.0F) == 1;
    return layout;
  }
  if (is_op(node, "MatMul")) {
    layout.channel_axis = -1;
    layout.output_axis = 1;
    return layout;
  }
  return std::nullopt;
}

Indices kept_along(const SourceIndices& indices, const std::string& name, std::size_t axis, std::int64_t size) {
  const auto of = indices.find(name);
  if (of != indices.end() && axis < of->second.size() && !of->second[axis].empty()) return of->second[axis];
  Indices all(static_cast<std::size_t>(size));
  std::iota(all.begin(), all.end(), 0);
  return all;
}

/// Layers of the pruned model by the tensor that they read; in the order of the graph.
std::vector<Loss> losses(const Model& model, const TensorSpecs& specs, const Pruned& pruned,
                         const std::set<std::string>& exempt, Readers readers) {
  const Links before(model), after(pruned.model);
  std::map<std::string, const onnx::NodeProto*> same;
  for (const auto& node : model.graph().node()) same.emplace(node.name(), &node);
  std::vector<Loss> found;
  for (int i = 0; i < pruned.model.graph().node_size(); ++i) {
    const auto& node = pruned.model.graph().node(i);
    const auto was = same.find(node.name());
    if (was == same.end() || node.input_size() < 2 || was->second->op_type() != node.op_type()) continue;
    const std::string& name = node.input(1);
    const std::string& tensor = was->second->input(0);
    const auto* weights = before.constant(was->second->input(1));
    if (weights == nullptr || after.constant(name) == nullptr || !after.private_to_one(name) || exempt.contains(name) ||
        weights->data_type() != onnx::TensorProto_DataType_FLOAT || before.constant(tensor) != nullptr ||
        !specs.contains(tensor))
      continue;
    const auto layout = layout_of(node, *weights);
    if (!layout) continue;
    const std::int64_t channels = weights->dims(static_cast<int>(layout->input_axis));
    const Indices kept = kept_along(pruned.indices, name, layout->input_axis, channels);
    if (channels > kChannelsMax || (readers == Readers::of_lost_only && std::ssize(kept) == channels)) continue;
    Reader reader{i, *layout, dims(*weights), floats(*weights).value_or(std::vector<float>()), {}};
    reader.outputs = kept_along(pruned.indices, name, layout->output_axis, reader.shape[layout->output_axis]);
    if (reader.weights.empty()) continue;
    const auto known = std::find_if(found.begin(), found.end(), [&](const Loss& l) {
      return l.before == tensor && l.after == node.input(0) && l.kept == kept && l.axis == layout->channel_axis;
    });
    Loss& loss = known != found.end() ? *known : found.emplace_back();
    if (loss.readers.empty()) loss = {tensor, node.input(0), layout->channel_axis, channels, kept, {}};
    loss.readers.push_back(std::move(reader));
  }
  return found;
}

/// Appends `rows` positions at even distances.
void add_rows(std::vector<float>& to, std::span<const float> values, const std::vector<std::int64_t>& shape, int axis,
              std::int64_t rows) {
  const auto dimension = static_cast<std::size_t>(axis < 0 ? axis + static_cast<int>(shape.size()) : axis);
  const std::int64_t channels = shape.at(dimension);
  const auto inner = static_cast<std::int64_t>(element_count(std::span(shape).subspan(dimension + 1)));
  const std::int64_t positions = static_cast<std::int64_t>(values.size()) / channels;
  rows = std::min(rows, positions);
  for (std::int64_t r = 0; r < rows; ++r) {
    const std::int64_t position = r * positions / rows;
    const float* from = values.data() + position / inner * channels * inner + position % inner;
    for (std::int64_t c = 0; c < channels; ++c) to.push_back(from[c * inner]);
  }
}

/// Products of the readers' weights over outputs and positions of the kernel: what an error of their inputs costs.
Matrix cost_of(const Loss& loss) {
  const auto channels = static_cast<std::size_t>(loss.channels);
  Matrix cost = Matrix::Zero(loss.channels, loss.channels);
  for (const Reader& reader : loss.readers) {
    const std::size_t outer = element_count(std::span(reader.shape).first(reader.layout.input_axis));
    const std::size_t inner = element_count(std::span(reader.shape).subspan(reader.layout.input_axis + 1));
    for (std::size_t o = 0; o < outer; ++o) {
      const Eigen::Map<const Rows> w(reader.weights.data() + o * channels * inner, loss.channels,
                                     static_cast<Eigen::Index>(inner));
      cost.selfadjointView<Eigen::Lower>().rankUpdate(w);
    }
  }
  return cost.selfadjointView<Eigen::Lower>();
}

Moments moments_of(const std::vector<float>& after, const std::vector<float>& before, const Loss& loss, bool centred) {
  const auto kept = static_cast<Eigen::Index>(loss.kept.size());
  const Eigen::Map<const Rows> x(after.data(), std::ssize(after) / kept, kept);
  const Eigen::Map<const Rows> y(before.data(), std::ssize(before) / loss.channels, loss.channels);
  const auto rows = static_cast<float>(x.rows());
  Moments m;
  m.x = x.colwise().mean().transpose();
  m.y = y.colwise().mean().transpose();
  m.xx = x.transpose() * x / rows;
  m.xy = x.transpose() * y / rows;
  if (centred) {
    m.xx -= m.x * m.x.transpose();
    m.xy -= m.x * m.y.transpose();
  }
  return m;
}

struct Regression {
  Matrix factors;    ///< kept × channels before
  Vector constants;  ///< of the channels before; empty: none
};

Matrix solve(const Moments& m, float ridge) {
  Matrix xx = m.xx;
  xx.diagonal().array() += std::max(ridge * m.xx.diagonal().mean(), 1e-12F);
  return xx.ldlt().solve(m.xy);
}

/// Up to a constant.
double error_of(const Matrix& factors, const Moments& check, const Matrix& cost) {
  const Matrix left = factors.transpose() * (check.xx * factors - 2 * check.xy);
  return (cost.array() * left.array()).cast<double>().sum();
}

std::optional<Regression> regress(const Loss& loss, const Samples& before, const Samples& after, bool centred) {
  const auto kept = loss.kept.size(), channels = static_cast<std::size_t>(loss.channels);
  if (after.fit.empty() || after.check.empty() || after.fit.size() / kept != before.fit.size() / channels ||
      after.check.size() / kept != before.check.size() / channels)
    return std::nullopt;
  const Moments fit = moments_of(after.fit, before.fit, loss, centred);
  const Moments check = moments_of(after.check, before.check, loss, centred);
  if (!fit.xy.allFinite() || !check.xy.allFinite() || !fit.xx.allFinite() || !check.xx.allFinite()) return std::nullopt;
  const Matrix cost = cost_of(loss);
  Regression found;
  found.factors = Matrix::Zero(static_cast<Eigen::Index>(kept), loss.channels);  // as pruning leaves them
  for (std::size_t k = 0; k < kept; ++k) found.factors(static_cast<Eigen::Index>(k), loss.kept[k]) = 1;
  double least = error_of(found.factors, check, cost);
  for (const float ridge : kRidges) {
    const Matrix factors = solve(fit, ridge);
    const double error = error_of(factors, check, cost);
    if (std::isfinite(error) && error < least) least = error, found.factors = factors;
  }
  if (centred) {
    const Vector x = (fit.x + check.x) / 2, y = (fit.y + check.y) / 2;
    found.constants = y - found.factors.transpose() * x;
  }
  return found;
}

/// Adds to the bias of a layer of `outputs` channels; gives it one if it has none.
void add_to_bias(Model& model, int node_index, const std::vector<float>& shift) {
  const auto shape = static_cast<std::int64_t>(shift.size());
  auto& node = *model.graph().mutable_node(node_index);
  std::vector<float> bias = shift;
  if (node.input_size() > 2 && !node.input(2).empty()) {
    const Links links(model);
    const auto old = floats(*links.constant(node.input(2))).value();
    for (std::size_t i = 0; i < bias.size(); ++i) bias[i] += old[i];
    for (auto& tensor : *model.graph().mutable_initializer())
      if (tensor.name() == node.input(2)) {
        const auto kept_shape = dims(tensor);
        tensor = make_tensor(tensor.name(), kept_shape, std::span<const float>(bias));
      }
    return;
  }
  const std::string name =
      add_constant(model, make_tensor(node.name() + "/bias", std::span(&shape, 1), std::span<const float>(bias)));
  while (node.input_size() < 3) node.add_input();
  node.set_input(2, name);
}

/// Whether a constant can be added to the layer's output without touching anything else.
bool takes_constant(const Model& model, const Reader& reader, const std::set<std::string>& exempt) {
  if (!reader.layout.constant_part) return false;
  const auto& node = model.graph().node(reader.node);
  if (node.input_size() < 3 || node.input(2).empty()) return true;
  const Links links(model);
  const auto* bias = links.constant(node.input(2));
  return bias != nullptr && links.private_to_one(node.input(2)) && !exempt.contains(node.input(2)) &&
         bias->data_type() == onnx::TensorProto_DataType_FLOAT && element_count(dims(*bias)) == reader.outputs.size();
}

/// The weights, of the outputs that were kept, as one matrix: outputs and positions of the kernel × inputs before.
Matrix unfolded(const Reader& reader, std::size_t pixels) {
  const std::size_t in = reader.layout.input_axis;
  const auto inputs = static_cast<std::size_t>(reader.shape[in]), outputs = reader.outputs.size();
  const auto all_outputs = static_cast<std::size_t>(reader.shape[reader.layout.output_axis]);
  Matrix w(static_cast<Eigen::Index>(outputs * pixels), static_cast<Eigen::Index>(inputs));
  for (std::size_t i = 0; i < inputs; ++i)
    for (std::size_t o = 0; o < outputs; ++o)
      for (std::size_t p = 0; p < pixels; ++p) {
        const auto from = static_cast<std::size_t>(reader.outputs[o]);
        w(static_cast<Eigen::Index>(o * pixels + p), static_cast<Eigen::Index>(i)) =
            reader.weights[(in == 0 ? i * all_outputs + from : from * inputs + i) * pixels + p];
      }
  return w;
}

void replace_weights(Model& model, const Reader& reader, const Matrix& w, std::size_t pixels) {
  const std::size_t in = reader.layout.input_axis, out = reader.layout.output_axis;
  const std::size_t outputs = reader.outputs.size(), inputs = static_cast<std::size_t>(w.cols());
  std::vector<std::int64_t> shape = reader.shape;
  shape[in] = w.cols();
  shape[out] = std::ssize(reader.outputs);
  std::vector<float> values(static_cast<std::size_t>(w.size()));
  for (std::size_t i = 0; i < inputs; ++i)
    for (std::size_t o = 0; o < outputs; ++o)
      for (std::size_t p = 0; p < pixels; ++p)
        values[(in == 0 ? i * outputs + o : o * inputs + i) * pixels + p] =
            w(static_cast<Eigen::Index>(o * pixels + p), static_cast<Eigen::Index>(i));
  const std::string name = model.graph().node(reader.node).input(1);
  for (auto& tensor : *model.graph().mutable_initializer())
    if (tensor.name() == name) tensor = make_tensor(name, shape, std::span<const float>(values));
}

void apply(Model& model, const Reader& reader, const Regression& regression) {
  const std::size_t pixels = element_count(reader.shape) / static_cast<std::size_t>(reader.shape[0]) /
                             static_cast<std::size_t>(reader.shape[1]);
  const Matrix before = unfolded(reader, pixels);
  replace_weights(model, reader, before * regression.factors.transpose(), pixels);
  if (regression.constants.size() == 0) return;
  const Vector moved = before * regression.constants;
  std::vector<float> shift(reader.outputs.size(), 0);
  for (std::size_t i = 0; i < static_cast<std::size_t>(moved.size()); ++i)
    shift[i / pixels] += moved(static_cast<Eigen::Index>(i));
  add_to_bias(model, reader.node, shift);
}

/// So many of the sets as the rows ask for; of either model the same ones.
std::span<const InputSet> enough(std::span<const InputSet> sets, const Loss& loss, std::int64_t positions) {
  const std::int64_t rows = std::max(kRowsLeast, kRowsPerChannel * loss.channels);
  const std::int64_t wanted = std::max(kSetsLeast, rows / std::clamp<std::int64_t>(positions, 1, kRowsPerSet));
  return sets.first(std::min(sets.size(), static_cast<std::size_t>(wanted)));
}

}  // namespace

int reconstruct(Engine& engine, const Model& model, const TensorSpecs& specs, Pruned& pruned,
                const std::set<std::string>& exempt, Readers readers, const LoadRequest& at,
                std::span<const InputSet> sets, const std::filesystem::path& folder, const Context& context) {
  if (sets.size() < 2) return 0;  // nothing to check a fit with
  const std::vector<Loss> all = losses(model, specs, pruned, exempt, readers);
  int changed = 0;
  for (std::size_t i = 0; i < all.size() && !context.stopping(); ++i) {
    const Loss& loss = all[i];
    context.report("reconstruction of layers", static_cast<double>(i) / static_cast<double>(all.size()));
    const auto positions = static_cast<std::int64_t>(element_count(specs.at(loss.before).shape)) / loss.channels;
    const std::span<const InputSet> used = enough(sets, loss, positions);
    const std::int64_t rows =
        std::max<std::int64_t>(kRowsPerSet, kRowsPerChannel * loss.channels / std::ssize(used) + 1);
    const auto sample = [&](const Model& of, const std::string& tensor) {
      Samples samples;
      std::size_t sets_seen = 0;
      visit_values(
          engine, of, at, {tensor}, used, folder, context, [&](const TensorSpec& spec, std::span<const float> values) {
            if (spec.name == tensor)
              add_rows(sets_seen++ % 2 == 0 ? samples.fit : samples.check, values, spec.shape, loss.axis, rows);
          });
      return samples;
    };
    const Samples before = sample(model, loss.before), after = sample(pruned.model, loss.after);
    if (context.stopping()) break;
    if (before.fit == after.fit && before.check == after.check) continue;  // nothing upstream changed
    const bool constant = std::all_of(loss.readers.begin(), loss.readers.end(),
                                      [&](const Reader& r) { return takes_constant(pruned.model, r, exempt); });
    const auto regression = regress(loss, before, after, constant);
    if (!regression) continue;
    for (const Reader& reader : loss.readers) apply(pruned.model, reader, *regression);
    changed += static_cast<int>(loss.readers.size());
  }
  return changed;
}

}  // namespace rtmdl
