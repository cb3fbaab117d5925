#include "cli/options.h"

#include "base/excerpt.h"
#include "base/units.h"
#include "calibration/calibrate.h"
#include "planning/planner.h"
#include "planning/policies.h"

#include <rtmdl/error.h>

#include <charconv>
#include <functional>
#include <limits>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

namespace rtmdl {
namespace {

constexpr int kMostJobs = 1024;

/// An option whose text is parsed by `parse`, at once; errors name the option.
template <typename Parse>
CLI::Option* add_parsed(CLI::App& app, const std::string& name, const std::string& what, Parse parse) {
  return app.add_option_function<std::string>(
      name,
      [name, parse](const std::string& text) {
        try {
          parse(text);
        } catch (const Error& e) {
          bad_input(fmt::format("{}: {}", name, e.what()));
        }
      },
      what);
}

CLI::Option* add_time(CLI::App& app, const std::string& name, const std::string& what, std::optional<Duration>& value) {
  return add_parsed(app, name, what,
                    [&value](const std::string& text) {
                      value = parse_duration(text);
                      if (*value <= Duration::zero())
                        bad_input(fmt::format("'{}' is out of range: more than 0 s is accepted", text));
                    })
      ->type_name("TIME");
}

/// A whole number of at least 1.
CLI::Option* add_count(CLI::App& app, const std::string& name, const std::string& what,
                       const std::function<void(int)>& set, int most = std::numeric_limits<int>::max()) {
  return add_parsed(app, name, what,
                    [=](const std::string& text) {
                      int value = 0;
                      const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
                      if (ec != std::errc{} || end != text.data() + text.size() || value < 1 || value > most)
                        bad_input(fmt::format("'{}' is not accepted: a whole number {} is", excerpt(text),
                                              most < std::numeric_limits<int>::max() ? fmt::format("from 1 to {}", most)
                                                                                     : "of at least 1"));
                      set(value);
                    })
      ->type_name("N");
}

}  // namespace

void add_seed(CLI::App& app, std::uint64_t& seed, const std::string& what) {
  add_parsed(app, "--seed", what,
             [&seed](const std::string& text) {
               const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), seed);
               if (ec != std::errc{} || end != text.data() + text.size())
                 bad_input(fmt::format("'{}' is not accepted: a whole number from 0 to 2^64 - 1 is", text));
             })
      ->type_name("N")
      ->default_str(std::to_string(seed));
}

void add_tasks(CLI::App& app, Options& o) {
  app.add_option("TASKS", o.tasks, "The task file (YAML): docs/task-file.md")->required()->type_name("FILE");
  app.add_option("--workspace", o.workspace,
                 "Folder for variants, profiles, plans and runs [TASKS with the ending .workspace]")
      ->type_name("DIR");
  app.add_flag("--json", o.json, "Print one JSON object on stdout and nothing else; messages go to stderr");
  app.add_flag("-v,--verbose", o.verbose, "Say more");
  add_seed(app, o.seed, "Of every random choice: data splits, releases, searches");
}

void add_duration(CLI::App& app, Options& o, const std::string& what) { add_time(app, "--duration", what, o.duration); }

void add_policy(CLI::App& app, Options& o) {
  add_parsed(app, "--policy", "Which policy",
             [&o](const std::string& text) {
               static_cast<void>(find_policy(text));
               o.policy = text;
             })
      ->type_name("NAME")
      ->default_str("rtmdl; adaptive if the task file has `adapt: true`");
}

void add_slowdown(CLI::App& app, Options& o) {
  add_parsed(
      app, "--slowdown",
      "Every stage takes longer for a while, as on a hotter or busier machine, such as 1.5x@10s-20s: half as long "
      "again in the second ten seconds; several with commas. On the box the processor is kept busy meanwhile",
      [&o](const std::string& text) { o.slowdowns = parse_slowdowns(text); })
      ->type_name("FACTOR@FROM-TO");
}

void add_change(CLI::App& app, Options& o) {
  add_parsed(app, "--change",
             "What is asked of the box while it runs, such as 'faces.join@10s, speech.period=50ms@20s, "
             "signs.leave@25s': each is admitted, admitted with lighter variants, or refused with the reason. A task "
             "that joins is not there before",
             [&o](const std::string& text) { o.changes = parse_changes(text); })
      ->type_name("TASK.WHAT@WHEN,...");
}

