#include "base/units.h"
#include "report/charts.h"
#include "report/describe.h"
#include "report/html.h"
#include "report/page_style.h"
#include "report/table.h"

#include <algorithm>

#include <fmt/format.h>

namespace rtmdl {
namespace {

class ComparePageText {
 public:
  explicit ComparePageText(const ComparePage& content) : content_(content) {}

  std::string write() {
    const std::string title = content_.workload.empty() ? "rtmdl compare" : "rtmdl compare: " + content_.workload;
    out_ =
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" "
        "content=\"width=device-width,initial-scale=1\">\n";
    out_ += "<title>" + escape_html(title) + "</title>\n<style>" + std::string(kPageStyle) +
            "</style>\n</head>\n<body>\n<main>\n";
    out_ += "<h1>" + escape_html(title) + "</h1>\n";
    if (const std::string sentence = headline(content_.runs); !sentence.empty())
      out_ += "<p class=\"headline\">" + escape_html(sentence) + "</p>\n";
    if (content_.runs.empty()) {
      out_ += "<p class=\"headline\">No policy was run.</p>\n";
    } else {
      cards();
      charts();
      timelines();
      full_table();
    }
    plan();
    machine();
    out_ += "</main>\n</body>\n</html>\n";
    return std::move(out_);
  }

 private:
  void section(std::string_view title, const std::string& say) {
    out_ += fmt::format("<h2>{}</h2>\n", title);
    if (!say.empty()) out_ += "<p class=\"say\">" + say + "</p>\n";
  }

  void cards() {
    out_ += "<div class=\"cards\">\n";
    for (std::size_t i = 0; i < content_.runs.size(); ++i) {
      const RunReport& r = content_.runs[i];
      out_ +=
          fmt::format("<section class=\"card {}\"><strong>{}</strong><b>{}</b>of {} jobs missed\n<dl>",
                      policy_class(content_.runs, i), escape_html(r.policy), percent(r.miss_rate), grouped(r.released));
      fact("accuracy loss", percent(r.accuracy_loss));
      for (const ProcessorReport& p : r.processors) fact(p.name + " busy", percent(p.busy));
      fact("machine stalls", r.stalls.count
                                 ? fmt::format("{}, ≤ {} ms", grouped(r.stalls.count), short_number(r.stalls.max_ms))
                                 : "none");
      if (r.stalls.count) fact("misses they explain", grouped(r.stalls.missed));
      fact("preemption", r.preemption);
      fact("ran for", short_number(r.seconds) + " s");
      out_ += "</dl></section>\n";
    }
    out_ += "</div>\n";
  }

  void fact(const std::string& name, const std::string& value) {
    out_ += "<dt>" + escape_html(name) + "</dt><dd>" + escape_html(value) + "</dd>";
  }

  void policy_key(std::string_view extra = "") {
    out_ += "<ul class=\"key\">";
    for (std::size_t i = 0; i < content_.runs.size(); ++i)
      out_ += fmt::format("<li class=\"{}\"><i></i>{}</li>", policy_class(content_.runs, i),
                          escape_html(content_.runs[i].policy));
    out_ += std::string(extra) + "</ul>\n";
  }

  void charts() {
    const bool limits = !content_.tasks.empty();
    out_ += "<div class=\"pair\">\n<div>\n";
    section("Who misses what", "Share of jobs that were late, dropped or failed.");
    policy_key(limits ? "<li><i class=\"dash\"></i>limit of the task</li>" : "");
    out_ += "<figure>" + miss_chart(content_.runs, content_.tasks) + "</figure>\n</div>\n<div>\n";
    section("How long a result takes",
            limits ? "From release to finish, as a share of the deadline D: dot, median; bar, up to 99 %; line, up to "
                     "the slowest. At the right, 99 % in ms."
                   : "From release to finish: dot, median; bar, up to 99 %; line, up to the slowest.");
    policy_key(limits ? "<li><i class=\"dash\"></i>deadline</li>" : "");
    out_ += "<figure>" + response_chart(content_.runs, content_.tasks) + "</figure>\n</div>\n</div>\n";
    const std::vector<ParetoPoint> none;
    const auto& pareto = content_.plan ? content_.plan->pareto : none;
    section("What accuracy it costs", pareto.empty()
                                          ? "Lower left is better."
                                          : "Lower left is better. Dashed: the best trades that the planner predicts.");
    out_ += "<figure style=\"max-width:760px\">" + trade_chart(content_.runs, pareto) + "</figure>\n";
  }

