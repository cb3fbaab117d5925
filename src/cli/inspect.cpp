#include "cli/inspect.h"

#include "base/excerpt.h"
#include "cli/console.h"
#include "cli/session.h"
#include "report/inspect_tables.h"
#include "scaling/inspect.h"
#include "scaling/load_fine_tuner.h"

#include <rtmdl/error.h>

#include <algorithm>
#include <charconv>
#include <memory>
#include <optional>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <CLI/CLI.hpp>

#include <unistd.h>

namespace rtmdl {
namespace {

struct InspectCommand {
  std::filesystem::path file;
  std::vector<std::string> shapes;
  std::string task;
  bool json = false, verbose = false;
};

/// "input=1x3x224x224". The name may hold anything, '=' too.
std::pair<std::string, std::vector<std::int64_t>> parse_shape(const std::string& text) {
  const auto refuse = [&] {
    bad_input(
        fmt::format("--shape: '{}' is not accepted: NAME=DIMENSIONS is, such as input=1x3x224x224", excerpt(text)));
  };
  const auto equals = text.rfind('=');
  if (equals == std::string::npos || equals == 0) refuse();
  std::vector<std::int64_t> shape;
  double elements = 1;
  const char* at = text.data() + equals + 1;
  const char* const end = text.data() + text.size();
  while (true) {
    std::int64_t dimension = 0;
    const auto [next, error] = std::from_chars(at, end, dimension);
    if (error != std::errc{} || dimension < 1) refuse();
    shape.push_back(dimension);
    elements *= static_cast<double>(dimension);
    if (next == end) break;
    if (*next != 'x') refuse();
    at = next + 1;
  }
  if (elements > 1e9) bad_input(fmt::format("--shape: '{}' is out of range: more than 1e9 elements", excerpt(text)));
  return {text.substr(0, equals), shape};
}

bool is_task_file(const std::filesystem::path& path) {
  const std::string ending = path.extension().string();
  return ending == ".yaml" || ending == ".yml";
}

std::vector<std::pair<std::string, InspectRequest>> requests_of(const InspectCommand& command) {
  if (!is_task_file(command.file)) {
    if (!command.task.empty()) bad_input("--task is for a task file (*.yaml), which names its models");
    InspectRequest request;
    request.model = command.file;
    for (const std::string& text : command.shapes) {
      auto [name, shape] = parse_shape(text);
      if (!request.shapes.emplace(name, std::move(shape)).second)
        bad_input(fmt::format("--shape names the input '{}' twice", excerpt(name)));
    }
    return {{"", std::move(request)}};
  }
  if (!command.shapes.empty()) bad_input("--shape is for a model; those of a task are in its task file (`shapes:`)");
  const TaskFile file = TaskFile::load(command.file);
  std::vector<std::pair<std::string, InspectRequest>> requests;
  std::vector<std::string> names;
  for (const TaskSpec& task : file.tasks) {
    names.push_back(task.name);
    if (!command.task.empty() && task.name != command.task) continue;
    InspectRequest request;
    request.model = task.model;
    request.shapes = task.shapes;
    request.state = task.state;
    request.constants = task.inputs;
    requests.emplace_back(task.name, std::move(request));
  }
  if (requests.empty())
    bad_input(fmt::format("{}: has no task '{}'; it has '{}'", file.path.string(), excerpt(command.task),
                          fmt::join(names, "', '")));
  return requests;
}

int inspect_verb(const InspectCommand& command) {
  Console console(command.verbose);
  Context context = console.context(1);
  context.progress = nullptr;  // it takes seconds
  auto requests = requests_of(command);
  const auto engine = make_onnxruntime_engine();
  const LoadedFineTuner fine_tuner = load_fine_tuner();
  std::vector<std::pair<std::string, Inspection>> seen;
  std::string text;
  for (auto& [name, request] : requests) {
    request.tuner = fine_tuner.tuner.get();
    seen.emplace_back(name, inspect(*engine, request, context));
    if (context.stopping()) throw Interrupted("inspecting was interrupted");
    if (command.json) continue;
    if (!text.empty()) text += "\n\n";
    if (!name.empty()) text += name + ": ";
    text += inspect_table(seen.back().second, command.verbose, isatty(STDOUT_FILENO) == 1);
  }
  Session::write(command.json ? inspect_json(seen) : text);
  return 0;
}

}  // namespace

void add_inspect_verb(CLI::App& app, std::function<int()>& chosen) {
  auto command = std::make_shared<InspectCommand>();
  CLI::App* sub = app.add_subcommand(
      "inspect", "What a model is made of: layers, costs, where it can be cut, and what of it can be scaled");
  sub->add_option("FILE", command->file, "A model (ONNX), or a task file (*.yaml): the models of its tasks")
      ->required()
      ->type_name("FILE");
  sub->add_option("--shape", command->shapes,
                  "Fixes the free dimensions of an input, such as input=1x3x224x224; once for each input")
      ->allow_extra_args(false)
      ->type_name("NAME=DIMENSIONS");
  sub->add_option("--task", command->task, "Only this task's model [all]")->type_name("NAME");
  sub->add_flag("--json", command->json, "Print one JSON object on stdout and nothing else");
  sub->add_flag("-v,--verbose", command->verbose, "Every node and every place where the graph can be cut");
  sub->footer(
      "Examples:\n  rtmdl inspect model.onnx --shape image=1x3x320x320\n  rtmdl inspect tasks.yaml --task faces\n\n"
      "Exit status: 0 done; 2 bad input or usage.");
  sub->callback([command, &chosen] { chosen = [command] { return inspect_verb(*command); }; });
}

}  // namespace rtmdl
