#pragma once
/// What reports need to know of a task besides what a run measured.

#include <rtmdl/time.h>
#include "task/task_file.h"

#include <string>
#include <vector>

namespace rtmdl {

struct TaskInfo {
  std::string name;
  Duration period{}, deadline{};
  double miss_rate_limit = 0.01;  ///< ζ
};

/// In the task file's order, which is that of RunReport::tasks.
[[nodiscard]] inline std::vector<TaskInfo> task_infos(const TaskFile& file) {
  std::vector<TaskInfo> infos;
  infos.reserve(file.tasks.size());
  for (const TaskSpec& t : file.tasks) infos.push_back({t.name, t.period, t.deadline, t.miss_rate});
  return infos;
}

/// Null where no task has that name.
[[nodiscard]] inline const TaskInfo* info_of(const std::vector<TaskInfo>& tasks, const std::string& name) {
  for (const TaskInfo& t : tasks)
    if (t.name == name) return &t;
  return nullptr;
}

}  // namespace rtmdl
