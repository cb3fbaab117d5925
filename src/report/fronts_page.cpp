#include "base/units.h"
#include "report/charts.h"
#include "report/describe.h"
#include "report/front.h"
#include "report/html.h"
#include "report/page_style.h"
#include "report/svg.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace rtmdl {
namespace {

std::int64_t bytes_of(const TaskVariants& family) { return stored_bytes({family}); }

/// Times that the fastest level is faster than the source; 1 without either.
double span_of(const TaskVariants& family) {
  Duration source{}, least = Duration::max();
  for (const Variant& v : family.variants) {
    if (v.median <= Duration::zero()) continue;
    if (v.id == "source") source = v.median;
    least = std::min(least, v.median);
  }
  return source > Duration::zero() ? to_ms(source) / to_ms(least) : 1;
}

/// "5 tasks, 23 levels; the fastest are 2.1 to 12 times as fast as their sources."
std::string summary_of(const ScaleReport& report) {
  std::size_t levels = 0;
  double least = 0, most = 0;
  for (const TaskFront& t : report.tasks) {
    levels += t.family.variants.size();
    const double span = span_of(t.family);
    least = least == 0 ? span : std::min(least, span);
    most = std::max(most, span);
  }
  if (levels == 0) return "No level was made yet.";
  const auto counted = [](std::size_t n, const char* what) {
    return fmt::format("{} {}{}", n, what, n == 1 ? "" : "s");
  };
  std::string text = counted(report.tasks.size(), "task") + ", " + counted(levels, "level");
  if (most <= 1.005) return text + "; none is faster than its source.";
  if (report.tasks.size() == 1)
    return text + fmt::format("; the fastest is {} times as fast as the source.", short_number(most));
  return text + fmt::format("; the fastest are {} to {} times as fast as their sources.", short_number(least),
                            short_number(most));
}

class FrontsPageText {
 public:
  explicit FrontsPageText(const ScaleReport& report) : report_(report) {}

  std::string write() {
    const std::string title = report_.workload.empty() ? "rtmdl scale" : "rtmdl scale: " + report_.workload;
    out_ =
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" "
        "content=\"width=device-width,initial-scale=1\">\n";
    out_ += "<title>" + escape_html(title) + "</title>\n<style>" + std::string(kPageStyle) +
            "</style>\n</head>\n<body>\n<main>\n<h1>" + escape_html(title) + "</h1>\n<p class=\"headline\">" +
            escape_html(summary_of(report_)) + "</p>\n";
    storage();
    out_ +=
        "<p class=\"say\">Upper left is better. Each mark is a level of the task's model: its area is its bytes, its "
        "colour its precision; hollow marks are dominated, which is to say that another level is at least as fast and "
        "as accurate. The steps are the best accuracy within a latency.</p>\n";
    for (const TaskFront& t : report_.tasks) task(t);
    out_ += "</main>\n</body>\n</html>\n";
    return std::move(out_);
  }

 private:
  /// Bytes of each task's files side by side, against the bound.
  void storage() {
    if (report_.bytes <= 0) return;
    constexpr double width = 720, left = 8, bar = 26;
    const std::int64_t whole = std::max(report_.bytes, report_.limit.value_or(0));
    const double scale = (width - 2 * left) / static_cast<double>(whole);
    out_ +=
        "<h2>Storage</h2>\n<p class=\"say\">" +
        escape_html(report_.limit ? fmt::format("All files of all levels take {} of the {} that the task file allows.",
                                                format_bytes(report_.bytes), format_bytes(*report_.limit))
                                  : fmt::format("All files of all levels take {}; the task file sets no bound.",
                                                format_bytes(report_.bytes))) +
        "</p>\n<ul class=\"key\">";
    std::string svg = open_svg(width, bar + 20, "Bytes of each task's levels against the storage bound");
    double x = left;
    for (std::size_t i = 0; i < report_.tasks.size(); ++i) {
      const TaskVariants& family = report_.tasks[i].family;
      const std::int64_t bytes = bytes_of(family);
      const double part = static_cast<double>(bytes) * scale;
      svg += fmt::format(
          "<rect x=\"{:.1f}\" y=\"6\" width=\"{:.1f}\" height=\"{:.0f}\" class=\"{}\"><title>{}: {}</title></rect>\n",
          x, std::max(0.5, part), bar, task_class(i), escape_html(family.task), format_bytes(bytes));
      x += part;
      out_ += fmt::format("<li class=\"{0}\"><i style=\"background:var(--{0})\"></i>{1} {2}</li>", task_class(i),
                          escape_html(family.task), format_bytes(bytes));
    }
    if (report_.limit) {
      const double at = left + static_cast<double>(*report_.limit) * scale;
      svg += svg_line(at, 0, at, bar + 12, "limit");
      out_ += "<li><i class=\"dash\"></i>storage bound</li>";
    }
    out_ += "</ul>\n<figure style=\"max-width:760px\">" + svg + "</svg>\n</figure>\n";
  }