  void timelines() {
    if (content_.timelines.empty()) return;
    section("How each run begins",
            "Above, what each processor executed; a stage that another displaced stands still while the other is drawn "
            "over it. Below, each task's jobs from "
            "release to finish; a red cross is a miss. Shaded: the machine itself stood still.");
    for (const Timeline& t : content_.timelines) {
      out_ += "<h3>" + escape_html(t.policy) + "</h3>\n<figure class=\"wide\">" + t.svg + "</figure>\n";
      if (!t.trace.empty()) out_ += "<p class=\"say\">Whole run: <code>" + escape_html(t.trace) + "</code></p>\n";
    }
    const bool traces = std::any_of(content_.timelines.begin(), content_.timelines.end(),
                                    [](const Timeline& t) { return !t.trace.empty(); });
    if (traces)
      out_ +=
          "<p class=\"say\">To look into a trace: open <code>ui.perfetto.dev</code> in a browser and drop the file on "
          "it (it stays on your machine), or load the <code>.trace.json</code> beside it in "
          "<code>chrome://tracing</code>. Arrows lead from a job's release over its stages to its finish.</p>\n";
  }

  const TaskInfo* info_of(const std::string& name) const {
    const auto found =
        std::find_if(content_.tasks.begin(), content_.tasks.end(), [&](const TaskInfo& t) { return t.name == name; });
    return found == content_.tasks.end() ? nullptr : &*found;
  }

  static std::string cell(const std::string& value, std::string_view style = "") {
    return style.empty() ? "<td>" + escape_html(value) + "</td>"
                         : fmt::format("<td class=\"{}\">{}</td>", style, escape_html(value));
  }
  static std::string count(std::int64_t n) { return cell(grouped(n), n ? "" : "zero"); }

  void head(std::string_view caption, const std::vector<std::string_view>& names,
            const std::vector<std::string_view>& figures) {
    out_ += fmt::format("<div class=\"scroll\" role=\"region\" aria-label=\"{}\" tabindex=\"0\"><table>\n<thead><tr>",
                        caption);
    for (const auto n : names) out_ += fmt::format("<th scope=\"col\" class=\"name\">{}</th>", n);
    for (const auto f : figures) out_ += fmt::format("<th scope=\"col\">{}</th>", f);
    out_ += "</tr></thead>\n";
  }

  void full_table() {
    section("All figures",
            "Loss is against the source model on the same inputs; effective accuracy counts a missed job as wrong. "
            "Predicted: "
            "what the simulator expected to be missed.");
    const bool switches = std::any_of(content_.runs.begin(), content_.runs.end(), [](const RunReport& r) {
      return std::any_of(r.tasks.begin(), r.tasks.end(), [](const TaskReport& t) { return t.switches > 0; });
    });
    std::vector<std::string_view> figures{"released", "missed", "predicted", "limit",     "late",
                                          "dropped",  "failed", "accuracy",  "effective", "loss",
                                          "p50 ms",   "p99 ms", "max ms",    "deadline"};
    if (switches) figures.push_back("switches");
    head("All figures", {"task", "policy", "variant"}, figures);
    for (const std::string& name : task_names(content_.runs)) {
      std::vector<std::size_t> rows;
      for (std::size_t i = 0; i < content_.runs.size(); ++i)
        if (task_in(content_.runs[i], name)) rows.push_back(i);
      out_ += "<tbody>\n";
      for (const std::size_t i : rows) {
        const TaskReport& t = *task_in(content_.runs[i], name);
        const TaskInfo* info = info_of(name);
        out_ += "<tr>";
        if (i == rows.front())
          out_ += fmt::format("<th scope=\"rowgroup\" rowspan=\"{}\">{}</th>", rows.size(), escape_html(name));
        out_ += fmt::format("<td class=\"name {}\"><i></i>{}</td>", policy_class(content_.runs, i),
                            escape_html(content_.runs[i].policy));
        out_ += cell(t.variant, "name") + cell(grouped(t.released));
        out_ += cell(percent(t.miss_rate), !info ? "" : t.miss_rate > info->miss_rate_limit ? "over" : "good");
        out_ += cell(t.predicted_miss_rate ? percent(*t.predicted_miss_rate) : "–", "zero");
        out_ += cell(info ? percent(info->miss_rate_limit) : "–", "zero") + count(t.missed - t.dropped - t.failed) +
                count(t.dropped) + count(t.failed);
        out_ += cell(percent(t.accuracy)) + cell(percent(t.effective_accuracy)) +
                cell(percent(t.accuracy_loss), t.accuracy_loss == 0 ? "zero" : "");
        for (const double ms : {t.response.p50_ms, t.response.p99_ms, t.response.max_ms})
          out_ += t.completed ? cell(short_number(ms), info && ms > to_ms(info->deadline) ? "over" : "")
                              : cell("–", "zero");
        out_ += cell(info ? format_duration(info->deadline) : "–", "zero") + (switches ? count(t.switches) : "") +
                "</tr>\n";
      }
      out_ += "</tbody>\n";
    }
    out_ += "</table></div>\n";
  }

