#pragma once
/// Dense tensors, row-major, owned or viewed; no arithmetic.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace rtmdl {

enum class ElementType : std::uint8_t { f32, f16, f64, u8, i8, u16, i16, u32, i32, u64, i64, boolean };

/// Bytes of one element.
[[nodiscard]] std::size_t element_size(ElementType type) noexcept;
/// "f32", "i64", … as printed and as read from task files.
[[nodiscard]] const char* element_name(ElementType type) noexcept;

/// Name, type and shape of a model's input or output; -1 is a free dimension.
struct TensorSpec {
  std::string name;
  ElementType type = ElementType::f32;
  std::vector<std::int64_t> shape;
};

/// Product of the dimensions (1 for a scalar). Negative dimensions are the caller's bug.
[[nodiscard]] std::size_t element_count(std::span<const std::int64_t> shape) noexcept;

/// A tensor that somebody else owns. Valid as long as its owner says.
struct TensorView {
  ElementType type = ElementType::f32;
  std::span<const std::int64_t> shape;
  std::span<std::byte> bytes;

  template <typename T>
  [[nodiscard]] std::span<T> as() const noexcept {
    return {reinterpret_cast<T*>(bytes.data()), bytes.size() / sizeof(T)};
  }
};

/// A tensor that owns its memory (aligned for any element type).
struct Tensor {
  ElementType type = ElementType::f32;
  std::vector<std::int64_t> shape;
  std::vector<std::byte> bytes;

  Tensor() = default;
  Tensor(ElementType t, std::vector<std::int64_t> s);  ///< zero-filled

  template <typename T>
  [[nodiscard]] std::span<T> as() noexcept {
    return {reinterpret_cast<T*>(bytes.data()), bytes.size() / sizeof(T)};
  }
  template <typename T>
  [[nodiscard]] std::span<const T> as() const noexcept {
    return {reinterpret_cast<const T*>(bytes.data()), bytes.size() / sizeof(T)};
  }
  [[nodiscard]] TensorView view() noexcept { return {type, shape, bytes}; }
};

}  // namespace rtmdl
