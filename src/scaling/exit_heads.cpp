#include "scaling/exit_heads.h"

#include "model/edit.h"
#include "model/tensor_data.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

namespace rtmdl {
namespace {

constexpr std::size_t kMostFineFeatures = 2048;

class HeadWriter {
 public:
  explicit HeadWriter(const Model& model) : model_(model) {}

  /// The names of what each gives.
  std::vector<std::string> add_readings(const std::vector<ExitReading>& readings) {
    std::vector<std::string> names;
    for (const ExitReading& reading : readings) {
      begin(reading.place.node);
      const std::string name = fmt::format("exit_{}", names.size() + 1);
      names.push_back(flat(reading.place, cells(reading, name), name));
    }
    return names;
  }

  std::vector<HeadSpan> add_heads(const std::vector<ExitHead>& heads, bool probabilities) {
    std::vector<HeadSpan> spans;
    for (const ExitHead& head : heads) {
      begin(head.reading.place.node);
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

  /// Averages over the grid, if it is coarser than what is there.
  std::string cells(const ExitReading& reading, const std::string& name) {
    const ExitPlace& place = reading.place;
    std::string x = place.tensor;
    if (!place.dequantised_like.empty()) x = dequantised(place, name + "/float");
    if (place.shape.size() == 2) return x;
    std::vector<std::int64_t> kernel, strides;  // windows that overlap where the side is no multiple
    for (std::size_t d = 0; d < 2; ++d) {
      const std::int64_t side = place.shape[d + 2];
      strides.push_back(side / reading.grid[d]);
      kernel.push_back(side - (reading.grid[d] - 1) * strides.back());
    }
    if (kernel == std::vector<std::int64_t>{1, 1}) return x;
    onnx::NodeProto& pool = add("AveragePool", name + "/cells", {x});
    set_attribute(pool, "kernel_shape", kernel);
    set_attribute(pool, "strides", strides);
    return pool.output(0);
  }

  std::string flat(const ExitPlace& place, const std::string& x, const std::string& name) {
    if (place.shape.size() == 2) return x;
    onnx::NodeProto& node = add("Flatten", name + "/features", {x});
    set_attribute(node, "axis", std::int64_t{1});
    return node.output(0);
  }

  std::string convolved(const ExitHead& head, const std::string& x, const std::string& name) {
    const HeadConvolution& c = *head.convolution;
    const auto hidden = static_cast<std::int64_t>(c.hidden);
    const std::array<std::int64_t, 4> shape{hidden, head.reading.place.shape[1], 3, 3};
    const std::string weights =
        add_constant(model_, make_tensor(name + "/kernel", shape, std::span<const float>(c.weights)));
    const std::string bias =
        add_constant(model_, make_tensor(name + "/shift", Dims(&hidden, 1), std::span<const float>(c.bias)));
    onnx::NodeProto& conv = add("Conv", name + "/convolution", {x, weights, bias});
    set_attribute(conv, "kernel_shape", std::vector<std::int64_t>{3, 3});
    set_attribute(conv, "strides", std::vector<std::int64_t>(2, static_cast<std::int64_t>(c.stride)));
    set_attribute(conv, "pads", std::vector<std::int64_t>(4, 1));
    return add("Relu", name + "/hidden", {conv.output(0)}).output(0);
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
    std::string x = cells(head.reading, name);
    if (head.convolution) x = convolved(head, x, name);
    x = flat(head.reading.place, x, name);
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
  google::protobuf::RepeatedPtrField<onnx::NodeProto> nodes_;
  int taken_ = 0;
};

}  // namespace

ExitReading coarse_reading(const ExitPlace& place, std::size_t most) {
  if (place.shape.size() == 2) return {place};
  for (const std::int64_t side : {4, 2}) {
    ExitReading reading{place, {std::min(side, place.shape[2]), std::min(side, place.shape[3])}};
    if (static_cast<std::size_t>(place.shape[1] * side * side) <= most) return reading;
  }
  return {place};
}

std::optional<ExitReading> fine_reading(const ExitPlace& place) {
  if (place.shape.size() != 4) return std::nullopt;
  for (const std::int64_t side : {8, 4}) {
    ExitReading reading{place, {std::min(side, place.shape[2]), std::min(side, place.shape[3])}, true};
    const bool a_picture = std::min(reading.grid[0], reading.grid[1]) >= 4;
    if (a_picture && reading.features() <= kMostFineFeatures) return reading;
  }
  return std::nullopt;
}

Model with_readings(const Model& model, const std::vector<ExitReading>& readings, std::vector<std::string>& names) {
  HeadWriter writer(model);
  names = writer.add_readings(readings);
  names.push_back(model.graph().output(0).name());
  return with_outputs(writer.finish(), names);
}

Model with_heads(const Model& model, const std::vector<ExitHead>& heads, bool probabilities,
                 std::vector<HeadSpan>& spans) {
  HeadWriter writer(model);
  spans = writer.add_heads(heads, probabilities);
  Model out = writer.finish();
  check_model(out);
  return out;
}

}  // namespace rtmdl
