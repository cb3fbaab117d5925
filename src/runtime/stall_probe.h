#pragma once
/// Notices when the machine itself stood still: a thread per core, more urgent than all work, that should wake every
/// millisecond and looks how late it was, and how fast the core is (base/core_speed.h): of a millisecond at a tenth of
/// its speed nine tenths count as a stall. What it sees is the hypervisor's, the firmware's or the kernel's doing
/// (heat, power limits, real-time throttling), never a task's.

#include <rtmdl/time.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

namespace rtmdl {

struct Stall {
  Time start{}, end{};
  int core = 0;
};

class StallProbe {
 public:
  /// Starts probing. `realtime` false: the probe cannot tell a stall from other work, so nothing is recorded and
  /// available() is false.
  StallProbe(const std::vector<int>& cores, bool realtime);
  ~StallProbe();
  StallProbe(const StallProbe&) = delete;
  StallProbe& operator=(const StallProbe&) = delete;

  [[nodiscard]] bool available() const noexcept { return available_; }
  /// Stops the threads and gives what they saw, by start.
  std::vector<Stall> stop();

 private:
  struct Probe {
    int core = 0;
    std::vector<Stall> stalls;  ///< reserved; full means the rest is not recorded
    std::thread thread;
  };
  void watch(Probe& probe);
  static void add(Probe& probe, Time start, Time end);

  bool available_ = false;
  std::atomic<bool> stopping_{false};
  std::vector<std::unique_ptr<Probe>> probes_;
};

/// Time that stalls took out of [from, to], the worst core's.
[[nodiscard]] Duration stalled_within(const std::vector<Stall>& stalls, Time from, Time to);

}  // namespace rtmdl
