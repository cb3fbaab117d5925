#pragma once
/// Fits heads of every kind to what they read: linear ones, class centroids, and those with a hidden layer.

#include "scaling/exit_heads.h"

#include <Eigen/Core>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace rtmdl {

struct FittedHead {
  ExitHead head;
  std::size_t place = 0;   ///< of those that were given
  bool centroids = false;  ///< its logits are distances to class centroids
};

/// What heads at some places read of examples, gathered one by one.
class ExitFits {
 public:
  /// Each place is read coarsely (`most_features`), and finely where it can be.
  ExitFits(const std::vector<ExitPlace>& places, std::size_t most_features, std::size_t classes);

  [[nodiscard]] const std::vector<ExitReading>& readings() const noexcept { return readings_; }
  [[nodiscard]] static std::size_t bytes_each(const std::vector<ExitPlace>& places, std::size_t most_features);
  /// Of one reading, of one example or several.
  void add(std::size_t reading, std::span<const float> values);
  /// A row that sums to one, for each element.
  void add_target(std::span<const float> target);

  /// In the order of the graph. Uses all cores; gives back the memory. Nothing if it was stopped.
  [[nodiscard]] std::vector<FittedHead> fit(std::uint64_t seed, const std::function<bool()>& stopping);

 private:
  [[nodiscard]] std::vector<FittedHead> fit_to(std::size_t reading, std::uint64_t seed,
                                               const std::function<bool()>& stopping);

  std::size_t classes_;
  std::vector<ExitReading> readings_;
  std::vector<std::size_t> places_;                 ///< by reading
  std::vector<std::vector<Eigen::half>> features_;  ///< by reading, then example: 16 bits, since they are many
  std::vector<float> targets_;
};

}  // namespace rtmdl
