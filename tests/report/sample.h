#pragma once
/// Invented runs: a small event simulation of preemptive fixed priorities, with measuring jitter, so that reports have
/// something lifelike to show.

#include "planning/planner.h"
#include "report/task_info.h"
#include "runtime/runtime.h"

#include <algorithm>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace rtmdl::sample {

inline Duration us(double x) { return Duration(static_cast<std::int64_t>(x * 1000)); }

struct Load {
  TaskInfo info;
  std::string variant;
  double pre_us = 300, infer_us = 3000, post_us = 100;
  double accuracy = 1, loss = 0;
};

inline std::vector<Load> edge_box(double scale, const std::string& variant, double loss) {
  const auto task = [&](const char* name, double period_ms, double deadline_ms, double infer_ms) {
    return Load{{name, from_ms(period_ms), from_ms(deadline_ms), 0.01},
                variant,
                400,
                infer_ms * 1000 * scale,
                150,
                1 - loss,
                loss};
  };
  return {task("speech", 32, 16, 2), task("faces", 33.3, 20, 9), task("lines", 66.7, 50, 24),
          task("text", 150, 150, 60), task("classes", 50, 40, 11)};
}

inline std::vector<TaskInfo> infos(const std::vector<Load>& loads) {
  std::vector<TaskInfo> out;
  for (const Load& l : loads) out.push_back(l.info);
  return out;
}

/// One core, preemptive, priorities by index, queue of one (the newest wins). `jitter`: measured starts and ends are
/// off by up to it.
inline RunOutcome outcome(const std::string& policy, const std::vector<Load>& loads, double seconds, std::uint32_t seed,
                          Duration jitter = us(3)) {
  RunOutcome out;
  out.start = Time(std::chrono::hours(5));
  out.processor_names = {"cpu", "gpu"};
  out.report.policy = policy;
  out.report.preemption = "kernel";
  out.report.seconds = seconds;
  out.scheduler.processors = {{true, 1}, {false, 1}};
  std::mt19937 random(seed);
  const auto noise = [&] {
    return Duration(std::uniform_int_distribution<std::int64_t>(0, std::max<std::int64_t>(0, jitter.count()))(random));
  };
  struct Active {
    std::size_t task;
    JobRecord r;
    Duration left;
    bool begun;
  };
  std::vector<Active> ready;
  std::vector<std::uint64_t> next(loads.size());
  Time now = out.start;
  const Time end = out.start + from_seconds(seconds);
  const auto next_release = [&] {
    std::size_t best = loads.size();
    for (std::size_t i = 0; i < loads.size(); ++i) {
      const Time t = out.start + loads[i].info.period * static_cast<std::int64_t>(next[i]);
      if (t < end &&
          (best == loads.size() || t < out.start + loads[best].info.period * static_cast<std::int64_t>(next[best])))
        best = i;
    }
    return best;
  };
  for (;;) {
    std::sort(ready.begin(), ready.end(), [](const Active& a, const Active& b) { return a.task < b.task; });
    const std::size_t release = next_release();
    const bool more = release < loads.size();
    const Time at =
        more ? out.start + loads[release].info.period * static_cast<std::int64_t>(next[release]) : Time::max();
    if (ready.empty() && !more) break;
    if (!ready.empty()) {
      Active& a = ready.front();
      if (!a.begun) a.begun = true, a.r.stages = 1, a.r.stage[0].start = now + noise();
      if (now + a.left <= at) {
        now += a.left;
        JobRecord& r = a.r;
        const Load& l = loads[a.task];
        r.stage[0].end = now + noise();
        r.finish = r.stage[0].end;
        const Duration whole = r.finish - r.stage[0].start;  // cut into pre, infer, post
        const Duration pre = std::min(whole / 4, us(l.pre_us)), post = std::min(whole / 8, us(l.post_us));
        r.stages = 3;
        r.stage[1] = {r.stage[0].start + pre, r.finish - post, 0, 0};
        r.stage[2] = {r.finish - post, r.finish, 0, 0};
        r.stage[0].end = r.stage[1].start;
        r.late = r.finish > r.release + l.info.deadline;
        out.records.push_back(r);
        ready.erase(ready.begin());
        continue;
      }
      a.left -= at - now;
    }
    now = at;
    for (std::size_t k = 0; k < ready.size(); ++k)
      if (ready[k].task == release && !ready[k].begun) {
        ready[k].r.fate = JobFate::dropped;
        ready[k].r.finish = now;
        out.records.push_back(ready[k].r);
        ready.erase(ready.begin() + static_cast<std::ptrdiff_t>(k));
        break;
      }
    Active a{release, {}, {}, false};
    a.r.task = static_cast<std::uint8_t>(release);
    a.r.job = next[release]++;
    a.r.frame = static_cast<std::int64_t>(a.r.job);
    a.r.release = at;
    const Load& l = loads[release];
    a.left = us((l.pre_us + l.infer_us + l.post_us) * std::uniform_real_distribution<double>(0.9, 1.2)(random));
    const bool busy_with_it =
        std::any_of(ready.begin(), ready.end(), [&](const Active& other) { return other.task == release; });
    if (busy_with_it) {
      a.r.fate = JobFate::dropped;
      a.r.finish = at + us(500);
      out.records.push_back(a.r);
    } else {
      ready.push_back(a);
    }
  }
  out.stalls.push_back({out.start + from_ms(500), out.start + from_ms(512.5), 1});
  out.report.stalls = {1, 12.5, 2};
  std::vector<double> weights(loads.size(), 1.0);
  for (std::size_t i = 0; i < loads.size(); ++i) {
    SchedulerTask st;
    st.stage_processors = {0, 0, 0};
    out.scheduler.tasks.push_back(st);
    TaskReport t;
    t.name = loads[i].info.name;
    t.variant = loads[i].variant;
    t.priority = static_cast<int>(i) + 1;
    std::vector<float> responses;
    for (const JobRecord& r : out.records) {
      if (r.task != i) continue;
      ++t.released;
      t.missed += r.missed();
      t.dropped += r.fate == JobFate::dropped;
      t.completed += r.fate == JobFate::completed;
      if (r.fate == JobFate::completed) responses.push_back(static_cast<float>(to_ms(r.finish - r.release)));
    }
    t.response = response_times(responses);
    t.accuracy = loads[i].accuracy;
    t.accuracy_loss = loads[i].loss;
    out.report.tasks.push_back(t);
  }
  sum_up(out.report, weights);
  for (TaskReport& t : out.report.tasks) t.effective_accuracy = t.accuracy * (1 - t.miss_rate);
  out.report.processors = {{"cpu", 0.913}, {"gpu", 0.02}};
  return out;
}

