// What packing gains on a CPU accelerator: pairs of models side by side, a core each, against one at a time on all
// cores. Gain: jobs of both that packing finishes, each counted as the time that it takes alone on all cores. Then the
// first of the pair as the urgent task, half a core's load, beside the other at 85 % of a core (at more the kernel's
// throttling of real-time threads would show): its response times, in which stalls of the machine show.
//
// Then what it is worth to know each pair: the urgent one, due halfway between its time alone and that beside its worst
// neighbour, beside the other, which has a job waiting all the time. Known is how much the worst neighbour slows it
// down, or how much this one does: jobs of the other, and how many of the urgent ones were in time.
//
//   build/release/bench/bench_packing [SECONDS per measurement]
#include "base/thread_placement.h"
#include "demo_models.h"
#include "engine/engine.h"
#include "runtime/dispatcher.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>

namespace {

using namespace rtmdl;

/// How a model runs: on one core beside others, or on all of them.
struct Way {
  const BenchModel* model = nullptr;
  bool wide = false;
};

/// What is known of the first task's time, and how far the second one's brings it from `alone` to `beside`.
struct Known {
  StageTime time;
  std::optional<double> pressure;
};

class Playing {
 public:
  Playing(Engine& engine, const std::vector<Way>& tasks, Policy policy, Duration first_deadline,
          const std::optional<Known>& known = {}) {
    const std::vector<int> cores = available_cores();
    const int slots = static_cast<int>(cores.size());
    config_.realtime = realtime_permitted();
    config_.scheduler.policy = policy;
    config_.scheduler.processors = {{config_.realtime, slots}};
    config_.processors = {{cores}};
    for (std::size_t i = 0; i < tasks.size(); ++i) {
      LoadRequest request = tasks[i].model->request;
      request.threads = tasks[i].wide ? slots : 1;
      request.pool = {cores, config_.realtime ? kFifoBase + static_cast<int>(tasks.size() - i) : 0};
      bodies_.push_back(std::make_unique<ModelBody>(engine.load(request)));
      SchedulerTask task;
      task.period = task.deadline = first_deadline;
      task.priority = static_cast<int>(i) + 1;
      task.queue = kMaxQueue;
      task.stage_processors = {0};
      task.stage_slots = {tasks[i].wide ? slots : 1};
      config_.scheduler.tasks.push_back(task);
    }
    if (known) config_.scheduler.tasks[0].stage_times = {known->time};
    if (known && known->pressure) config_.scheduler.tasks[0].pressures = {1, *known->pressure};
    std::vector<JobBody*> bodies;
    for (auto& body : bodies_) bodies.push_back(body.get());
    dispatcher_ = std::make_unique<Dispatcher>(config_, bodies);
  }

