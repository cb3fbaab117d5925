#pragma once
/// When a job may leave a classifier before its end: how sure an exit's answer must be.

#include <rtmdl/tensor.h>

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
};
[[nodiscard]] const char* sure_measure_name(SureMeasure measure) noexcept;
[[nodiscard]] std::optional<SureMeasure> sure_measure(std::string_view name) noexcept;

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
