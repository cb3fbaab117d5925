#include <rtmdl/time.h>

#include <time.h>

namespace rtmdl {

Time MonotonicClock::now() noexcept {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return Time(std::chrono::seconds(t.tv_sec) + Duration(t.tv_nsec));
}

}  // namespace rtmdl
