// What cutting a model into segments costs and buys on a processor that does not preempt: the model's time uncut and
// cut (in turns, so that drift hits both), its longest segment, and the response times of a short urgent task on that
// processor while the model runs 80 % of the time (more, and the kernel's throttling of real-time threads would show):
// at most its own time and the segment that it meets.
//
//   build/release/bench/bench_segments [SECONDS per measurement]
#include "base/context.h"
#include "base/thread_placement.h"
#include "demo_models.h"
#include "profiling/segmentation.h"
#include "runtime/dispatcher.h"

#include <cstdlib>
#include <thread>

#include <fmt/format.h>

namespace {

using namespace rtmdl;

/// Responses in ms of the urgent one.
std::vector<double> responses(Engine& engine, const LoadRequest& urgent, const LoadRequest& other, Duration period,
                              Duration other_period, Duration length) {
  const std::vector<int> core{available_cores().front()};
  DispatcherConfig config;
  config.realtime = realtime_permitted();
  config.scheduler.processors = {{false, 1}};
  config.processors = {{core}};
  ModelBody first(engine.load(urgent)), second(engine.load(other));
  for (JobBody* body : {static_cast<JobBody*>(&first), static_cast<JobBody*>(&second)}) {
    SchedulerTask task;
    task.period = task.deadline = period;
    task.priority = static_cast<int>(config.scheduler.tasks.size()) + 1;
    task.stage_processors.assign(static_cast<std::size_t>(body->stages()), 0);
    config.scheduler.tasks.push_back(task);
  }
  Dispatcher dispatcher(config, {&first, &second});
  std::vector<double> all;
  std::thread([&] {
    place_current_thread({{available_cores().back()}, config.realtime ? kFifoRelease : 0});
    const Time start = MonotonicClock::now();
    for (Time next = start, other_next = start, now = start; now < start + length; now = MonotonicClock::now()) {
      if (now >= other_next) {
        dispatcher.release(1, other_next);
        other_next += other_period;
      }
      if (now >= next) {
        dispatcher.release(0, next);
        next += period;
      }
      while (const JobRecord* r = dispatcher.records().front()) {
        if (r->task == 0 && r->fate == JobFate::completed) all.push_back(to_ms(r->finish - r->release));
        dispatcher.records().pop();
      }
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
    dispatcher.drop_waiting();
    while (dispatcher.pending() > 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }).join();
  return all;
}

}  // namespace

int main(int argc, char** argv) {
  const auto length = Duration(static_cast<std::int64_t>(1e9 * (argc > 1 ? std::atof(argv[1]) : 3)));
  const std::unique_ptr<Engine> engine = make_onnxruntime_engine();
  const std::vector<BenchModel> all = demo_models();
  const ThreadPlacement placement{{available_cores().front()}, realtime_permitted() ? 80 : 0};
  const Context context;
  fmt::print("one core that does not preempt, {}; urgent: {}, every 33 ms\n",
             realtime_permitted() ? "SCHED_FIFO" : "no SCHED_FIFO", all[0].name);
  fmt::print("{:<9} {:>8} {:>11} {:>9} {:>9}   {}\n", "model", "segments", "longest ms", "all ms", "overhead",
             "response of the urgent one, ms: p50, p95, max");
  for (std::size_t m = 1; m < all.size(); ++m) {
    std::vector<Segmentation> found = choose_segmentations(*engine, all[m].request, 8, placement, context);
    found.insert(found.begin(), Segmentation{});
    const std::unique_ptr<Executable> whole = engine->load(all[m].request);
    for (const Segmentation& s : found) {
      LoadRequest request = all[m].request;
      request.cuts = s.cuts;
      const std::unique_ptr<Executable> model = engine->load(request);
      std::vector<double> uncut, total, longest;
      std::thread([&] {
        place_current_thread(placement);
        for (const Time until = MonotonicClock::now() + length; MonotonicClock::now() < until;) {
          const Time first = MonotonicClock::now();
          whole->run();
          uncut.push_back(to_ms(MonotonicClock::now() - first));
          double sum = 0, most = 0;
          for (int k = 0; k < model->segments(); ++k) {
            const Time begun = MonotonicClock::now();
            model->run_segment(k);
            const double ms = to_ms(MonotonicClock::now() - begun);
            sum += ms;
            most = std::max(most, ms);
          }
          total.push_back(sum);
          longest.push_back(most);
          std::this_thread::sleep_for(Duration(static_cast<std::int64_t>(2e5 * sum)));
        }
      }).join();
      const auto other_period = Duration(static_cast<std::int64_t>(1e6 * quantile(total, 0.5) / 0.8));
      const std::vector<double> r =
          responses(*engine, all[0].request, request, std::chrono::milliseconds(33), other_period, length);
      fmt::print("{:<9} {:>8} {:>11.2f} {:>9.2f} {:>8.1f}%   {:6.2f} {:6.2f} {:6.2f}   ({} jobs)\n", all[m].name,
                 model->segments(), quantile(longest, 0.5), quantile(total, 0.5),
                 100 * (quantile(total, 0.5) / quantile(uncut, 0.5) - 1), quantile(r, 0.5), quantile(r, 0.95),
                 quantile(r, 1), r.size());
      std::fflush(stdout);
    }
  }
}
