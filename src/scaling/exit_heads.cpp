#include "scaling/exit_heads.h"

#include "model/edit.h"
#include "model/split.h"
#include "model/tensor_data.h"

#include <algorithm>
#include <array>
#include <optional>

#include <fmt/format.h>

namespace rtmdl {
namespace {

constexpr std::int64_t kMostChannels = 4096;

/// The finest grid of at most 4 × 4 cells that keeps within so many features.
std::int64_t cells(const ExitPlace& place, std::size_t side, std::size_t most) {
  for (const std::int64_t grid : {4, 2}) {
    const auto features = static_cast<std::size_t>(place.shape[1] * grid * grid);
    if (features <= most) return std::min(grid, place.shape[side]);
  }
  return 1;
}

class HeadWriter {
 public:
  HeadWriter(const Model& model, std::size_t most_features) : model_(model), most_(most_features) {}

  /// The names of what each place gives.
  std::vector<std::string> add_features(const std::vector<ExitPlace>& places) {
    std::vector<std::string> names;
    for (const ExitPlace& place : places) {
      begin(place.node);
      names.push_back(features(place, names.size() + 1));
    }
    return names;
  }

  std::vector<HeadSpan> add_heads(const std::vector<ExitHead>& heads, bool probabilities) {
    std::vector<HeadSpan> spans;
    for (const ExitHead& head : heads) {
      begin(head.place.node);
      HeadSpan span;
      span.begin = nodes_.size();
      span.output = classified(head, spans.size() + 1, probabilities);
      span.end = nodes_.size();
      spans.push_back(std::move(span));
    }
    return spans;
  }

  Model finish() {
    begin(model_.graph().node_size());
    model_.graph().mutable_node()->Swap(&nodes_);
    return std::move(model_);
  }

 private:
  /// Takes over the model's nodes before this one.
  void begin(int node) {
    for (; taken_ < node; ++taken_) *nodes_.Add() = model_.graph().node(taken_);
  }

  onnx::NodeProto& add(const char* op, const std::string& name, const std::vector<std::string>& inputs) {
    onnx::NodeProto& node = *nodes_.Add();
    node.set_op_type(op);
    node.set_name(unused_name(model_, name));
    for (const std::string& input : inputs) node.add_input(input);
    node.add_output(node.name());
    return node;
  }

  std::string features(const ExitPlace& place, std::size_t number) {
    const std::string name = fmt::format("exit_{}", number);
    std::string x = place.tensor;
    if (!place.dequantised_like.empty()) x = dequantised(place, name + "/float");
    if (place.shape.size() == 2) return x;
    const std::array<std::int64_t, 2> grid{cells(place, 2, most_), cells(place, 3, most_)};
    std::vector<std::int64_t> kernel, strides;  // windows that overlap where the side is no multiple
    for (std::size_t d = 0; d < 2; ++d) {
      const std::int64_t side = place.shape[d + 2];
      strides.push_back(side / grid[d]);
      kernel.push_back(side - (grid[d] - 1) * strides.back());
    }
    onnx::NodeProto& pool = add("AveragePool", name + "/cells", {x});
    set_attribute(pool, "kernel_shape", kernel);
    set_attribute(pool, "strides", strides);
    onnx::NodeProto& flat = add("Flatten", name + "/features", {pool.output(0)});
    set_attribute(flat, "axis", std::int64_t{1});
    return flat.output(0);
  }

  std::string dequantised(const ExitPlace& place, const std::string& name) {
    const auto& graph = model_.graph();
    const auto like = std::find_if(graph.node().begin(), graph.node().end(),
                                   [&](const auto& n) { return n.output(0) == place.dequantised_like; });
    onnx::NodeProto node = *like;
    node.set_name(unused_name(model_, name));
    node.set_output(0, node.name());
    *nodes_.Add() = node;
    return node.name();
  }

