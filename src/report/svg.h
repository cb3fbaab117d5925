#pragma once
/// The few SVG elements that the drawings are made of. Texts are escaped here; styles are classes of page_style.h.

#include "report/html.h"

#include <string>
#include <string_view>

#include <fmt/format.h>

namespace rtmdl {

[[nodiscard]] inline std::string open_svg(double width, double height, const std::string& label) {
  return fmt::format("<svg viewBox=\"0 0 {:.0f} {:.0f}\" role=\"img\" aria-label=\"{}\">\n", width, height,
                     escape_html(label));
}

[[nodiscard]] inline std::string svg_text(double x, double y, std::string_view what, std::string_view attributes = "") {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" {}>{}</text>\n", x, y, attributes, escape_html(what));
}

[[nodiscard]] inline std::string svg_line(double x1, double y1, double x2, double y2, std::string_view style) {
  return fmt::format("<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" class=\"{}\"/>\n", x1, y1, x2, y2,
                     style);
}

}  // namespace rtmdl
