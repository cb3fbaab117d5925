#pragma once
/// The options that several verbs have.

#include "planning/execution_bound.h"
#include "task/change.h"
#include "task/setting.h"
#include "task/slowdown.h"

#include <rtmdl/time.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace rtmdl {

/// Options that several verbs have; each verb declares those it takes.
struct Options {
  std::filesystem::path tasks;
  std::filesystem::path workspace;
  bool json = false;
  bool verbose = false;
  bool strict = false;
  bool quick = false;  ///< scale: no narrower or shallower forms
  std::uint64_t seed = 1;
  std::optional<Duration> duration, budget;
  std::string method = "auto";
  std::vector<Slowdown> slowdowns;
  std::vector<Change> changes;
  std::string policy;  ///< empty: as the task file says (Session::policy)
  std::string policies = "default,dm-nmc,rtmdl";
  ExecutionBound execution_bound;
  std::string explain;            ///< plan: the task whose bound is explained
  std::vector<Setting> settings;  ///< --set, --weights
  double miss_weight = 0;
  std::optional<int> cores;
  int jobs = 0;      ///< threads of a search; 0: all cores
  bool mpi = false;  ///< plan: with all ranks that mpirun started
  std::optional<double> margin;
  std::optional<double> load;
  std::filesystem::path log;              ///< plan: every candidate's fate; empty: none
  bool calibrate = false;                 ///< plan: play strategies and correct the model
  std::optional<Duration> calibrate_for;  ///< each play
};

/// Declares an option once: parser and --help take it from here. Values are checked while the command line is parsed,
/// before any work: a wrong one throws Error(bad_input) that names the option.
void add_tasks(CLI::App& app, Options& o);
void add_seed(CLI::App& app, std::uint64_t& seed, const std::string& what);
void add_duration(CLI::App& app, Options& o, const std::string& what);
void add_policy(CLI::App& app, Options& o);
void add_slowdown(CLI::App& app, Options& o);
void add_change(CLI::App& app, Options& o);
void add_budget(CLI::App& app, Options& o, const std::string& standard);
void add_plan_options(CLI::App& app, Options& o);
void add_mpi(CLI::App& app, Options& o);
void add_load(CLI::App& app, Options& o);
/// --set and --weights.
void add_settings(CLI::App& app, Options& o);
void add_cores(CLI::App& app, Options& o);
void add_calibrate(CLI::App& app, Options& o);
void add_strict(CLI::App& app, Options& o);

}  // namespace rtmdl
