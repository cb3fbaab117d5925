#pragma once
/// Sources of energy: their power over time, and how predictable it is.

#include "task/energy_spec.h"

#include <cstddef>
#include <span>
#include <vector>

namespace rtmdl {

/// Of the task file: as recorded, or made up from its seed. Made-up ones are counted in slots of 100 ms:
///   persistent: always the same.
///   random:     each slot on or off with probability 1/2.
///   rf:         on and off by turns, each for 0.5 s on average, exponentially distributed: readers that come and go.
///   solar:      days of two minutes, half of them light, sin² from dawn to dusk; clouds take 70 % for 3 s on average
///               every 10 s.
[[nodiscard]] HarvestTrace make_trace(const HarvestSpec& spec);

/// Watts, over all of it.
[[nodiscard]] double mean_power(const HarvestTrace& trace);

/// Walks along a trace.
class HarvestCursor {
 public:
  explicit HarvestCursor(const HarvestTrace& trace) : trace_(&trace), ends_(trace.pieces.front().lasts) {}
  [[nodiscard]] double watts() const noexcept { return trace_->pieces[piece_].watts; }
  /// From the start.
  [[nodiscard]] Duration ends() const noexcept { return ends_; }
  void advance() noexcept {
    piece_ = (piece_ + 1) % trace_->pieces.size();
    ends_ += trace_->pieces[piece_].lasts;
  }

 private:
  const HarvestTrace* trace_;
  std::size_t piece_ = 0;
  Duration ends_;
};

/// Wasserstein-1 (Kantorovich) distance of two distributions over 1, 2, …: the area between their cumulative sums. Of
/// the same length.
[[nodiscard]] double kantorovich(std::span<const double> a, std::span<const double> b);

inline constexpr std::size_t kLongestRun = 20;  ///< slots; longer runs count as that

/// How often its on and off times last for 1, 2, … kLongestRun slots, as shares. A slot is on if it gives at least half
/// the mean.
[[nodiscard]] std::vector<double> run_lengths(const HarvestTrace& trace);

/// Zygarde's η (Islam et al., IMWUT 2020): (d_r − d_c) / d_r, of the distances of run_lengths() to those of a
/// persistent source; d_r a random one's (each slot on or off with probability 1/2), d_c this one's. 0 to 1.
[[nodiscard]] double predictability(const HarvestTrace& trace);

}  // namespace rtmdl
