#pragma once
/// How right a variant of a task is, on inputs that were not used to calibrate it.

#include "data/metric.h"
#include "data/pipeline.h"
#include "data/source.h"
#include "engine/engine.h"
#include "scaling/scale.h"

#include "task/task_file.h"

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace rtmdl {

/// Scores variants of one task against labels or against the source model's results, which it computes once and keeps
/// as long as they are small. Opens the data at once and loads the source model only when its results are needed. One
/// thread at a time.
class AccuracyEvaluator {
 public:
  /// Keeps references to both. Throws Error(bad_input): the data cannot be read, or the metric wants labels that it has
  /// not.
  AccuracyEvaluator(Engine& engine, const TaskSpec& task, std::uint64_t seed);
  ~AccuracyEvaluator();
  AccuracyEvaluator(const AccuracyEvaluator&) = delete;
  AccuracyEvaluator& operator=(const AccuracyEvaluator&) = delete;

  /// Accuracy of the model that the request names over the whole evaluation split: 0..1. On all cores, or the request's
  /// device. The source model itself is 1 by agreement without being run. Throws Stopped if the context is stopped
  /// meanwhile.
  [[nodiscard]] double operator()(const LoadRequest& request, const Context& context = {});

  struct ExitScores {
    double accuracy = 0;  ///< of jobs that leave when they are sure
    EarlyExits exits;
  };
  /// Of a model with early exits, which the request names with its cuts and rules. Every job runs to its end here, so
  /// that all exits are scored, on the whole evaluation split; of the stream those frames are looked at that a run
  /// plays.
  [[nodiscard]] ExitScores score_exits(const LoadRequest& request, const Context& context = {});

  /// Up to `n` inputs of the calibration split, as pre-processing gives them to the source model (fewer, but at least
  /// 8, where they are large: 128 MB in all). Of a stateful model they are consecutive, else spread over the split.
  /// With `shape`: at this shape of its (only) input.
  [[nodiscard]] std::vector<InputSet> calibration_inputs(std::size_t n, const std::vector<std::int64_t>& shape = {});

  /// The source model's result on frame i of a split. Computed on demand, for a stateful model the whole split at once
  /// (it sees the frames in order). Stays valid.
  [[nodiscard]] const Result& reference(Split split, std::size_t i);
  /// Frame i of a split, valid until the next call: the first 256 MB are kept, others are read again.
  [[nodiscard]] const Frame& frame(Split split, std::size_t i);
  [[nodiscard]] std::size_t size(Split split) const { return source_->size(split); }

  /// Throws Error(bad_input) if the metric looks at labels and the data have some that are none of the model's classes:
  /// they would count as wrong whatever it says.
  void require_fitting_labels(const Pipeline& pipeline) const;

  /// An empty one of the task's kind, to score live results with.
  [[nodiscard]] std::unique_ptr<Metric> metric() const;
  [[nodiscard]] const TaskSpec& task() const { return task_; }
  [[nodiscard]] Source& source() { return *source_; }
  [[nodiscard]] bool against_source() const { return task_.accuracy.metric == "agreement"; }

 private:
  /// Runs a frame unit by unit, all of them or until it is sure. Gives after which it was (the last: never before) and
  /// calls visit(unit, whether it leaves there).
  template <typename Visit>
  static int run_units(Pipeline& pipeline, const Frame& input, bool leave, const Visit& visit);

  struct References;
  [[nodiscard]] Pipeline& source_pipeline();
  /// reference() on an evaluation frame, valid until the next call: the first 256 MB are kept, others are computed
  /// again.
  [[nodiscard]] const Result& expected(std::size_t i);

  Engine& engine_;
  const TaskSpec& task_;
  std::unique_ptr<Source> source_;
  std::unique_ptr<Pipeline> pipeline_;                           // of the source model; loaded when first needed
  std::array<std::unique_ptr<References>, kSplits> references_;  // by split
  struct Frames;
  std::unique_ptr<Frames> frames_;
  struct Expected;
  std::unique_ptr<Expected> expected_;
};

}  // namespace rtmdl
