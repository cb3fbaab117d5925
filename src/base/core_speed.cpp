#include "base/core_speed.h"

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <string>

#include <fmt/format.h>

namespace rtmdl {
namespace {

constexpr int kMultiplications = 600;  ///< each waits for the one before it
constexpr int kFirstLooks = 100;

}  // namespace

Duration CoreSpeed::look() noexcept {
  const Time before = MonotonicClock::now();
  std::uint64_t x = static_cast<std::uint64_t>(before.time_since_epoch().count());
  for (int i = 0; i < kMultiplications; ++i) x = x * 6364136223846793005ULL + 1442695040888963407ULL;
  volatile std::uint64_t kept = x;
  static_cast<void>(kept);
  return MonotonicClock::now() - before;
}

CoreSpeed::CoreSpeed() noexcept : full_(look()) {
  for (int i = 0; i < kFirstLooks; ++i) full_ = std::min(full_, look());
}

double CoreSpeed::now() noexcept {
  Duration took = look();
  full_ = std::min(full_, took);
  const auto speed = [&] {
    return static_cast<double>(full_.count()) / static_cast<double>(std::max(took, full_).count());
  };
  if (speed() >= kSlow) return 1;
  took = std::min(took, look());
  full_ = std::min(full_, took);
  return speed() < kSlow ? speed() : 1;
}

bool keeps_its_speed(int core) {
  std::ifstream governor(fmt::format("/sys/devices/system/cpu/cpu{}/cpufreq/scaling_governor", core));
  std::string name;
  return !(governor >> name) || name == "performance";
}

}  // namespace rtmdl
