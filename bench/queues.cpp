// Independent queues against monolithic jobs: the demo's five tasks with their real pipelines on two cores.
// Independent: pre- and post-processing on one core, inference on either (the heaviest models on the emptier core), a
// queue each. Monolithic: one queue, a job holds both cores from its first stage to its last. Same models, same
// deadline-monotonic priorities, same releases; in the first two nothing is preempted once it runs. Load: of monolithic
// jobs, so that these have time enough.
//
//   build/release/bench/bench_queues [SECONDS a run] [LOAD]
#include "base/thread_placement.h"
#include "data/pipeline.h"
#include "data/source.h"
#include "runtime/runtime.h"

#include "task/task_file.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

namespace {

using namespace rtmdl;

/// Medians of pre, infer and post, one after the other on one core.
std::array<Duration, 3> measured(Engine& engine, const TaskSpec& task, std::uint64_t seed) {
  const auto source = open_source(task.data, seed);
  Pipeline pipeline(engine, task, load_request(task, task.model));
  const Frame frame = source->read(Split::stream, 0);
  Result result;
  std::array<std::vector<Duration>, 3> times;
  for (int i = 0; i < 40; ++i) {
    std::array<Time, 4> at{MonotonicClock::now()};
    if (!pipeline.pre(frame)) pipeline.fail_at_pre(frame);
    at[1] = MonotonicClock::now();
    static_cast<void>(pipeline.infer());
    at[2] = MonotonicClock::now();
    static_cast<void>(pipeline.post(result));
    at[3] = MonotonicClock::now();
    for (std::size_t s = 0; s < 3; ++s) times[s].push_back(at[s + 1] - at[s]);
  }
  std::array<Duration, 3> medians{};
  for (std::size_t s = 0; s < 3; ++s) {
    std::sort(times[s].begin(), times[s].end());
    medians[s] = times[s][times[s].size() / 2];
  }
  return medians;
}

/// Of the time in which anything runs, the share in which stages of two jobs do.
double overlap(const RunOutcome& outcome) {
  struct Edge {
    Time at;
    int change;
  };
  std::vector<Edge> edges;
  for (const JobRecord& r : outcome.records)
    for (int s = 0; s < r.stages; ++s) {
      edges.push_back({r.stage[static_cast<std::size_t>(s)].start, 1});
      edges.push_back({r.stage[static_cast<std::size_t>(s)].end, -1});
    }
  std::sort(edges.begin(), edges.end(),
            [](const Edge& a, const Edge& b) { return a.at != b.at ? a.at < b.at : a.change < b.change; });
  Duration any{}, two{};
  int running = 0;
  for (std::size_t i = 0; i + 1 < edges.size(); ++i) {
    running += edges[i].change;
    const Duration length = edges[i + 1].at - edges[i].at;
    if (running > 0) any += length;
    if (running > 1) two += length;
  }
  return any > Duration{} ? to_seconds(two) / to_seconds(any) : 0;
}

}  // namespace

int main(int argc, char** argv) {
  const Duration length = from_seconds(argc > 1 ? std::atof(argv[1]) : 20);
  const double load = argc > 2 ? std::atof(argv[2]) : 0.9;
  const std::vector<int> cores = available_cores();
  if (cores.size() < 2 || length <= Duration{} || load <= 0) {
    fmt::print(stderr, "bench_queues: two cores are needed, and a positive length and load\n");
    return 2;
  }
  TaskFile file = TaskFile::load(std::filesystem::path(RTMDL_SOURCE_DIR) / "examples/edge-box/tasks.yaml");
  const auto engine = make_onnxruntime_engine();
  Context context;
  place_current_thread({{cores[1]}, 0});
  double work = 0;
  std::array<double, 2> of{};
  std::vector<std::pair<double, std::size_t>> inference;
  for (std::size_t i = 0; i < file.tasks.size(); ++i) {
    const TaskSpec& task = file.tasks[i];
    const auto [pre, infer, post] = measured(*engine, task, 1);
    of[0] += to_seconds(pre + post) / to_seconds(task.period);
    inference.emplace_back(to_seconds(infer) / to_seconds(task.period), i);
    work += to_seconds(pre + infer + post) / to_seconds(task.period);
    fmt::print("{:8} pre {:5.2f} ms, infer {:6.2f} ms, post {:5.2f} ms\n", task.name, to_ms(pre), to_ms(infer),
               to_ms(post));
  }
  place_current_thread({cores, 0});
  std::sort(inference.rbegin(), inference.rend());
  std::vector<int> infer_on(file.tasks.size());
  for (const auto& [share, i] : inference) {
    infer_on[i] = of[1] <= of[0] ? 1 : 0;
    of[static_cast<std::size_t>(infer_on[i])] += share;
  }
  const double stretch = work / load;
  file.stretch(stretch);
  fmt::print(
      "periods and deadlines x {:.2f}: one job at a time needs {:.0f} %, the cores by themselves {:.0f} and {:.0f} "
      "%\n\n",
      stretch, 100 * load, 100 * of[0] / stretch, 100 * of[1] / stretch);

  RunConfig config;
  config.policy = Policy::deadline_monotonic;
  config.duration = length;
  for (const TaskSpec& task : file.tasks) {
    RunTask t;
    t.spec = &task;
    t.request = load_request(task, task.model);
    config.tasks.push_back(t);
  }
  const auto play = [&](const char* name, std::vector<ProcessorSpec> processors) {
    config.processors = std::move(processors);
    for (std::size_t i = 0; i < infer_on.size(); ++i)
      config.tasks[i].places.front().processor = config.processors.size() > 1 ? infer_on[i] : 0;
    const RunOutcome outcome = run(*engine, config, 1, context);
    fmt::print("{:34} {:5.1f} % missed ({:.1f} % without machine stalls), two jobs at once {:4.1f} % of the busy time;",
               name, 100 * outcome.report.miss_rate,
               100 * static_cast<double>(outcome.report.missed - outcome.report.stalls.missed) /
                   static_cast<double>(std::max<std::int64_t>(outcome.report.released, 1)),
               100 * overlap(outcome));
    for (const TaskReport& t : outcome.report.tasks) fmt::print(" {} {:.1f} %", t.name, 100 * t.miss_rate);
    fmt::print("\n");
  };
  const auto processor = [](const char* name, std::vector<int> on, bool preemptive) {
    ProcessorSpec p;
    p.name = name;
    p.cores = std::move(on);
    p.preemptive = preemptive;
    return p;
  };
  play("monolithic jobs", {processor("both", {cores[0], cores[1]}, false)});
  play("independent queues", {processor("cpu", {cores[0]}, false), processor("gpu", {cores[1]}, false)});
  play("independent queues, preemption", {processor("cpu", {cores[0]}, true), processor("gpu", {cores[1]}, true)});
}
