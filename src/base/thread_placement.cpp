#include "base/thread_placement.h"

#include <pthread.h>
#include <sched.h>
#include <algorithm>
#include <fstream>

#include <cerrno>
#include <thread>

namespace rtmdl {

int bind_thread(pthread_t thread, const std::vector<int>& cores) noexcept {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int core : cores)
    if (core >= 0 && core < CPU_SETSIZE) CPU_SET(static_cast<unsigned>(core), &set);
  return pthread_setaffinity_np(thread, sizeof set, &set);
}

bool place_current_thread(const ThreadPlacement& placement) noexcept {
  int failure = placement.cores.empty() ? 0 : bind_thread(pthread_self(), placement.cores);
  sched_param param{};
  param.sched_priority = placement.fifo_priority > 0 ? placement.fifo_priority : 0;
  const int policy = placement.fifo_priority > 0 ? SCHED_FIFO : placement.fifo_priority < 0 ? SCHED_IDLE : SCHED_OTHER;
  if (const int refused = pthread_setschedparam(pthread_self(), policy, &param); refused != 0) failure = refused;
  errno = failure;
  return failure == 0;
}

bool realtime_permitted() noexcept {
  bool permitted = false;
  std::thread([&permitted] { permitted = place_current_thread({{}, 1}); }).join();
  return permitted;
}

double realtime_share() {
  double runtime = -1, period = 1;
  if (!(std::ifstream("/proc/sys/kernel/sched_rt_runtime_us") >> runtime) || runtime < 0) return 1;
  if (!(std::ifstream("/proc/sys/kernel/sched_rt_period_us") >> period) || period <= 0) return 1;
  return std::min(runtime / period, 1.0);
}

std::vector<int> available_cores() {
  std::vector<int> cores;
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return {0};
  for (int core = 0; core < CPU_SETSIZE; ++core)
    if (CPU_ISSET(static_cast<unsigned>(core), &set)) cores.push_back(core);
  return cores;
}

}  // namespace rtmdl
