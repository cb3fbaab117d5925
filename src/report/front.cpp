#include "report/front.h"

#include "base/units.h"
#include "report/charts.h"
#include "report/describe.h"
#include "report/table.h"

#include <algorithm>
#include <cctype>
#include <map>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace rtmdl {
namespace {

constexpr std::size_t kName = 20;    ///< of a task, in characters
constexpr std::size_t kIds = 3;      ///< refused levels that a line names
constexpr std::size_t kReasons = 4;  ///< lines per task

/// Figures as '#', so that reasons that differ in them are one.
std::string without_figures(const std::string& text) {
  std::string out;
  for (const char c : text) {
    const bool figure = std::isdigit(static_cast<unsigned char>(c)) != 0 || c == '.';
    if (!figure) out += c;
    else if (out.empty() || out.back() != '#') out += '#';
  }
  return out;
}

std::string without_parentheses(const std::string& text) {
  std::string out;
  int depth = 0;
  for (const char c : text) {
    if (c == '(') {
      if (depth++ == 0 && !out.empty() && out.back() == ' ') out.pop_back();
    } else if (c == ')' && depth > 0) {
      --depth;
    } else if (depth == 0) {
      out += c;
    }
  }
  return out;
}

std::string id_list(const std::vector<std::string>& ids) {
  if (ids.size() <= kIds + 1) return fmt::format("{}", fmt::join(ids, ", "));
  return fmt::format("{} and {} more", fmt::join(ids.begin(), ids.begin() + kIds, ", "), ids.size() - kIds);
}

/// "refused", "dropped": compact, or line by line.
std::string left_out(const std::string& task, const char* how, const std::vector<std::string>& lines, bool all) {
  std::string text;
  if (all) {
    for (const std::string& line : lines) text += fmt::format("  {}: {} {}\n", task, how, line);
    return text;
  }
  const auto groups = grouped_refusals(lines);
  std::size_t rest = 0;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    if (i < kReasons || groups.size() == kReasons + 1)
      text += fmt::format("  {}: {} {}: {}{}\n", task, how, id_list(groups[i].ids), groups[i].reason,
                          groups[i].ids.size() > 1 ? ", and the like" : "");
    else rest += groups[i].ids.size();
  }
  if (rest > 0) text += fmt::format("  {}: {} {} more for other reasons; -v lists all\n", task, how, rest);
  return text;
}

/// Who leaves where, of levels with early exits.
std::string exits_table(const ScaleReport& report, bool colour) {
  Table table({{"task", Align::left},
               {"level", Align::left},
               {"exit"},
               {"measure", Align::left},
               {"sure from"},
               {"leave"},
               {"accuracy if all did"}});
  bool any = false;
  for (const TaskFront& front : report.tasks) {
    std::string title = shortened(front.family.task, kName);
    for (const Variant& v : front.family.variants)
      for (std::size_t k = 0; k < v.exits.at.size(); ++k) {
        const EarlyExit& exit = v.exits.at[k];
        table.row({{title, Tone::strong},
                   k == 0 ? v.id : "",
                   fmt::format("{}", k + 1),
                   sure_measure_name(exit.rule.measure),
                   fmt::format("{:.3f}", exit.rule.threshold),
                   percent(exit.leaves),
                   percent(exit.accuracy)});
        title.clear();
        any = true;
      }
  }
  return any ? table.to_string(colour) + "\n" : "";
}

}  // namespace

std::vector<bool> dominated(const std::vector<Variant>& variants) {
  std::vector<bool> is(variants.size(), false);
  for (std::size_t a = 0; a < variants.size(); ++a) {
    if (variants[a].median <= Duration::zero()) continue;
    for (const Variant& b : variants) {
      if (b.median <= Duration::zero()) continue;
      const bool as_good = b.median <= variants[a].median && b.accuracy >= variants[a].accuracy;
      if (as_good && (b.median < variants[a].median || b.accuracy > variants[a].accuracy)) is[a] = true;
    }
  }
  return is;
}

