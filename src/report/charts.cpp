#include "report/charts.h"

#include "report/describe.h"
#include "report/html.h"
#include "report/svg.h"
#include "report/utf8.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

namespace rtmdl {
namespace {

constexpr double kWidth = 720, kLabels = 118, kValues = 84, kRow = 15, kGap = 14;
constexpr double kPlot = kWidth - kLabels - kValues;

/// The end of an axis that holds `most`: 1, 2 or 5 times a power of ten.
double axis_end(double most, double least_end, double greatest_end) {
  if (!(most > least_end)) return least_end;
  const double power = std::pow(10, std::floor(std::log10(most)));
  for (const double step : {1.0, 2.0, 5.0, 10.0})
    if (most <= step * power * 1.0001) return std::min(greatest_end, step * power);
  return greatest_end;
}

std::string grid_percent(double end, double top, double bottom) {
  std::string svg;
  for (int i = 0; i <= 4; ++i) {
    const double x = kLabels + kPlot * i / 4;
    svg += svg_line(x, top, x, bottom, "grid") + svg_text(x, bottom + 14, fmt::format("{:.3g} %", end * 100 * i / 4),
                                                          "class=\"axis\" text-anchor=\"middle\"");
  }
  return svg;
}

}  // namespace

std::string policy_class(const std::vector<RunReport>& runs, std::size_t run) {
  if (runs[run].policy == "rtmdl") return "p-rtmdl";
  std::size_t n = 0;
  for (std::size_t i = 0; i < run; ++i) n += runs[i].policy != "rtmdl";
  return fmt::format("p{}", n % 5);
}

std::string task_class(std::size_t task) { return fmt::format("t{}", task % 10); }

std::string shortened(std::string_view text, std::size_t characters) {
  std::size_t count = 0, i = 0, keep = 0;
  while (i < text.size() && count < characters) {
    keep = i;
    static_cast<void>(next_code_point(text, i));
    ++count;
  }
  return i >= text.size() ? std::string(text) : std::string(text.substr(0, keep)) + "…";
}

std::string miss_chart(const std::vector<RunReport>& runs, const std::vector<TaskInfo>& tasks) {
  double most = 0;
  for (const RunReport& r : runs) {
    most = std::max(most, finite(r.miss_rate));
    for (const TaskReport& t : r.tasks) most = std::max(most, finite(t.miss_rate));
  }
  const double end = axis_end(most, 0.02, 1);
  std::vector<std::string> names = task_names(runs);
  const double group = static_cast<double>(runs.size()) * kRow + kGap;
  const double bottom = 8 + group * static_cast<double>(names.size() + 1);
  std::string svg =
      open_svg(kWidth, bottom + 22, "Share of jobs missed, per task and policy") + grid_percent(end, 4, bottom);
  double y = 8;
  const auto bars = [&](const std::string& name, const TaskInfo* info, bool strong, const auto& rate_of) {
    svg += svg_text(kLabels - 8, y + (group - kGap) / 2 + 4, shortened(name, 16),
                    strong ? "class=\"strong\" text-anchor=\"end\"" : "text-anchor=\"end\"");
    const double limit = info && info->miss_rate_limit <= end ? kLabels + kPlot * info->miss_rate_limit / end : 0;
    if (limit > 0) svg += svg_line(limit, y - 3, limit, y + group - kGap + 3, "limit");
    for (std::size_t r = 0; r < runs.size(); ++r) {
      const double rate = rate_of(runs[r]);
      if (std::isfinite(rate)) {
        const double width = std::max(1.5, kPlot * std::min(1.0, rate / end));
        const double at = y + static_cast<double>(r) * kRow;
        svg += fmt::format(
            "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" rx=\"2\" class=\"{}\"><title>{}, {}: "
            "{} missed</title></rect>\n",
            kLabels, at + 1, width, kRow - 3, policy_class(runs, r), escape_html(name), escape_html(runs[r].policy),
            percent(rate));
        const bool over = info && rate > info->miss_rate_limit;
        svg += svg_text(std::max(kLabels + width, limit) + 5, at + kRow - 4.5, percent(rate),
                        over ? "class=\"value over\"" : "class=\"value\"");
      }
    }
    y += group;
  };
  bars("all jobs", nullptr, true, [](const RunReport& r) { return r.miss_rate; });
  for (const std::string& name : names)
    bars(name, info_of(tasks, name), false, [&](const RunReport& r) {
      const TaskReport* t = task_in(r, name);
      return t ? t->miss_rate : std::numeric_limits<double>::quiet_NaN();
    });
  return svg + "</svg>\n";
}

std::string trade_chart(const std::vector<RunReport>& runs, const std::vector<ParetoPoint>& pareto) {
  constexpr double width = 720, height = 300, left = 62, right = 150, top = 14, bottom = 44;
  double most_loss = 0, most_miss = 0;
  for (const RunReport& r : runs)
    most_loss = std::max(most_loss, finite(r.accuracy_loss)), most_miss = std::max(most_miss, finite(r.miss_rate));
  for (const ParetoPoint& p : pareto) {
    most_miss = std::max(most_miss, std::min(1.0, finite(p.miss_rate)));
    if (p.miss_rate <= 1) most_loss = std::max(most_loss, finite(p.accuracy_loss));
  }
  const double x_end = axis_end(most_loss, 0.002, 100), y_end = axis_end(most_miss, 0.02, 1);
  const auto x_of = [&](double loss) {
    return left + (width - left - right) * std::clamp(finite(loss) / x_end, 0.0, 1.0);
  };
  const auto y_of = [&](double miss) {
    return height - bottom - (height - top - bottom) * std::clamp(finite(miss) / y_end, 0.0, 1.0);
  };
  std::string svg = open_svg(width, height, "Accuracy loss against miss rate, per policy");
  for (int i = 0; i <= 4; ++i) {
    const double x = x_of(x_end * i / 4), y = y_of(y_end * i / 4);
    svg += svg_line(x, top, x, height - bottom, "grid") + svg_line(left, y, width - right, y, "grid");
    svg += svg_text(x, height - bottom + 15, fmt::format("{:.3g} %", x_end * 100 * i / 4),
                    "class=\"axis\" text-anchor=\"middle\"");
    svg +=
        svg_text(left - 6, y + 4, fmt::format("{:.3g} %", y_end * 100 * i / 4), "class=\"axis\" text-anchor=\"end\"");
  }
  svg += svg_text((left + width - right) / 2, height - 8, "accuracy loss, summed over tasks",
                  "class=\"axis\" text-anchor=\"middle\"");
  svg += fmt::format(
      "<text transform=\"translate(13 {:.0f}) rotate(-90)\" class=\"axis\" text-anchor=\"middle\">jobs missed</text>\n",
      (top + height - bottom) / 2);
  if (!pareto.empty()) {
    std::vector<ParetoPoint> front = pareto;
    std::sort(front.begin(), front.end(),
              [](const ParetoPoint& a, const ParetoPoint& b) { return a.accuracy_loss < b.accuracy_loss; });
    std::string path, dots;
    for (const ParetoPoint& p : front) {
      path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : "L", x_of(p.accuracy_loss), y_of(p.miss_rate));
      dots += fmt::format(
          "<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"2.5\" class=\"front-dot\"><title>predicted: {} missed at {} "
          "loss</title></circle>\n",
          x_of(p.accuracy_loss), y_of(p.miss_rate), percent(p.miss_rate), percent(p.accuracy_loss));
    }
    svg += "<path d=\"" + path + "\" class=\"front\"/>\n" + dots;
  }
  std::vector<std::size_t> by_height(runs.size());
  for (std::size_t i = 0; i < runs.size(); ++i) by_height[i] = i;
  std::sort(by_height.begin(), by_height.end(),
            [&](std::size_t a, std::size_t b) { return runs[a].miss_rate > runs[b].miss_rate; });
  std::vector<std::pair<double, double>> taken;  // labels, so that none covers another
  for (const std::size_t i : by_height) {
    const double x = x_of(runs[i].accuracy_loss), y = y_of(runs[i].miss_rate);
    double label = y - 8;
    while (std::any_of(taken.begin(), taken.end(),
                       [&](const auto& t) { return std::abs(t.first - x) < 150 && std::abs(t.second - label) < 14; }))
      label -= 14;
    taken.emplace_back(x, label);
    svg += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"6.5\" class=\"point {}\"/>\n", x, y,
                       policy_class(runs, i));
    svg += svg_text(x + 10, label,
                    fmt::format("{}: {} missed, {} lost", shortened(runs[i].policy, 16), percent(runs[i].miss_rate),
                                percent(runs[i].accuracy_loss)),
                    "class=\"value\"");
  }
  return svg + "</svg>\n";
}