void add_budget(CLI::App& app, Options& o, const std::string& standard) {
  add_time(app, "--budget",
           fmt::format("Time that it may take, such as 10min; what is not done by then is left out [{}]", standard),
           o.budget);
}

void add_plan_options(CLI::App& app, Options& o) {
  add_parsed(app, "--method", "Search: auto, exact, descent, nsga2",
             [&o](const std::string& text) {
               require_method(text);
               o.method = text;
             })
      ->type_name("NAME")
      ->default_str(o.method);
  add_parsed(app, "--margin",
             "Stretch measured times by this much while planning: room for what the profile did not see",
             [&o](const std::string& text) {
               const double margin = parse_fraction(text);
               if (margin < 0 || margin > 10)
                 bad_input(fmt::format("'{}' is out of range: 0 % to 1000 % is accepted", text));
               o.margin = margin;
             })
      ->type_name("PERCENT")
      ->default_str(fmt::format("{}; {} once calibrated", format_percent(kProfiledMargin, 0),
                                format_percent(kCalibratedMargin, 0)));
  add_parsed(app, "--execution-bound",
             "How long a stage may take in proofs of hard tasks: observed:PERCENT (longest measured time and so much "
             "more) or evt:PROBABILITY (extreme-value fit; a job exceeds it so rarely). --margin does not stretch it",
             [&o](const std::string& text) { o.execution_bound = ExecutionBound::parse(text); })
      ->type_name("BOUND")
      ->default_str("observed:20%");
  add_count(
      app, "--jobs", "Threads that search; the plan is the same however many [all cores]",
      [&o](int jobs) { o.jobs = jobs; }, kMostJobs);
}

void add_mpi(CLI::App& app, Options& o) {
  app.add_flag("--mpi", o.mpi, "Search by nsga2 in all processes that mpirun started");
}

void add_settings(CLI::App& app, Options& o) {
  app.add_option_function<std::vector<std::string>>(
         "--set",
         [&o](const std::vector<std::string>& all) {
           for (const std::string& one : all) o.settings.push_back(parse_setting(one));
         },
         "What if: stands for what the task file says, such as faces.period=20ms, gpu.slots=2, storage=40MB; "
         "repeatable. The file and the kept plan stay as they are")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  app.add_option_function<std::string>(
         "--weights",
         [&o](const std::string& text) {
           for (Setting& setting : parse_weights(text)) o.settings.push_back(std::move(setting));
         },
         "Weights of the tasks' accuracy losses instead of accuracy.weight, such as faces=3,text=0.5")
      ->type_name("TASK=X,...");
  add_parsed(
      app, "--miss-weight",
      "Within the limits, least loss + X times the miss rate, of the strategies that the search met; 0: least "
      "loss, then fewest misses",
      [&o](const std::string& text) {
        const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), o.miss_weight);
        if (ec != std::errc{} || end != text.data() + text.size() || !(o.miss_weight >= 0 && o.miss_weight <= 1e6))
          bad_input(fmt::format("'{}' is not accepted: a number from 0 to 1000000 is", excerpt(text)));
      })
      ->type_name("X")
      ->default_str("0");
}

void add_cores(CLI::App& app, Options& o) {
  add_count(app, "--cores",
            "What if the box had only the first N of the cores that the processors name: each keeps those that "
            "are left, one without any is merged into the last that has some; nothing is measured again",
            [&o](int cores) { o.cores = cores; });
}

void add_load(CLI::App& app, Options& o) {
  add_parsed(
      app, "--load",
      "Play all tasks so much faster or slower (periods, deadlines, jitter alike) that their source models need this "
      "share of the processors, such as 100% [as the task file says]",
      [&o](const std::string& text) {
        o.load = parse_fraction(text);
        if (!(*o.load >= 0.01 && *o.load <= 10))
          bad_input(fmt::format("'{}' is out of range: 1 % to 1000 % is accepted", text));
      })
      ->type_name("PERCENT");
}

void add_calibrate(CLI::App& app, Options& o) {
  app.add_flag("--calibrate", o.calibrate,
               "Play the strategy and its neighbours on this box, compare what they miss with what was predicted, "
               "correct the times and plan again, up to 4 rounds; the corrections are kept and used from then on");
  add_time(app, "--calibrate-for", "Length of each such play [8s]", o.calibrate_for);
}

void add_strict(CLI::App& app, Options& o) {
  app.add_flag("--strict", o.strict, "Exit status 3 if a task's limit or the energy budget is broken");
}

}  // namespace rtmdl
