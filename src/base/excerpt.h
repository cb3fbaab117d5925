#pragma once
/// Foreign text in our messages: whatever a file holds, a message stays one short line.

#include <string>
#include <string_view>

namespace rtmdl {

/// Line breaks and other control characters as escapes.
[[nodiscard]] std::string one_line(std::string_view text);
/// The same, cut to about `most` bytes, at a whole character of UTF-8, with an ellipsis.
[[nodiscard]] std::string excerpt(std::string_view text, std::size_t most = 80);

}  // namespace rtmdl
