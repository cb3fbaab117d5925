#include "report/html.h"
#include "report/utf8.h"

namespace rtmdl {

std::string escape_html(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t from = i;
    const char32_t c = next_code_point(text, i);
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      case '\'': out += "&#39;"; break;
      case kReplacement: out += "\uFFFD"; break;
      default:
        if (c < 0x20 || (c >= 0x7F && c < 0xA0)) out += ' ';
        else out.append(text, from, i - from);
    }
  }
  return out;
}

}  // namespace rtmdl
