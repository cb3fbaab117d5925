#include "report/prediction_chart.h"

#include "report/describe.h"
#include "report/page_style.h"
#include "report/svg.h"

#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>

namespace rtmdl {
namespace {

constexpr double kSize = 560, kLeft = 60, kTop = 40, kRight = 20, kBottom = 50;
constexpr std::array<double, 10> kTicks{0, 0.001, 0.005, 0.015, 0.05, 0.1, 0.2, 0.4, 0.7, 1};
constexpr int kBandSteps = 60;

class Chart {
 public:
  Chart(const std::vector<PredictedTask>& tasks, double points) : tasks_(tasks), points_(points) {
    double most = 0.05;
    for (const PredictedTask& t : tasks) most = std::max({most, t.predicted, t.measured});
    most_ = std::min(1.0, most * 1.1);
    for (const PredictedTask& t : tasks)
      if (std::find(series_.begin(), series_.end(), t.series) == series_.end()) series_.push_back(t.series);
  }

  std::string draw() const {
    std::string svg = open_svg(kSize, kSize, "Predicted against measured miss rate of each task");
    svg.insert(4,
               fmt::format(" xmlns=\"http://www.w3.org/2000/svg\" width=\"{:.0f}\" height=\"{:.0f}\"", kSize, kSize));
    svg += "<style>" + std::string(kPageStyle) +
           ".band{fill:var(--rule);opacity:.55}.hollow{fill:none;stroke:var(--soft)}" + "</style>\n" +
           fmt::format("<rect width=\"{0:.0f}\" height=\"{0:.0f}\" class=\"paper\"/>\n", kSize);
    svg += band() + axes() + key();
    for (const PredictedTask& t : tasks_) svg += mark(t);
    return svg + "</svg>\n";
  }

 private:
  [[nodiscard]] double along(double rate) const { return std::sqrt(std::clamp(rate, 0.0, most_) / most_); }
  [[nodiscard]] double x_of(double rate) const { return kLeft + (kSize - kLeft - kRight) * along(rate); }
  [[nodiscard]] double y_of(double rate) const { return kSize - kBottom - (kSize - kTop - kBottom) * along(rate); }

  [[nodiscard]] std::string band() const {
    std::string upper, lower;
    for (int k = 0; k <= kBandSteps; ++k) {
      const double rate = most_ * k * k / (kBandSteps * kBandSteps);
      upper += fmt::format("{:.1f},{:.1f} ", x_of(rate), y_of(rate + points_));
      lower = fmt::format("{:.1f},{:.1f} ", x_of(rate), y_of(rate - points_)) + lower;
    }
    return fmt::format("<polygon points=\"{}{}\" class=\"band\"/>\n", upper, lower) +
           svg_line(x_of(0), y_of(0), x_of(most_), y_of(most_), "front");
  }

  [[nodiscard]] std::string axes() const {
    std::string svg;
    double labelled = -1e9;  // the small ticks lie too close for a label each
    for (const double tick : kTicks) {
      if (tick > most_) break;
      const std::string text = fmt::format("{:g} %", tick * 100);
      svg += svg_line(x_of(tick), y_of(0), x_of(tick), y_of(most_), "grid");
      svg += svg_line(x_of(0), y_of(tick), x_of(most_), y_of(tick), "grid");
      if (x_of(tick) - labelled > 34) {
        svg += svg_text(x_of(tick), y_of(0) + 16, text, "class=\"axis\" text-anchor=\"middle\"");
        labelled = x_of(tick);
      }
      svg += svg_text(x_of(0) - 8, y_of(tick) + 4, text, "class=\"axis\" text-anchor=\"end\"");
    }
    svg += svg_text((kLeft + kSize - kRight) / 2, kSize - 12, "predicted miss rate (square-root axes)",
                    "text-anchor=\"middle\"");
    svg += svg_text(kLeft, 16, fmt::format("measured miss rate; band: ± {:g} points", points_ * 100), "");
    return svg;
  }

  [[nodiscard]] std::string style_of(const std::string& series) const {
    if (series == "rtmdl") return "p-rtmdl";
    const auto at = std::find(series_.begin(), series_.end(), series) - series_.begin();
    return fmt::format("p{}", at % 5);
  }

  [[nodiscard]] std::string key() const {
    std::string svg;
    double x = kLeft;
    for (const std::string& series : series_) {
      svg += fmt::format("<circle cx=\"{:.1f}\" cy=\"28\" r=\"5\" class=\"{}\"/>\n", x + 5, style_of(series));
      svg += svg_text(x + 15, 32, series, "class=\"axis\"");
      x += 30 + 7 * static_cast<double>(series.size());
    }
    svg += fmt::format("<circle cx=\"{:.1f}\" cy=\"28\" r=\"4\" class=\"hollow\"/>\n", x + 5);
    return svg + svg_text(x + 15, 32, "without misses that machine stalls explain", "class=\"axis\"");
  }

  [[nodiscard]] std::string mark(const PredictedTask& t) const {
    std::string svg;
    if (t.unstalled < t.measured) {
      svg += svg_line(x_of(t.predicted), y_of(t.measured), x_of(t.predicted), y_of(t.unstalled), "grid");
      svg += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4\" class=\"hollow\"/>\n", x_of(t.predicted),
                         y_of(t.unstalled));
    }
    return svg + fmt::format(
                     "<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"5\" opacity=\".6\" class=\"{}\"><title>{}: predicted {}, "
                     "measured {}</title></circle>\n",
                     x_of(t.predicted), y_of(t.measured), style_of(t.series), escape_html(t.label),
                     escape_html(percent(t.predicted)), escape_html(percent(t.measured)));
  }

  const std::vector<PredictedTask>& tasks_;
  double points_, most_ = 1;
  std::vector<std::string> series_;
};

}  // namespace

std::string prediction_svg(const std::vector<PredictedTask>& tasks, double points) {
  return Chart(tasks, points).draw();
}

}  // namespace rtmdl
