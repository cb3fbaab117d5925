#pragma once
/// Ranges of activations, from runs on the task's own inputs.

#include "engine/engine.h"
#include "model/cost.h"
#include "scaling/scale.h"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

namespace rtmdl {

enum class Calibration { min_max, percentile_9999, percentile_999, mse };
[[nodiscard]] const char* calibration_name(Calibration method) noexcept;

/// Always contains 0: padding and ReLU need it exactly.
struct Range {
  float low = 0, high = 0;
};

/// Values seen, in equal bins that double in width when a value falls outside. Exact minimum and maximum.
class Histogram {
 public:
  static constexpr std::size_t kBins = 4096;
  void add(std::span<const float> values);
  [[nodiscard]] Range range(Calibration method) const;
  [[nodiscard]] bool usable() const noexcept { return count_ > 0 && finite_; }

 private:
  [[nodiscard]] Range percentile(double p) const;
  [[nodiscard]] Range least_squares() const;
  [[nodiscard]] double error(Range range) const;
  void widen(float magnitude);
  [[nodiscard]] double centre(std::size_t bin) const { return (static_cast<double>(bin) + 0.5) * width_ - half(); }
  [[nodiscard]] double half() const { return width_ * static_cast<double>(kBins) / 2; }

  std::vector<std::uint64_t> bins_;
  double width_ = 0;
  std::uint64_t count_ = 0;
  float low_ = 0, high_ = 0;
  bool finite_ = true;
};

/// Values seen channel by channel.
struct ChannelStats {
  std::vector<float> low, high;  ///< exact extremes
  std::vector<double> mean;

  void add(std::span<const float> values, std::span<const std::int64_t> shape, int axis);
  [[nodiscard]] float peak(std::size_t c) const { return low[c] < 0 ? std::max(-low[c], high[c]) : high[c]; }

 private:
  std::uint64_t per_channel_ = 0;  ///< values behind the means
};

/// Which dimension of a tensor its channels lie in; negative from the end.
using ChannelAxes = std::unordered_map<std::string, int>;

struct Observed {
  std::unordered_map<std::string, Histogram> histograms;   ///< of the tensors asked for
  std::unordered_map<std::string, ChannelStats> channels;  ///< of those that `axes` names
  TensorSpecs specs;                                       ///< of the tensors asked for
};

/// Runs the model on every set with the tensors as extra outputs, a part of them at a time so that memory stays
/// bounded, and shows the f32 ones, those of the model's own inputs too. Gives the specs of all. `at` gives shapes,
/// state and constants; its model is ignored. Scratch files go to `folder` and are removed.
TensorSpecs visit_values(Engine& engine, const Model& model, const LoadRequest& at,
                         const std::vector<std::string>& tensors, std::span<const InputSet> sets,
                         const std::filesystem::path& folder, const Context& context,
                         const std::function<void(const TensorSpec&, std::span<const float>)>& visit);

/// What they are like, by visit_values().
[[nodiscard]] Observed observe(Engine& engine, const Model& model, const LoadRequest& at,
                               const std::vector<std::string>& tensors, const std::vector<InputSet>& sets,
                               const std::filesystem::path& folder, const Context& context,
                               const ChannelAxes& axes = {});

/// Values of these tensors in one run on the first set.
[[nodiscard]] std::unordered_map<std::string, Tensor> values_of(Engine& engine, const Model& model,
                                                                const LoadRequest& at,
                                                                const std::vector<std::string>& tensors,
                                                                const std::filesystem::path& folder);

/// Copies a set into the executable's inputs. Throws Error(bad_input) if number, type or size differ.
void feed(Executable& executable, const InputSet& set);

/// A name in `folder` that nobody else uses while this process lives. `what` without '/'.
[[nodiscard]] std::filesystem::path scratch_path(const std::filesystem::path& folder, const std::string& what);
/// Removes what processes that were killed left under such names.
void remove_abandoned_scratch(const std::filesystem::path& folder);

/// A model written for as long as this lives.
class ScratchModel {
 public:
  ScratchModel(const Model& model, const std::filesystem::path& folder);
  ~ScratchModel();
  ScratchModel(const ScratchModel&) = delete;
  ScratchModel& operator=(const ScratchModel&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace rtmdl