  /// Jobs per second of each task; `period` zero: the task has a job waiting all the time. Responses of the first.
  std::vector<double> play(const std::vector<Duration>& periods, Duration length, std::vector<double>* responses_ms) {
    const Time start = MonotonicClock::now();
    std::vector<Time> next(periods.size(), start);
    std::vector<std::int64_t> before;
    for (std::size_t i = 0; i < periods.size(); ++i)
      before.push_back(dispatcher_->counts(static_cast<int>(i)).completed);
    Time now = start;
    std::thread releasing([&] {
      place_current_thread({{}, config_.realtime ? kFifoRelease : 0});
      while ((now = MonotonicClock::now()) < start + length) {
        for (std::size_t i = 0; i < periods.size(); ++i) {
          const JobCounts c = dispatcher_->counts(static_cast<int>(i));
          const bool waits = c.released - c.completed - c.failed - c.dropped >= 8;
          if (periods[i] == Duration{} ? !waits : now >= next[i]) {
            dispatcher_->release(static_cast<int>(i), periods[i] == Duration{} ? now : next[i]);
            next[i] += periods[i];
          }
        }
        while (const JobRecord* r = dispatcher_->records().front()) {
          if (responses_ms && r->task == 0 && r->fate == JobFate::completed)
            responses_ms->push_back(to_ms(r->finish - r->release));
          dispatcher_->records().pop();
        }
        std::this_thread::sleep_for(std::chrono::microseconds(100));
      }
    });
    releasing.join();
    std::vector<double> rates;
    for (std::size_t i = 0; i < periods.size(); ++i)
      rates.push_back(static_cast<double>(dispatcher_->counts(static_cast<int>(i)).completed - before[i]) /
                      to_seconds(now - start));
    dispatcher_->drop_waiting();
    while (dispatcher_->pending() > 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return rates;
  }

 private:
  DispatcherConfig config_;
  std::vector<std::unique_ptr<ModelBody>> bodies_;
  std::unique_ptr<Dispatcher> dispatcher_;
};

Duration seconds(double s) { return Duration(static_cast<std::int64_t>(1e9 * s)); }

/// `rates`: jobs/s of each on one core with the other idle; `slowed[a][b]`: time of a beside b over that.
void print_worth_of_pairs(Engine& engine, const std::vector<BenchModel>& all, const std::vector<double>& rates,
                          const std::vector<std::vector<double>>& slowed, Duration length) {
  constexpr double kRoom = 1.1;   // for what is longer than the mean
  constexpr double kWorth = 1.1;  // times as slow, or there is nothing to know
  fmt::print("\n{:<18} {:>8} {:>8} {:>28} {:>28}\n", "urgent, other", "slowed", "worst", "worst known: jobs/s, in time",
             "pair known: jobs/s, in time");
  double sum = 0;
  int pairs = 0;
  for (std::size_t a = 0; a < all.size(); ++a) {
    const double worst = *std::max_element(slowed[a].begin(), slowed[a].end());
    const Duration alone = seconds(kRoom / rates[a]), beside = seconds(kRoom * worst / rates[a]);
    const Duration deadline = (alone + beside) / 2, period = seconds(2 * worst / rates[a]);
    for (std::size_t b = 0; b < all.size() && worst > kWorth; ++b) {
      if (a == b) continue;
      const double pressure = std::clamp((slowed[a][b] - 1) / (worst - 1), 0.0, 1.0);
      std::vector<double> others, in_time;
      for (const bool pair_known : {false, true}) {
        Known known{{alone, beside}, {}};
        if (pair_known) known.pressure = pressure;
        std::vector<double> responses;
        Playing playing(engine, {{&all[a], false}, {&all[b], false}}, Policy::fixed_priority, deadline, known);
        others.push_back(playing.play({period, Duration{}}, length, &responses)[1]);
        const auto met = std::count_if(responses.begin(), responses.end(),
                                       [&](double response) { return response <= to_ms(deadline); });
        in_time.push_back(100.0 * static_cast<double>(met) / std::max(1.0, static_cast<double>(responses.size())));
      }
      fmt::print("{:<18} {:>7.2f}x {:>7.2f}x {:>18.1f} {:>7.1f} % {:>18.1f} {:>7.1f} %\n",
                 all[a].name + ", " + all[b].name, slowed[a][b], worst, others[0], in_time[0], others[1], in_time[1]);
      std::fflush(stdout);
      sum += std::log(others[1] / others[0]);
      ++pairs;
    }
  }
  if (pairs > 0)
    fmt::print("jobs of the other, geometric mean of {} pairs: {:.2f} times as many where the pair is known\n", pairs,
               std::exp(sum / pairs));
}

}  // namespace

int main(int argc, char** argv) {
  const auto length = Duration(static_cast<std::int64_t>(1e9 * (argc > 1 ? std::atof(argv[1]) : 2)));
  const std::unique_ptr<Engine> engine = make_onnxruntime_engine();
  const std::vector<BenchModel> all = demo_models();
  fmt::print("{} cores, {}\n", available_cores().size(), realtime_permitted() ? "SCHED_FIFO" : "no SCHED_FIFO");
  fmt::print("{:<18} {:>22} {:>22} {:>7}   {:>39}\n", "pair", "one at a time, jobs/s", "packed, jobs/s", "gain",
             "urgent first: p50, p95, p99, deadline");
  double sum = 0;
  int pairs = 0, in_time = 0;
  std::vector<double> rates(all.size());
  std::vector<std::vector<double>> slowed(all.size(), std::vector<double>(all.size(), 1));
  for (std::size_t a = 0; a < all.size(); ++a)
    for (std::size_t b = a + 1; b < all.size(); ++b) {
      // One at a time in turns: jobs of each per second of its own time.
      const std::vector<Duration> always(2), one(1);
      const double alone_a =
          Playing(*engine, {{&all[a], true}}, Policy::fifo, length).play(one, length / 2, nullptr)[0];
      const double alone_b =
          Playing(*engine, {{&all[b], true}}, Policy::fifo, length).play(one, length / 2, nullptr)[0];
      const double narrow =
          Playing(*engine, {{&all[a], false}}, Policy::fifo, length).play(one, length / 2, nullptr)[0];
      const double narrow_b =
          Playing(*engine, {{&all[b], false}}, Policy::fifo, length).play(one, length / 2, nullptr)[0];
      const std::vector<double> packed =
          Playing(*engine, {{&all[a], false}, {&all[b], false}}, Policy::fifo, length).play(always, length, nullptr);
      const double gain = packed[0] / alone_a + packed[1] / alone_b;
      rates[a] = narrow;
      rates[b] = narrow_b;
      slowed[a][b] = narrow / packed[0];
      slowed[b][a] = narrow_b / packed[1];
      // Its deadline is twice its time on one core.
      const auto deadline = Duration(static_cast<std::int64_t>(2e9 / narrow));
      std::vector<double> responses;
      Playing(*engine, {{&all[a], false}, {&all[b], false}}, Policy::fixed_priority, deadline)
          .play({deadline, Duration(static_cast<std::int64_t>(1e9 / (0.85 * narrow_b)))}, length, &responses);
      const double p95 = quantile(responses, 0.95), p99 = quantile(responses, 0.99);
      fmt::print(
          "{:<18} {:>10.1f} {:>11.1f} {:>10.1f} {:>11.1f} {:>6.2f}x   {:>8.2f} {:>8.2f} {:>8.2f} of {:>8.2f} ms\n",
          all[a].name + " + " + all[b].name, alone_a, alone_b, packed[0], packed[1], gain, quantile(responses, 0.5),
          p95, p99, to_ms(deadline));
      std::fflush(stdout);
      sum += std::log(gain);
      in_time += p99 <= to_ms(deadline);
      ++pairs;
    }
  fmt::print("gain, geometric mean of {} pairs: {:.2f}x; p99 of the urgent one within its deadline in {}\n", pairs,
             std::exp(sum / pairs), in_time);
  print_worth_of_pairs(*engine, all, rates, slowed, length);
}
