#include "base/excerpt.h"
#include "cli/inspect.h"
#include "cli/session.h"
#include "cli/train.h"
#include "planning/policies.h"

#include <rtmdl/error.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <thread>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <CLI/CLI.hpp>

#include <fcntl.h>
#include <unistd.h>

namespace rtmdl {
namespace {

constexpr const char* kAbout =
    "rtmdl runs several deep-learning tasks on one edge box, each with its own period, deadline and accuracy, so that "
    "deadlines are met\n"
    "and as little accuracy as possible is given up.\n\n"
    "  model.onnx + data --scale--> variants --profile--> times --plan--> strategy --run--> results, trace\n\n"
    "Each verb makes what it needs first and goes on where it was stopped. `rtmdl VERB --help` says more.";

constexpr const char* kExamples =
    "Examples:\n"
    "  rtmdl compare examples/edge-box/tasks.yaml    what is missed today, what rtmdl misses, what that costs\n"
    "  rtmdl plan tasks.yaml --json                  the strategy, for a program\n"
    "  rtmdl run tasks.yaml --duration 30s           run it\n";

constexpr const char* kExit =
    "Exit status: 0 done; 1 a bug; 2 bad input or usage; 3 no feasible strategy, or a limit broken under --strict;\n"
    "4 a device or privilege that was asked for is not there; 130 interrupted before there was a result.";

/// A standard file that is closed would give its number to the next file that is opened, and what is printed would end
/// up there.
void hold_standard_files() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    if (::fcntl(fd, F_GETFD) < 0) static_cast<void>(::open("/dev/null", fd == STDERR_FILENO ? O_WRONLY : O_RDONLY));
}

/// Threads of libgomp, which libtorch computes with, spin for milliseconds while they wait. On a machine with other
/// work that takes the cores from the very threads that are waited for (80 % of the time was seen). libgomp reads how
/// long when it is loaded, with OpenCV at the start of this process: so the verbs that train start once more, with it
/// set.
void let_training_threads_sleep(int argc, char** argv) {
  constexpr const char* kSpins = "GOMP_SPINCOUNT";
  const auto trains = [](std::string_view argument) { return argument == "scale" || argument == "train"; };
  if (argc < 2 || std::none_of(argv + 1, argv + argc, trains) || std::getenv(kSpins) != nullptr ||
      std::getenv("OMP_WAIT_POLICY") != nullptr)
    return;
  ::setenv(kSpins, "10000", 1);     // some 20 us: from one operator to the next they need not sleep
  ::execv("/proc/self/exe", argv);  // if it fails, training is slower on a busy machine
}

std::string policies_help() {
  std::string text = "Policies:\n";
  for (const PolicyInfo& p : policies()) text += fmt::format("  {:<13} {}\n", p.name, p.summary);
  return text;
}

std::string did_you_mean(std::string_view found, const std::vector<std::string_view>& accepted) {
  const std::string near = nearest_word(found, accepted);
  return near.empty() ? fmt::format("accepted are {}", fmt::join(accepted, ", "))
                      : fmt::format("did you mean '{}'?", near);
}

/// A verb that is none: CLI11 would only say that one is required.
void require_verb(const CLI::App& app, const std::string& first) {
  std::vector<std::string_view> verbs;
  for (const CLI::App* verb : app.get_subcommands({})) verbs.emplace_back(verb->get_name());
  if (first.empty()) bad_input(fmt::format("a verb is missing; {}; see `rtmdl --help`", did_you_mean("", verbs)));
  if (first.front() == '-') {
    if (app.get_option_no_throw(first) != nullptr) return;
    bad_input(fmt::format("the verb comes first: rtmdl VERB TASKS.yaml {}; see `rtmdl --help`", excerpt(first)));
  }
  if (std::find(verbs.begin(), verbs.end(), first) != verbs.end()) return;
  bad_input(fmt::format("unknown verb '{}'; {}; see `rtmdl --help`", excerpt(first), did_you_mean(first, verbs)));
}

/// What the verb does not take.
[[noreturn]] void refuse_extra(const CLI::App& verb, const std::string& extra) {
  const std::string& name = verb.get_name();
  if (extra.front() != '-')
    bad_input(fmt::format("'{}' is one argument too many; see `rtmdl {} --help`", excerpt(extra), name));
  const std::string option = extra.substr(0, extra.find('='));
  std::vector<std::string> known;
  for (const CLI::Option* o : verb.get_options())
    for (const std::string& word : o->get_lnames()) known.push_back("--" + word);
  bad_input(fmt::format("{} has no option '{}'; {}; see `rtmdl {} --help`", name, excerpt(option),
                        did_you_mean(option, {known.begin(), known.end()}), name));
}

int run_main(int argc, char** argv) {
  CLI::App app{kAbout, "rtmdl"};
  app.set_version_flag("--version", "rtmdl " RTMDL_VERSION);
  app.require_subcommand(1);
  app.footer(fmt::format("{}\n{}", kExamples, kExit));
  Options options;
  std::function<int()> chosen;
  const auto verb = [&](const char* name, const char* about, int (*start)(const Options&), const std::string& more) {
    CLI::App* sub = app.add_subcommand(name, about);
    sub->footer(fmt::format("{}\n{}", more, kExit));
    add_tasks(*sub, options);
    sub->callback([&options, &chosen, start] { chosen = [&options, start] { return start(options); }; });
    return sub;
  };

  CLI::App* scale = verb(
      "scale",
      "Make each model's family of variants: int8 where it pays, smaller inputs, narrower and shallower forms that "
      "are fine-tuned on the task's data; each measured and scored, kept only if it is faster",
      scale_verb,
      "What is asked for is in each task's `scale:` (docs/task-file.md). Levels are stored as they are done: stop it "
      "at "
      "any moment,\nplan with what is there, start it again to go on.\n\n"
      "Examples:\n"
      "  rtmdl scale tasks.yaml --quick           a minute: precision and resolution of the source models\n"
      "  rtmdl scale tasks.yaml                   and narrower forms, fine-tuned where libtorch is: minutes each\n"
      "  rtmdl scale tasks.yaml --budget 10min    what is not done by then is done by the next start\n");
  add_budget(*scale, options, "no limit");
  scale->add_flag("--quick", options.quick, "No narrower or shallower forms and no early exits: nothing is learnt");
  CLI::App* profile = verb(
      "profile", "Measure every variant on every processor of this box: times, energy, accuracy, bytes", profile_verb,
      "Example:\n  rtmdl profile tasks.yaml    leave the box alone meanwhile: what runs beside it is measured "
      "with it\n");
  add_budget(*profile, options, "no limit");
  CLI::App* plan =
      verb("plan", "Choose one variant and one priority per task jointly", plan_verb,
           "Examples:\n"
           "  rtmdl plan tasks.yaml\n"
           "  rtmdl plan tasks.yaml --margin 50% --json                      more room for what the "
           "profile did not see\n"
           "  rtmdl plan tasks.yaml --set faces.period=20ms --cores 1        what if? The file and the "
           "kept plan stay\n"
           "  rtmdl plan tasks.yaml --weights faces=3,text=0.5 --miss-weight 0.5\n"
           "  rtmdl plan tasks.yaml --explain faces                          its worst case, term by term\n"
           "  rtmdl plan tasks.yaml --calibrate                              play it for some seconds, correct "
           "the times, plan again\n"
           "  mpirun -n 4 rtmdl plan tasks.yaml --mpi                        search in 4 processes, on this "
           "machine or several\n");
  add_budget(*plan, options, "1min");
  add_plan_options(*plan, options);
  add_mpi(*plan, options);
  plan->add_option("--explain", options.explain,
                   "Print why this task meets its deadline in the worst case: what its bound is made of, what is left, "
                   "what more accurate variants would need")
      ->type_name("TASK");
  add_load(*plan, options);
  add_settings(*plan, options);
  add_cores(*plan, options);
  add_calibrate(*plan, options);
  plan->add_option("--log", options.log, "Write what became of every candidate of the search to this CSV file")
      ->type_name("FILE");
  CLI::App* simulate =
      verb("simulate", "Predict what a policy would do, with measured times and a virtual clock", simulate_verb,
           "Example:\n  rtmdl simulate tasks.yaml --policy dm-nmc --duration 10min\n\n" + policies_help());
  add_duration(*simulate, options, "Simulated time [60s]");
  add_policy(*simulate, options);
  add_slowdown(*simulate, options);
  add_change(*simulate, options);
  add_plan_options(*simulate, options);
  add_load(*simulate, options);
  add_settings(*simulate, options);
  add_cores(*simulate, options);
  add_strict(*simulate, options);
  CLI::App* run = verb("run", "Run a policy on this box, in real time", run_verb,
                       "Examples:\n  rtmdl run tasks.yaml                           until ctrl-C, then the results\n"
                       "  rtmdl run tasks.yaml --duration 30s --strict   exit status 3 if a limit is broken\n\n"
                       "While it plays, the terminal shows of each task, worst off first, its miss rate so far, its "
                       "limit and the 99th\n"
                       "percentile of its response times: faces 0.4/1 % 12.3 ms. Elsewhere -v says so every 10 s.\n\n" +
                           policies_help());
  add_duration(*run, options, "How long, such as 30s [until ctrl-C]");
  add_policy(*run, options);
  add_slowdown(*run, options);
  add_change(*run, options);
  add_plan_options(*run, options);
  add_load(*run, options);
  add_settings(*run, options);
  add_strict(*run, options);
  CLI::App* compare = verb(
      "compare", "Run several policies in turn on the same releases and inputs: one table, a page, a trace of each",
      compare_verb,
      "Example:\n  rtmdl compare tasks.yaml --policies default,edf-nmc,rtmdl --duration 20s\n\n" + policies_help());
  add_duration(*compare, options, "Of each run [20s]");
  compare->add_option("--policies", options.policies, "Which, separated by commas; --strict judges the last")
      ->capture_default_str()
      ->type_name("NAMES");
  add_slowdown(*compare, options);
  add_change(*compare, options);
  add_plan_options(*compare, options);
  add_load(*compare, options);
  add_settings(*compare, options);
  add_strict(*compare, options);
  add_train_verb(app, chosen, kExit);
  add_inspect_verb(app, chosen);

  require_verb(app, argc > 1 ? argv[1] : "");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == 0) return app.exit(e);
    const auto verbs = app.get_subcommands();
    const auto extras = app.remaining(true);
    if (!verbs.empty() && !extras.empty()) refuse_extra(*verbs.front(), extras.front());
    bad_input(fmt::format("{}; see `rtmdl {}--help`", e.what(), verbs.empty() ? "" : verbs.front()->get_name() + " "));
  }
  return chosen();
}

/// Every rank that mpirun started reads the same command line, and mpirun ends them all as soon as one has failed: so
/// rank 0 speaks first. Only where it has nothing to complain of do the others come to it.
void let_rank_0_speak(int argc, char** argv) {
  const char* rank = std::getenv("OMPI_COMM_WORLD_RANK");
  if (rank == nullptr || std::string_view(rank) == "0" ||
      std::none_of(argv, argv + argc, [](std::string_view argument) { return argument == "--mpi"; }))
    return;
  std::this_thread::sleep_for(std::chrono::seconds(10));
}

}  // namespace
}  // namespace rtmdl

int main(int argc, char** argv) {
  rtmdl::hold_standard_files();
  rtmdl::let_training_threads_sleep(argc, argv);
  try {
    return rtmdl::run_main(argc, argv);
  } catch (...) {
    rtmdl::let_rank_0_speak(argc, argv);
    return rtmdl::report_failure();
  }
}
