#pragma once
/// A load that comes from outside, to be tried: for a while every stage takes longer.

#include <rtmdl/time.h>

#include <span>
#include <string_view>
#include <vector>

namespace rtmdl {

struct Slowdown {
  double factor = 1;         ///< of the time that a stage which begins within [from, until) takes
  Duration from{}, until{};  ///< from the start of the run
};

/// "1.5x@10s-20s", several with commas between them. Throws Error(bad_input).
[[nodiscard]] std::vector<Slowdown> parse_slowdowns(std::string_view text);

/// Of a stage that begins at that moment: the product of those that hold.
[[nodiscard]] constexpr double slowdown_at(std::span<const Slowdown> slowdowns, Duration since_start) noexcept {
  double factor = 1;
  for (const Slowdown& s : slowdowns)
    if (since_start >= s.from && since_start < s.until) factor *= s.factor;
  return factor;
}

}  // namespace rtmdl