  void task(const TaskFront& t) {
    out_ += "<section>\n<h2>" + escape_html(t.family.task) +
            (t.synthetic ? " <span class=\"over\">synthetic data</span>" : "") + "</h2>\n";
    if (t.synthetic)
      out_ +=
          "<p class=\"say\">Its inputs were made up by rtmdl: the accuracies compare levels, and say nothing of the "
          "world.</p>\n";
    if (t.family.variants.empty()) {
      out_ += "<p class=\"say\">No level was made yet.</p>\n</section>\n";
      return;
    }
    out_ += "<div class=\"front-pair\">\n<figure>" + front_svg(t) + "</figure>\n";
    levels(t);
    out_ += "</div>\n";
    left_out(t.family);
    out_ += "</section>\n";
  }

  static std::string cell(const std::string& value, std::string_view style = "") {
    return style.empty() ? "<td>" + escape_html(value) + "</td>"
                         : fmt::format("<td class=\"{}\">{}</td>", style, escape_html(value));
  }

  void levels(const TaskFront& t) {
    const std::vector<Variant>& variants = t.family.variants;
    const std::vector<bool> worse = dominated(variants);
    const auto source =
        std::find_if(variants.begin(), variants.end(), [](const Variant& v) { return v.id == "source"; });
    const auto any = [&](auto differs) { return std::any_of(variants.begin(), variants.end(), differs); };
    const bool width = any([](const Variant& v) { return v.width != 1; });  // columns that say nothing are left out
    const bool depth = any([](const Variant& v) { return v.depth != 1; });
    const bool resolution = any([](const Variant& v) { return v.resolution != 1; });
    const bool shared = any([](const Variant& v) { return v.shared_bytes > 0; });
    out_ += fmt::format(
        "<div class=\"scroll levels\" role=\"region\" aria-label=\"Levels of {}\" tabindex=\"0\"><table>\n<thead><tr>"
        "<th scope=\"col\" class=\"name\">level</th>",
        escape_html(t.family.task));
    const auto head = [&](const char* name, bool shown = true) {
      if (shown) out_ += fmt::format("<th scope=\"col\">{}</th>", name);
    };
    head("width", width), head("depth", depth), head("resolution", resolution), head("precision"), head("ms");
    head("faster"), head("accuracy"), head("loss"), head("size"), head("shared", shared);
    out_ += "</tr></thead>\n<tbody>\n";
    const auto share = [](double x, bool shown) {
      return shown ? cell(fmt::format("{:.3g}", x), x == 1 ? "zero" : "") : std::string();
    };
    for (std::size_t i = 0; i < variants.size(); ++i) {
      const Variant& v = variants[i];
      const bool measured = v.median > Duration::zero();
      const bool compare = measured && source != variants.end() && source->median > Duration::zero();
      out_ += fmt::format("<tr{}><th scope=\"row\" title=\"{}\">{}</th>", worse[i] ? " class=\"zero\"" : "",
                          escape_html(v.note), escape_html(v.id));
      out_ += share(v.width, width) + share(v.depth, depth) + share(v.resolution, resolution) + cell(v.precision) +
              cell(measured ? short_number(to_ms(v.median)) : "–");
      out_ += cell(compare ? short_number(to_ms(source->median) / to_ms(v.median)) + "×" : "–",
                   compare && v.id != "source" ? "" : "zero");
      out_ += cell(percent(v.accuracy)) + cell(percent(v.accuracy_loss), v.accuracy_loss == 0 ? "zero" : "");
      out_ += cell(format_bytes(v.bytes));
      if (shared)
        out_ += cell(v.shared_bytes > 0 ? format_bytes(v.shared_bytes) : "–", v.shared_bytes > 0 ? "" : "zero");
      out_ += "</tr>\n";
    }
    out_ += "</tbody>\n</table></div>\n";
  }

  void left_out(const TaskVariants& family) {
    if (!family.finished) out_ += "<p class=\"say\">Not finished: the next start goes on.</p>\n";
    const auto groups = grouped_refusals(family.refused);
    if (groups.empty() && family.dropped.empty()) return;
    out_ += fmt::format("<details><summary>{} left out</summary>\n<ul class=\"notes\">\n",
                        family.refused.size() + family.dropped.size());
    for (const Refusals& g : groups)
      out_ += fmt::format("<li>{}: {}</li>\n", escape_html(fmt::format("{}", fmt::join(g.ids, ", "))),
                          escape_html(g.reason));
    for (const std::string& d : family.dropped) out_ += "<li>" + escape_html(d) + "</li>\n";
    out_ += "</ul></details>\n";
  }

  const ScaleReport& report_;
  std::string out_;
};

}  // namespace

std::string fronts_page(const ScaleReport& report) { return FrontsPageText(report).write(); }

}  // namespace rtmdl
