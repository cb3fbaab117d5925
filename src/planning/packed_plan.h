#pragma once
/// What ranks tell each other, as bytes (packed.h).

#include "planning/evaluator.h"
#include "planning/packed.h"
#include "planning/planner.h"
#include "planning/problem.h"

namespace rtmdl {

template <class A>
void parts(A& a, TimeDistribution& v) {
  auto& [sorted] = v;
  a(sorted);
}
template <class A>
void parts(A& a, StageOption& v) {
  auto& [processor, times, alone, longest, shortest, slots, reach, watts] = v;
  a(processor, times, alone, longest, shortest, slots, reach, watts);
}
template <class A>
void parts(A& a, TaskOption& v) {
  auto& [variant, processor, threads, cuts, stages, correlation, accuracy, accuracy_loss, bytes, content, memory,
         joules, source, alone, kind, demand, slow_down, optional_from, leaves, unit_accuracy] = v;
  a(variant, processor, threads, cuts, stages, correlation, accuracy, accuracy_loss, bytes, content, memory, joules,
    source, alone, kind, demand, slow_down, optional_from, leaves, unit_accuracy);
}
template <class A>
void parts(A& a, SlowDowns& v) {
  auto& [demand, factor] = v;
  a(demand, factor);
}
template <class A>
void parts(A& a, ArrivalSpec::Phase& v) {
  auto& [mean, lasts] = v;
  a(mean, lasts);
}
template <class A>
void parts(A& a, ArrivalSpec& v) {
  auto& [kind, calm, burst, times, length] = v;
  a(kind, calm, burst, times, length);
}
template <class A>
void parts(A& a, AfterSpec& v) {
  auto& [task, per_detection, most] = v;
  a(task, per_detection, most);
}
template <class A>
void parts(A& a, PlanTask& v) {
  auto& [name, period, deadline, jitter, offset, miss_rate_limit, hard, weight, queue, late, options, accuracy_min,
         refused, arrivals, interval, after, detections, fallback] = v;
  static_cast<void>(fallback);  // of runs
  a(name, period, deadline, jitter, offset, miss_rate_limit, hard, weight, queue, late, options, accuracy_min, refused,
    arrivals, interval, after, detections);
}
template <class A>
void parts(A& a, ProcessorPower& v) {
  auto& [busy, idle] = v;
  a(busy, idle);
}
template <class A>
void parts(A& a, PlanProcessor& v) {
  auto& [name, preemptive, slots, dispatch, realtime_share, correlation, power, accelerator] = v;
  static_cast<void>(accelerator);  // of runs
  a(name, preemptive, slots, dispatch, realtime_share, correlation, power);
}
template <class A>
void parts(A& a, StallModel& v) {
  auto& [per_second, lasting] = v;
  a(per_second, lasting);
}
template <class A>
void parts(A& a, PlanProblem& v) {
  auto& [processors, tasks, storage, memory, dispatch, stalls, execution_bound, slow_downs, power_limit, supply] = v;
  static_cast<void>(supply);  // counts in predictions, which are rank 0's
  a(processors, tasks, storage, memory, dispatch, stalls, execution_bound, slow_downs, power_limit);
}
template <class A>
void parts(A& a, PlanOptions& v) {
  auto& [method, simulated, budget, seed, margin, jobs, log, ranks, miss_weight, front] = v;
  static_cast<void>(log);  // of rank 0 alone
  a(method, simulated, budget, seed, margin, jobs, ranks, miss_weight, front);
}
template <class A>
void parts(A& a, Choice& v) {
  auto& [option, priority] = v;
  a(option, priority);
}
template <class A>
void parts(A& a, Score& v) {
  auto& [feasible, excess, loss, miss_rate, peak, tightness] = v;
  a(feasible, excess, loss, miss_rate, peak, tightness);
}
template <class A>
void parts(A& a, Strategy& v) {
  auto& [choices, score, miss_rates, bounds] = v;
  a(choices, score, miss_rates, bounds);
}
template <class A>
void parts(A& a, ParetoPoint& v) {
  auto& [accuracy_loss, miss_rate, feasible, chosen, choices] = v;
  a(accuracy_loss, miss_rate, feasible, chosen, choices);
}
template <class A>
void parts(A& a, Book& v) {
  auto& [best, pareto, evaluated] = v;
  a(best, pareto, evaluated);
}

}  // namespace rtmdl
