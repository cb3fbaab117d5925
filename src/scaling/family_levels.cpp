#include "scaling/family_levels.h"

#include "base/atomic_file.h"
#include "base/hash.h"
#include "model/sliced_weights.h"
#include "model/tensor_data.h"
#include "scaling/pack_family.h"

#include <rtmdl/error.h>

#include <fmt/format.h>

namespace rtmdl {
namespace {

using onnx::TensorProto;

template <typename To, typename From>
void take(std::string& raw, const From& values) {
  std::vector<To> typed(values.begin(), values.end());
  raw.assign(reinterpret_cast<const char*>(typed.data()), typed.size() * sizeof(To));
}

/// Data in the fields that the format has for each type become raw, the form that may lie in a file.
void make_raw(TensorProto& tensor) {
  std::string raw;
  switch (tensor.data_type()) {
    case TensorProto::FLOAT: take<float>(raw, tensor.float_data()); break;
    case TensorProto::DOUBLE: take<double>(raw, tensor.double_data()); break;
    case TensorProto::INT64: take<std::int64_t>(raw, tensor.int64_data()); break;
    case TensorProto::UINT64: take<std::uint64_t>(raw, tensor.uint64_data()); break;
    case TensorProto::UINT32: take<std::uint32_t>(raw, tensor.uint64_data()); break;
    case TensorProto::INT32: take<std::int32_t>(raw, tensor.int32_data()); break;
    case TensorProto::FLOAT16:
    case TensorProto::UINT16: take<std::uint16_t>(raw, tensor.int32_data()); break;
    case TensorProto::INT16: take<std::int16_t>(raw, tensor.int32_data()); break;
    case TensorProto::INT8: take<std::int8_t>(raw, tensor.int32_data()); break;
    case TensorProto::UINT8:
    case TensorProto::BOOL: take<std::uint8_t>(raw, tensor.int32_data()); break;
    default: return;
  }
  tensor.clear_float_data();
  tensor.clear_double_data();
  tensor.clear_int32_data();
  tensor.clear_int64_data();
  tensor.clear_uint64_data();
  tensor.set_raw_data(std::move(raw));
}

std::int64_t data_bytes(const TensorProto& tensor) {
  const auto type = element_type(tensor.data_type());
  return type && wrong_size(tensor).empty() ? tensor_bytes(dims(tensor), element_size(*type)) : 0;
}

}  // namespace

std::optional<Model> load_level(const std::filesystem::path& path) {
  Model model;
  try {
    model = load_model(path);
  } catch (const Error&) {
    std::error_code ec;
    if (!std::filesystem::is_regular_file(path, ec) || is_sliced_file(path)) throw;
    return std::nullopt;
  }
  for (TensorProto& tensor : *model.graph().mutable_initializer()) {
    if (data_bytes(tensor) < kSmallestShared) continue;
    if (!tensor.has_raw_data()) make_raw(tensor);
    tensor.clear_data_location();
  }
  return model;
}

std::vector<int> shareable(const Model& model) {
  std::vector<int> indices;
  for (int i = 0; i < model.graph().initializer_size(); ++i) {
    const TensorProto& tensor = model.graph().initializer(i);
    if (tensor.has_raw_data() && data_bytes(tensor) >= kSmallestShared) indices.push_back(i);
  }
  return indices;
}

std::string content_of(const std::filesystem::path& path) {
  const std::optional<Model> model = load_level(path);
  return model ? sha256(serialize(*model)) : sha256_of_file(path);
}

}  // namespace rtmdl
