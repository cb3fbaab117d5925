#pragma once
/// Small networks and data for the tests of training.

#include "data/idx_file.h"
#include "model/model.h"
#include "model/tensor_data.h"
#include "scaling/fine_tuner.h"

#include <cmath>
#include <cstdint>
#include <random>
#include <span>
#include <string>
#include <vector>

namespace rtmdl::test {

/// Writes a graph node by node; weights are normal, seeded.
class GraphWriter {
 public:
  explicit GraphWriter(std::int64_t opset = 17, std::uint32_t seed = 1) : random_(seed) {
    model_.name = "small";
    model_.proto.set_ir_version(8);
    model_.proto.add_opset_import()->set_version(opset);
    model_.graph().set_name("small");
  }

  void input(const std::string& name, const std::vector<std::int64_t>& shape) {
    value(model_.graph().add_input(), name, shape);
  }
  void output(const std::string& name, const std::vector<std::int64_t>& shape) {
    value(model_.graph().add_output(), name, shape);
  }
  /// Of whatever shape.
  void output(const std::string& name) {
    onnx::ValueInfoProto* info = model_.graph().add_output();
    info->set_name(name);
    info->mutable_type()->mutable_tensor_type()->set_elem_type(onnx::TensorProto::FLOAT);
  }
  std::string weight(const std::string& name, const std::vector<std::int64_t>& shape, float deviation, float mean = 0) {
    std::size_t size = 1;
    for (const std::int64_t d : shape) size *= static_cast<std::size_t>(d);
    std::normal_distribution<float> draw(0, 1);
    std::vector<float> values(size);
    for (float& v : values) v = mean + deviation * draw(random_);
    *model_.graph().add_initializer() = make_tensor(name, shape, std::span<const float>(values));
    return name;
  }
  std::string floats(const std::string& name, const std::vector<float>& values) {
    const std::vector<std::int64_t> shape{static_cast<std::int64_t>(values.size())};
    *model_.graph().add_initializer() = make_tensor(name, shape, std::span<const float>(values));
    return name;
  }
  std::string integers(const std::string& name, const std::vector<std::int64_t>& values) {
    const std::vector<std::int64_t> shape{static_cast<std::int64_t>(values.size())};
    *model_.graph().add_initializer() = make_tensor(name, shape, std::span<const std::int64_t>(values));
    return name;
  }
  onnx::NodeProto& node(const std::string& op, const std::vector<std::string>& inputs,
                        const std::vector<std::string>& outputs) {
    onnx::NodeProto& n = *model_.graph().add_node();
    n.set_op_type(op);
    n.set_name(outputs.front() + "_" + op);
    for (const std::string& i : inputs) n.add_input(i);
    for (const std::string& o : outputs) n.add_output(o);
    return n;
  }
  /// Convolution 3x3 with padding and stride, its batch normalisation, Relu.
  std::string unit(const std::string& name, const std::string& from, std::int64_t in, std::int64_t out,
                   std::int64_t stride) {
    onnx::NodeProto& conv =
        node("Conv", {from, weight(name + ".w", {out, in, 3, 3}, std::sqrt(2.F / static_cast<float>(9 * in)))},
             {name + ".c"});
    set_attribute(conv, "pads", std::vector<std::int64_t>{1, 1, 1, 1});
    set_attribute(conv, "strides", std::vector<std::int64_t>{stride, stride});
    node("BatchNormalization",
         {name + ".c", weight(name + ".scale", {out}, 0, 1), weight(name + ".shift", {out}, 0),
          weight(name + ".mean", {out}, 0), weight(name + ".variance", {out}, 0, 1)},
         {name + ".n"});
    node("Relu", {name + ".n"}, {name});
    return name;
  }
  [[nodiscard]] Model take() { return std::move(model_); }

