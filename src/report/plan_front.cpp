#include "report/describe.h"
#include "report/page_style.h"
#include "report/plan_page.h"
#include "report/svg.h"

#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace rtmdl {
namespace {

constexpr double kWidth = 720, kHeight = 360, kLeft = 62, kRight = 24, kTop = 42, kBottom = 46;
constexpr std::array kRates{0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0};

std::string points_of_loss(double loss) {
  const double points = std::abs(loss) * 100;
  return fmt::format("{} point{}", short_number(points), short_number(points) == "1.00" ? "" : "s");
}

std::string variants_of(const ParetoPoint& point, const PlanProblem& problem) {
  std::vector<std::string> words;
  for (std::size_t i = 0; i < point.choices.size() && i < problem.tasks.size(); ++i)
    words.push_back(
        fmt::format("{} {}", problem.tasks[i].name,
                    problem.tasks[i].options.at(static_cast<std::size_t>(point.choices[i].option)).variant));
  return fmt::format("{}", fmt::join(words, ", "));
}

class Drawing {
 public:
  Drawing(const Plan& plan, const PlanProblem& problem) : plan_(plan), problem_(problem) {
    double loss = 0, least = 1e300, miss = 0.005;
    const auto look = [&](double l, double m) {
      loss = std::max(loss, finite(l)), least = std::min(least, finite(l)), miss = std::max(miss, finite(m));
    };
    look(plan.accuracy_loss, plan.miss_rate);
    for (const ParetoPoint& p : plan.pareto) look(p.accuracy_loss, p.miss_rate);
    const double range = std::max(loss - least, 0.002);
    low_ = std::max(0.0, least - 0.05 * range);
    high_ = loss + 0.1 * range;
    top_ = std::min(1.0, miss * 1.15);
  }

  std::string draw(bool standalone) const {
    std::string svg = open_svg(kWidth, kHeight, "Accuracy loss against miss rate: the best trades that were found");
    if (standalone) {
      svg.insert(
          4, fmt::format(" xmlns=\"http://www.w3.org/2000/svg\" width=\"{:.0f}\" height=\"{:.0f}\"", kWidth, kHeight));
      svg += "<style>" + std::string(kPageStyle) + "</style>\n" +
             fmt::format("<rect width=\"{:.0f}\" height=\"{:.0f}\" class=\"paper\"/>\n", kWidth, kHeight);
    }
    svg += axes() + key() + steps();
    for (const ParetoPoint& p : plan_.pareto) svg += mark(p);
    const bool marked =
        std::any_of(plan_.pareto.begin(), plan_.pareto.end(), [](const ParetoPoint& p) { return p.chosen; });
    if (!marked) svg += ring(plan_.accuracy_loss, plan_.miss_rate);
    return svg + label() + "</svg>\n";
  }

 private:
  double x_of(double loss) const {
    return kLeft + (kWidth - kLeft - kRight) * std::clamp((finite(loss) - low_) / (high_ - low_), 0.0, 1.0);
  }
  double y_of(double miss) const {
    return kHeight - kBottom - (kHeight - kTop - kBottom) * std::sqrt(std::clamp(finite(miss) / top_, 0.0, 1.0));
  }

  std::string axes() const {
    std::string svg;
    const double step = step_of(high_ - low_, 8), bottom = kHeight - kBottom;
    const int decimals = std::clamp(static_cast<int>(std::ceil(-std::log10(step * 100) - 1e-9)), 0, 4);
    for (double k = std::max(0.0, std::ceil(low_ / step - 1e-9)); k * step <= high_ + 1e-12; ++k) {
      const double x = x_of(k * step);
      svg += svg_line(x, kTop, x, bottom, "grid");
      svg += svg_text(x, bottom + 15, fmt::format("{:.{}f} %", k * step * 100, decimals),
                      "class=\"axis\" text-anchor=\"middle\"");
    }
    svg += svg_line(kLeft, bottom, kWidth - kRight, bottom, "grid") +
           svg_text(kLeft - 6, bottom + 4, "0 %", "class=\"axis\" text-anchor=\"end\"");
    double last = bottom;
    for (const double rate : kRates) {
      if (rate > top_ || last - y_of(rate) < 18) continue;
      last = y_of(rate);
      svg += svg_line(kLeft, last, kWidth - kRight, last, "grid");
      svg += svg_text(kLeft - 6, last + 4, fmt::format("{:g} %", rate * 100), "class=\"axis\" text-anchor=\"end\"");
    }
    svg += svg_text((kLeft + kWidth - kRight) / 2, kHeight - 8, "accuracy loss, weighted sum over tasks",
                    "class=\"axis\" text-anchor=\"middle\"");
    return svg + fmt::format(
                     "<text transform=\"translate(13 {:.0f}) rotate(-90)\" class=\"axis\" "
                     "text-anchor=\"middle\">jobs missed (root scale)</text>\n",
                     (kTop + bottom) / 2);
  }

  std::string key() const {
    std::string svg;
    double x = kLeft;
    const auto say = [&](const char* mark, const char* what, double width) {
      svg += fmt::format("<circle cx=\"{:.1f}\" cy=\"18\" r=\"5\" class=\"{}\"/>\n", x + 5, mark) +
             svg_text(x + 16, 22, what, "class=\"axis\"");
      x += width;
    };
    say("level p-rtmdl", "every limit is kept", 132);
    say("level hollow m-none", "a limit is broken", 122);
    say("ring", plan_.feasible ? "chosen" : "the nearest strategy", 100);
    return svg;
  }

