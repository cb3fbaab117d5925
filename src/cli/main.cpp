#include "cli/session.h"
#include "planning/policies.h"

#include <rtmdl/error.h>

#include <cstdio>
#include <exception>
#include <functional>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#ifdef RTMDL_WITH_TRAINING
#include "cli/train.h"
#endif

namespace rtmdl {
namespace {

constexpr const char* kAbout =
    "rtmdl runs several deep-learning tasks on one edge box, each with its own period, deadline and accuracy, so that deadlines are met\n"
    "and as little accuracy as possible is given up.\n\n"
    "  model.onnx + data --scale--> variants --profile--> times --plan--> strategy --run--> results, trace\n\n"
    "Each verb makes what it needs first and goes on where it was stopped; start with `rtmdl compare TASKS.yaml`.";

constexpr const char* kExit =
    "Exit status: 0 done; 1 a bug; 2 bad input or usage; 3 no feasible strategy, or a limit broken under --strict;\n"
    "4 a device or privilege that was asked for is not there; 130 interrupted before there was a result.";

std::string policies_help() {
  std::string text = "Policies:\n";
  for (const PolicyInfo& p : policies()) text += fmt::format("  {:<10}{}\n", p.name, p.summary);
  return text;
}

int run_main(int argc, char** argv) {
  CLI::App app{kAbout, "rtmdl"};
  app.set_version_flag("--version", "rtmdl " RTMDL_VERSION);
  app.require_subcommand(1);
  app.footer(kExit);
  Options options;
  std::function<int()> chosen;
  const auto verb = [&](const char* name, const char* about, int (*start)(const Options&)) {
    CLI::App* sub = app.add_subcommand(name, about);
    sub->footer(kExit);
    add_tasks(*sub, options);
    sub->callback([&options, &chosen, start] { chosen = [&options, start] { return start(options); }; });
    return sub;
  };

  CLI::App* scale = verb("scale", "Make each model's family of variants: int8 where it pays, resolution where it is free; measured and scored", scale_verb);
  add_budget(*scale, options);
  CLI::App* profile = verb("profile", "Measure every variant on every processor of this box: times, accuracy, bytes", profile_verb);
  add_budget(*profile, options);
  CLI::App* plan = verb("plan", "Choose one variant and one priority per task jointly", plan_verb);
  add_budget(*plan, options);
  add_plan_options(*plan, options);
  add_load(*plan, options);
  CLI::App* simulate = verb("simulate", "Predict what a policy would do, with measured times and a virtual clock", simulate_verb);
  add_duration(*simulate, options, "Simulated time [60s]");
  simulate->add_option("--policy", options.policy, "Which policy")->capture_default_str();
  add_plan_options(*simulate, options);
  add_load(*simulate, options);
  add_strict(*simulate, options);
  simulate->footer(policies_help() + "\n" + kExit);
  CLI::App* run = verb("run", "Run a policy on this box, in real time", run_verb);
  add_duration(*run, options, "How long, such as 30s [until ctrl-C]");
  run->add_option("--policy", options.policy, "Which policy")->capture_default_str();
  add_plan_options(*run, options);
  add_load(*run, options);
  add_strict(*run, options);
  run->footer(policies_help() + "\n" + kExit);
  CLI::App* compare = verb("compare", "Run several policies in turn on the same releases and inputs: one table, a page, a trace of each", compare_verb);
  add_duration(*compare, options, "Of each run [20s]");
  compare->add_option("--policies", options.policies, "Which, separated by commas; --strict judges the last")->capture_default_str();
  add_plan_options(*compare, options);
  add_load(*compare, options);
  add_strict(*compare, options);
  compare->footer(policies_help() + "\n" + kExit);
#ifdef RTMDL_WITH_TRAINING
  add_train_verb(app, chosen);
#endif

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == 0) return app.exit(e);
    std::fprintf(stderr, "rtmdl: %s; see `rtmdl --help`\n", e.what());
    return 2;
  }
  return chosen();
}

}  // namespace
}  // namespace rtmdl

int main(int argc, char** argv) {
  try {
    return rtmdl::run_main(argc, argv);
  } catch (const rtmdl::Error& e) {
    std::fprintf(stderr, "rtmdl: %s\n", e.what());
    return static_cast<int>(e.code());
  } catch (const rtmdl::Interrupted& e) {
    std::fprintf(stderr, "rtmdl: %s\n", e.what());
    return 130;
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "rtmdl: out of memory\n");
    return 1;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "rtmdl: internal error, please report it: %s\n", e.what());
    return 1;
  }
}