  void plan() {
    if (!content_.plan || !content_.problem) return;
    const Plan& plan = *content_.plan;
    const auto ours = std::find_if(content_.runs.begin(), content_.runs.end(),
                                   [](const RunReport& r) { return r.policy == "rtmdl"; });
    std::string say = std::string(plan.feasible ? "Feasible" : "Not feasible; this is the nearest strategy") +
                      (plan.reason.empty() ? "." : ": " + plan.reason + (plan.reason.back() == '.' ? "" : "."));
    say +=
        fmt::format(" Storage {}{}. Search: {}, {} strategies simulated in {} s{}.", format_bytes(plan.bytes),
                    content_.problem->storage ? " of " + format_bytes(*content_.problem->storage) : "", plan.method,
                    grouped(plan.evaluated), short_number(plan.seconds), plan.proven_optimal ? ", proven optimal" : "");
    section("What the planner chose", escape_html(say));
    head("The plan", {"task", "variant", "on"},
         {"priority", "threads", "accuracy", "loss", "missed, predicted", "missed, measured", "limit", "use"});
    out_ += "<tbody>\n";
    for (std::size_t i = 0; i < plan.tasks.size() && i < content_.problem->tasks.size(); ++i) {
      const PlanTask& task = content_.problem->tasks[i];
      const PlannedTask& planned = plan.tasks[i];
      const TaskOption& option = chosen_option(planned, task);
      const TaskReport* measured = ours == content_.runs.end() ? nullptr : task_in(*ours, task.name);
      std::string use;
      for (std::size_t p = 0; p < planned.utilisation.size() && p < content_.problem->processors.size(); ++p)
        if (planned.utilisation[p] > 0)
          use += fmt::format("{}{} {}", use.empty() ? "" : ", ", content_.problem->processors[p].name,
                             percent(planned.utilisation[p]));
      out_ += fmt::format("<tr><th scope=\"row\">{}</th>", escape_html(task.name)) + cell(option.variant, "name") +
              cell(place_text(option), "name") + count(planned.choice.priority);
      out_ += count(option.threads) + cell(percent(option.accuracy)) +
              cell(percent(planned.accuracy_loss), planned.accuracy_loss == 0 ? "zero" : "");
      out_ += cell(percent(planned.miss_rate), planned.miss_rate > task.miss_rate_limit ? "over" : "");
      out_ += measured ? cell(percent(measured->miss_rate), measured->miss_rate > task.miss_rate_limit ? "over" : "")
                       : cell("–", "zero");
      out_ += cell(task.hard ? "hard" : percent(task.miss_rate_limit), "zero") + cell(use) + "</tr>\n";
    }
    out_ += "</tbody>\n</table></div>\n";
  }

  void machine() {
    std::vector<std::string> notes = content_.notes;
    for (const RunReport& r : content_.runs)
      for (const ChangeReport& c : r.changes) notes.push_back(r.policy + ": " + change_text(c));
    for (const RunReport& r : content_.runs)
      for (const std::string& n : r.notes)
        if (const std::string note = r.policy + ": " + n; std::find(notes.begin(), notes.end(), note) == notes.end())
          notes.push_back(note);
    if (content_.machine.empty() && notes.empty()) return;
    section("The box", "");
    out_ += "<dl class=\"facts\">\n";
    for (const auto& [name, value] : content_.machine) fact(name, value);
    out_ += "</dl>\n";
    if (notes.empty()) return;
    out_ += "<ul class=\"notes\">\n";
    for (const std::string& n : notes) out_ += "<li>" + escape_html(n) + "</li>\n";
    out_ += "</ul>\n";
  }

  const ComparePage& content_;
  std::string out_;
};

}  // namespace

std::string compare_page(const ComparePage& page) { return ComparePageText(page).write(); }

}  // namespace rtmdl
