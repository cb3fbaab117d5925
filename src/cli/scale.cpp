#include "cli/session.h"
#include "report/json.h"
#include "report/table.h"

#include <unistd.h>

namespace rtmdl {

int scale_verb(const Options& options) {
  Session session(options);
  const auto& tasks = session.variants(!options.quick);
  const std::int64_t bytes = stored_bytes(tasks);
  session.print(scale_table(bytes, session.file().storage, tasks, isatty(STDOUT_FILENO) == 1));
  session.print_json(scale_json(bytes, session.file().storage, tasks));
  return 0;
}

}  // namespace rtmdl
