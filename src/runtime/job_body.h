#pragma once
/// What a task does when its stages are started: the real pipeline, or a scripted one in tests and benchmarks.

#include "data/postprocess.h"
#include "scheduling/scheduler.h"

#include <cstdint>

namespace rtmdl {

/// Stages of one job at a time, each possibly on another thread, one after the other (the dispatcher orders them).
class JobBody {
 public:
  virtual ~JobBody() = default;
  [[nodiscard]] virtual int stages() const noexcept = 0;
  /// A new job begins; returns the index of its frame. An exception fails the job.
  virtual std::int64_t begin(std::uint64_t job) = 0;
  /// False, or an exception: the job has failed. No allocation, no I/O.
  virtual bool stage(int index) = 0;
  /// Of the stage that has just ended well, where the job may leave out others.
  [[nodiscard]] virtual Answer answer() const noexcept { return {}; }
  /// Of the job that has just completed; null if there is none. The collector swaps it against an empty one that keeps
  /// its capacity.
  virtual Result* result() noexcept { return nullptr; }
  /// Of the job that has just completed; null if there is none.
  [[nodiscard]] virtual const Frame* frame() const noexcept { return nullptr; }
  /// A job of a task that runs after another one is about to be released: what it works on, as FrameFeed::hand_over().
  [[nodiscard]] virtual bool hand_over(std::uint64_t /*job*/, const Frame& /*frame*/, const Box* /*part*/) noexcept {
    return true;
  }
  /// Such a job is over. From any thread.
  virtual void job_over(std::uint64_t /*job*/) noexcept {}
  /// Asks a job in progress to give up soon: its stage fails, or the next one does. From any thread; may come before
  /// begin(job) and after the job's end.
  virtual void cancel(std::uint64_t /*job*/) noexcept {}
  /// Why the last stage failed; empty: not known. After the run.
  [[nodiscard]] virtual const char* last_error() const noexcept { return ""; }
  /// Runs everything once before the clock starts, on the thread that will run `stage` later.
  virtual void warm_up(int stage) = 0;
};

}  // namespace rtmdl
