#include "scaling/bias_correction.h"

#include "model/edit.h"
#include "model/tensor_data.h"

#include <cmath>

namespace rtmdl {
namespace {

constexpr const char* kRounded = "~rounded~";  ///< begins names of what runs beside the model

/// Adds the unit's layer on rounded inputs with rounded weights; gives the name of what it writes.
std::string add_rounded(Model& model, const onnx::NodeProto& node, const LinearWeights& w,
                        const std::vector<float>& scales, QuantParams input) {
  const std::string stem = kRounded + node.output(0);
  const auto q = round_weights(w, scales, exact_weight_limit());
  std::vector<float> rounded(q.size());
  for (std::size_t i = 0; i < q.size(); ++i) rounded[i] = static_cast<float>(q[i]) * scales[w.output_of(i)];
  auto& graph = model.graph();
  *graph.add_initializer() = make_tensor(stem + "/weights", w.shape, std::span<const float>(rounded));
  *graph.add_initializer() = make_scalar(stem + "/scale", input.scale);
  *graph.add_initializer() = make_tensor(stem + "/zero", {}, std::span<const std::uint8_t>(&input.zero, 1));
  std::string x = node.input(0);
  for (const char* op : {"QuantizeLinear", "DequantizeLinear"}) {
    auto& made = *graph.add_node();
    made.set_op_type(op);
    made.set_name(stem + "/" + op);
    for (const auto& name : {x, stem + "/scale", stem + "/zero"}) made.add_input(name);
    made.add_output(made.name());
    x = made.name();
  }
  onnx::NodeProto layer = node;
  layer.set_name(stem);
  layer.set_input(0, x);
  layer.set_input(1, stem + "/weights");
  layer.set_output(0, stem);
  *graph.add_node() = std::move(layer);
  return stem;
}

}  // namespace

BiasShifts measure_bias_shifts(Engine& engine, const Model& model, const LoadRequest& at,
                               const std::vector<Unit>& units, const std::vector<bool>& which, const Params& params,
                               const WeightScales& scales, const std::vector<InputSet>& sets,
                               const std::filesystem::path& folder, const Context& context) {
  const Links links(model);
  Model beside = model;
  std::vector<std::string> tensors;
  ChannelAxes axes;
  std::vector<std::pair<const Unit*, std::string>> pairs;
  for (std::size_t u = 0; u < units.size(); ++u) {
    const auto& node = model.graph().node(units[u].node);
    if (!which[u] || units[u].kind != UnitKind::linear || (!is_op(node, "Conv") && !is_op(node, "Gemm"))) continue;
    const auto w = linear_weights(node, links);
    const auto input = params.find(units[u].inputs[0]);
    const auto own = w ? scales.find(w->name) : scales.end();
    if (!w || input == params.end() || own == scales.end()) continue;
    const std::string rounded = add_rounded(beside, node, *w, own->second, input->second.read);
    for (const auto& name : {node.output(0), rounded}) {
      tensors.push_back(name);
      axes.emplace(name, 1);
    }
    pairs.emplace_back(&units[u], rounded);
  }
  if (pairs.empty()) return {};
  const Observed observed = observe(engine, beside, at, tensors, sets, folder, context, axes);
  BiasShifts shifts;
  for (const auto& [unit, rounded] : pairs) {
    const auto exact = observed.channels.find(model.graph().node(unit->node).output(0));
    const auto other = observed.channels.find(rounded);
    if (exact == observed.channels.end() || other == observed.channels.end()) continue;
    if (exact->second.mean.size() != other->second.mean.size()) continue;
    std::vector<double> shift(exact->second.mean.size());
    for (std::size_t c = 0; c < shift.size(); ++c) {
      const double d = other->second.mean[c] - exact->second.mean[c];
      shift[c] = std::isfinite(d) ? d : 0;
    }
    shifts.emplace(unit->outputs.front(), std::move(shift));
  }
  return shifts;
}

}  // namespace rtmdl
