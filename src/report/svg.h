#pragma once
/// The few SVG elements that the drawings are made of. Texts are escaped here; styles are classes of page_style.h.

#include "report/html.h"

#include <cmath>
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

/// Steps of 1, 2 or 5 times a power of ten, so that at most `most` lie in the range.
[[nodiscard]] inline double step_of(double range, int most) {
  const double power = std::pow(10, std::floor(std::log10(range / most)));
  for (const double digit : {1.0, 2.0, 5.0})
    if (range / (digit * power) <= most) return digit * power;
  return 10 * power;
}

/// For places and extremes: what is not finite is not drawn far away.
[[nodiscard]] inline double finite(double x) { return std::isfinite(x) ? x : 0; }

}  // namespace rtmdl
