#include "base/units.h"
#include "report/describe.h"
#include "report/table.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace rtmdl {
namespace {

/// "12.0 % !" where over the limit; the others leave room for the mark, so that figures stay in line.
Cell miss_cell(const TaskReport& t, const TaskInfo* info, bool marks) {
  const bool over = info && t.miss_rate > info->miss_rate_limit;
  const std::string expected = t.predicted_miss_rate ? fmt::format(" ({})", percent(*t.predicted_miss_rate)) : "";
  return {percent(t.miss_rate) + expected +
              (over    ? " !"
               : marks ? "  "
                       : ""),
          over   ? Tone::bad
          : info ? Tone::good
                 : Tone::plain};
}

/// A response beyond the deadline is bad.
Cell response_cell(const TaskReport& t, double ms, const TaskInfo* info) {
  if (t.completed == 0) return {"–", Tone::faint};
  return {short_number(ms), info && ms > to_ms(info->deadline) ? Tone::bad : Tone::plain};
}

Cell count_cell(std::int64_t n) { return {grouped(n), n == 0 ? Tone::faint : Tone::plain}; }

std::string stalls_text(const MachineStalls& s) {
  if (s.count == 0) return "none";
  return fmt::format("{}, up to {} ms", grouped(s.count), short_number(s.max_ms));
}

std::vector<std::string> processor_names(const std::vector<RunReport>& reports) {
  std::vector<std::string> names;
  for (const RunReport& r : reports)
    for (const ProcessorReport& p : r.processors)
      if (std::find(names.begin(), names.end(), p.name) == names.end()) names.push_back(p.name);
  return names;
}

std::string busy_text(const RunReport& report, const std::string& processor) {
  for (const ProcessorReport& p : report.processors)
    if (p.name == processor) return percent(p.busy);
  return "–";
}

/// Tasks down, policies across: who misses what, and what it cost.
std::string verdict(const std::vector<RunReport>& policies, const std::vector<TaskInfo>& tasks, bool colour) {
  std::vector<Table::Column> columns{{"missed jobs", Align::left}};
  if (!tasks.empty()) columns.insert(columns.end(), {{"deadline"}, {"limit"}});
  const std::size_t first = columns.size();
  for (const RunReport& r : policies) columns.push_back({r.policy + (tasks.empty() ? "" : "  ")});
  Table table(columns);
  const std::string room = tasks.empty() ? "" : "  ";
  for (const std::string& name : task_names(policies)) {
    const TaskInfo* info = info_of(tasks, name);
    std::vector<Cell> cells{name};
    if (!tasks.empty()) {
      cells.push_back({info ? format_duration(info->deadline) : "–", Tone::faint});
      cells.push_back({info ? percent(info->miss_rate_limit) : "–", Tone::faint});
    }
    for (const RunReport& r : policies) {
      const TaskReport* t = task_in(r, name);
      cells.push_back(t ? miss_cell(*t, info, !tasks.empty()) : Cell("–" + room));
    }
    table.row(std::move(cells));
  }
  table.rule();
  const auto figures = [&](const std::string& title, Tone tone, const auto& text) {
    std::vector<Cell> cells{{title, tone}};
    cells.resize(first, Cell(""));
    for (const RunReport& r : policies) cells.push_back({text(r) + room, tone});
    table.row(std::move(cells));
  };
  figures("all jobs", Tone::strong, [](const RunReport& r) { return percent(r.miss_rate); });
  figures("accuracy loss, summed", Tone::strong, [](const RunReport& r) { return percent(r.accuracy_loss); });
  figures("missed / released", Tone::plain,
          [](const RunReport& r) { return grouped(r.missed) + " / " + grouped(r.released); });
  for (const std::string& p : processor_names(policies))
    figures(p + " busy", Tone::plain, [&](const RunReport& r) { return busy_text(r, p); });
  if (std::any_of(policies.begin(), policies.end(), [](const RunReport& r) { return r.energy.has_value(); }))
    figures("power on average", Tone::plain,
            [](const RunReport& r) { return r.energy ? format_watts(r.energy->watts) : std::string("–"); });
  figures("machine stalls, longest", Tone::faint, [](const RunReport& r) {
    return r.stalls.count ? fmt::format("{}, {} ms", grouped(r.stalls.count), short_number(r.stalls.max_ms))
                          : std::string("none");
  });
  figures("misses they explain", Tone::faint, [](const RunReport& r) { return grouped(r.stalls.missed); });
  figures("preemption", Tone::faint, [](const RunReport& r) { return r.preemption; });
  return table.to_string(colour);
}

std::string details(const std::vector<RunReport>& policies, const std::vector<TaskInfo>& tasks, bool colour) {
  Table table({{"task", Align::left},
               {"policy", Align::left},
               {"variant", Align::left},
               {"released"},
               {"late"},
               {"dropped"},
               {"failed"},
               {"accuracy"},
               {"loss"},
               {"p50 ms"},
               {"p99 ms"},
               {"max ms"},
               {"deadline"}});
  bool begun = false;
  for (const std::string& name : task_names(policies)) {
    if (begun) table.rule();
    begun = true;
    const TaskInfo* info = info_of(tasks, name);
    std::string title = name;
    for (const RunReport& r : policies) {
      const TaskReport* t = task_in(r, name);
      if (!t) continue;
      table.row({{title, Tone::strong},
                 r.policy,
                 t->variant,
                 grouped(t->released),
                 count_cell(t->missed - t->dropped - t->failed),
                 count_cell(t->dropped),
                 count_cell(t->failed),
                 percent(t->accuracy),
                 loss_cell(t->accuracy_loss),
                 response_cell(*t, t->response.p50_ms, info),
                 response_cell(*t, t->response.p99_ms, info),
                 response_cell(*t, t->response.max_ms, info),
                 {info ? format_duration(info->deadline) : "–", Tone::faint}});
      title.clear();
    }
  }
  return table.to_string(colour);
}

/// Notes of all runs, each once, with the policies that gave it.
std::string notes_text(const std::vector<RunReport>& policies) {
  std::vector<std::pair<std::string, std::string>> notes;
  for (const RunReport& r : policies)
    for (const std::string& note : r.notes) {
      const auto known = std::find_if(notes.begin(), notes.end(), [&](const auto& n) { return n.first == note; });
      if (known == notes.end()) notes.emplace_back(note, r.policy);
      else known->second += ", " + r.policy;
    }
  std::string text;
  for (const auto& [note, by] : notes)
    text += policies.size() > 1 ? fmt::format("note ({}): {}\n", by, note) : fmt::format("note: {}\n", note);
  return text;
}

/// What was asked for while it ran.
std::string changes_text(const RunReport& report) {
  std::string text;
  for (const ChangeReport& change : report.changes) text += fmt::format("{}: {}\n", report.policy, change_text(change));
  return text;
}

/// "faces: 91.2 % source, 8.8 % int8 (14 switches)", of tasks whose jobs did not all run the same.
std::string variants_text(const RunReport& report) {
  std::string text;
  for (const TaskReport& t : report.tasks) {
    if (t.variants.empty() || (t.variants.size() == 1 && t.switches == 0)) continue;
    std::vector<std::string> shares;
    for (const VariantShare& v : t.variants)
      shares.push_back(fmt::format(
          "{} {}", percent(static_cast<double>(v.completed) / static_cast<double>(t.completed)), v.variant));
    text += fmt::format("{}: {} ran {} ({} switches)\n", report.policy, t.name, fmt::join(shares, ", "),
                        grouped(t.switches));
  }
  return text;
}

/// "energy: 302 J, 5.03 W on average of a budget of 5 W (constant power); faces 81 J, text 12 J beyond idle"
std::string energy_text(const RunReport& report) {
  if (!report.energy) return {};
  const EnergyReport& e = *report.energy;
  std::string text = fmt::format("energy: {}, {} on average", format_joules(e.joules), format_watts(e.watts));
  if (e.limit) text += fmt::format(" of a budget of {}", format_watts(*e.limit));
  text += fmt::format(" ({})", e.meter == "constant" ? "constant power" : e.meter);
  if (e.by_model) text += fmt::format("; {} by constant power", format_watts(*e.by_model));
  std::vector<std::string> tasks;
  for (const TaskReport& t : report.tasks)
    if (t.joules) tasks.push_back(fmt::format("{} {}", t.name, format_joules(*t.joules)));
  if (!tasks.empty()) text += fmt::format("; {} beyond idle", fmt::join(tasks, ", "));
  if (const auto& h = e.harvest)
    text += fmt::format("\nharvest: {} given (η {:.2f}), {} left, too little to begin anything for {} s",
                        format_joules(h->harvested), h->eta, format_joules(h->left), short_number(h->off));
  return text + "\n";
}

}  // namespace

