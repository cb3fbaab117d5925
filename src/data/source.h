#pragma once
/// Where frames come from: image folder, video, WAV folder, IDX files, CIFAR, GTSRB, drawn signs and traffic lights,
/// raw tensors, synthetic frames. Configured by the task file's `data:`; see docs/task-file-data.md for the keys of
/// each source.

#include "base/context.h"
#include "data/frame.h"
#include "task/config_node.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace rtmdl {

/// What a frame is wanted for. Inputs used to calibrate or to learn from are never used to evaluate, nor played.
enum class Split { calibration, evaluation, stream, training };
inline constexpr std::size_t kSplits = 4;

/// A repeatable sequence of frames: frame i of a split is the same bytes in every process. Thread-compatible.
class Source {
 public:
  virtual ~Source() = default;
  /// Frames of the split, ≥ 1. For few pictures: seeded crops, scales and flips (≥ 200 for evaluation, a few thousand
  /// for training). For `stream`: what a run plays in a loop.
  [[nodiscard]] virtual std::size_t size(Split split) const = 0;
  /// Reads frame i (0 ≤ i < size). May decode, allocate and block: never called on the hot path. Throws
  /// Error(bad_input).
  [[nodiscard]] virtual Frame read(Split split, std::size_t i) = 0;
  [[nodiscard]] virtual bool labelled() const { return false; }
  /// Frames bring the boxes of what they show: ground truth of detectors.
  [[nodiscard]] virtual bool has_boxes() const { return false; }
  /// The largest label of any split (of a frame or of a box) + 1; 0 without labels.
  [[nodiscard]] virtual int classes() const { return 0; }
  /// Drawn or computed by us: whatever rests on it says nothing of the world, and must be called synthetic.
  [[nodiscard]] virtual bool synthetic() const { return false; }
  /// Changes whenever the frames would (paths, sizes, modification times, options): part of content keys.
  [[nodiscard]] virtual std::string fingerprint() const = 0;
};

/// Opens `data: {source: images|video|audio|idx|cifar10|cifar100|gtsrb|signs|traffic_lights|raw|synthetic, …}`. Throws
/// Error(bad_input): unknown source, empty or unreadable folder.
[[nodiscard]] std::unique_ptr<Source> open_source(const ConfigNode& data, std::uint64_t seed);

/// Of the sounds that `data: {source: audio}` gives, in Hz; 0 for other sources.
[[nodiscard]] int sampling_rate(const ConfigNode& data);

}  // namespace rtmdl
