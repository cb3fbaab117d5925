#pragma once
/// Reading UTF-8 that may be damaged: names of tasks and files come from outside.

#include <cstddef>
#include <string_view>

namespace rtmdl {

inline constexpr char32_t kReplacement = 0xFFFD;

/// The code point at `i`, which is moved past it. A byte that begins no valid sequence counts alone and gives
/// kReplacement. Needs i < text.size().
[[nodiscard]] inline char32_t next_code_point(std::string_view text, std::size_t& i) {
  const auto byte = [&](std::size_t k) { return static_cast<unsigned char>(text[k]); };
  const unsigned char lead = byte(i);
  if (lead < 0x80) return text[i++];
  const std::size_t length = lead >= 0xF0 && lead < 0xF5   ? 4
                             : lead >= 0xE0 && lead < 0xF0 ? 3
                             : lead >= 0xC2 && lead < 0xE0 ? 2
                                                           : 0;
  if (length == 0 || i + length > text.size()) return ++i, kReplacement;
  char32_t c = lead & (0x7Fu >> length);
  for (std::size_t k = 1; k < length; ++k) {
    if ((byte(i + k) & 0xC0) != 0x80) return ++i, kReplacement;
    c = (c << 6) | (byte(i + k) & 0x3Fu);
  }
  const char32_t least = length == 2 ? 0x80 : length == 3 ? 0x800 : 0x10000;
  if (c < least || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000)) return ++i, kReplacement;
  i += length;
  return c;
}

}  // namespace rtmdl
