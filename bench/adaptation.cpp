// What it costs to choose variants at a release, and what it gives; and at a look at a budget of energy:
// bench_adaptation [SECONDS]

#include "planning/lighter.h"
#include "planning/simulator.h"
#include "workloads.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace {

using namespace rtmdl;

/// The core with a virtual clock; stages take the means of their modes × `slower`.
class Player {
 public:
  explicit Player(SchedulerConfig config)
      : config_(std::move(config)), scheduler_(config_), ends_(config_.processors.size()) {}

  /// Wall time of every release, in nanoseconds.
  std::vector<double> play(Duration length, double slower) {
    std::vector<double> took;
    std::vector<Duration> next(config_.tasks.size());
    left_.assign(config_.tasks.size(), {});
    for (Duration now{}; now < length;) {
      const auto task = static_cast<std::size_t>(std::min_element(next.begin(), next.end()) - next.begin());
      std::size_t p = 0;
      for (std::size_t k = 1; k < ends_.size(); ++k)
        if (end_of(k) < end_of(p)) p = k;
      out_.clear();
      if (end_of(p) <= next[task]) {
        now = end_of(p);
        const int done = ends_[p].task;
        ends_[p].task = -1;
        scheduler_.complete(done, Time(now), true, out_);
      } else {
        now = next[task];
        next[task] += config_.tasks[task].period;
        const auto before = std::chrono::steady_clock::now();
        scheduler_.release(static_cast<int>(task), Time(now), Time(now), out_);
        took.push_back(std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - before).count());
      }
      for (const Decision& d : out_.items()) apply(d, now, slower);
    }
    std::sort(took.begin(), took.end());
    return took;
  }
  std::int64_t switches() const { return switches_; }

 private:
  struct Running {
    int task = -1;
    Duration end{};
  };
  Duration end_of(std::size_t p) const { return ends_[p].task < 0 ? Duration::max() : ends_[p].end; }
  void apply(const Decision& d, Duration now, double slower) {
    const SchedulerTask& task = config_.tasks[d.task];
    Running& running = ends_[d.processor];
    switch (d.kind) {
      case Decision::Kind::start: {
        const auto& loads = d.mode == 0 ? task.stage_loads : task.fallbacks[d.mode - 1u].stage_loads;
        const auto time =
            Duration(static_cast<std::int64_t>(static_cast<double>(loads[d.stage].mean.count()) * slower));
        running = {d.task, now + time};
        break;
      }
      case Decision::Kind::preempt:
        left_[d.task] = running.end - now;
        running.task = -1;
        break;
      case Decision::Kind::resume: running = {d.task, now + left_[d.task]}; break;
      case Decision::Kind::change_mode: ++switches_; break;
      default: break;
    }
  }

  SchedulerConfig config_;
  Scheduler scheduler_;
  Decisions out_;
  std::vector<Running> ends_;
  std::vector<Duration> left_;
  std::int64_t switches_ = 0;
};

template <typename Mode>
void fill(Mode& mode, const TaskOption& option, const PlanProblem& problem) {
  for (const StageOption& stage : option.stages) {
    mode.stage_processors.push_back(stage.processor);
    mode.stage_loads.push_back(expected_load(stage, dispatch_cost(problem, stage.processor)));
  }
}

SchedulerConfig config_of(const PlanProblem& problem, bool adapts) {
  SchedulerConfig config;
  for (const PlanProcessor& p : problem.processors) config.processors.push_back({p.preemptive, p.slots});
  Choices choices;
  for (std::size_t t = 0; t < problem.tasks.size(); ++t) choices.push_back({0, static_cast<int>(t) + 1});
  const auto lighter = lighter_options(problem, choices);
  for (std::size_t t = 0; t < problem.tasks.size(); ++t) {
    const PlanTask& from = problem.tasks[t];
    SchedulerTask task;
    task.period = from.period;
    task.deadline = from.deadline;
    fill(task, from.options[0], problem);
    task.joules = to_seconds(mean_time(from.options[0]));
    for (std::size_t k = 0; adapts && k < lighter[t].size(); ++k) {
      const TaskOption& option = from.options[index(lighter[t][k])];
      fill(task.fallbacks.emplace_back(), option, problem);
      task.fallbacks.back().loss = option.accuracy_loss;
      task.fallbacks.back().joules = to_seconds(mean_time(option));  // 1 W
    }
    config.tasks.push_back(task);
  }
  config.policy = Policy::deadline_monotonic;
  return config;
}

/// Wall time of looks at a budget that is broken for ten seconds and kept for ten, by turns, in nanoseconds.
std::vector<double> looks(SchedulerConfig config, Duration length) {
  config.budget = budget_of(1);
  Scheduler scheduler(config);
  Decisions out;
  std::vector<double> took;
  double joules = 0;
  for (Duration now{}; now < length; now += kEnergyLook) {
    out.clear();
    const auto before = std::chrono::steady_clock::now();
    scheduler.set_drawn(joules, Time(now), out);
    took.push_back(std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - before).count());
    joules += (now / std::chrono::seconds(10) % 2 == 0 ? 2 : 0.2) * to_seconds(kEnergyLook);
  }
  std::sort(took.begin(), took.end());
  return took;
}

}  // namespace

int main(int argc, char** argv) {
  const double seconds = argc > 1 ? std::atof(argv[1]) : 60;
  if (!(seconds > 0)) return std::fputs("usage: bench_adaptation [SECONDS]\n", stderr), 2;
  std::puts(
      "tasks  load  variants  releases  switches   p50 us   p99 us   max us   (one release: decision and dispatch)");
  for (const int tasks : {4, 16, 64})
    for (const double load : {0.8, 1.2, 1.6})
      for (const bool adapts : {false, true}) {
        bench::Workload w;
        w.tasks = tasks;
        w.load = 0.8;
        const PlanProblem problem = bench::random_workload(3, w);
        Player player(config_of(problem, adapts));
        const std::vector<double> took = player.play(from_seconds(seconds), load / 0.8);
        const auto at = [&](double q) {
          return took[static_cast<std::size_t>(q * static_cast<double>(took.size() - 1))] / 1000;
        };
        std::printf("%5d  %3.0f%%  %8s  %8zu  %8lld  %7.2f  %7.2f  %7.2f\n", tasks, 100 * load,
                    adapts ? "up to 12" : "1", took.size(), static_cast<long long>(player.switches()), at(0.5),
                    at(0.99), at(1));
      }
  std::puts("tasks  looks at a budget   p50 us   p99 us   max us");
  for (const int tasks : {4, 16, 64}) {
    bench::Workload w;
    w.tasks = tasks;
    w.load = 0.8;
    const std::vector<double> took = looks(config_of(bench::random_workload(3, w), true), from_seconds(seconds));
    const auto at = [&](double q) { return took[static_cast<std::size_t>(q * static_cast<double>(took.size() - 1))]; };
    std::printf("%5d  %17zu  %7.2f  %7.2f  %7.2f\n", tasks, took.size(), at(0.5) / 1000, at(0.99) / 1000, at(1) / 1000);
  }
}
