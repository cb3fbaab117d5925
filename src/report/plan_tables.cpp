#include "base/units.h"
#include "planning/energy.h"
#include "planning/proof.h"
#include "report/describe.h"
#include "report/plan_page.h"
#include "report/table.h"

#include <algorithm>
#include <numeric>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace rtmdl {
namespace {

std::string limit_text(std::int64_t bytes, std::optional<std::int64_t> limit) {
  return limit ? fmt::format("{} of {}", format_bytes(bytes), format_bytes(*limit))
               : format_bytes(bytes) + ", no limit";
}

Duration work(const TaskOption& option, double q) {
  Duration sum{};
  for (const StageOption& s : option.stages)
    if (!s.times.sorted.empty()) sum += s.times.quantile(q);
  return sum;
}

std::string ms(Duration d) { return short_number(to_ms(d)); }

/// Of a split model with what its parts take.
std::string profiled_place(const VariantProfile& v) {
  if (!v.exits.none()) return fmt::format("{}, {} units", v.processor, segments_of(v));
  if (v.split.empty()) return place_text(v.processor, segments_of(v));
  return fmt::format("{}, {} + {}", v.processor, ms(summary(v.segment_times.front()).p50),
                     ms(summary(v.segment_times.back()).p50));
}

std::string proof_text(const Plan& plan) {
  if (plan.proven_optimal) return fmt::format(", proven {} ({})", plan.feasible ? "optimal" : "infeasible", plan.model);
  if (!plan.feasible) return ", not proven";
  return fmt::format(", not proven: a loss below {} is impossible", percent(plan.loss_bound));
}

std::string relaxations_text(const std::vector<Relaxation>& relaxations) {
  if (relaxations.empty()) return "no single change that would be enough was found\n";
  const bool only_stretch =
      std::all_of(relaxations.begin(), relaxations.end(), [](const Relaxation& r) { return r.what == "stretch"; });
  std::string text = only_stretch ? "no change of one task, processor or bound was found to be enough; this would be:\n"
                                  : "any one of these would be enough, the smallest change first:\n";
  for (const Relaxation& r : relaxations) text += fmt::format("  {}\n", r.text);
  return text;
}

}  // namespace

