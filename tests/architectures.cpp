#include "architectures.h"

#include "model/tensor_data.h"

#include <rtmdl/error.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace rtmdl::test {
namespace {

const std::filesystem::path kFolder = std::filesystem::path(RTMDL_SOURCE_DIR) / "tests" / "architectures";

/// SplitMix64 (Steele et al. 2014): one multiplication chain per value, and these models have millions of weights.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15ULL + 1) {}
  float between(float low, float high) {
    state_ += 0x9E3779B97F4A7C15ULL;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    return low + (high - low) * static_cast<float>((z ^ (z >> 31)) >> 40) * 0x1p-24F;
  }

 private:
  std::uint64_t state_;
};

struct Bounds {
  float low, high;
};

/// From what reads them: what a training would have made of weights in this place.
Bounds bounds(const onnx::NodeProto* reader, int place, const std::vector<std::int64_t>& shape) {
  const auto around = [](double fan_in) {
    const auto most = static_cast<float>(std::sqrt(3.0 * 1.6 / std::max(1.0, fan_in)));  // uniform: variance most² / 3
    return Bounds{-most, most};
  };
  const std::string op = reader == nullptr ? "" : reader->op_type();
  if (op == "BatchNormalization" || op == "InstanceNormalization" || op == "LayerNormalization") {
    if (place == 1) return {0.7F, 1.3F};
    return place == 4 ? Bounds{0.6F, 1.4F} : Bounds{-0.2F, 0.2F};
  }
  if (op == "PRelu") return {0.1F, 0.4F};
  double elements = 1;
  for (const std::int64_t d : shape) elements *= static_cast<double>(d);
  const bool vector = static_cast<double>(*std::max_element(shape.begin(), shape.end())) == elements;
  if (vector) return op == "Mul" ? Bounds{0.7F, 1.3F} : Bounds{-0.2F, 0.2F};
  if (op == "LSTM" || op == "GRU" || op == "RNN")
    return place == 3 ? Bounds{-0.1F, 0.1F} : around(static_cast<double>(shape.back()));
  if (op == "MatMul") return around(static_cast<double>(shape[shape.size() - 2]));
  return around(elements / static_cast<double>(shape[0]));
}

}  // namespace

std::vector<std::string> architectures() {
  std::vector<std::string> names;
  for (const auto& file : std::filesystem::directory_iterator(kFolder)) {
    if (file.path().extension() == ".onnx") names.push_back(file.path().stem().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

void fill_weights(Model& model, std::uint64_t seed) {
  Random random(seed);
  const Links links(model);
  std::vector<float> values;
  for (auto& tensor : *model.graph().mutable_initializer()) {
    if (tensor.data_type() != onnx::TensorProto::FLOAT || tensor.dims_size() == 0) continue;
    if (wrong_size(tensor).empty()) continue;
    const auto shape = dims(tensor);
    const onnx::NodeProto* reader = nullptr;
    int place = 0;
    if (const auto& readers = links.consumers(tensor.name()); !readers.empty()) {
      reader = &model.graph().node(readers.front());
      place = static_cast<int>(std::find(reader->input().begin(), reader->input().end(), tensor.name()) -
                               reader->input().begin());
    }
    const Bounds range = bounds(reader, place, shape);
    values.resize(element_count(shape));
    for (float& v : values) v = random.between(range.low, range.high);
    tensor = make_tensor(tensor.name(), shape, std::span<const float>(values));
  }
}

Model architecture(const std::string& name, std::uint64_t seed) {
  const auto path = kFolder / (name + ".onnx");
  std::ifstream file(path, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), {});
  Model model;
  model.name = name;
  if (bytes.empty() || !model.proto.ParseFromString(bytes)) bad_input(path.string() + " is no ONNX model");
  fill_weights(model, seed);
  check_model(model);
  return model;
}

}  // namespace rtmdl::test