  std::string classified(const ExitHead& head, std::size_t number, bool probabilities) {
    const std::string name = fmt::format("exit_{}", number);
    const auto classes = static_cast<std::int64_t>(head.classifier.classes);
    const auto count = static_cast<std::int64_t>(head.classifier.features);
    const std::string x = features(head.place, number);
    const std::array<std::int64_t, 2> shape{classes, count};
    const std::string weights =
        add_constant(model_, make_tensor(name + "/weights", shape, std::span<const float>(head.classifier.weights)));
    const std::string bias = add_constant(
        model_, make_tensor(name + "/bias", Dims(&classes, 1), std::span<const float>(head.classifier.bias)));
    onnx::NodeProto& gemm = add("Gemm", probabilities ? name + "/logits" : name, {x, weights, bias});
    set_attribute(gemm, "transB", std::int64_t{1});
    const std::string answer = probabilities ? add("Softmax", name, {gemm.output(0)}).output(0) : gemm.output(0);
    onnx::ValueInfoProto& output = *model_.graph().add_output();
    output = model_.graph().output(0);
    output.set_name(answer);
    return answer;
  }

  Model model_;
  std::size_t most_;
  google::protobuf::RepeatedPtrField<onnx::NodeProto> nodes_;
  int taken_ = 0;
};

std::optional<ExitPlace> readable(const Model& model, const Links& links, const TensorSpecs& specs, const Seam& seam) {
  ExitPlace place;
  place.node = seam.node;
  place.tensor = seam.crossing.front();
  const auto spec = specs.find(place.tensor);
  if (spec == specs.end() || links.producer(place.tensor) < 0) return std::nullopt;
  place.shape = spec->second.shape;
  const auto output = specs.find(model.graph().output(0).name());
  if (place.shape.empty() || output == specs.end() || output->second.shape.empty() ||
      place.shape[0] != output->second.shape[0])
    return std::nullopt;  // its first dimension is not the batch: steps of a sequence, say
  if ((place.shape.size() != 2 && place.shape.size() != 4) || place.shape[1] > kMostChannels) return std::nullopt;
  if (spec->second.type == ElementType::f32) return place;
  for (const int reader : links.consumers(place.tensor)) {
    const auto& node = model.graph().node(reader);
    if (!is_op(node, "DequantizeLinear")) continue;
    place.dequantised_like = node.output(0);
    return place;
  }
  return std::nullopt;
}

}  // namespace

std::vector<ExitPlace> find_exit_places(const Model& model, const TensorSpecs& specs) {
  const auto& nodes = model.graph().node();
  int first = -1, last = -1;
  for (int i = 0; i < nodes.size(); ++i) {
    if (!is_heavy(nodes[i])) continue;
    if (first < 0) first = i;
    last = i;
  }
  const Links links(model);
  std::vector<ExitPlace> places;
  for (const Seam& seam : find_seams(model, 1)) {
    if (seam.node <= first || seam.node > last || parts_a_pair(model, links, seam)) continue;
    if (auto place = readable(model, links, specs, seam)) places.push_back(std::move(*place));
  }
  return places;
}

std::size_t head_features(const ExitPlace& place, std::size_t most) {
  if (place.shape.size() == 2) return static_cast<std::size_t>(place.shape[1]);
  return static_cast<std::size_t>(place.shape[1] * cells(place, 2, most) * cells(place, 3, most));
}

Model with_features(const Model& model, const std::vector<ExitPlace>& places, std::size_t most_features,
                    std::vector<std::string>& names) {
  HeadWriter writer(model, most_features);
  names = writer.add_features(places);
  names.push_back(model.graph().output(0).name());
  return with_outputs(writer.finish(), names);
}

Model with_heads(const Model& model, const std::vector<ExitHead>& heads, std::size_t most_features, bool probabilities,
                 std::vector<HeadSpan>& spans) {
  HeadWriter writer(model, most_features);
  spans = writer.add_heads(heads, probabilities);
  Model out = writer.finish();
  check_model(out);
  return out;
}

}  // namespace rtmdl