std::string plan_table(const Plan& plan, const PlanProblem& problem, bool colour) {
  const std::size_t count = std::min(plan.tasks.size(), problem.tasks.size());
  const bool bounds = std::any_of(plan.tasks.begin(), plan.tasks.end(),
                                  [](const PlannedTask& t) { return t.response_bound.has_value(); });
  std::vector<Table::Column> columns{{"prio"},
                                     {"task", Align::left},
                                     {"variant", Align::left},
                                     {"on", Align::left},
                                     {"threads"},
                                     {"p50 ms"},
                                     {"p99 ms"},
                                     {"deadline"},
                                     {"accuracy"},
                                     {"loss"},
                                     {"misses  "},
                                     {"limit"}};
  if (bounds) columns.push_back({"bound"});
  if (plan.watts) columns.push_back({"J/job"});
  for (const PlanProcessor& p : problem.processors) columns.push_back({p.name + " use"});
  Table table(columns);
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return plan.tasks[a].choice.priority < plan.tasks[b].choice.priority;
  });
  std::vector<double> use(problem.processors.size());
  for (const std::size_t i : order) {
    const PlanTask& task = problem.tasks[i];
    const PlannedTask& planned = plan.tasks[i];
    const TaskOption& option = chosen_option(planned, task);
    const bool over = planned.miss_rate > task.miss_rate_limit;
    std::vector<Cell> cells{fmt::format("{}", planned.choice.priority),
                            task.name,
                            option.variant,
                            place_text(option),
                            fmt::format("{}", option.threads),
                            ms(work(option, 0.5)),
                            ms(work(option, 0.99)),
                            format_duration(task.deadline),
                            percent(option.accuracy),
                            loss_cell(planned.accuracy_loss),
                            {percent(planned.miss_rate) + (over ? " !" : "  "), over ? Tone::bad : Tone::good},
                            {task.hard ? "hard" : percent(task.miss_rate_limit), Tone::faint}};
    if (bounds)
      cells.push_back(planned.response_bound ? Cell(format_duration(*planned.response_bound)) : Cell("–", Tone::faint));
    if (plan.watts) cells.push_back(short_number(option.joules));
    for (std::size_t p = 0; p < use.size(); ++p) {
      const double u = p < planned.utilisation.size() ? planned.utilisation[p] : 0;
      use[p] += u;
      cells.push_back({percent(u), u == 0 ? Tone::faint : Tone::plain});
    }
    table.row(std::move(cells));
  }
  table.rule();
  std::vector<Cell> totals{"", {"all", Tone::strong}};
  totals.resize(9, Cell(""));  // up to "loss"
  totals.insert(totals.end(),
                {{percent(plan.accuracy_loss), Tone::strong}, {percent(plan.miss_rate) + "  ", Tone::strong}, ""});
  if (bounds) totals.push_back("");
  if (plan.watts) totals.push_back("");
  for (const double u : use) totals.push_back({percent(u), u > 1 ? Tone::bad : Tone::strong});
  table.row(std::move(totals));

  std::string text = table.to_string(colour);
  text += fmt::format("\n{}{}{}\n", plan.feasible ? "feasible" : "NOT FEASIBLE, this is the nearest strategy",
                      plan.reason.empty() ? "" : ": ", plan.reason);
  if (std::any_of(problem.tasks.begin(), problem.tasks.end(), [](const PlanTask& t) { return t.hard; }))
    text += fmt::format("proofs assume: {}\n", execution_assumption(problem));
  if (const std::string beside = front_sentence(plan); !beside.empty()) text += fmt::format("front: {}\n", beside);
  if (plan.relaxations && !plan.feasible) text += relaxations_text(*plan.relaxations);
  text += fmt::format("storage: {}\n", limit_text(plan.bytes, problem.storage));
  if (plan.watts)
    text += fmt::format("energy: {} on average{}, {} of it idle\n", format_watts(*plan.watts),
                        problem.power_limit ? fmt::format(" of {}", format_watts(*problem.power_limit)) : ", no limit",
                        format_watts(idle_watts(problem)));
  text +=
      fmt::format("search: {}, {} of {} strategies simulated in {} s{}\n", plan.method, grouped(plan.evaluated),
                  plan.space < 1e9 ? grouped(static_cast<std::int64_t>(plan.space)) : fmt::format("{:.2g}", plan.space),
                  short_number(plan.seconds), proof_text(plan));
  return text;
}

namespace {

constexpr std::size_t kMostNamed = 6;

/// "text source (gpu) 1.8x, faces int8 (cpu) 1.2x", the worst first.
std::string worst_first(std::vector<SlowDown> all) {
  std::stable_sort(all.begin(), all.end(), [](const SlowDown& a, const SlowDown& b) { return a.factor > b.factor; });
  std::string text;
  for (std::size_t i = 0; i < std::min(all.size(), kMostNamed); ++i)
    text += fmt::format("{}{} {} ({}) {:.2f}x", i == 0 ? "" : ", ", all[i].task, all[i].variant, all[i].processor,
                        all[i].factor);
  if (all.size() > kMostNamed) text += fmt::format(" and {} more", all.size() - kMostNamed);
  return text;
}

std::string slow_down_table(const std::vector<TaskProfile>& tasks, bool colour) {
  Table table({{"task", Align::left}, {"variant", Align::left}, {"on", Align::left}, {"slowed by", Align::left}});
  bool any = false;
  for (const TaskProfile& t : tasks) {
    std::string title = t.name;
    for (const VariantProfile& v : t.variants) {
      if (v.slow_downs.empty()) continue;
      table.row({{title, Tone::strong}, v.id, v.processor, worst_first(v.slow_downs)});
      title.clear();
      any = true;
    }
  }
  return any ? "\n" + table.to_string(colour) : "";
}

/// Units of early exits one by one, and what inference takes on average.
std::string units_table(const std::vector<TaskProfile>& tasks, bool colour) {
  Table table({{"task", Align::left},
               {"variant", Align::left},
               {"on", Align::left},
               {"threads"},
               {"units ms", Align::left},
               {"run by", Align::left},
               {"mean ms"}});
  bool any = false;
  for (const TaskProfile& t : tasks) {
    std::string title = t.name;
    for (const VariantProfile& v : t.variants) {
      if (v.exits.none()) continue;
      std::vector<std::string> units, run_by;
      for (const StageTimes& unit : v.segment_times) units.push_back(ms(summary(unit).p50));
      for (const double share : v.exits.reach()) run_by.push_back(percent(share));
      table.row({{title, Tone::strong},
                 v.id,
                 v.processor,
                 fmt::format("{}", v.threads),
                 fmt::format("{}", fmt::join(units, " + ")),
                 fmt::format("{}", fmt::join(run_by, ", ")),
                 {ms(mean_of_units(v)), Tone::strong}});
      title.clear();
      any = true;
    }
  }
  return any ? "\n" + table.to_string(colour) : "";
}

}  // namespace

