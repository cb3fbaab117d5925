#include "base/units.h"
#include "report/charts.h"
#include "report/describe.h"
#include "report/front.h"
#include "report/page_style.h"
#include "report/svg.h"
#include "report/table.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>

#include <fmt/format.h>

namespace rtmdl {
namespace {

constexpr double kWidth = 720, kHeight = 400, kLeft = 66, kRight = 20, kTop = 40, kBottom = 46;
constexpr double kLargest = 13, kSmallest = 4;  ///< radii of marks
constexpr double kCharacter = 6.2, kLine = 13;  ///< of labels at 11 px, about

struct Box {
  double left = 0, top = 0, right = 0, bottom = 0;

  [[nodiscard]] bool meets(const Box& o) const {
    return left < o.right && o.left < right && top < o.bottom && o.top < bottom;
  }
  [[nodiscard]] bool within(const Box& o) const {
    return left >= o.left && right <= o.right && top >= o.top && bottom <= o.bottom;
  }
};

constexpr Box kPlot{kLeft, kTop, kWidth - kRight, kHeight - kBottom};

struct Mark {
  double x = 0, y = 0;  ///< what it stands for: latency, accuracy
  double radius = 6;
  std::string colour;  ///< style class
  bool hollow = false, ringed = false;
  std::string label, title;
};

/// Marks on a logarithmic axis of latency and a linear one of accuracy. Everything in it is finite and x above zero.
class Chart {
 public:
  /// `fronts_by_colour`: steps through the marks of each colour, else through all.
  Chart(std::string x_title, std::string y_title, bool fronts_by_colour)
      : x_title_(std::move(x_title)), y_title_(std::move(y_title)), fronts_by_colour_(fronts_by_colour) {}

  void add(Mark mark) { marks_.push_back(std::move(mark)); }
  /// A horizontal line with a word; nothing if it lies far below the marks.
  void floor(double y, std::string what) { floor_ = {y, std::move(what)}; }
  void key(const std::string& colour, const std::string& what) { keys_.emplace_back(colour, what); }
  void note(std::string text) { note_ = std::move(text); }
  void warn(std::string text) { warning_ = std::move(text); }

  std::string draw(const std::string& label, bool standalone) {
    scale_axes();
    std::string svg = open(label, standalone);
    svg += axes() + key_line();
    for (const auto& [colour, front] : fronts()) svg += steps(colour, front);
    if (marks_.empty())
      svg += svg_text((kPlot.left + kPlot.right) / 2, (kPlot.top + kPlot.bottom) / 2, "nothing was measured",
                      "class=\"axis\" text-anchor=\"middle\"");
    std::vector<std::size_t> order(marks_.size());  // large marks below small ones, hollow ones below all
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
      if (marks_[a].hollow != marks_[b].hollow) return marks_[a].hollow;
      return marks_[a].radius > marks_[b].radius;
    });
    for (const std::size_t i : order) svg += mark(marks_[i]);
    return svg + labels() + "</svg>\n";
  }

 private:
  static std::string open(const std::string& label, bool standalone) {
    std::string svg = open_svg(kWidth, kHeight, label);
    if (!standalone) return svg;
    svg.insert(
        4, fmt::format(" xmlns=\"http://www.w3.org/2000/svg\" width=\"{:.0f}\" height=\"{:.0f}\"", kWidth, kHeight));
    return svg + "<style>" + std::string(kPageStyle) + "</style>\n" +
           fmt::format("<rect width=\"{:.0f}\" height=\"{:.0f}\" class=\"paper\"/>\n", kWidth, kHeight);
  }

  void scale_axes() {
    double x_least = std::numeric_limits<double>::max(), x_most = 0;
    double y_least = 1, y_most = 0;
    for (const Mark& m : marks_) {
      x_least = std::min(x_least, m.x), x_most = std::max(x_most, m.x);
      y_least = std::min(y_least, m.y), y_most = std::max(y_most, m.y);
    }
    if (marks_.empty()) x_least = x_most = y_least = y_most = 1;
    const double room = std::max(1.25, std::pow(x_most / x_least, 0.08));
    x_low_ = x_least / room, x_high_ = x_most * room;
    if (!floor_.second.empty() && floor_.first < y_least && y_least - floor_.first <= 1.5 * (y_most - y_least))
      y_least = floor_.first;
    const double range = std::max(y_most - y_least, 0.02);
    most_ = y_most;
    y_low_ = y_least - 0.10 * range, y_high_ = y_most + 0.12 * range;
  }