std::vector<Refusals> grouped_refusals(const std::vector<std::string>& lines) {
  std::vector<Refusals> groups;
  std::map<std::string, std::size_t> by_reason;
  for (const std::string& line : lines) {
    const auto colon = line.find(": ");
    const std::string id = colon == std::string::npos ? "" : line.substr(0, colon);
    const std::string reason = without_parentheses(colon == std::string::npos ? line : line.substr(colon + 2));
    const auto [at, fresh] = by_reason.try_emplace(without_figures(reason), groups.size());
    if (fresh) groups.push_back({{}, reason});
    groups[at->second].ids.push_back(id);
  }
  return groups;
}

std::string scale_table(const ScaleReport& report, bool all, bool colour) {
  std::vector<Table::Column> columns{{"task", Align::left},
                                     {"level", Align::left},
                                     {"width"},
                                     {"depth"},
                                     {"resolution"},
                                     {"precision", Align::left},
                                     {"ms"},
                                     {"faster"},
                                     {"accuracy"},
                                     {"loss"},
                                     {"size"},
                                     {"shared"},
                                     {"", Align::left}};
  if (all) columns.push_back({"how", Align::left});
  Table table(columns);
  std::string rest;
  bool begun = false, any_dominated = false, any_synthetic = false;
  const auto share = [](double x) { return Cell(fmt::format("{:.3g}", x), x == 1 ? Tone::faint : Tone::plain); };
  for (const TaskFront& front : report.tasks) {
    const TaskVariants& t = front.family;
    if (begun) table.rule();
    begun = true;
    any_synthetic = any_synthetic || front.synthetic;
    const std::vector<bool> worse = dominated(t.variants);
    const auto source =
        std::find_if(t.variants.begin(), t.variants.end(), [](const Variant& v) { return v.id == "source"; });
    std::string title = shortened(t.task, kName) + (front.synthetic ? " *" : "");
    for (std::size_t i = 0; i < t.variants.size(); ++i) {
      const Variant& v = t.variants[i];
      const bool measured = v.median > Duration::zero();
      const bool compare = measured && source != t.variants.end() && v.id != "source";
      const double times = compare ? to_ms(source->median) / to_ms(v.median) : 1;
      any_dominated = any_dominated || worse[i];
      std::vector<Cell> row{
          {title, Tone::strong},
          v.id,
          share(v.width),
          share(v.depth),
          share(v.resolution),
          v.precision,
          measured ? short_number(to_ms(v.median)) : "–",
          compare ? Cell(short_number(times) + "x", times >= 1.2 ? Tone::good : Tone::plain) : Cell(""),
          percent(v.accuracy),
          {percent(v.accuracy_loss), v.accuracy_loss == 0 ? Tone::faint : Tone::plain},
          format_bytes(v.bytes),
          v.shared_bytes > 0 ? Cell(format_bytes(v.shared_bytes)) : Cell("–", Tone::faint),
          {worse[i] ? "dominated" : "", Tone::faint}};
      if (all) row.push_back({v.note, Tone::faint});
      table.row(std::move(row));
      title.clear();
    }
    if (t.variants.empty()) table.row({{title, Tone::strong}, {"none yet", Tone::faint}});
    rest += left_out(t.task, "refused", t.refused, all) + left_out(t.task, "dropped", t.dropped, all);
    if (!t.finished) rest += fmt::format("  {}: not finished; the next start goes on\n", t.task);
  }
  std::string text = table.to_string(colour) + "\n" + exits_table(report, colour);
  if (any_synthetic) text += "* synthetic data: its accuracies say nothing of the world\n";
  if (any_dominated) text += "dominated: another level is at least as fast and as accurate\n";
  text += fmt::format("storage: {}\n",
                      report.limit ? fmt::format("{} of {}", format_bytes(report.bytes), format_bytes(*report.limit))
                                   : format_bytes(report.bytes) + ", no limit");
  if (!rest.empty()) text += "left out:\n" + rest;
  return text;
}

}  // namespace rtmdl
