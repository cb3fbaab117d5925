#include "model/exit_rule.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <span>
#include <utility>

namespace rtmdl {
namespace {

constexpr std::array<std::pair<std::string_view, SureMeasure>, kSureMeasures> kMeasures{
    {{"margin", SureMeasure::margin},
     {"entropy", SureMeasure::entropy},
     {"max", SureMeasure::max},
     {"centroid", SureMeasure::centroid}}};

/// Of values whose exponentials, or which themselves, are in proportion to the probabilities.
struct Spread {
  double first = 0, second = 0, sum = 0, sum_of_logs = 0;  ///< the latter: Σ v log v

  void add(double v) {
    if (v > first) second = std::exchange(first, v);
    else second = std::max(second, v);
    sum += v;
    if (v > 0) sum_of_logs += v * std::log(v);
  }
  [[nodiscard]] double entropy() const { return std::log(sum) - sum_of_logs / sum; }
};

double confidence_of(const ExitRule& rule, std::span<const float> values) noexcept {
  Spread spread;
  const double most = *std::max_element(values.begin(), values.end());
  for (const float v : values) {
    const double weight = rule.probabilities ? static_cast<double>(v) : std::exp(static_cast<double>(v) - most);
    if (!(weight >= 0)) return std::numeric_limits<double>::quiet_NaN();
    spread.add(weight);
  }
  switch (rule.measure) {
    case SureMeasure::margin: return (spread.first - spread.second) / spread.sum;
    case SureMeasure::entropy:
      return std::max(1 - spread.entropy() / std::log(static_cast<double>(values.size())), 0.0);
    case SureMeasure::centroid: return 1 - spread.second / spread.first;
    case SureMeasure::max: break;
  }
  return spread.first / spread.sum;
}

}  // namespace

const char* sure_measure_name(SureMeasure measure) noexcept {
  return kMeasures[static_cast<std::size_t>(measure)].first.data();
}

std::optional<SureMeasure> sure_measure(std::string_view name) noexcept {
  const auto* const found =
      std::find_if(kMeasures.begin(), kMeasures.end(), [&](const auto& m) { return m.first == name; });
  if (found == kMeasures.end()) return std::nullopt;
  return found->second;
}

double confidence(const ExitRule& rule, const TensorView& answer) noexcept {
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  if (answer.type != ElementType::f32) return kNone;
  const std::span<const float> values = answer.as<float>();
  const auto batch = answer.shape.size() > 1 ? static_cast<std::size_t>(answer.shape.front()) : 1;
  if (batch == 0 || values.size() < 2 * batch) return kNone;
  const std::size_t classes = values.size() / batch;
  double least = std::numeric_limits<double>::infinity();
  for (std::size_t b = 0; b < batch; ++b) {
    const double sure = confidence_of(rule, values.subspan(b * classes, classes));
    if (std::isnan(sure)) return kNone;
    least = std::min(least, sure);
  }
  return least;
}

}  // namespace rtmdl