  [[nodiscard]] double x_of(double v) const {
    return kPlot.left + (kPlot.right - kPlot.left) * std::log(v / x_low_) / std::log(x_high_ / x_low_);
  }
  [[nodiscard]] double y_of(double v) const {
    return kPlot.bottom - (kPlot.bottom - kPlot.top) * (v - y_low_) / (y_high_ - y_low_);
  }

  std::string axes() const {
    std::string svg;
    double last = -100;
    const std::vector<double> digits =
        x_high_ / x_low_ < 4 ? std::vector<double>{1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8} : std::vector<double>{1, 2, 5};
    for (int decade = -6; decade <= 9; ++decade)
      for (const double digit : digits) {
        const double v = digit * std::pow(10, decade);
        if (v < x_low_ || v > x_high_) continue;
        const double x = x_of(v);
        svg += svg_line(x, kPlot.top, x, kPlot.bottom, "grid");
        if (x - last < 38) continue;
        last = x;
        svg += svg_text(x, kPlot.bottom + 15, fmt::format("{:g}", v), "class=\"axis\" text-anchor=\"middle\"");
      }
    const double step = step_of(y_high_ - y_low_, 7);
    const int decimals = std::clamp(static_cast<int>(std::ceil(-std::log10(step * 100) - 1e-9)), 0, 4);
    const double end = y_high_ > 1 && most_ <= 1 ? 1 : y_high_;  // no accuracy is above 100 %
    for (double k = std::ceil(y_low_ / step); k * step <= end + 1e-12; ++k) {
      const double y = y_of(k * step);
      svg += svg_line(kPlot.left, y, kPlot.right, y, "grid");
      svg += svg_text(kPlot.left - 6, y + 4, fmt::format("{:.{}f} %", k * step * 100, decimals),
                      "class=\"axis\" text-anchor=\"end\"");
    }
    if (!floor_.second.empty() && floor_.first > y_low_ && floor_.first < y_high_) {
      const double y = y_of(floor_.first);
      svg += svg_line(kPlot.left, y, kPlot.right, y, "limit");
      svg += svg_text(kPlot.right - 4, y + 13, floor_.second, "class=\"axis\" text-anchor=\"end\"");
    }
    svg += svg_text((kPlot.left + kPlot.right) / 2, kHeight - 8, x_title_, "class=\"axis\" text-anchor=\"middle\"");
    svg += fmt::format(
        "<text transform=\"translate(13 {:.0f}) rotate(-90)\" class=\"axis\" text-anchor=\"middle\">{}</text>\n",
        (kPlot.top + kPlot.bottom) / 2, escape_html(y_title_));
    return svg;
  }

  std::string key_line() const {
    std::string svg;
    double x = kPlot.left;
    const auto say = [&](const std::string& text) {
      svg += svg_text(x, 22, text, "class=\"axis\"");
      x += kCharacter * static_cast<double>(display_width(text)) + 16;
    };
    for (const auto& [colour, what] : keys_) {
      svg += fmt::format("<circle cx=\"{:.1f}\" cy=\"18\" r=\"5\" class=\"level {}\"/>\n", x + 5, colour);
      x += 15;
      say(what);
    }
    if (std::any_of(marks_.begin(), marks_.end(), [](const Mark& m) { return m.hollow; })) {
      svg += fmt::format("<circle cx=\"{:.1f}\" cy=\"18\" r=\"5\" class=\"level hollow m-none\"/>\n", x + 5);
      x += 15;
      say("dominated");
    }
    if (std::any_of(marks_.begin(), marks_.end(), [](const Mark& m) { return m.ringed; })) {
      svg += fmt::format("<circle cx=\"{:.1f}\" cy=\"18\" r=\"6\" class=\"ring\"/>\n", x + 5);
      x += 15;
      say("source");
    }
    if (!note_.empty()) say(note_);
    if (!warning_.empty()) svg += svg_text(kPlot.right, 22, warning_, "class=\"over strong\" text-anchor=\"end\"");
    return svg;
  }

  /// The undominated marks of each line of steps, by latency.
  std::vector<std::pair<std::string, std::vector<const Mark*>>> fronts() const {
    std::map<std::string, std::vector<const Mark*>> by_colour;
    for (const Mark& m : marks_)
      if (!m.hollow) by_colour[fronts_by_colour_ ? m.colour : ""].push_back(&m);
    std::vector<std::pair<std::string, std::vector<const Mark*>>> all(by_colour.begin(), by_colour.end());
    for (auto& [colour, front] : all)
      std::sort(front.begin(), front.end(), [](const Mark* a, const Mark* b) { return a->x < b->x; });
    return all;
  }