std::string profile_table(const std::vector<TaskProfile>& tasks, bool colour) {
  const auto any_variant = [&](auto holds) {
    return std::any_of(tasks.begin(), tasks.end(),
                       [&](const TaskProfile& t) { return std::any_of(t.variants.begin(), t.variants.end(), holds); });
  };
  const bool energy = any_variant([](const VariantProfile& v) { return v.joules.has_value(); });
  const bool metered = any_variant([](const VariantProfile& v) { return v.metered; });
  std::vector<Table::Column> columns{{"task", Align::left},
                                     {"variant", Align::left},
                                     {"on", Align::left},
                                     {"threads"},
                                     {"p50 ms"},
                                     {"p99 ms"},
                                     {"max ms"},
                                     {"pre ms"},
                                     {"post ms"},
                                     {"uses"},
                                     {"beside"},
                                     {"jobs"},
                                     {"stalled"},
                                     {"accuracy"},
                                     {"loss"}};
  if (energy) columns.push_back({"J/job"});
  if (metered) columns.push_back({"from", Align::left});
  Table table(columns);
  bool begun = false;
  std::size_t reused = 0, all = 0;
  for (const TaskProfile& t : tasks) {
    if (begun) table.rule();
    begun = true;
    std::string title = t.name;
    for (const VariantProfile& v : t.variants) {
      const StageSummary infer = summary(v.infer);
      ++all;
      reused += v.reused;
      std::vector<Cell> cells{{title, Tone::strong},
                              v.id,
                              profiled_place(v),
                              fmt::format("{}", v.threads),
                              {ms(infer.p50), Tone::strong},
                              ms(infer.p99),
                              ms(infer.max),
                              ms(summary(v.pre).p50),
                              ms(summary(v.post).p50),
                              percent(v.demand),
                              short_number(v.interference) + "x",
                              grouped(static_cast<std::int64_t>(infer.samples)),
                              {percent(v.infer.stalls.share()), v.infer.stalls.count ? Tone::plain : Tone::faint},
                              percent(v.accuracy),
                              loss_cell(v.accuracy_loss)};
      if (energy) cells.push_back(v.joules ? Cell(short_number(*v.joules)) : Cell("–", Tone::faint));
      if (metered) cells.push_back({v.metered ? "measured" : "model", Tone::faint});
      table.row(std::move(cells));
      title.clear();
    }
  }
  return table.to_string(colour) +
         fmt::format(
             "\np50 to max: infer stage as planned with; uses: share of its processor; beside: how much slower beside "
             "other work;\nstalled: jobs in which the machine stood still{}. {} of {} from the store\n",
             energy ? "; J/job: beyond what the idle box draws" : "", reused, all) +
         units_table(tasks, colour) + slow_down_table(tasks, colour);
}

}  // namespace rtmdl
