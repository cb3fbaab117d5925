#include "task/change.h"

#include "base/excerpt.h"
#include "base/units.h"

#include <rtmdl/error.h>

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace rtmdl {
namespace {

std::string_view without_spaces(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

[[noreturn]] void refuse_form(std::string_view text) {
  bad_input(
      fmt::format("'{}' is not accepted: write for instance faces.join@10s, speech.period=50ms@20s or signs.leave@25s",
                  excerpt(text)));
}

/// "faces.join@10s"
Change parse_change(std::string_view text) {
  const std::size_t dot = text.find('.'), at = text.find('@');
  if (dot == 0 || dot == text.npos || at == text.npos || at < dot) refuse_form(text);
  Change change;
  change.name = text.substr(0, dot);
  const std::string_view what = without_spaces(text.substr(dot + 1, at - dot - 1));
  const std::size_t equals = what.find('=');
  const std::string_view key = without_spaces(what.substr(0, equals));
  const bool timing = key == "period" || key == "deadline";
  if ((!timing && key != "join" && key != "leave") || timing != (equals != what.npos)) refuse_form(text);
  change.when = parse_duration(text.substr(at + 1));
  if (change.when < Duration{}) bad_input(fmt::format("'{}' is before the start", excerpt(text)));
  if (!timing) {
    change.kind = key == "join" ? Change::Kind::join : Change::Kind::leave;
    return change;
  }
  change.kind = Change::Kind::timing;
  const Duration value = parse_duration(what.substr(equals + 1));
  if (value < kShortestPeriod || value > kLongestPeriod)
    bad_input(fmt::format("'{}' is out of range: {} to {} is accepted", excerpt(text), format_duration(kShortestPeriod),
                          format_duration(kLongestPeriod)));
  (key == "period" ? change.period : change.deadline) = value;
  return change;
}

int place_of(const TaskFile& file, const std::string& name) {
  std::vector<std::string_view> names;
  for (std::size_t t = 0; t < file.tasks.size(); ++t) {
    if (file.tasks[t].name == name) return static_cast<int>(t);
    names.emplace_back(file.tasks[t].name);
  }
  const std::string near = nearest_word(name, names);
  bad_input(fmt::format(
      "there is no task '{}'; {}", excerpt(name),
      near.empty() ? fmt::format("there are {}", fmt::join(names, ", ")) : fmt::format("did you mean '{}'?", near)));
}

void require_changeable(const TaskFile& file, int task) {
  const TaskSpec& spec = file.tasks[static_cast<std::size_t>(task)];
  const bool leads =
      std::any_of(file.tasks.begin(), file.tasks.end(), [&](const TaskSpec& t) { return t.after.task == task; });
  if (spec.after.task >= 0 || leads)
    bad_input(fmt::format("'{}' cannot change: {}", spec.name,
                          leads ? "other tasks run after it" : "it runs after another task"));
  if (spec.late == Late::abort)
    bad_input(fmt::format("'{}' cannot change: it has `late: abort`; `skip` can be changed", spec.name));
}

/// Of a task, as the changes follow one another.
struct Timing {
  bool present = true;
  Duration period{}, deadline{};
};

void follow(const Change& change, const TaskSpec& spec, Timing& now) {
  const auto refuse = [&](const std::string& why) {
    bad_input(fmt::format("{}@{}: {}", text_of(change), format_duration(change.when), why));
  };
  if (change.kind == Change::Kind::join && now.present) refuse("it is there already");
  if (change.kind != Change::Kind::join && !now.present) refuse("it is not there");
  if (change.kind != Change::Kind::timing) {
    now.present = change.kind == Change::Kind::join;
    return;
  }
  if (change.period > Duration{}) {
    if (spec.arrivals.kind != ArrivalSpec::Kind::periodic) refuse("its releases are not periodic");
    if (now.deadline == now.period) now.deadline = change.period;
    now.period = change.period;
  }
  if (change.deadline > Duration{}) now.deadline = change.deadline;
  if (spec.arrivals.kind == ArrivalSpec::Kind::periodic && now.deadline > (spec.queue + 1) * now.period)
    refuse(fmt::format("the deadline of {} is beyond what the queue allows: at most {} is accepted",
                       format_duration(now.deadline), format_duration((spec.queue + 1) * now.period)));
}

}  // namespace

std::vector<Change> parse_changes(std::string_view text) {
  std::vector<Change> changes;
  while (true) {
    const std::size_t comma = text.find(',');
    changes.push_back(parse_change(without_spaces(text.substr(0, comma))));
    if (comma == text.npos) break;
    text.remove_prefix(comma + 1);
  }
  std::stable_sort(changes.begin(), changes.end(), [](const Change& a, const Change& b) { return a.when < b.when; });
  return changes;
}

void resolve_changes(std::vector<Change>& changes, const TaskFile& file) {
  for (const ProcessorSpec& processor : file.processors)
    if (processor.kernel == KernelOrder::deadline)
      bad_input(fmt::format("{} has `kernel: deadline`: its reservations are for the tasks that the run begins with",
                            processor.name));
  for (Change& change : changes) {
    change.task = place_of(file, change.name);
    require_changeable(file, change.task);
  }
  std::vector<Timing> timings;
  for (std::size_t t = 0; t < file.tasks.size(); ++t)
    timings.push_back({!starts_absent(changes, static_cast<int>(t)), file.tasks[t].period, file.tasks[t].deadline});
  for (const Change& change : changes) {
    const auto t = static_cast<std::size_t>(change.task);
    follow(change, file.tasks[t], timings[t]);
  }
}

std::string text_of(const Change& change) {
  if (change.kind == Change::Kind::join) return change.name + ".join";
  if (change.kind == Change::Kind::leave) return change.name + ".leave";
  const bool period = change.period > Duration{};
  return fmt::format("{}.{}={}", change.name, period ? "period" : "deadline",
                     format_duration(period ? change.period : change.deadline));
}

bool starts_absent(const std::vector<Change>& changes, int task) {
  const auto first =
      std::find_if(changes.begin(), changes.end(), [&](const Change& change) { return change.task == task; });
  return first != changes.end() && first->kind == Change::Kind::join;
}

}  // namespace rtmdl