  /// The best accuracy that can be had within a latency.
  std::string steps(const std::string& colour, const std::vector<const Mark*>& front) const {
    std::string path;
    for (const Mark* m : front)
      path += path.empty() ? fmt::format("M{:.1f} {:.1f}V{:.1f}", x_of(m->x), kPlot.bottom, y_of(m->y))
                           : fmt::format("H{:.1f}V{:.1f}", x_of(m->x), y_of(m->y));
    return path.empty() ? path : fmt::format("<path d=\"{}H{:.1f}\" class=\"steps {}\"/>\n", path, kPlot.right, colour);
  }

  std::string mark(const Mark& m) const {
    const double x = x_of(m.x), y = y_of(m.y);
    std::string svg = fmt::format(
        "<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{:.1f}\" class=\"level {}{}\"><title>{}</title></circle>\n", x, y,
        m.radius, m.hollow ? "hollow " : "", m.colour, escape_html(m.title));
    if (m.ringed)
      svg += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{:.1f}\" class=\"ring\"/>\n", x, y, m.radius + 3.5);
    return svg;
  }

  /// Beside each mark the nearest free place; where there is none, the mark has its title only. The front comes first.
  std::string labels() const {
    std::vector<Box> taken;
    for (const Mark& m : marks_) {
      const double r = 0.8 * m.radius, x = x_of(m.x), y = y_of(m.y);
      taken.push_back({x - r, y - r, x + r, y + r});
    }
    for (const auto& [colour, front] : fronts()) {  // a line through a word strikes it out
      for (std::size_t i = 0; i < front.size(); ++i) {
        const double x = x_of(front[i]->x), y = y_of(front[i]->y);
        const double from = i > 0 ? y_of(front[i - 1]->y) : kPlot.bottom;
        const double to = i + 1 < front.size() ? x_of(front[i + 1]->x) : kPlot.right;
        taken.push_back({x, y - 1, to, y + 1});
        taken.push_back({x - 1, y, x + 1, from});
      }
    }
    std::vector<const Mark*> order;
    for (const Mark& m : marks_)
      if (!m.label.empty()) order.push_back(&m);
    std::stable_sort(order.begin(), order.end(), [](const Mark* a, const Mark* b) {
      return std::pair(!a->ringed, a->hollow) < std::pair(!b->ringed, b->hollow);
    });
    std::string svg;
    for (const Mark* m : order) {
      const double x = x_of(m->x), y = y_of(m->y), r = m->radius + (m->ringed ? 5 : 2);
      const double width = kCharacter * static_cast<double>(display_width(m->label));
      bool placed = false;
      for (double away = 3; away < 70 && !placed; away += 9) {
        const double d = r + away;
        const std::array<Box, 8> places{{{x + d, y - kLine / 2, x + d + width, y + kLine / 2},
                                         {x - d - width, y - kLine / 2, x - d, y + kLine / 2},
                                         {x + 0.6 * d, y - 0.6 * d - kLine, x + 0.6 * d + width, y - 0.6 * d},
                                         {x - 0.6 * d - width, y - 0.6 * d - kLine, x - 0.6 * d, y - 0.6 * d},
                                         {x + 0.6 * d, y + 0.6 * d, x + 0.6 * d + width, y + 0.6 * d + kLine},
                                         {x - 0.6 * d - width, y + 0.6 * d, x - 0.6 * d, y + 0.6 * d + kLine},
                                         {x - width / 2, y - d - kLine, x + width / 2, y - d},
                                         {x - width / 2, y + d, x + width / 2, y + d + kLine}}};
        for (const Box& box : places) {
          if (!box.within(kPlot) || std::any_of(taken.begin(), taken.end(), [&](const Box& t) { return t.meets(box); }))
            continue;
          taken.push_back(box);
          placed = true;
          if (away > 12) {
            const double to_x = std::clamp(x, box.left, box.right), to_y = std::clamp(y, box.top, box.bottom);
            svg += svg_line(x, y, to_x, to_y, "leader");
          }
          svg += svg_text(box.left, box.bottom - 3, m->label, m->ringed ? "class=\"value strong\"" : "class=\"value\"");
          break;
        }
      }
    }
    return svg;
  }

  std::string x_title_, y_title_;
  bool fronts_by_colour_;
  std::vector<Mark> marks_;
  std::pair<double, std::string> floor_;
  std::vector<std::pair<std::string, std::string>> keys_;
  std::string note_, warning_;
  double x_low_ = 1, x_high_ = 10, y_low_ = 0, y_high_ = 1, most_ = 1;
};

