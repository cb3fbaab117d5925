#pragma once
/// Scores the results of a run as they come: against labels, or against what the source model gives on the same frame.

#include "data/metric.h"
#include "profiling/accuracy.h"
#include "runtime/frame_feed.h"

#include "task/task_file.h"

#include <cstdint>
#include <memory>
#include <utility>

namespace rtmdl {

/// Of one task's references; later frames are played and not scored.
inline constexpr std::size_t kReferenceBytes = 256u << 20;

/// The source model's results on the frames that a run plays, computed once and shared by all runs.
class StreamReferences {
 public:
  /// Computes the references of the first min(size of the stream, kStreamFrames, jobs) frames, as many as
  /// kReferenceBytes hold. Throws Error.
  StreamReferences(Engine& engine, const TaskSpec& task, std::uint64_t seed, std::size_t jobs, const Context& context);

  [[nodiscard]] AccuracyEvaluator& evaluator() { return evaluator_; }
  [[nodiscard]] std::int64_t size() const { return size_; }

 private:
  AccuracyEvaluator evaluator_;
  std::int64_t size_ = 0;
};

/// Of one task in one run. One thread at a time.
class LiveScore {
 public:
  explicit LiveScore(StreamReferences& references);
  void add(std::int64_t frame, const Result& result);
  /// Accuracy of what was added, and of the source model on the same frames.
  [[nodiscard]] std::pair<double, double> value() const;

 private:
  StreamReferences& references_;
  std::unique_ptr<Metric> candidate_, source_;
};

}  // namespace rtmdl
