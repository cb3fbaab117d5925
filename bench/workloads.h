#pragma once
/// Random planning problems of the kind that the demo is: cameras and microphones on a host core and an accelerator.

#include "planning/problem.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <string>

namespace rtmdl::bench {

struct Workload {
  int tasks = 8, variants = 12;
  bool placed = false;     ///< infer stages may run on the host as well: twice the options
  bool preemptive = true;  ///< the accelerator
  double load = 1.2;       ///< of the source models, as a share of the accelerator (of both when `placed`)
  double hard = 0;         ///< share of the tasks that ask for a proof
};

/// Measured-looking times: a narrow body and a thin tail.
inline TimeDistribution measured(std::mt19937_64& random, Duration median) {
  TimeDistribution times;
  std::lognormal_distribution<double> body(0, 0.03);
  std::exponential_distribution<double> tail(4);
  for (int k = 0; k < 200; ++k) {
    const double factor = body(random) * (k % 50 == 0 ? 1 + tail(random) : 1);
    times.sorted.push_back(Duration(static_cast<std::int64_t>(static_cast<double>(median.count()) * factor)));
  }
  std::sort(times.sorted.begin(), times.sorted.end());
  return times;
}

/// Periods of 10 to 100 ms, deadlines of 60 to 100 % of them. Variants as `rtmdl scale` makes them: widths in steps,
/// each in float and in 8 bits; 8 bits are three times as fast for plain convolutions and 1.2 times for mobile ones,
/// and accuracy falls ever faster with width.
inline PlanProblem random_workload(std::uint64_t seed, const Workload& w) {
  std::mt19937_64 random(seed);
  const auto uniform = [&](double low, double high) {
    return std::uniform_real_distribution<double>(low, high)(random);
  };
  PlanProblem problem;
  problem.processors = {{"cpu", true, 1}, {"gpu", w.preemptive, 1}};
  problem.dispatch = std::chrono::microseconds(10);
  std::vector<double> shares;
  double sum = 0;
  for (int i = 0; i < w.tasks; ++i) sum += shares.emplace_back(uniform(0.3, 1.7));
  for (int i = 0; i < w.tasks; ++i) {
    PlanTask task;
    task.name = "task" + std::to_string(i);
    task.period = std::chrono::microseconds(static_cast<int>(1000 * std::exp(uniform(std::log(10), std::log(100)))));
    task.deadline = task.period * static_cast<int>(uniform(60, 100)) / 100;
    task.jitter = std::chrono::milliseconds(1);
    task.miss_rate_limit = 0.01 * std::uniform_int_distribution<int>(1, 5)(random);
    task.hard = uniform(0, 1) < w.hard;
    const double work = w.load * (w.placed ? 2 : 1) * shares[static_cast<std::size_t>(i)] / sum *
                        static_cast<double>(task.period.count());
    const double steepness = uniform(0.02, 0.15), bend = uniform(1, 3), pre = uniform(0.02, 0.1);
    const double integer_speed = uniform(0, 1) < 0.5 ? uniform(2.5, 3.3) : uniform(1.1, 1.9);
    const double integer_loss = uniform(0, 0.006);
    const TimeDistribution pre_times = measured(random, Duration(static_cast<std::int64_t>(pre * work)));
    const int widths = std::max((w.variants + 1) / 2, 2);
    for (int k = 0; k < w.variants; ++k) {
      const double width = 1 - 0.75 * (k / 2) / (widths - 1);
      const bool integer = k % 2 == 1;
      const double cut = std::pow(1 - width, bend) * steepness * uniform(0.85, 1.15);
      const double loss = k == 0 ? 0 : cut + (integer ? integer_loss : 0);
      const double share = std::pow(width, 1.8) / (integer ? integer_speed : 1) * uniform(0.95, 1.05);
      const TimeDistribution times = measured(random, Duration(static_cast<std::int64_t>(work * share)));
      for (int p = w.placed ? 0 : 1; p < 2; ++p) {
        TaskOption option;
        option.variant = "v" + std::to_string(k);
        option.processor = problem.processors[static_cast<std::size_t>(p)].name;
        option.accuracy = 1 - loss;
        option.accuracy_loss = loss;
        option.bytes = static_cast<std::int64_t>(2e6 * width * width / (integer ? 4 : 1));
        option.memory = option.bytes * 2;
        option.source = k == 0;
        option.stages = {{0, pre_times}, {p, times}, {0, pre_times}};
        task.options.push_back(option);
      }
    }
    problem.tasks.push_back(task);
  }
  return problem;
}

}  // namespace rtmdl::bench
