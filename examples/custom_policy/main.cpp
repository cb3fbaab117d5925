// An order of one's own: of the jobs that wait for a processor, the one whose task has answered worst lately goes
// first. Tasks play their own data; what was missed is compared with the plan's fixed priorities.
//
//   custom_policy TASKS.yaml SECONDS

#include <rtmdl/error.h>
#include <rtmdl/runtime.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>

namespace {

/// Of the last jobs of each task, in thousandths: a moving average, written as results come, read as jobs are released.
class RecentMisses {
 public:
  void add(const rtmdl::JobResult& job) noexcept {
    std::atomic<int>& miss = of_[static_cast<std::size_t>(job.task)];
    const bool missed = job.late || job.end != rtmdl::JobEnd::completed;
    miss = miss + ((missed ? 1000 : 0) - miss) / 8;
  }
  [[nodiscard]] int operator[](int task) const noexcept { return of_[static_cast<std::size_t>(task)]; }

 private:
  std::array<std::atomic<int>, 64> of_{};
};

void play(const char* tasks, double seconds, bool own_order) {
  RecentMisses misses;
  rtmdl::RuntimeOptions options;
  options.on_result = [&](const rtmdl::JobResult& job) { misses.add(job); };
  // The smaller key goes first: the deadline, brought forward by up to one period for a task that misses everything. It
  // is asked whenever a job begins to wait for a processor, and must not wait for anything itself.
  if (own_order)
    options.order = [&](const rtmdl::JobRelease& job) noexcept {
      return (job.deadline - job.period * misses[job.task] / 1000).time_since_epoch().count();
    };
  rtmdl::Runtime box(tasks, options);
  for (int t = 0; t < box.tasks(); ++t) box.attach(t);
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  box.stop();
  std::printf("%s\n", own_order ? "own order" : "planned priorities");
  for (const rtmdl::TaskStatistics& t : box.statistics().tasks)
    std::printf("  %-12s missed %lld of %lld\n", t.name.c_str(), static_cast<long long>(t.missed()),
                static_cast<long long>(t.released));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: custom_policy TASKS.yaml SECONDS\n");
    return 2;
  }
  try {
    play(argv[1], std::atof(argv[2]), false);
    play(argv[1], std::atof(argv[2]), true);
    return 0;
  } catch (const rtmdl::Error& e) {
    std::fprintf(stderr, "custom_policy: %s\n", e.what());
    return static_cast<int>(e.code());
  }
}
