#include "report/plan_page.h"

#include "base/units.h"
#include "report/charts.h"
#include "report/describe.h"
#include "report/page_style.h"
#include "report/svg.h"

#include <algorithm>
#include <numeric>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace rtmdl {
namespace {

class PlanPageText {
 public:
  explicit PlanPageText(const PlanPage& content)
      : content_(content), plan_(*content.plan), problem_(*content.problem) {}

  std::string write() {
    const std::string title = content_.workload.empty() ? "rtmdl plan" : "rtmdl plan: " + content_.workload;
    out_ =
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" "
        "content=\"width=device-width,initial-scale=1\">\n<title>" +
        escape_html(title) + "</title>\n<style>" + std::string(kPageStyle) + "</style>\n</head>\n<body>\n<main>\n<h1>" +
        escape_html(title) + "</h1>\n<p class=\"headline\">" + escape_html(headline()) + "</p>\n";
    if (!content_.changes.empty()) {
      std::vector<std::string> quoted;
      for (const std::string& change : content_.changes) quoted.push_back("<code>" + escape_html(change) + "</code>");
      out_ += fmt::format("<p class=\"say\">What if: {}. The task file says otherwise.</p>\n", fmt::join(quoted, " "));
    }
    relaxations();
    strategy();
    front();
    out_ += "<div class=\"pair\">\n<div>\n";
    misses();
    out_ += "</div>\n<div>\n";
    use();
    out_ += "</div>\n</div>\n";
    search();
    return std::move(out_ += "</main>\n</body>\n</html>\n");
  }

 private:
  std::size_t tasks() const { return std::min(plan_.tasks.size(), problem_.tasks.size()); }

  std::string headline() const {
    if (plan_.feasible)
      return fmt::format("Every task keeps its limit; {} of accuracy is lost, {} of jobs are predicted to be missed.",
                         percent(plan_.accuracy_loss), percent(plan_.miss_rate));
    return plan_.proven_optimal ? "No strategy keeps every limit." : "No strategy that keeps every limit was found.";
  }

  void section(const std::string& title, const std::string& say) {
    out_ += "<h2>" + escape_html(title) + "</h2>\n";
    if (!say.empty()) out_ += "<p class=\"say\">" + escape_html(say) + "</p>\n";
  }
  void head(const std::string& name, bool text = false) {
    out_ += fmt::format("<th scope=\"col\"{}>{}</th>", text ? " class=\"name\"" : "", escape_html(name));
  }
  void cell(const std::string& value, const std::string& style = "") {
    out_ += fmt::format("<td{}>{}</td>", style.empty() ? "" : " class=\"" + style + "\"", escape_html(value));
  }

  void relaxations() {
    if (plan_.feasible || !plan_.relaxations) return;
    section("What would be enough", plan_.relaxations->empty() ? "No single change was found that would be."
                                                               : "Any one of these, the smallest first:");
    if (plan_.relaxations->empty()) return;
    out_ += "<ul class=\"notes\">";
    for (const Relaxation& r : *plan_.relaxations) out_ += "<li>" + escape_html(r.text) + "</li>\n";
    out_ += "</ul>\n";
  }

