#include "base/atomic_file.h"
#include "base/units.h"
#include "cli/play.h"
#include "profiling/machine.h"
#include "report/describe.h"
#include "report/html.h"
#include "report/json.h"
#include "report/table.h"

#include <rtmdl/error.h>

#include <sstream>

#include <fmt/format.h>

#include <unistd.h>

namespace rtmdl {
namespace {

std::vector<const PolicyInfo*> parse_policies(const std::string& list) {
  std::vector<const PolicyInfo*> chosen;
  std::istringstream words(list);
  for (std::string word; std::getline(words, word, ',');) {
    std::erase(word, ' ');
    const PolicyInfo* policy = &find_policy(word);
    for (const PolicyInfo* other : chosen)
      if (other == policy) bad_input(fmt::format("--policies names '{}' twice", word));
    chosen.push_back(policy);
  }
  if (chosen.empty()) bad_input("--policies is empty; write for instance --policies default,dm-nmc,rtmdl");
  return chosen;
}

}  // namespace

int compare_verb(const Options& options) {
  const std::vector<const PolicyInfo*> chosen = parse_policies(options.policies);
  Session session(options);
  require_meter(session.file());
  const Duration duration = options.duration.value_or(std::chrono::seconds(20));
  static_cast<void>(session.problem());  // --load changes the times in the task file
  const std::vector<TaskInfo> infos = task_infos(session.file());
  bool planned = false;
  for (const PolicyInfo* p : chosen) planned = planned || p->variants == VariantChoice::planned;
  if (planned) static_cast<void>(session.plan());
  References references = make_references(session, duration);

  ComparePage page;
  page.workload = session.file().path.stem().string();
  page.tasks = infos;
  for (const PolicyInfo* policy : chosen) {
    session.context().info(
        fmt::format("running {} for {}: {}", policy->name, format_duration(duration), policy->summary));
    const RunOutcome outcome = play(session, *policy, duration, references);
    page.runs.push_back(outcome.report);
    page.timelines.push_back(
        {std::string(policy->name), timeline_svg(outcome, infos), fmt::format("{}.pftrace", policy->name)});
    session.check_complete("the comparison");
  }
  if (planned) {
    page.plan = &session.plan();
    page.problem = &session.problem();
  }
  page.machine = {{"machine", machine_id()},
                  {"inference", session.engine().version()},
                  {"load of the source models", percent(session.load())}};
  for (const RunReport& run : page.runs)
    for (const std::string& note : run.notes) page.notes.push_back(fmt::format("{}: {}", run.policy, note));
  const std::filesystem::path runs = session.workspace().runs();
  write_file_atomically(runs / "compare.html", compare_page(page));
  const std::string json = compare_json(page.workload, session.load(), page.runs);
  write_file_atomically(runs / "compare.json", json + "\n");

  session.print(compare_table(page.runs, infos, isatty(STDOUT_FILENO) == 1));
  session.print(fmt::format("The source models need {} of what the processors give. {}", percent(session.load()),
                            headline(page.runs)));
  session.print(fmt::format("page:   {}", (runs / "compare.html").string()));
  for (const RunReport& run : page.runs) session.print(trace_line(session, run.policy));
  session.print_json(json);
  return options.strict && !within_limits(session, page.runs.back()) ? 3 : 0;
}

}  // namespace rtmdl