std::string accuracy_title(const std::string& metric) {
  if (metric == "agreement") return "agreement with the source model";
  if (metric == "top1") return "top-1 accuracy";
  if (metric == "top5") return "top-5 accuracy";
  return "accuracy (" + metric + ")";
}

std::string precision_class(const std::string& precision) {
  if (precision == "fp32") return "m-fp32";
  if (precision == "int8") return "m-int8";
  return precision == "fp16" ? "m-fp16" : "m-other";
}

bool drawable(const Variant& v) { return v.median > Duration::zero() && std::isfinite(v.accuracy); }

}  // namespace

std::string front_svg(const TaskFront& task, bool standalone) {
  const std::vector<Variant>& variants = task.family.variants;
  const std::vector<bool> worse = dominated(variants);
  std::int64_t most_bytes = 1;
  std::vector<std::string> precisions;
  for (const Variant& v : variants) {
    if (!drawable(v)) continue;
    most_bytes = std::max(most_bytes, v.bytes);
    if (std::find(precisions.begin(), precisions.end(), v.precision) == precisions.end())
      precisions.push_back(v.precision);
  }
  Chart chart("median latency on one thread, ms (logarithmic)", accuracy_title(task.metric), false);
  for (const std::string& p : precisions) chart.key(precision_class(p), p);
  for (std::size_t i = 0; i < variants.size(); ++i) {
    const Variant& v = variants[i];
    if (!drawable(v)) continue;
    const double share = static_cast<double>(std::max<std::int64_t>(v.bytes, 0)) / static_cast<double>(most_bytes);
    chart.add({.x = to_ms(v.median),
               .y = v.accuracy,
               .radius = std::max(kSmallest, kLargest * std::sqrt(share)),
               .colour = precision_class(v.precision),
               .hollow = worse[i],
               .ringed = v.id == "source",
               .label = shortened(v.id, 24),
               .title = fmt::format("{}: {} ms, accuracy {}, {}{}", v.id, short_number(to_ms(v.median)),
                                    percent(v.accuracy), format_bytes(v.bytes), worse[i] ? ", dominated" : "")});
  }
  if (!precisions.empty()) chart.note("area: bytes, at most " + format_bytes(most_bytes));
  if (task.synthetic) chart.warn("synthetic data");
  if (task.accuracy_min > 0) chart.floor(task.accuracy_min, "least accuracy asked for");
  return chart.draw(fmt::format("Latency against accuracy of the levels of {}{}", task.family.task,
                                task.synthetic ? " (synthetic data)" : ""),
                    standalone);
}

std::string relative_front_svg(const std::vector<MeasuredLevel>& ours, const std::vector<MeasuredLevel>& paper,
                               const std::vector<std::string>& titles) {
  Chart chart("latency relative to the source (logarithmic)", "accuracy relative to the source", true);
  const auto add = [&](const std::vector<MeasuredLevel>& family, const std::string& colour, const std::string& title) {
    if (family.empty() || !(family[0].ms > 0) || !(family[0].accuracy > 0)) return;
    chart.key(colour, title);
    std::vector<Variant> variants(family.size());
    for (std::size_t i = 0; i < family.size(); ++i) {
      variants[i].median = from_ms(family[i].ms);
      variants[i].accuracy = family[i].accuracy;
    }
    const std::vector<bool> worse = dominated(variants);
    for (std::size_t i = 0; i < family.size(); ++i) {
      const double x = family[i].ms / family[0].ms, y = family[i].accuracy / family[0].accuracy;
      if (!(x > 0) || !std::isfinite(x) || !std::isfinite(y)) continue;
      chart.add({.x = x,
                 .y = y,
                 .colour = colour,
                 .hollow = worse[i],
                 .ringed = i == 0,
                 .label = "",
                 .title = fmt::format("{}: {} of the latency, {} of the accuracy", title, percent(x), percent(y))});
    }
  };
  const auto title = [&](std::size_t i) { return i < titles.size() ? titles[i] : std::string(); };
  add(ours, "m-fp32", title(0));
  add(paper, "m-int8", title(1));
  return chart.draw(fmt::format("Latency against accuracy relative to the source: {} and {}", title(0), title(1)),
                    true);
}

}  // namespace rtmdl
