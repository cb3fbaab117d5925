#include "energy/harvest.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <random>

namespace rtmdl {
namespace {

constexpr Duration kSlot = std::chrono::milliseconds(100);
constexpr int kSlots = 6000;                  ///< of a trace that is made up
constexpr double kTurn = 5;                   ///< slots, of rf
constexpr int kDay = 1200;                    ///< slots
constexpr double kClear = 100, kCloudy = 30;  ///< slots
constexpr double kThroughClouds = 0.3;

/// The same on every machine, which distributions of the library are not.
class Chance {
 public:
  explicit Chance(std::uint64_t seed) : random_(seed) {}
  /// That a turn of so many slots on average ends with this one.
  bool ends(double mean) { return uniform() < 1 / mean; }
  double uniform() { return static_cast<double>(random_() >> 11) * 0x1p-53; }

 private:
  std::mt19937_64 random_;
};

double daylight(int slot) {
  const double of_day = static_cast<double>(slot % kDay) / kDay;
  if (of_day >= 0.5) return 0;
  const double height = std::sin(of_day * 2 * 3.14159265358979323846);
  return height * height;
}

template <typename Watts>
HarvestTrace slot_by_slot(const Watts& watts) {
  HarvestTrace trace;
  trace.slot = kSlot;
  for (int s = 0; s < kSlots; ++s) trace.pieces.push_back({kSlot, watts(s)});
  return trace;
}

double distance_to_persistent(std::span<const double> runs) {
  std::array<double, kLongestRun> persistent{};
  persistent.back() = 1;
  return kantorovich(runs, persistent);
}

}  // namespace

HarvestTrace make_trace(const HarvestSpec& spec) {
  Chance chance(spec.seed);
  bool on = true, clear = true;
  switch (spec.kind) {
    case HarvestSpec::Kind::recorded: return spec.recorded;
    case HarvestSpec::Kind::persistent: break;
    case HarvestSpec::Kind::random: return slot_by_slot([&](int) { return chance.uniform() < 0.5 ? spec.watts : 0; });
    case HarvestSpec::Kind::rf:
      return slot_by_slot([&](int) {
        const double watts = on ? spec.watts : 0;
        on ^= chance.ends(kTurn);
        return watts;
      });
    case HarvestSpec::Kind::solar:
      return slot_by_slot([&](int s) {
        const double watts = spec.watts * daylight(s) * (clear ? 1 : kThroughClouds);
        clear ^= chance.ends(clear ? kClear : kCloudy);
        return watts;
      });
  }
  return {{{kSlot, spec.watts}}, kSlot};
}

double mean_power(const HarvestTrace& trace) {
  double joules = 0, seconds = 0;
  for (const HarvestTrace::Piece& piece : trace.pieces) {
    joules += piece.watts * to_seconds(piece.lasts);
    seconds += to_seconds(piece.lasts);
  }
  return seconds > 0 ? joules / seconds : 0;
}

double kantorovich(std::span<const double> a, std::span<const double> b) {
  double sum_a = 0, sum_b = 0, area = 0;
  for (std::size_t k = 0; k < a.size(); ++k) {
    sum_a += a[k];
    sum_b += b[k];
    area += std::abs(sum_a - sum_b);
  }
  return area;
}

std::vector<double> run_lengths(const HarvestTrace& trace) {
  std::vector<double> runs(kLongestRun);
  const double threshold = mean_power(trace) / 2;
  double count = 0, slots = 0;
  const auto end = [&] {
    const auto length = std::clamp<std::size_t>(static_cast<std::size_t>(std::llround(slots)), 1, kLongestRun);
    runs[length - 1] += 1;
    ++count;
    slots = 0;
  };
  bool on = trace.pieces.front().watts >= threshold, turned = false;
  for (const HarvestTrace::Piece& piece : trace.pieces) {
    if ((piece.watts >= threshold) != on) {
      end();
      on = !on;
      turned = true;
    }
    slots += to_seconds(piece.lasts) / to_seconds(trace.slot);
  }
  if (!turned) slots = kLongestRun;  // it goes on like that
  end();
  for (double& share : runs) share /= count;
  return runs;
}

double predictability(const HarvestTrace& trace) {
  std::array<double, kLongestRun> random{};
  double left = 1;
  for (std::size_t k = 0; k + 1 < kLongestRun; ++k) left -= random[k] = left / 2;
  random.back() = left;
  const double of_random = distance_to_persistent(random);
  return std::clamp((of_random - distance_to_persistent(run_lengths(trace))) / of_random, 0.0, 1.0);
}

}  // namespace rtmdl
