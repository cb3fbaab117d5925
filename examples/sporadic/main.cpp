// A task that another thread drives whenever it has something (here: at random), beside tasks that play their own data.
//
//   sporadic TASKS.yaml TASK PICTURES SECONDS      PICTURES: how many pixels wide and high its inputs are, as in
//   640x480

#include <rtmdl/error.h>
#include <rtmdl/runtime.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <thread>
#include <vector>

namespace {

/// Written by the runtime's thread, read when that has ended.
struct Responses {
  std::vector<double> ms;
  void add(const rtmdl::JobResult& job) {
    if (job.end == rtmdl::JobEnd::completed && ms.size() < ms.capacity())
      ms.push_back(rtmdl::to_ms(job.finish - job.release));
  }
};

void drive(rtmdl::Runtime& box, int task, int width, int height, const std::atomic<bool>& ends) {
  std::mt19937 random(1);
  const double period = rtmdl::to_seconds(box.task(task).period);
  std::exponential_distribution<double> gap(1 / period);
  while (!ends) {
    // The plan's promises are for inputs at least a period apart.
    std::this_thread::sleep_for(std::chrono::duration<double>(period + gap(random)));
    auto pixels = std::make_shared<std::vector<std::uint8_t>>(static_cast<std::size_t>(width * height * 3), 128);
    const rtmdl::Time taken = rtmdl::MonotonicClock::now();  // as a sensor would say it
    const auto said = box.submit(task, rtmdl::Input::picture(pixels->data(), width, height, 3, 0, pixels), taken);
    if (said != rtmdl::Submitted::accepted)
      std::fprintf(stderr, "sporadic: %.*s\n", static_cast<int>(rtmdl::reason_of(said).size()),
                   rtmdl::reason_of(said).data());
  }
}

int play(const char* tasks, const char* name, int width, int height, double seconds) {
  Responses responses;
  responses.ms.reserve(100'000);
  int mine = -1;
  rtmdl::RuntimeOptions options;
  options.on_result = [&](const rtmdl::JobResult& job) {
    if (job.task == mine) responses.add(job);
  };
  rtmdl::Runtime box(tasks, options);
  mine = box.find(name);
  for (int t = 0; t < box.tasks(); ++t)
    if (t != mine) box.attach(t);
  std::atomic<bool> ends{false};
  std::thread driver([&] { drive(box, mine, width, height, ends); });
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  ends = true;
  driver.join();
  box.stop();

  for (const rtmdl::TaskStatistics& t : box.statistics().tasks)
    std::printf("%-12s %-16s released %6lld, missed %5lld (%lld late, %lld dropped, %lld failed)\n", t.name.c_str(),
                t.variant.c_str(), static_cast<long long>(t.released), static_cast<long long>(t.missed()),
                static_cast<long long>(t.late), static_cast<long long>(t.dropped), static_cast<long long>(t.failed));
  std::sort(responses.ms.begin(), responses.ms.end());
  if (responses.ms.empty()) return 1;
  std::printf("%s: response p50 %.2f ms, max %.2f ms\n", name, responses.ms[responses.ms.size() / 2],
              responses.ms.back());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  int width = 0, height = 0;
  if (argc != 5 || std::sscanf(argv[3], "%dx%d", &width, &height) != 2 || width < 1 || height < 1) {
    std::fprintf(stderr, "usage: sporadic TASKS.yaml TASK WIDTHxHEIGHT SECONDS\n");
    return 2;
  }
  try {
    return play(argv[1], argv[2], width, height, std::atof(argv[4]));
  } catch (const rtmdl::Error& e) {
    std::fprintf(stderr, "sporadic: %s\n", e.what());
    return static_cast<int>(e.code());
  }
}