  void strategy() {
    section(plan_.feasible ? "The strategy" : "The nearest strategy", plan_.reason);
    out_ +=
        "<div class=\"scroll\" role=\"region\" aria-label=\"Strategy\" tabindex=\"0\"><table>\n<thead><tr><th "
        "scope=\"col\">priority</th>";
    head("task", true), head("variant", true), head("on", true), head("threads"), head("p50 ms"), head("p99 ms");
    head("deadline"), head("accuracy"), head("loss"), head("misses"), head("limit");
    const bool bounds = std::any_of(plan_.tasks.begin(), plan_.tasks.end(),
                                    [](const PlannedTask& t) { return t.response_bound.has_value(); });
    if (bounds) head("bound");
    out_ += "</tr></thead>\n<tbody>\n";
    std::vector<std::size_t> order(tasks());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
      return plan_.tasks[a].choice.priority < plan_.tasks[b].choice.priority;
    });
    for (const std::size_t i : order) {
      const PlanTask& task = problem_.tasks[i];
      const PlannedTask& planned = plan_.tasks[i];
      const TaskOption& option = chosen_option(planned, task);
      out_ += fmt::format("<tr><td>{}</td><td class=\"name\"><i style=\"--c:var(--{})\"></i>{}</td>",
                          planned.choice.priority, task_class(i), escape_html(task.name));
      cell(option.variant, "name"), cell(place_text(option), "name"), cell(fmt::format("{}", option.threads));
      cell(work(option, 0.5)), cell(work(option, 0.99)), cell(format_duration(task.deadline));
      cell(percent(option.accuracy)), cell(percent(planned.accuracy_loss), planned.accuracy_loss == 0 ? "zero" : "");
      cell(percent(planned.miss_rate), planned.miss_rate > limit(task) ? "over" : "good");
      cell(task.hard ? "hard" : percent(task.miss_rate_limit), "zero");
      if (bounds) cell(planned.response_bound ? format_duration(*planned.response_bound) : "–");
      out_ += "</tr>\n";
    }
    out_ += "</tbody></table></div>\n";
  }

  static double limit(const PlanTask& task) { return task.hard ? 0 : task.miss_rate_limit; }
  static std::string work(const TaskOption& option, double q) {
    Duration sum{};
    for (const StageOption& s : option.stages) sum += s.times.quantile(q);
    return short_number(to_ms(sum));
  }

  void front() {
    const std::string beside = front_sentence(plan_);
    section("The trades",
            "Lower left is better. Each mark is the best trade that the search met between accuracy and "
            "deadlines; the steps are those that keep every task's limit." +
                (beside.empty() ? "" : " Beside the chosen one: " + beside + "."));
    out_ += "<div class=\"front-pair\">\n<figure>" + plan_front_svg(plan_, problem_) + "</figure>\n";
    points();
    out_ += "</div>\n";
  }

  /// At most so many rows, those around the chosen one.
  void points() {
    constexpr std::size_t most = 12;
    const auto& front = plan_.pareto;
    if (front.empty()) return;
    const auto chosen = std::find_if(front.begin(), front.end(), [](const ParetoPoint& p) { return p.chosen; });
    const auto at = static_cast<std::size_t>(chosen == front.end() ? 0 : chosen - front.begin());
    const std::size_t first = front.size() <= most ? 0 : std::min(front.size() - most, at - std::min(at, most / 2));
    out_ += "<div class=\"scroll levels\" role=\"region\" aria-label=\"Front\" tabindex=\"0\"><table>\n<thead><tr>";
    head("loss"), head("missed"), head("limits"),
        head(plan_.feasible ? "otherwise than chosen" : "otherwise than the nearest", true);
    out_ += "</tr></thead>\n<tbody>\n";
    for (std::size_t i = first; i < front.size() && i < first + most; ++i) {
      const ParetoPoint& p = front[i];
      out_ += "<tr>";
      cell(percent(p.accuracy_loss)), cell(percent(p.miss_rate));
      cell(p.feasible ? "kept" : "broken", p.feasible ? "good" : "over");
      const std::string other = difference(p, plan_, problem_);
      out_ += "<td class=\"name\" style=\"white-space:normal\">" +
              (p.chosen ? std::string("<b>chosen</b>") : escape_html(other)) + "</td></tr>\n";
    }
    out_ += "</tbody></table></div>\n";
  }

  void misses() {
    section("Who misses what", "Share of each task's jobs that is predicted to be late or dropped.");
    RunReport report;
    report.policy = "rtmdl";
    report.miss_rate = plan_.miss_rate;
    std::vector<TaskInfo> infos;
    for (std::size_t i = 0; i < tasks(); ++i) {
      const PlanTask& task = problem_.tasks[i];
      TaskReport t;
      t.name = task.name;
      t.miss_rate = plan_.tasks[i].miss_rate;
      report.tasks.push_back(t);
      infos.push_back({task.name, task.period, task.deadline, limit(task)});
    }
    out_ += "<ul class=\"key\"><li><i class=\"dash\"></i>limit of the task</li></ul>\n<figure>" +
            miss_chart({report}, infos) + "</figure>\n";
  }

  /// A bar per processor, a part of it per task.
  void use() {
    section("What each processor is used for", "Mean time of the stages as a share of the time, all slots together.");
    constexpr double width = 720, left = 90, right = 70, row = 34;
    double most = 1;
    for (std::size_t p = 0; p < problem_.processors.size(); ++p) most = std::max(most, sum(p) * 1.02);
    const double height = row * static_cast<double>(problem_.processors.size()) + 24;
    const auto x_of = [&](double share) { return left + (width - left - right) * share / most; };
    out_ += "<ul class=\"key\">";
    for (std::size_t i = 0; i < tasks(); ++i)
      out_ += fmt::format("<li><i style=\"background:var(--{})\"></i>{}</li>", task_class(i),
                          escape_html(problem_.tasks[i].name));
    out_ += "</ul>\n<figure>" + open_svg(width, height, "Use of each processor, by task");
    for (const double share : {0.0, 0.25, 0.5, 0.75, 1.0}) {
      out_ += svg_line(x_of(share), 0, x_of(share), height - 22, share == 1 ? "limit" : "grid");
      out_ += svg_text(x_of(share), height - 6, fmt::format("{:.0f} %", share * 100),
                       "class=\"axis\" text-anchor=\"middle\"");
    }
    for (std::size_t p = 0; p < problem_.processors.size(); ++p) {
      const double y = row * static_cast<double>(p);
      out_ += svg_text(left - 8, y + 21, shortened(problem_.processors[p].name, 12), "text-anchor=\"end\"");
      double from = 0;
      for (std::size_t i = 0; i < tasks(); ++i) {
        const double share = of(i, p);
        if (share <= 0) continue;
        out_ += fmt::format(
            "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"20\" class=\"{}\"><title>{}: "
            "{}</title></rect>\n",
            x_of(from), y + 6, std::max(0.5, x_of(from + share) - x_of(from)), task_class(i),
            escape_html(problem_.tasks[i].name), percent(share));
        from += share;
      }
      out_ += svg_text(x_of(from) + 6, y + 21, percent(from), from > 1 ? "class=\"over\"" : "class=\"value\"");
    }
    out_ += "</svg></figure>\n";
  }
  double of(std::size_t task, std::size_t processor) const {
    const auto& use = plan_.tasks[task].utilisation;
    return processor < use.size() ? use[processor] : 0;
  }
  double sum(std::size_t processor) const {
    double all = 0;
    for (std::size_t i = 0; i < tasks(); ++i) all += of(i, processor);
    return all;
  }

  void fact(const std::string& name, const std::string& value) {
    out_ += "<dt>" + escape_html(name) + "</dt><dd>" + escape_html(value) + "</dd>";
  }

  void search() {
    section("The search", "");
    out_ += "<dl class=\"facts\">";
    fact("method", plan_.method + (plan_.proven_optimal ? ", proven" : ""));
    fact("simulated", fmt::format("{} of {} strategies, in {} s", grouped(plan_.evaluated),
                                  plan_.space < 1e9 ? grouped(static_cast<std::int64_t>(plan_.space))
                                                    : fmt::format("{:.2g}", plan_.space),
                                  short_number(plan_.seconds)));
    fact("storage",
         format_bytes(plan_.bytes) + (problem_.storage ? " of " + format_bytes(*problem_.storage) : ", no limit"));
    out_ += "</dl>\n";
  }

  const PlanPage& content_;
  const Plan& plan_;
  const PlanProblem& problem_;
  std::string out_;
};

}  // namespace

std::string plan_page(const PlanPage& page) { return PlanPageText(page).write(); }

}  // namespace rtmdl
