#include <rtmdl/tensor.h>

namespace rtmdl {

std::size_t element_size(ElementType type) noexcept {
  switch (type) {
    case ElementType::u8:
    case ElementType::i8:
    case ElementType::boolean: return 1;
    case ElementType::f16:
    case ElementType::u16:
    case ElementType::i16: return 2;
    case ElementType::f32:
    case ElementType::u32:
    case ElementType::i32: return 4;
    case ElementType::f64:
    case ElementType::u64:
    case ElementType::i64: return 8;
  }
  return 0;
}

const char* element_name(ElementType type) noexcept {
  switch (type) {
    case ElementType::f32: return "f32";
    case ElementType::f16: return "f16";
    case ElementType::f64: return "f64";
    case ElementType::u8: return "u8";
    case ElementType::i8: return "i8";
    case ElementType::u16: return "u16";
    case ElementType::i16: return "i16";
    case ElementType::u32: return "u32";
    case ElementType::i32: return "i32";
    case ElementType::u64: return "u64";
    case ElementType::i64: return "i64";
    case ElementType::boolean: return "bool";
  }
  return "?";
}

std::size_t element_count(std::span<const std::int64_t> shape) noexcept {
  std::size_t n = 1;
  for (auto d : shape) n *= static_cast<std::size_t>(d);
  return n;
}

Tensor::Tensor(ElementType t, std::vector<std::int64_t> s)
    : type(t), shape(std::move(s)), bytes(element_count(shape) * element_size(t)) {}

}  // namespace rtmdl