  /// The least misses within a loss, among what keeps the limits.
  std::string steps() const {
    std::string path;
    for (const ParetoPoint& p : plan_.pareto) {
      if (!p.feasible) continue;
      path += path.empty() ? fmt::format("M{:.1f} {:.1f}V{:.1f}", x_of(p.accuracy_loss), kTop, y_of(p.miss_rate))
                           : fmt::format("H{:.1f}V{:.1f}", x_of(p.accuracy_loss), y_of(p.miss_rate));
    }
    return path.empty() ? path : fmt::format("<path d=\"{}H{:.1f}\" class=\"steps\"/>\n", path, kWidth - kRight);
  }

  std::string mark(const ParetoPoint& p) const {
    const std::string title =
        fmt::format("{} of accuracy lost, {} of jobs missed{}: {}", percent(p.accuracy_loss), percent(p.miss_rate),
                    p.feasible ? "" : ", a limit is broken", variants_of(p, problem_));
    return fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"5\" class=\"level {}\"><title>{}</title></circle>\n",
                       x_of(p.accuracy_loss), y_of(p.miss_rate), p.feasible ? "p-rtmdl" : "hollow m-none",
                       escape_html(title)) +
           (p.chosen ? ring(p.accuracy_loss, p.miss_rate) : "");
  }

  std::string ring(double loss, double miss) const {
    return fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"9\" class=\"ring\"/>\n", x_of(loss), y_of(miss));
  }

  /// Of the chosen one: above it to the right, where the front is not; beyond the middle to its left.
  std::string label() const {
    const double x = x_of(plan_.accuracy_loss), y = y_of(plan_.miss_rate);
    const bool left = x > kWidth * 0.62;
    return svg_text(left ? x - 8 : x + 10, std::max(kTop + 12, y - 13),
                    fmt::format("{}: {} lost, {} missed", plan_.feasible ? "chosen" : "nearest",
                                percent(plan_.accuracy_loss), percent(plan_.miss_rate)),
                    left ? "class=\"value strong\" text-anchor=\"end\"" : "class=\"value strong\"");
  }

  const Plan& plan_;
  const PlanProblem& problem_;
  double low_ = 0, high_ = 0.01, top_ = 1;
};

}  // namespace

std::string plan_front_svg(const Plan& plan, const PlanProblem& problem, bool standalone) {
  return Drawing(plan, problem).draw(standalone);
}

std::string front_sentence(const Plan& plan) {
  const std::vector<ParetoPoint>& front = plan.pareto;
  const auto chosen = std::find_if(front.begin(), front.end(), [](const ParetoPoint& p) { return p.chosen; });
  if (chosen == front.end() || !plan.feasible) return "";
  std::string text;
  auto more = std::find_if(chosen + 1, front.end(),
                           [&](const ParetoPoint& p) { return p.feasible && p.miss_rate <= chosen->miss_rate / 2; });
  if (more == front.end())
    more = std::find_if(chosen + 1, front.end(), [](const ParetoPoint& p) { return p.feasible; });
  if (more != front.end() && chosen->miss_rate >= 0.001) {  // of less there is nothing to win
    const double left = more->miss_rate / chosen->miss_rate;
    const std::string what = left <= 0     ? "avoid all misses"
                             : left <= 0.4 ? fmt::format("divide the misses by {:.2g}", 1 / left)
                             : left <= 0.5 ? "halve the misses"
                                           : "lower the misses";
    text = fmt::format("{} more loss would {} ({} to {})", points_of_loss(more->accuracy_loss - chosen->accuracy_loss),
                       what, percent(chosen->miss_rate), percent(more->miss_rate));
  }
  if (chosen != front.begin()) {
    const ParetoPoint& less = *(chosen - 1);
    text += fmt::format("{}{} less{} would miss {}{}", text.empty() ? "" : "; ",
                        points_of_loss(chosen->accuracy_loss - less.accuracy_loss), text.empty() ? " loss" : "",
                        percent(less.miss_rate), less.feasible ? "" : " and break a limit");
  }
  return text;
}

std::string difference(const ParetoPoint& point, const Plan& plan, const PlanProblem& problem) {
  std::vector<std::string> words;
  for (std::size_t i = 0; i < point.choices.size() && i < plan.tasks.size() && i < problem.tasks.size(); ++i) {
    const PlanTask& task = problem.tasks[i];
    const TaskOption& here = task.options.at(static_cast<std::size_t>(point.choices[i].option));
    const TaskOption& there = chosen_option(plan.tasks[i], task);
    if (here.variant != there.variant)
      words.push_back(fmt::format("{}: {} instead of {}", task.name, here.variant, there.variant));
    else if (here.processor != there.processor) words.push_back(fmt::format("{} on {}", task.name, here.processor));
    else if (segments_of(here) != segments_of(there))
      words.push_back(
          fmt::format("{} in {} segment{}", task.name, segments_of(here), segments_of(here) == 1 ? "" : "s"));
    else if (here.threads != there.threads) words.push_back(fmt::format("{} with {} threads", task.name, here.threads));
  }
  if (words.empty() && !point.chosen && !point.choices.empty()) return "another order of priorities";
  return fmt::format("{}", fmt::join(words, ", "));
}

}  // namespace rtmdl
