#pragma once
/// How right results are: against labels (top-k, mean average precision) or against the source model's results on the
/// same inputs (agreement).

#include "data/frame.h"
#include "data/postprocess.h"

#include <memory>
#include <string>

namespace rtmdl {

/// Accumulates over frames. Not thread-safe.
class Metric {
 public:
  virtual ~Metric() = default;
  /// `reference`: the source model's result on the same frame (labels win where the metric is top-k, the
  /// frame's boxes where it is map50).
  virtual void add(const Result& candidate, const Result& reference, const Frame& frame) = 0;
  /// 0..1; 1 if nothing was added.
  [[nodiscard]] virtual double value() const = 0;
  [[nodiscard]] virtual std::size_t count() const = 0;  ///< frames added
  virtual void reset() = 0;
};

/// metric: "top1" or "top5" (needs labels), "map50" (needs boxes: mean average precision at IoU 0.5 of detections
/// against Frame::boxes), or "agreement", which means by kind of post-processing: equality of the
/// best class (classes); F1 of boxes at IoU 0.5, greedy by score (detections); F1 of the binarised map (score_map);
/// mean intersection over union of the classes (segmentation); F1 of lines whose end points are within 5 % of the
/// frame's diagonal (lines); share of values within `tolerance` (scalar, tensor); 1 − normalised edit distance (ctc).
/// Frames on which both sides are empty count as full agreement but do not outweigh others: F1 is taken over all frames
/// together (micro average).
[[nodiscard]] std::unique_ptr<Metric> make_metric(const std::string& metric, const std::string& post_kind,
                                                  double tolerance);

}  // namespace rtmdl
