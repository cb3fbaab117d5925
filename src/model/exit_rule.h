#pragma once
/// When a job may leave a classifier before its end: how sure an exit's answer must be.

#include <rtmdl/tensor.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace rtmdl {

/// How sure an answer is, 0..1, from the probabilities p1 ≥ p2 ≥ … of its n classes.
enum class SureMeasure : std::uint8_t {
  margin,   ///< p1 − p2
  entropy,  ///< 1 − H / log n
  max,      ///< p1
  /// 1 − p2 / p1. Of heads whose logits are −distance² to class centroids: 1 − exp(d1² − d2²), how much nearer the
  /// nearest is than the second (Zygarde's utility, brought to 0..1).
  centroid,
};
[[nodiscard]] const char* sure_measure_name(SureMeasure measure) noexcept;
[[nodiscard]] std::optional<SureMeasure> sure_measure(std::string_view name) noexcept;
inline constexpr std::size_t kSureMeasures = 4;

/// Of one exit.
struct ExitRule {
  std::string output;  ///< of the model: the exit's answer, float [N, classes]
  SureMeasure measure = SureMeasure::margin;
  double threshold = 1;        ///< a job leaves where its answer is at least so sure; 1: never
  bool probabilities = false;  ///< the output holds probabilities, not logits
  bool operator==(const ExitRule&) const = default;
};

/// Of a batch that of its least sure element. NaN where the answer is none. Does not allocate.
[[nodiscard]] double confidence(const ExitRule& rule, const TensorView& answer) noexcept;
[[nodiscard]] inline bool is_sure(const ExitRule& rule, double confidence) noexcept {
  return rule.threshold < 1 && confidence >= rule.threshold;
}

}  // namespace rtmdl
