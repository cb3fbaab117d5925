// Zygarde's kind of workload, simulated: networks of units with early exits on a box that harvests its energy, from
// sources of every predictability. bench_zygarde [MINUTES]
//
// Networks and their accuracies are made up, in the range of the paper's. A job that is late, or dropped for want of
// energy, counts 0 in accuracy.

#include "planning/energy.h"
#include "planning/predict.h"

#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

namespace {

using namespace rtmdl;
using namespace std::chrono_literals;

constexpr int kSeeds = 5;
constexpr double kBusy = 0.020, kIdle = 0.001;  ///< watts

struct Network {
  const char* name;
  Duration period, unit;
  std::vector<double> accuracy;      ///< if all jobs left after that unit
  std::vector<std::uint8_t> leaves;  ///< units until jobs are sure, in turn
  double sure;                       ///< accuracy of jobs that leave when they are sure
};

const std::vector<Network>& networks() {
  static const std::vector<Network> all{
      {"signs", 600ms, 50ms, {0.62, 0.74, 0.82, 0.86, 0.88}, {1, 2, 1, 5, 3, 1, 2, 4, 1, 2}, 0.872},
      {"words", 400ms, 30ms, {0.66, 0.77, 0.83, 0.86, 0.87}, {2, 1, 3, 1, 1, 5, 2, 1, 2, 4}, 0.864},
      {"shocks", 300ms, 20ms, {0.81, 0.88, 0.91}, {1, 1, 2, 1, 3, 1, 2, 1, 1, 3}, 0.905}};
  return all;
}

/// Within a tenth of it.
TimeDistribution around(Duration time) {
  TimeDistribution times;
  for (int percent = 90; percent <= 110; ++percent) times.sorted.push_back(time * percent / 100);
  return times;
}

/// Each network as a whole (option 0) and with its exits (option 1).
PlanProblem box() {
  PlanProblem problem;
  problem.processors = {{"cpu", false, 1}};
  problem.processors[0].power = {kBusy, kIdle};
  for (const Network& network : networks()) {
    PlanTask task;
    task.name = network.name;
    task.period = task.deadline = network.period;
    task.late = Late::abort;  // what cannot be in time is not paid for
    TaskOption whole;
    whole.variant = "source";
    whole.source = true;
    whole.accuracy = network.accuracy.back();
    whole.stages.push_back({0, around(2ms)});
    for (std::size_t k = 0; k < network.accuracy.size(); ++k) {
      if (k > 0) whole.cuts.push_back(static_cast<int>(k));
      whole.stages.push_back({0, around(network.unit)});
    }
    whole.stages.push_back({0, around(1ms)});
    TaskOption exits = whole;
    exits.variant = "exits";
    exits.source = false;
    exits.accuracy = network.sure;
    exits.accuracy_loss = 1 - network.sure / whole.accuracy;
    set_exits(exits, network.leaves, network.accuracy);
    task.options = {whole, exits};
    problem.tasks.push_back(task);
  }
  set_joules(problem);
  return problem;
}

/// On and off by turns that last for so many slots on average; 0: persistent. The same on average.
HarvestTrace source(double turn, double watts, std::uint64_t seed) {
  constexpr Duration kSlot = 100ms;
  if (turn == 0) return {{{kSlot, watts}}, kSlot};
  HarvestTrace trace{{}, kSlot};
  std::mt19937_64 random(seed);
  bool on = true;
  for (int s = 0; s < 12'000; ++s) {
    trace.pieces.push_back({kSlot, on ? 2 * watts : 0});
    on ^= static_cast<double>(random() >> 11) * 0x1p-53 < 1 / turn;
  }
  const double given = mean_power(trace);
  for (HarvestTrace::Piece& piece : trace.pieces) piece.watts *= watts / given;
  return trace;
}

struct Result {
  double in_time = 0, accuracy = 0, busy = 0;  ///< shares of all jobs; of the processor
};

Result played(const char* policy, int option, PlanProblem problem, double turn, double watts, Duration length) {
  PolicyInfo info = find_policy(policy);
  Choices choices;
  for (std::size_t t = 0; t < problem.tasks.size(); ++t) choices.push_back({option, static_cast<int>(t) + 1});
  Result sum;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    EnergySupply supply{source(turn, watts, seed), {.capacity = 0.012, .start = 0.006, .efficiency = 0.9}};
    supply.eta = predictability(supply.trace);
    problem.supply = supply;
    const RunReport report = predict(info, problem, choices, length, seed);
    double correct = 0, released = 0;
    for (const TaskReport& task : report.tasks) {
      correct += task.effective_accuracy * static_cast<double>(task.released);
      released += static_cast<double>(task.released);
    }
    sum.in_time += (1 - report.miss_rate) / kSeeds;
    sum.accuracy += correct / released / kSeeds;
    sum.busy += report.processors[0].busy / kSeeds;
  }
  return sum;
}

}  // namespace

int main(int argc, char** argv) {
  const Duration length = std::chrono::minutes(argc > 1 ? std::atoi(argv[1]) : 10);
  const PlanProblem problem = box();
  double needed = kIdle;
  for (const PlanTask& task : problem.tasks) needed += draw_watts(task, task.options[0]);
  std::printf("%zu tasks, whole networks need %.1f mW; %d seeds of %.0f min each\n\n", problem.tasks.size(),
              needed * 1e3, kSeeds, to_seconds(length) / 60);
  std::printf(
      "                    |  whole, EDF      |  exits, EDF      |  Zygarde         |  Zygarde against whole, EDF\n");
  std::printf(
      "  given  turns   η  | in time accuracy | in time accuracy | in time accuracy |  in time  accuracy  time a "
      "job\n");
  for (const double share : {0.4, 0.6, 0.8, 1.2})
    for (const double turn : {2.0, 4.0, 8.0, 16.0, 40.0, 0.0}) {
      const double watts = share * needed / 0.9;
      const double eta = predictability(source(turn, watts, 1));
      const Result whole = played("edf", 0, problem, turn, watts, length);
      const Result exits = played("edf", 1, problem, turn, watts, length);
      const Result zygarde = played("zygarde", 1, problem, turn, watts, length);
      const auto more = [](double a, double b) { return 100 * (a / b - 1); };
      std::printf(
          "  %4.0f %%  %4.1f s %.2f | %5.1f %%  %5.1f %% | %5.1f %%  %5.1f %% | %5.1f %%  %5.1f %% | %+6.1f %%  %+6.1f "
          "%%  "
          "%+6.1f %%\n",
          share * 100, turn / 10, eta, 100 * whole.in_time, 100 * whole.accuracy, 100 * exits.in_time,
          100 * exits.accuracy, 100 * zygarde.in_time, 100 * zygarde.accuracy, more(zygarde.in_time, whole.in_time),
          more(zygarde.accuracy, whole.accuracy), more(zygarde.busy / zygarde.in_time, whole.busy / whole.in_time));
    }
  std::printf(
      "\npublished (Zygarde, IMWUT 2020, against EDF): 9 to 34 %% more jobs in time, up to 21 %% more accuracy, 26 %% "
      "less execution time\n");
  return 0;
}
