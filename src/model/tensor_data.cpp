#include "model/tensor_data.h"

#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <limits>

namespace rtmdl {
namespace {

using onnx::TensorProto;

/// Elements that the shape stands for; nothing if a dimension is negative or the product overflows.
std::optional<std::size_t> count(const TensorProto& tensor) {
  std::size_t n = 1;
  for (const std::int64_t d : tensor.dims()) {
    if (d < 0 || __builtin_mul_overflow(n, static_cast<std::size_t>(d), &n)) return std::nullopt;
  }
  if (n > std::numeric_limits<std::size_t>::max() / 16) return std::nullopt;
  return n;
}

float half_to_float(std::uint16_t h) {
  const int exponent = (h >> 10) & 31;
  const int mantissa = h & 1023;
  const float sign = (h & 0x8000) != 0 ? -1.0F : 1.0F;
  if (exponent == 0) return sign * std::ldexp(static_cast<float>(mantissa), -24);
  if (exponent == 31) return mantissa != 0 ? std::nanf("") : sign * std::numeric_limits<float>::infinity();
  return sign * std::ldexp(static_cast<float>(mantissa + 1024), exponent - 25);
}

template <typename T>
std::vector<T> raw(const TensorProto& tensor, std::size_t n) {
  std::vector<T> values(n);
  if (n > 0) std::memcpy(values.data(), tensor.raw_data().data(), n * sizeof(T));
  return values;
}

template <typename T>
TensorProto made(const std::string& name, Dims shape, std::span<const T> values, int type) {
  TensorProto tensor;
  tensor.set_name(name);
  tensor.set_data_type(type);
  for (const std::int64_t d : shape) tensor.add_dims(d);
  tensor.set_raw_data(values.data(), values.size_bytes());
  return tensor;
}

onnx::AttributeProto& fresh(onnx::NodeProto& node, const std::string& name, onnx::AttributeProto_AttributeType type) {
  remove_attribute(node, name);
  auto& a = *node.add_attribute();
  a.set_name(name);
  a.set_type(type);
  return a;
}

}  // namespace

std::optional<ElementType> element_type(int type) {
  switch (type) {
    case TensorProto::FLOAT: return ElementType::f32;
    case TensorProto::FLOAT16: return ElementType::f16;
    case TensorProto::DOUBLE: return ElementType::f64;
    case TensorProto::UINT8: return ElementType::u8;
    case TensorProto::INT8: return ElementType::i8;
    case TensorProto::UINT16: return ElementType::u16;
    case TensorProto::INT16: return ElementType::i16;
    case TensorProto::UINT32: return ElementType::u32;
    case TensorProto::INT32: return ElementType::i32;
    case TensorProto::UINT64: return ElementType::u64;
    case TensorProto::INT64: return ElementType::i64;
    case TensorProto::BOOL: return ElementType::boolean;
    default: return std::nullopt;
  }
}

int onnx_type(ElementType type) {
  switch (type) {
    case ElementType::f32: return TensorProto::FLOAT;
    case ElementType::f16: return TensorProto::FLOAT16;
    case ElementType::f64: return TensorProto::DOUBLE;
    case ElementType::u8: return TensorProto::UINT8;
    case ElementType::i8: return TensorProto::INT8;
    case ElementType::u16: return TensorProto::UINT16;
    case ElementType::i16: return TensorProto::INT16;
    case ElementType::u32: return TensorProto::UINT32;
    case ElementType::i32: return TensorProto::INT32;
    case ElementType::u64: return TensorProto::UINT64;
    case ElementType::i64: return TensorProto::INT64;
    case ElementType::boolean: return TensorProto::BOOL;
  }
  return TensorProto::UNDEFINED;
}

std::string wrong_size(const TensorProto& tensor) {
  const auto n = count(tensor);
  if (!n) return "a dimension is negative, or they are too many elements";
  const auto type = element_type(tensor.data_type());
  if (!type) return {};
  const auto expect = [&](std::size_t there, const char* unit, std::size_t wanted) {
    return there == wanted ? std::string() : fmt::format("{} {} where the shape needs {}", there, unit, wanted);
  };
  if (tensor.has_raw_data()) return expect(tensor.raw_data().size(), "bytes", *n * element_size(*type));
  const auto elements =
      static_cast<std::size_t>(tensor.float_data_size() + tensor.double_data_size() + tensor.int32_data_size() +
                               tensor.int64_data_size() + tensor.uint64_data_size());
  return expect(elements, "elements", *n);
}

std::optional<std::vector<float>> floats(const TensorProto& tensor) {
  if (!wrong_size(tensor).empty()) return std::nullopt;
  const std::size_t n = count(tensor).value_or(0);
  switch (tensor.data_type()) {
    case TensorProto::FLOAT:
      if (tensor.has_raw_data()) return raw<float>(tensor, n);
      if (static_cast<std::size_t>(tensor.float_data_size()) != n) return std::nullopt;
      return std::vector<float>(tensor.float_data().begin(), tensor.float_data().end());
    case TensorProto::DOUBLE: {
      if (tensor.has_raw_data()) {
        const auto values = raw<double>(tensor, n);
        return std::vector<float>(values.begin(), values.end());
      }
      if (static_cast<std::size_t>(tensor.double_data_size()) != n) return std::nullopt;
      return std::vector<float>(tensor.double_data().begin(), tensor.double_data().end());
    }
    case TensorProto::FLOAT16: {
      std::vector<float> values(n);
      if (tensor.has_raw_data()) {
        const auto halves = raw<std::uint16_t>(tensor, n);
        for (std::size_t i = 0; i < n; ++i) values[i] = half_to_float(halves[i]);
      } else {
        if (static_cast<std::size_t>(tensor.int32_data_size()) != n) return std::nullopt;
        for (std::size_t i = 0; i < n; ++i) {
          values[i] = half_to_float(static_cast<std::uint16_t>(tensor.int32_data(static_cast<int>(i))));
        }
      }
      return values;
    }
    default: return std::nullopt;
  }
}

std::optional<std::vector<std::int64_t>> integers(const TensorProto& tensor) {
  if (!wrong_size(tensor).empty()) return std::nullopt;
  const std::size_t n = count(tensor).value_or(0);
  if (tensor.data_type() == TensorProto::INT64) {
    if (tensor.has_raw_data()) return raw<std::int64_t>(tensor, n);
    if (static_cast<std::size_t>(tensor.int64_data_size()) != n) return std::nullopt;
    return std::vector<std::int64_t>(tensor.int64_data().begin(), tensor.int64_data().end());
  }
  if (tensor.data_type() == TensorProto::INT32) {
    if (tensor.has_raw_data()) {
      const auto values = raw<std::int32_t>(tensor, n);
      return std::vector<std::int64_t>(values.begin(), values.end());
    }
    if (static_cast<std::size_t>(tensor.int32_data_size()) != n) return std::nullopt;
    return std::vector<std::int64_t>(tensor.int32_data().begin(), tensor.int32_data().end());
  }
  return std::nullopt;
}

std::vector<std::int64_t> dims(const TensorProto& tensor) { return {tensor.dims().begin(), tensor.dims().end()}; }

TensorProto make_tensor(const std::string& name, Dims shape, std::span<const float> values) {
  return made(name, shape, values, TensorProto::FLOAT);
}
TensorProto make_tensor(const std::string& name, Dims shape, std::span<const std::int64_t> values) {
  return made(name, shape, values, TensorProto::INT64);
}
TensorProto make_tensor(const std::string& name, Dims shape, std::span<const std::int32_t> values) {
  return made(name, shape, values, TensorProto::INT32);
}
TensorProto make_tensor(const std::string& name, Dims shape, std::span<const std::int8_t> values) {
  return made(name, shape, values, TensorProto::INT8);
}
TensorProto make_tensor(const std::string& name, Dims shape, std::span<const std::uint8_t> values) {
  return made(name, shape, values, TensorProto::UINT8);
}
TensorProto make_scalar(const std::string& name, float value) {
  return made(name, {}, std::span<const float>(&value, 1), TensorProto::FLOAT);
}
std::optional<TensorProto> make_tensor(const std::string& name, const TensorView& view) {
  return made(name, view.shape, std::span<const std::byte>(view.bytes), onnx_type(view.type));
}

const onnx::AttributeProto* attribute(const onnx::NodeProto& node, std::string_view name) {
  for (const auto& a : node.attribute()) {
    if (a.name() == name) return &a;
  }
  return nullptr;
}

std::int64_t attribute_or(const onnx::NodeProto& node, std::string_view name, std::int64_t otherwise) {
  const auto* a = attribute(node, name);
  return a != nullptr && a->type() == onnx::AttributeProto_AttributeType_INT ? a->i() : otherwise;
}

float attribute_or(const onnx::NodeProto& node, std::string_view name, float otherwise) {
  const auto* a = attribute(node, name);
  return a != nullptr && a->type() == onnx::AttributeProto_AttributeType_FLOAT ? a->f() : otherwise;
}

std::string attribute_or(const onnx::NodeProto& node, std::string_view name, const char* otherwise) {
  const auto* a = attribute(node, name);
  return a != nullptr && a->type() == onnx::AttributeProto_AttributeType_STRING ? a->s() : otherwise;
}

std::vector<std::int64_t> integers_attribute(const onnx::NodeProto& node, std::string_view name) {
  const auto* a = attribute(node, name);
  if (a == nullptr) return {};
  return {a->ints().begin(), a->ints().end()};
}

void set_attribute(onnx::NodeProto& node, const std::string& name, std::int64_t value) {
  fresh(node, name, onnx::AttributeProto_AttributeType_INT).set_i(value);
}
void set_attribute(onnx::NodeProto& node, const std::string& name, float value) {
  fresh(node, name, onnx::AttributeProto_AttributeType_FLOAT).set_f(value);
}
void set_attribute(onnx::NodeProto& node, const std::string& name, const char* value) {
  fresh(node, name, onnx::AttributeProto_AttributeType_STRING).set_s(value);
}
void set_attribute(onnx::NodeProto& node, const std::string& name, std::span<const std::int64_t> values) {
  auto& a = fresh(node, name, onnx::AttributeProto_AttributeType_INTS);
  for (const std::int64_t value : values) a.add_ints(value);
}

void remove_attribute(onnx::NodeProto& node, std::string_view name) {
  for (int i = node.attribute_size() - 1; i >= 0; --i) {
    if (node.attribute(i).name() == name) node.mutable_attribute()->DeleteSubrange(i, 1);
  }
}

}  // namespace rtmdl
