#include "base/atomic_file.h"
#include "cli/session.h"
#include "data/source.h"
#include "report/front.h"
#include "report/json.h"

#include <fmt/format.h>

#include <unistd.h>

namespace rtmdl {
namespace {

ScaleReport report_of(const Session& session, const std::vector<TaskVariants>& families) {
  const TaskFile& file = session.file();
  ScaleReport report;
  report.workload = file.path.stem().string();
  report.bytes = stored_bytes(families);
  report.limit = file.storage;
  for (std::size_t t = 0; t < families.size(); ++t) {
    const TaskSpec& task = file.tasks[t];
    report.tasks.push_back({families[t], task.accuracy.metric, task.accuracy.min,
                            open_source(task.data, session.options().seed)->synthetic()});
  }
  return report;
}

}  // namespace

int scale_verb(const Options& options) {
  Session session(options);
  const auto& families = session.variants(!options.quick);
  const ScaleReport report = report_of(session, families);
  const std::filesystem::path page = session.workspace().folder() / "scale.html";
  write_file_atomically(page, fronts_page(report));
  session.print(scale_table(report, options.verbose, isatty(STDOUT_FILENO) == 1));
  session.print(fmt::format("page: {}", page.string()));
  session.print_json(scale_json(report));
  return 0;
}

}  // namespace rtmdl
