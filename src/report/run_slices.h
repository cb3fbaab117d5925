#pragma once
/// A run as slices on tracks: what every form of the trace is written from.

#include "report/nesting.h"
#include "report/task_info.h"
#include "report/tracks.h"
#include "runtime/runtime.h"

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace rtmdl {

struct SliceTrack {
  std::string name;
  std::size_t index = 0;     ///< of the processor's slot, the task, the core
  std::size_t lane = 0;      ///< of a task's jobs: 0, more only where they overlap
  std::vector<Span> slices;  ///< by start, each apart from or within the others; Span::job: index in RunSlices::jobs()
};

/// Keeps references to its arguments.
class RunSlices {
 public:
  /// The jobs that were released first, so many that the events of their slices, flows and instants are at most
  /// `event_limit`.
  RunSlices(const RunOutcome& outcome, const std::vector<TaskInfo>& tasks, std::size_t event_limit);

  [[nodiscard]] const std::vector<const JobRecord*>& jobs() const { return jobs_; }  ///< by release
  [[nodiscard]] std::size_t jobs_left_out() const { return left_out_; }
  [[nodiscard]] std::size_t tasks() const { return task_count_; }  ///< described, or met in a record

  // 24 bytes a slice, made at each call.
  [[nodiscard]] std::vector<SliceTrack> processors() const;     ///< stages; a track per processor and slot
  [[nodiscard]] std::vector<SliceTrack> tasks_by_lane() const;  ///< jobs, release to finish; by task, then lane
  [[nodiscard]] std::vector<SliceTrack> stalls() const;         ///< a track per core that stalled, by core
  [[nodiscard]] std::vector<std::vector<Time>> misses() const;  ///< of each task, when they happened, in order

 private:
  const RunOutcome& outcome_;
  const std::vector<TaskInfo>& tasks_;
  ProcessorTracks tracks_;
  std::vector<const JobRecord*> jobs_;
  std::size_t left_out_ = 0, task_count_ = 0;
};

/// "in time", "late", "dropped", "failed".
[[nodiscard]] std::string_view fate_of(const JobRecord& record);

}  // namespace rtmdl