/// Jobs of four tasks on two processors at any times, also such that cannot be: stages that cross, end before they
/// begin, ran on processors without a name.
inline RunOutcome random_outcome(std::uint32_t seed) {
  std::mt19937 random(seed);
  const auto draw = [&](int below) { return static_cast<int>(random() % static_cast<unsigned>(below)); };
  RunOutcome out;
  out.start = Time(std::chrono::seconds(draw(100)));
  out.processor_names = {"a", "b"};
  for (int j = 0; j < 200; ++j) {
    JobRecord r;
    r.task = static_cast<std::uint8_t>(draw(4));
    r.job = static_cast<std::uint64_t>(j);
    r.fate = static_cast<JobFate>(draw(3));
    r.late = r.fate == JobFate::completed && draw(2);
    r.release = out.start + Duration(draw(5000));
    Time t = r.release;
    r.stages = r.fate == JobFate::dropped ? 0 : static_cast<std::uint8_t>(draw(4));
    for (int s = 0; s < r.stages; ++s) {
      JobRecord::Stage& stage = r.stage[static_cast<std::size_t>(s)];
      stage = {t + Duration(draw(30)), {}, static_cast<std::uint8_t>(draw(3)), static_cast<std::uint8_t>(draw(2))};
      t = stage.end = stage.start + Duration(draw(300) - 2);
    }
    r.finish = t + Duration(draw(20));
    out.records.push_back(r);
  }
  for (int s = 0; s < 10; ++s) {
    const Time start = out.start + Duration(draw(5000) - 500);
    out.stalls.push_back({start, start + Duration(draw(900)), draw(2)});
  }
  return out;
}

inline PlanProblem problem() {
  PlanProblem p;
  p.processors = {{"cpu", true, 1}, {"gpu", false, 1}};
  p.storage = 60'000'000;
  for (const Load& l : edge_box(1, "source", 0)) {
    PlanTask t;
    t.name = l.info.name;
    t.period = l.info.period;
    t.deadline = l.info.deadline;
    for (const char* variant : {"source", "int8"}) {
      TaskOption o;
      const bool source = variant == std::string("source");
      o.variant = variant;
      o.processor = "gpu";
      o.stages = {{0, {{us(300), us(400)}}},
                  {1, {{us(l.infer_us / (source ? 1 : 3)), us(l.infer_us * 1.2 / (source ? 1 : 3))}}},
                  {0, {{us(100)}}}};
      o.accuracy = source ? 1 : 0.995;
      o.accuracy_loss = source ? 0 : 0.005;
      o.bytes = source ? 4'000'000 : 1'100'000;
      o.source = source;
      t.options.push_back(o);
    }
    p.tasks.push_back(t);
  }
  return p;
}

inline Plan plan(const PlanProblem& p) {
  Plan plan;
  plan.feasible = true;
  plan.reason = "the least loss at which every task keeps its limit";
  for (std::size_t i = 0; i < p.tasks.size(); ++i) {
    PlannedTask t;
    t.choice = {i % 2 ? 1 : 0, static_cast<int>(i) + 1};
    t.miss_rate = i == 3 ? 0.004 : 0;
    t.accuracy_loss = p.tasks[i].options[static_cast<std::size_t>(t.choice.option)].accuracy_loss;
    t.utilisation = {0.02, 0.11};
    plan.accuracy_loss += t.accuracy_loss;
    plan.tasks.push_back(t);
  }
  plan.miss_rate = 0.001;
  plan.bytes = 14'200'000;
  plan.method = "exact";
  plan.space = 3.2e4;
  plan.evaluated = 214;
  plan.seconds = 0.31;
  plan.proven_optimal = true;
  Choices sources(p.tasks.size()), chosen, small(p.tasks.size(), {1, 1});
  for (const PlannedTask& t : plan.tasks) chosen.push_back(t.choice);
  plan.pareto = {{0, 0.31, false, false, sources},
                 {0.005, 0.07, false, false, sources},
                 {0.01, 0.001, true, true, chosen},
                 {0.02, 0, true, false, small}};
  return plan;
}

}  // namespace rtmdl::sample
