#include "report/proof_text.h"

#include "base/units.h"
#include "report/describe.h"
#include "report/table.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace rtmdl {
namespace {

using Kind = ProofTerm::Kind;
using Method = BoundDetail::Method;

std::string_view method_text(Method method) {
  switch (method) {
    case Method::busy_period: return "level-i busy period on one preemptive processor";
    case Method::last_segment:
      return "beginning of the last segment in the busy period of one non-preemptive processor";
    case Method::by_visit: return "processor by processor, with inherited jitter (Tindell and Clark)";
    case Method::whole_chain: return "one window over the whole chain, with carry-in";
    case Method::none: break;
  }
  return "none";
}

Duration sum_of(const Proof& proof, Kind kind) {
  Duration sum{};
  for (const ProofTerm& t : proof.terms) {
    if (t.kind == kind) sum += t.total;
  }
  return sum;
}

std::vector<std::string> tasks_of(const Proof& proof, Kind kind) {
  std::vector<std::string> names;
  for (const ProofTerm& t : proof.terms) {
    if (t.kind == kind && std::find(names.begin(), names.end(), t.task) == names.end()) names.push_back(t.task);
  }
  return names;
}

/// "a", "a and b", "a, b and c".
std::string listed(const std::vector<std::string>& names) {
  if (names.size() < 2) return names.empty() ? "" : names.front();
  const std::vector<std::string> before(names.begin(), names.end() - 1);
  return fmt::format("{} and {}", fmt::join(before, ", "), names.back());
}

/// What happens in the worst case, for everybody.
std::string story(const Proof& p) {
  std::vector<std::string> parts;
  if (const Duration jitter = sum_of(p, Kind::jitter); jitter > Duration{})
    parts.push_back(fmt::format("its input comes {} late", format_duration(jitter)));
  if (const Duration blocking = sum_of(p, Kind::blocking); blocking > Duration{})
    parts.push_back(fmt::format("it waits {} for work of {} that has begun and cannot be stopped",
                                format_duration(blocking), listed(tasks_of(p, Kind::blocking))));
  if (const Duration others = sum_of(p, Kind::interference); others > Duration{})
    parts.push_back(fmt::format("{} of more urgent work goes first ({})", format_duration(others),
                                listed(tasks_of(p, Kind::interference))));
  if (const Duration stops = sum_of(p, Kind::kernel_stop); stops > Duration{})
    parts.push_back(
        fmt::format("the kernel stops real-time threads for {}, because all that is there could ask for "
                    "more than it gives them of a second",
                    format_duration(stops)));
  const Duration own = sum_of(p, Kind::own), later = sum_of(p, Kind::later_release);
  parts.push_back(later == Duration{}
                      ? fmt::format("its own work takes {}", format_duration(own))
                      : fmt::format("its own work, with the jobs before it that are still there, takes {}, of which {} "
                                    "pass before its own input comes",
                                    format_duration(own), format_duration(-later)));
  return listed(parts);
}

std::string first_paragraph(const Proof& p) {
  std::string text;
  if (!p.bound) {
    text = fmt::format("How late {} can be is not known: {}.", p.task, p.trouble);
  } else {
    text = fmt::format("In the worst case {}: {} is done {} after its input is due.", story(p), p.task,
                       format_duration(*p.bound));
    text += p.proven() ? fmt::format(" That is {} before its deadline of {}: ", format_duration(*p.slack()),
                                     format_duration(p.deadline))
                       : fmt::format(" That is {} after its deadline of {}: ", format_duration(-*p.slack()),
                                     format_duration(p.deadline));
    text += p.proven() ? "no job can be late, as long as the assumption below holds."
                       : "in the worst case it is late, though that may never be seen.";
  }
  if (p.hard) {
    text +=
        p.proven() ? " It is hard, and this is its proof." : " It is hard, and there is no proof: the plan breaks it.";
  } else {
    text += fmt::format(" It is not hard: {} of its deadlines may be missed", percent(p.miss_rate_limit));
    if (p.predicted_miss_rate) text += fmt::format(", {} are predicted", percent(*p.predicted_miss_rate));
    text += p.bound ? "; the bound is information." : ".";
  }
  return text;
}

std::string stages_text(int first, int count) {
  if (count == 0) return "";
  return count == 1 ? fmt::format(", stage {}", first + 1) : fmt::format(", stages {}-{}", first + 1, first + count);
}

std::string where(const ProofTerm& t) { return t.processor + stages_text(t.first_stage, t.stages); }

std::string what(const ProofTerm& t) {
  switch (t.kind) {
    case Kind::jitter: return "release jitter";
    case Kind::own: return t.count > 1 ? "own work, with jobs before" : "own work";
    case Kind::blocking: return "blocked by " + t.task;
    case Kind::interference:
      return fmt::format("more urgent: {}{}", t.task, stages_text(t.its_first_stage, t.its_stages));
    case Kind::later_release: return "released periods later";
    case Kind::kernel_stop: return "the kernel stops real-time threads (sched_rt_runtime_us)";
  }
  return "";
}

std::string signed_ms(Duration d) { return d < Duration{} ? "-" + short_number(to_ms(-d)) : short_number(to_ms(d)); }

std::string terms_table(const Proof& p, bool colour) {
  Table table({{"where", Align::left}, {"what", Align::left}, {"times"}, {"ms each"}, {"ms"}});
  for (const ProofTerm& t : p.terms)
    table.row({where(t), what(t), grouped(t.count), {signed_ms(t.each), Tone::faint}, signed_ms(t.total)});
  table.rule();
  table.row({"", {"response bound", Tone::strong}, "", "", {signed_ms(*p.bound), Tone::strong}});
  table.row({"", "deadline", "", "", signed_ms(p.deadline)});
  table.row({"", "slack", "", "", {signed_ms(*p.slack()), p.proven() ? Tone::good : Tone::bad}});
  return table.to_string(colour);
}

/// How far the execution times are from where the proof turns.
std::string growth_text(const Proof& p) {
  if (!p.growth) return "No execution time of its own is short enough for a proof.\n";
  if (*p.growth > 500) return "Its execution times may be more than 500 times as long.\n";
  return p.proven() ? fmt::format("Its execution times may be {} times as long before a proof breaks.\n",
                                  short_number(std::floor(*p.growth * 100) / 100))
                    : fmt::format("For a proof its execution times would have to be at most {} of what is assumed.\n",
                                  percent(std::floor(*p.growth * 1000) / 1000));
}

std::string larger_table(const Proof& p, bool colour) {
  Table table({{"more accurate", Align::left},
               {"on", Align::left},
               {"threads"},
               {"accuracy"},
               {"bound ms"},
               {"slack ms"},
               {"would be", Align::left}});
  for (const ProofAlternative& a : p.larger) {
    std::string verdict = a.proven ? "proven" : "not proven";
    if (!a.breaks.empty()) verdict += ", and break the proof of " + listed(a.breaks);
    table.row({a.variant,
               place_text(a.processor, a.segments),
               fmt::format("{}", a.threads),
               percent(a.accuracy),
               a.bound ? signed_ms(*a.bound) : "none",
               a.bound ? signed_ms(p.deadline - *a.bound) : "–",
               {verdict, a.proven && a.breaks.empty() ? Tone::good : Tone::bad}});
  }
  return table.to_string(colour);
}

}  // namespace

std::string explain(const Proof& proof, bool colour) {
  std::string text = first_paragraph(proof) + "\n";
  text += fmt::format("Assumed: {}.\n\n", proof.assumption);
  if (proof.bound) {
    text += fmt::format("{} (variant {}, priority {}, period {}). Method: {}.\n", proof.task, proof.variant,
                        proof.priority, format_duration(proof.period), method_text(proof.method));
    text += terms_table(proof, colour);
  } else {
    text += fmt::format("{} (variant {}, priority {}, period {}, deadline {}) has no bound.\n", proof.task,
                        proof.variant, proof.priority, format_duration(proof.period), format_duration(proof.deadline));
  }
  text += growth_text(proof) + "\n";
  if (proof.larger.empty()) return text + "No variant of it is more accurate than this one.\n";
  return text + "With a more accurate variant, and all else as it is:\n" + larger_table(proof, colour);
}

}  // namespace rtmdl