std::string headline(const std::vector<RunReport>& policies) {
  if (policies.size() < 2) return {};
  std::vector<const RunReport*> named{&policies.front()};
  if (policies.size() <= 3) {
    for (std::size_t i = 1; i < policies.size(); ++i) named.push_back(&policies[i]);
  } else {  // the first, and what it is compared with
    auto other =
        std::find_if(policies.begin() + 1, policies.end(), [](const RunReport& r) { return r.policy == "rtmdl"; });
    if (other == policies.end())
      other = std::min_element(policies.begin() + 1, policies.end(),
                               [](const RunReport& a, const RunReport& b) { return a.miss_rate < b.miss_rate; });
    named.push_back(&*other);
  }
  std::string text;
  for (const RunReport* r : named) {
    text += text.empty() ? fmt::format("{} misses {} of its jobs", r->policy, percent(r->miss_rate))
                         : fmt::format("; {} {}", r->policy, percent(r->miss_rate));
    if (r->accuracy_loss > 0)
      text += fmt::format(" at a loss of {} of accuracy, summed over tasks", percent(r->accuracy_loss));
  }
  return text + ".";
}

std::string compare_table(const std::vector<RunReport>& policies, const std::vector<TaskInfo>& tasks, bool colour) {
  if (policies.empty()) return {};
  std::string text = headline(policies);
  if (!text.empty()) text += "\n\n";
  text += verdict(policies, tasks, colour) + "\n" + details(policies, tasks, colour);
  if (!tasks.empty())
    text +=
        "\n! more missed than the task's limit. (In brackets: predicted.) A late, dropped or failed job is a miss; "
        "loss is "
        "against the source model.\n";
  for (const RunReport& r : policies) text += variants_text(r) + changes_text(r);
  return text + notes_text(policies);
}

