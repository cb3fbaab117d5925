#include "cli/session.h"
#include "report/json.h"
#include "report/table.h"

#include <unistd.h>

namespace rtmdl {

int profile_verb(const Options& options) {
  Session session(options);
  const auto& tasks = session.profile();
  session.print(profile_table(tasks, isatty(STDOUT_FILENO) == 1));
  session.print_json(profile_json(tasks));
  return 0;
}

}  // namespace rtmdl
