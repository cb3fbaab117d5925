#pragma once
/// Weights and attributes: reading them whatever way the file stores them, and making new ones.

#include <rtmdl/tensor.h>

#include <onnx/onnx_pb.h>

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace rtmdl {

/// Empty if the data is as long as the shape says (or of a type that we never read); else what is wrong.
[[nodiscard]] std::string wrong_size(const onnx::TensorProto& tensor);
/// The elements as float (f32, f16, f64); nothing for other types and for damaged data.
[[nodiscard]] std::optional<std::vector<float>> floats(const onnx::TensorProto& tensor);
/// The elements as integers (i64, i32); nothing for other types and for damaged data.
[[nodiscard]] std::optional<std::vector<std::int64_t>> integers(const onnx::TensorProto& tensor);
[[nodiscard]] std::vector<std::int64_t> dims(const onnx::TensorProto& tensor);

using Dims = std::span<const std::int64_t>;
[[nodiscard]] onnx::TensorProto make_tensor(const std::string& name, Dims shape, std::span<const float> values);
[[nodiscard]] onnx::TensorProto make_tensor(const std::string& name, Dims shape, std::span<const std::int64_t> values);
[[nodiscard]] onnx::TensorProto make_tensor(const std::string& name, Dims shape, std::span<const std::int32_t> values);
[[nodiscard]] onnx::TensorProto make_tensor(const std::string& name, Dims shape, std::span<const std::int8_t> values);
[[nodiscard]] onnx::TensorProto make_tensor(const std::string& name, Dims shape, std::span<const std::uint8_t> values);
[[nodiscard]] onnx::TensorProto make_scalar(const std::string& name, float value);
/// From a tensor that a run gave. Nothing for element types that the format and we do not share.
[[nodiscard]] std::optional<onnx::TensorProto> make_tensor(const std::string& name, const TensorView& view);

[[nodiscard]] std::optional<ElementType> element_type(int onnx_type);
[[nodiscard]] int onnx_type(ElementType type);

[[nodiscard]] const onnx::AttributeProto* attribute(const onnx::NodeProto& node, std::string_view name);
[[nodiscard]] std::int64_t attribute_or(const onnx::NodeProto& node, std::string_view name, std::int64_t otherwise);
[[nodiscard]] float attribute_or(const onnx::NodeProto& node, std::string_view name, float otherwise);
[[nodiscard]] std::string attribute_or(const onnx::NodeProto& node, std::string_view name, const char* otherwise);
[[nodiscard]] std::vector<std::int64_t> integers_attribute(const onnx::NodeProto& node, std::string_view name);
void set_attribute(onnx::NodeProto& node, const std::string& name, std::int64_t value);
void set_attribute(onnx::NodeProto& node, const std::string& name, float value);
void set_attribute(onnx::NodeProto& node, const std::string& name, const char* value);
void set_attribute(onnx::NodeProto& node, const std::string& name, std::span<const std::int64_t> values);
void remove_attribute(onnx::NodeProto& node, std::string_view name);

}  // namespace rtmdl
