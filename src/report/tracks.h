#pragma once
/// How the tracks and stages of a run are named and told apart: the same in the trace and in the timeline.

#include "report/task_info.h"
#include "runtime/runtime.h"

#include <cstddef>
#include <string>
#include <vector>

namespace rtmdl {

/// A track per processor and slot that a run used; numbers are dense per processor.
class ProcessorTracks {
 public:
  explicit ProcessorTracks(const RunOutcome& outcome);
  [[nodiscard]] std::size_t size() const { return names_.size(); }
  [[nodiscard]] std::size_t of(const JobRecord::Stage& stage) const {
    return first_[stage.processor] + static_cast<std::size_t>(stage.slot());
  }
  /// "gpu", "gpu slot 1"; "faces, any core" where the operating system places a thread per task.
  [[nodiscard]] const std::string& name(std::size_t track) const { return names_[track]; }

 private:
  std::vector<std::size_t> first_;
  std::vector<std::string> names_;
};

/// "pre", "infer" ("infer 2" of several segments), "post".
[[nodiscard]] std::string stage_name(const RunOutcome& outcome, const JobRecord& record, int stage);
/// Of each mode of a task; one at least.
[[nodiscard]] std::vector<std::string> variant_names(const RunOutcome& outcome, std::size_t task);
/// "task 7" where the run has more tasks than are described.
[[nodiscard]] std::string task_name(const std::vector<TaskInfo>& tasks, std::size_t task);
/// Stages of a record that carry times.
[[nodiscard]] int recorded_stages(const JobRecord& record);

}  // namespace rtmdl