std::string response_chart(const std::vector<RunReport>& runs, const std::vector<TaskInfo>& tasks) {
  const auto scaled = [&](const TaskReport& t, double ms) {
    const TaskInfo* info = info_of(tasks, t.name);
    return info && info->deadline > Duration::zero() ? ms / to_ms(info->deadline) : ms;
  };
  double least = 1, most = 1;
  for (const RunReport& r : runs)
    for (const TaskReport& t : r.tasks) {
      if (t.completed == 0) continue;
      if (const double x = scaled(t, t.response.p50_ms); std::isfinite(x) && x > 0) least = std::min(least, x);
      if (const double x = scaled(t, t.response.max_ms); std::isfinite(x)) most = std::max(most, x);
    }
  least = std::max(1e-4, least / 1.15);
  most = std::min(1e6, std::max(1.6, most * 1.1));
  const auto x_of = [&](double v) {
    return kLabels +
           kPlot * std::clamp(std::log(std::max(finite(v), least) / least) / std::log(most / least), 0.0, 1.0);
  };
  const std::vector<std::string> names = task_names(runs);
  const double group = static_cast<double>(runs.size()) * kRow + kGap;
  const double bottom = 8 + group * static_cast<double>(names.size());
  const std::string unit = tasks.empty() ? " ms" : " D";
  std::string svg =
      open_svg(kWidth, bottom + 22,
               "Response times per task and policy: median, 99th percentile, maximum, against the deadline");
  double last_label = -100;
  for (int decade = -4; decade <= 6; ++decade)
    for (const double digit : {1.0, 2.0, 5.0}) {
      const double v = digit * std::pow(10, decade);
      if (v < least || v > most) continue;
      svg += svg_line(x_of(v), 4, x_of(v), bottom, v == 1 && !tasks.empty() ? "limit" : "grid");
      if (x_of(v) - last_label < 44) continue;
      last_label = x_of(v);
      svg += svg_text(last_label, bottom + 14, v == 1 && !tasks.empty() ? "deadline" : fmt::format("{:g}{}", v, unit),
                      "class=\"axis\" text-anchor=\"middle\"");
    }
  double y = 8;
  for (const std::string& name : names) {
    svg += svg_text(kLabels - 8, y + (group - kGap) / 2 + 4, shortened(name, 16), "text-anchor=\"end\"");
    for (std::size_t r = 0; r < runs.size(); ++r) {
      const TaskReport* t = task_in(runs[r], name);
      const double middle = y + static_cast<double>(r) * kRow + kRow / 2;
      if (!t || t->completed == 0) continue;
      const double p50 = x_of(scaled(*t, t->response.p50_ms)), p99 = x_of(scaled(*t, t->response.p99_ms)),
                   max = x_of(scaled(*t, t->response.max_ms));
      const std::string colour = policy_class(runs, r);
      svg += fmt::format(
          "<g class=\"range {0}\"><title>{1}, {2}: median {3} ms, 99 % {4} ms, maximum {5} ms</title>"
          "<path d=\"M{6:.1f} {9:.1f}H{8:.1f}M{8:.1f} {10:.1f}v8\"/><rect x=\"{6:.1f}\" y=\"{11:.1f}\" "
          "width=\"{12:.1f}\" height=\"6\" rx=\"2\"/>"
          "<circle cx=\"{6:.1f}\" cy=\"{9:.1f}\" r=\"4\"/></g>\n",
          colour, escape_html(name), escape_html(runs[r].policy), short_number(t->response.p50_ms),
          short_number(t->response.p99_ms), short_number(t->response.max_ms), p50, p99, max, middle, middle - 4,
          middle - 3, std::max(1.0, p99 - p50));
      const TaskInfo* info = info_of(tasks, name);
      const bool over = info && t->response.p99_ms > to_ms(info->deadline);
      svg += svg_text(kWidth - kValues + 10, middle + 4, short_number(t->response.p99_ms) + " ms",
                      over ? "class=\"value over\"" : "class=\"value\"");
    }
    y += group;
  }
  return svg + "</svg>\n";
}

}  // namespace rtmdl