std::string run_table(const RunReport& report, const std::vector<TaskInfo>& tasks, bool colour) {
  std::vector<Table::Column> columns{
      {"task", Align::left}, {"variant", Align::left}, {"prio"}, {"released"}, {tasks.empty() ? "missed" : "missed  "}};
  if (!tasks.empty()) columns.push_back({"limit"});
  columns.insert(columns.end(), {{"late"}, {"dropped"}});
  const bool failures =
      std::any_of(report.tasks.begin(), report.tasks.end(), [](const TaskReport& t) { return t.failed > 0; });
  if (failures) columns.push_back({"failed"});
  columns.insert(columns.end(), {{"accuracy"}, {"loss"}, {"p50 ms"}, {"p99 ms"}, {"max ms"}});
  if (!tasks.empty()) columns.push_back({"deadline"});
  Table table(columns);
  for (const TaskReport& t : report.tasks) {
    const TaskInfo* info = info_of(tasks, t.name);
    std::vector<Cell> cells{t.name, t.variant, t.priority > 0 ? fmt::format("{}", t.priority) : "–",
                            grouped(t.released), miss_cell(t, info, !tasks.empty())};
    if (!tasks.empty()) cells.push_back({info ? percent(info->miss_rate_limit) : "–", Tone::faint});
    cells.push_back(count_cell(t.missed - t.dropped - t.failed));
    cells.push_back(count_cell(t.dropped));
    if (failures) cells.push_back(count_cell(t.failed));
    cells.insert(cells.end(),
                 {percent(t.accuracy), loss_cell(t.accuracy_loss), response_cell(t, t.response.p50_ms, info),
                  response_cell(t, t.response.p99_ms, info), response_cell(t, t.response.max_ms, info)});
    if (!tasks.empty()) cells.push_back({info ? format_duration(info->deadline) : "–", Tone::faint});
    table.row(std::move(cells));
  }
  std::string text = table.to_string(colour);
  text += fmt::format("\n{}: {} of {} jobs missed ({}) in {} s, accuracy loss {} (summed), preemption: {}\n",
                      report.policy, grouped(report.missed), grouped(report.released), percent(report.miss_rate),
                      short_number(report.seconds), percent(report.accuracy_loss), report.preemption);
  text += variants_text(report) + changes_text(report);
  std::string busy;
  for (const ProcessorReport& p : report.processors)
    busy += fmt::format("{}{} {}", busy.empty() ? "busy: " : ", ", p.name, percent(p.busy));
  if (!busy.empty()) text += busy + "\n";
  text += energy_text(report);
  std::string slowdowns;
  for (const ProcessorReport& p : report.processors)
    if (p.slowdown)
      slowdowns +=
          fmt::format("{}{} {:.2f}", slowdowns.empty() ? "stage times, of the profile's: " : ", ", p.name, *p.slowdown);
  if (!slowdowns.empty()) text += slowdowns + "\n";
  for (const ProcessorReport& p : report.processors)
    if (p.at_once)
      text += fmt::format(
          "packing: {} ran {:.2f} stages at once while it was busy, {:.2f} times what one after the other would have "
          "done\n",
          p.name, *p.at_once, *p.gain);
  if (report.stalls.count > 0)
    text += fmt::format("machine stalls: {}; they explain {} of the misses\n", stalls_text(report.stalls),
                        grouped(report.stalls.missed));
  if (report.trace)
    text += fmt::format("records of jobs: {}, {} lost; collecting and scoring them took {} ms, {} of a core\n",
                        grouped(report.trace->records), grouped(report.trace->lost),
                        short_number(report.trace->collector_cpu_ms),
                        percent(report.seconds > 0 ? report.trace->collector_cpu_ms / 1000 / report.seconds : 0));
  return text + notes_text({report});
}

}  // namespace rtmdl