 private:
  static void value(onnx::ValueInfoProto* info, const std::string& name, const std::vector<std::int64_t>& shape) {
    info->set_name(name);
    auto* type = info->mutable_type()->mutable_tensor_type();
    type->set_elem_type(onnx::TensorProto::FLOAT);
    for (const std::int64_t d : shape) {
      if (d < 0) type->mutable_shape()->add_dim()->set_dim_param("N");
      else type->mutable_shape()->add_dim()->set_dim_value(d);
    }
  }
  Model model_;
  std::mt19937 random_;
};

/// Two units and a linear classifier on [N, 1, size, size]; `batch` -1: free.
inline Model classifier(std::int64_t first, std::int64_t second, std::int64_t size = 28, std::uint32_t seed = 1,
                        std::int64_t batch = -1, std::int64_t classes = 10) {
  GraphWriter w(17, seed);
  w.input("image", {batch, 1, size, size});
  w.unit("a", "image", 1, first, 2);
  w.unit("b", "a", first, second, 2);
  w.node("GlobalAveragePool", {"b"}, {"pooled"});
  w.node("Reshape", {"pooled", w.integers("flat", {batch < 0 ? 0 : batch, second})}, {"features"});
  onnx::NodeProto& gemm = w.node(
      "Gemm", {"features", w.weight("fc.w", {classes, second}, 0.3F), w.weight("fc.b", {classes}, 0)}, {"logits"});
  set_attribute(gemm, "transB", std::int64_t{1});
  w.output("logits", {batch, classes});
  return w.take();
}

inline std::vector<float> weights(const Model& model, const std::string& name) {
  for (const onnx::TensorProto& t : model.graph().initializer()) {
    if (t.name() == name) return floats(t).value();
  }
  return {};
}

/// What `model` is when tensors keep only these positions along these axes.
inline Model sliced(Model model, const SourceIndices& indices) {
  for (onnx::TensorProto& t : *model.graph().mutable_initializer()) {
    const auto found = indices.find(t.name());
    if (found == indices.end()) continue;
    const std::vector<std::int64_t> shape = dims(t);
    std::vector<float> values = rtmdl::floats(t).value();
    std::vector<std::int64_t> kept = shape;
    for (std::size_t axis = 0; axis < found->second.size(); ++axis) {
      const std::vector<std::int64_t>& at = found->second[axis];
      if (at.empty()) continue;
      std::size_t inner = 1, outer = 1;
      for (std::size_t d = 0; d < axis; ++d) outer *= static_cast<std::size_t>(kept[d]);
      for (std::size_t d = axis + 1; d < kept.size(); ++d) inner *= static_cast<std::size_t>(kept[d]);
      std::vector<float> next;
      for (std::size_t o = 0; o < outer; ++o) {
        for (const std::int64_t i : at) {
          const auto begin =
              values.begin() + static_cast<std::ptrdiff_t>(
                                   (o * static_cast<std::size_t>(kept[axis]) + static_cast<std::size_t>(i)) * inner);
          next.insert(next.end(), begin, begin + static_cast<std::ptrdiff_t>(inner));
        }
      }
      values = std::move(next);
      kept[axis] = static_cast<std::int64_t>(at.size());
    }
    t = make_tensor(t.name(), kept, std::span<const float>(values));
  }
  return model;
}

/// Of classifier(): these channels of its second unit.
inline SourceIndices second_unit(const std::vector<std::int64_t>& channels) {
  return {{"b.w", {channels, {}, {}, {}}}, {"b.scale", {channels}},    {"b.shift", {channels}},
          {"b.mean", {channels}},          {"b.variance", {channels}}, {"fc.w", {{}, channels}}};
}

inline Model narrowed(const Model& model, const std::vector<std::int64_t>& channels) {
  Model narrow = sliced(model, second_unit(channels));
  for (onnx::TensorProto& t : *narrow.graph().mutable_initializer()) {
    if (t.name() != "flat") continue;
    std::vector<std::int64_t> target = integers(t).value();
    target[1] = static_cast<std::int64_t>(channels.size());
    t = make_tensor("flat", dims(t), std::span<const std::int64_t>(target));
  }
  return narrow;
}

/// The first pictures of Fashion-MNIST's test set, pixel/255, one per example.
class Pictures : public TrainingData {
 public:
  explicit Pictures(std::size_t count, bool labelled = true) : count_(count), labelled_(labelled) {
    const std::string folder = std::string(RTMDL_SOURCE_DIR) + "/assets/data/fashion-mnist/";
    IdxReader pixels(folder + "t10k-images-idx3-ubyte");
    IdxReader labels(folder + "t10k-labels-idx1-ubyte");
    pixels_.resize(count * 784);
    labels_.resize(count);
    for (std::size_t i = 0; i < count; ++i) {
      pixels.read(&pixels_[i * 784]);
      labels.read(&labels_[i]);
    }
  }
  [[nodiscard]] std::size_t size() const override { return count_; }
  [[nodiscard]] Example at(std::size_t i) override {
    Example e;
    e.inputs.emplace_back(ElementType::f32, std::vector<std::int64_t>{1, 1, 28, 28});
    for (std::size_t k = 0; k < 784; ++k) e.inputs[0].as<float>()[k] = static_cast<float>(pixels_[i * 784 + k]) / 255;
    if (labelled_) e.labels = {labels_[i]};
    return e;
  }
  [[nodiscard]] bool labelled() const override { return labelled_; }
  [[nodiscard]] int classes() const override { return labelled_ ? 10 : 0; }
  [[nodiscard]] std::string fingerprint() const override { return "pictures " + std::to_string(count_); }

 private:
  std::vector<std::uint8_t> pixels_, labels_;
  std::size_t count_;
  bool labelled_;
};

}  // namespace rtmdl::test
