#include "task/task_file.h"

#include "base/excerpt.h"
#include "base/hash.h"
#include "base/thread_placement.h"
#include "base/units.h"

#include "scheduling/scheduler.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace rtmdl {
namespace {

Duration duration_up_to(const ConfigNode& node, Duration most, std::string_view what) {
  const Duration d = node.duration();
  if (d < Duration::zero() || d > most)
    node.fail(
        fmt::format("'{}' is out of range: 0 ms to {} ({}) is accepted", node.text(), format_duration(most), what));
  return d;
}

bool is_cpu(const std::string& device) { return device == "cpu"; }
/// All of a process is one device, which one thread at a time may use (engine/onnxruntime/accelerator.h).
bool is_webgpu(const std::string& device) { return device == "webgpu" || device.starts_with("webgpu:"); }

/// Names end up in tables, file names and traces.
void require_plain_name(const std::string& name, const ConfigNode& at) {
  const auto plain = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_'; };
  if (name.empty() || name.size() > 64 || !std::all_of(name.begin(), name.end(), plain))
    at.fail(fmt::format("'{}' is not accepted: a name is 1 to 64 letters, digits, '-' and '_'", excerpt(name)));
}

void parse_kernel(const ConfigNode& node, ProcessorSpec& p) {
  if (!is_cpu(p.device)) node.fail(fmt::format("is for cpu devices; '{}' is a {}", p.name, p.device));
  if (node.one_of({"fifo", "deadline"}) == "fifo") return;
  p.kernel = KernelOrder::deadline;
  if (!p.preemptive) node.fail("'deadline' is preemptive; accepted is that without `preemptive: false`");
  if (p.cores.size() != static_cast<std::size_t>(p.slots))
    node.fail(fmt::format("'deadline' is for one core a slot; '{}' has {} cores and `slots: {}`", p.name,
                          p.cores.size(), p.slots));
}

ProcessorSpec parse_processor(const std::string& name, const ConfigNode& node) {
  require_plain_name(name, node);
  node.require_map("a processor such as {device: cpu, cores: [0]}");
  node.allow({"device", "cores", "slots", "preemptive", "kernel", "segments", "options", "power"});
  ProcessorSpec p;
  p.name = name;
  p.where = node;
  if (node["device"].present()) p.device = node["device"].text();
  const std::vector<int> available = available_cores();
  if (const ConfigNode cores = node["cores"]; cores.present()) {
    if (!is_cpu(p.device)) cores.fail(fmt::format("cores are for cpu devices; '{}' is a {}", name, p.device));
    for (const std::int64_t core : cores.integers()) {
      if (std::find(available.begin(), available.end(), core) == available.end())
        cores.fail(fmt::format("core {} does not exist on this machine; it has {}", core, fmt::join(available, ", ")));
      if (std::find(p.cores.begin(), p.cores.end(), core) != p.cores.end())
        cores.fail(fmt::format("core {} is listed twice", core));
      p.cores.push_back(static_cast<int>(core));
    }
    if (p.cores.empty()) cores.fail("an empty list; name at least one core");
  } else if (is_cpu(p.device)) {
    p.cores = available;
  }
  if (const ConfigNode slots = node["slots"]; slots.present()) {
    p.slots = static_cast<int>(slots.integer(1, kMaxSlots));
    if (p.slots > 1 && is_webgpu(p.device))
      slots.fail(fmt::format("{} slots; a webgpu device runs one model at a time, accepted is 1", p.slots));
  }
  if (node["segments"].present()) p.segments = static_cast<int>(node["segments"].integer(1, kMaxSegments));
  p.preemptive = is_cpu(p.device);
  if (const ConfigNode preemptive = node["preemptive"]; preemptive.present()) {
    p.preemptive = preemptive.boolean();
    if (p.preemptive && !is_cpu(p.device))
      preemptive.fail(fmt::format("a {} cannot be preempted by the kernel; accepted is false", p.device));
  }
  if (node["kernel"].present()) parse_kernel(node["kernel"], p);
  if (const ConfigNode options = node["options"]; options.present()) {
    if (is_cpu(p.device)) options.fail("options are for accelerators; a cpu device takes none");
    for (const auto& [key, value] : options.members()) p.options[key] = value.text();
  }
  if (const ConfigNode power = node["power"]; power.present()) p.power = ProcessorPower::parse(power);
  return p;
}

std::vector<ProcessorSpec> parse_processors(const ConfigNode& node) {
  if (!node.present()) {
    ProcessorSpec cpu;
    cpu.name = "cpu";
    cpu.cores = available_cores();
    return {cpu};
  }
  node.require_map("a map of processors, such as {cpu: {cores: [0]}}");
  std::vector<ProcessorSpec> processors;
  for (const auto& [name, value] : node.members()) processors.push_back(parse_processor(name, value));
  if (processors.empty()) node.fail("an empty map; name at least one processor");
  if (processors.size() > kMaxProcessors)
    node.fail(fmt::format("{} processors; at most {} are accepted", processors.size(), kMaxProcessors));
  for (std::size_t a = 0; a < processors.size(); ++a)
    for (std::size_t b = 0; b < a; ++b)
      for (const int core : processors[a].cores)
        if (std::find(processors[b].cores.begin(), processors[b].cores.end(), core) != processors[b].cores.end())
          processors[a].where.fail(
              fmt::format("core {} belongs to '{}' already; a core serves one processor", core, processors[b].name));
  const ProcessorSpec* webgpu = nullptr;
  for (const ProcessorSpec& p : processors) {
    if (!is_webgpu(p.device)) continue;
    if (webgpu) p.where.fail(fmt::format("'{}' is the webgpu device already; it serves one processor", webgpu->name));
    webgpu = &p;
  }
  std::size_t by_deadline = 0;  // cores
  for (const ProcessorSpec& p : processors) {
    if (p.kernel == KernelOrder::deadline) by_deadline += p.cores.size();
    if (by_deadline == available_cores().size())
      p.where["kernel"].fail(
          "'deadline' leaves no core for what runs below it, such as the thread that releases jobs; accepted is one "
          "core at least that is of no such processor");
  }
  if (std::none_of(processors.begin(), processors.end(), [](const ProcessorSpec& p) { return is_cpu(p.device); }))
    node.fail("no processor is a cpu device; pre- and post-processing need one");
  return processors;
}

AccuracySpec parse_accuracy(const ConfigNode& node) {
  AccuracySpec accuracy;
  if (!node.present()) return accuracy;
  node.require_map("a map such as {metric: agreement, min: 95 %}");
  node.allow({"metric", "min", "weight", "tolerance"});
  if (node["metric"].present()) accuracy.metric = node["metric"].one_of({"agreement", "top1", "top5", "map50"});
  if (node["min"].present()) accuracy.min = node["min"].fraction();
  if (node["weight"].present()) accuracy.weight = node["weight"].number(0, 1e6);
  if (node["tolerance"].present()) accuracy.tolerance = node["tolerance"].number(0, 1e9);
  return accuracy;
}

TuningSpec parse_tuning(const ConfigNode& node) {
  TuningSpec tuning;
  if (!node.present()) return tuning;
  node.require_map("a map such as {epochs: 3, learn_from: source, limit: 10 min}");
  node.allow({"learn_from", "epochs", "limit", "rate", "batch", "shift", "mirror"});
  if (node["learn_from"].present()) tuning.learn_from = node["learn_from"].one_of({"auto", "labels", "source"});
  if (node["epochs"].present()) tuning.epochs = node["epochs"].number(0, 1000);
  if (node["limit"].present()) tuning.limit = node["limit"].duration();
  if (tuning.limit <= Duration::zero()) node["limit"].fail("must be longer than nothing, such as 10 min");
  if (node["rate"].present()) tuning.rate = node["rate"].number(1e-7, 10);
  if (node["batch"].present()) tuning.batch = static_cast<int>(node["batch"].integer(1, 4096));
  if (node["shift"].present()) tuning.shift = static_cast<int>(node["shift"].integer(0, 64));
  if (node["mirror"].present()) tuning.mirror = node["mirror"].boolean();
  return tuning;
}

/// Fractions of the whole, which is always one of them and the first.
std::vector<double> fractions(const ConfigNode& node, double least) {
  std::vector<double> all{1.0};
  for (const ConfigNode& item : node.items()) {
    const double fraction = item.number(least, 1.0);
    if (std::find(all.begin(), all.end(), fraction) == all.end()) all.push_back(fraction);
  }
  return all;
}

constexpr double kFamilyStorageMost = 100;  ///< times the source

ScaleSpec parse_scale(const ConfigNode& node) {
  ScaleSpec scale;
  if (!node.present()) return scale;
  node.require_map("a map such as {precision: [fp32, int8], width: [1.0, 0.5], resolution: [1.0, 0.75]}");
  node.allow({"precision", "resolution", "width", "depth", "exits", "shared", "storage", "tuning"});
  if (const ConfigNode precision = node["precision"]; precision.present()) {
    scale.precisions.clear();
    for (const ConfigNode& p : precision.items()) scale.precisions.push_back(p.one_of({"fp32", "int8", "fp16"}));
    if (scale.precisions.empty()) precision.fail("an empty list; accepted are fp32, int8, fp16");
  }
  if (const ConfigNode resolution = node["resolution"]; resolution.present()) {
    scale.resolutions = fractions(resolution, 0.1);
  }
  if (node["width"].present()) scale.widths = fractions(node["width"], 0.05);
  if (node["depth"].present()) scale.depths = fractions(node["depth"], 0.0);
  if (node["exits"].present()) scale.exits = node["exits"].boolean();
  if (node["shared"].present()) scale.shared = node["shared"].fraction();
  if (node["storage"].present()) scale.storage = node["storage"].fraction(kFamilyStorageMost);
  scale.tuning = parse_tuning(node["tuning"]);
  return scale;
}

void parse_model(const ConfigNode& node, TaskSpec& task) {
  const ConfigNode model = node["model"];
  const ConfigNode variants = node["variants"];
  if (variants.present())
    for (const ConfigNode& v : variants.items()) task.variants.push_back(v.path());
  if (model.present()) {
    task.model = model.path();
  } else {
    if (task.variants.empty()) node.fail("names no model: write `model: file.onnx`, or `variants: [a.onnx, b.onnx]`");
    task.model = task.variants.front();
    task.variants.erase(task.variants.begin());
  }
  std::error_code ec;
  const auto check = [&](const std::filesystem::path& path, const ConfigNode& at) {
    if (!std::filesystem::is_regular_file(path, ec))
      at.fail(fmt::format("'{}' is not {}; a model is an ONNX file", excerpt(path.string(), 200),
                          std::filesystem::exists(path, ec) ? "a file" : "there"));
  };
  check(task.model, model.present() ? model : variants);
  for (const auto& v : task.variants) check(v, variants);
}

void parse_bindings(const ConfigNode& node, TaskSpec& task) {
  if (const ConfigNode shapes = node["shapes"]; shapes.present())
    for (const auto& [name, shape] : shapes.members()) {
      task.shapes[name] = shape.integers();
      for (const std::int64_t d : task.shapes[name])
        if (d < 1 || d > 1'000'000)
          shape.fail(fmt::format("the dimension {} is out of range: 1 to 1000000 is accepted", d));
    }
  if (const ConfigNode state = node["state"]; state.present())
    for (const auto& [output, input] : state.members()) task.state[output] = input.text();
  if (const ConfigNode inputs = node["inputs"]; inputs.present())
    for (const auto& [name, value] : inputs.members()) task.inputs[name] = value.number();
}

/// When it is released by itself. Whether the shortest interval is what the user says.
bool parse_releases(const ConfigNode& node, TaskSpec& task) {
  if (const ConfigNode arrivals = node["arrivals"]; arrivals.present())
    task.arrivals = ArrivalSpec::parse(arrivals, task.period);
  const bool periodic = task.arrivals.kind == ArrivalSpec::Kind::periodic;
  const ConfigNode period = node["period"];
  if (!periodic && period.present())
    period.fail("is of periodic arrivals; of others `min` in `arrivals` is the shortest interval");
  if (periodic && !period.present()) node.fail("has no period: write for instance `period: 33.3 ms`");
  if (periodic) task.period = positive_duration(period);
  const bool known = task.period > Duration{};
  if (!known) task.period = least_interval(task.arrivals);
  if (node["jitter"].present())
    task.jitter = duration_up_to(node["jitter"], task.period, periodic ? "the period" : "the shortest interval");
  if (node["offset"].present())
    task.offset = duration_up_to(node["offset"], mean_interval(task.arrivals, task.period),
                                 periodic ? "the period" : "the mean interval");
  return known && task.arrivals.kind != ArrivalSpec::Kind::trace;
}

constexpr std::int64_t kMostAtOnce = 256;  ///< jobs that one job may release, over a chain of tasks

/// `after`, `per`, `max`: it is released by another task's jobs.
void parse_after(const ConfigNode& node, const TaskFile& file, TaskSpec& task) {
  for (const char* key : {"period", "arrivals", "jitter", "offset"})
    if (node[key].present()) node[key].fail("a task that runs after another one is released by it, and has none");
  const std::string name = node["after"].text();
  std::vector<std::string> names;
  for (const TaskSpec& other : file.tasks) {
    if (other.name == name) task.after.task = static_cast<int>(names.size());
    names.push_back(other.name);
  }
  if (task.after.task < 0)
    node["after"].fail(names.empty() ? std::string("there is no task above this one")
                                     : fmt::format("'{}' is no task above this one: there are {}", excerpt(name),
                                                   fmt::join(names, ", ")));
  const TaskSpec& parent = file.tasks[static_cast<std::size_t>(task.after.task)];
  const ConfigNode per = node["per"], most = node["max"];
  if (per.present()) task.after.per_detection = per.one_of({"job", "detection"}) == "detection";
  if (task.after.per_detection && parent.post_kind != "detections" && parent.post_kind != "score_map")
    per.fail(fmt::format("'{}' gives {}, which has no boxes; accepted is job", name, parent.post_kind));
  if (most.present() && !task.after.per_detection) most.fail("is of `per: detection`");
  if (task.after.per_detection) task.after.most = 4;
  if (most.present()) task.after.most = static_cast<int>(most.integer(1, kMaxQueue));
  std::int64_t at_once = task.after.most;
  for (const TaskSpec* p = &parent; p->after.task >= 0; p = &file.tasks[static_cast<std::size_t>(p->after.task)])
    at_once *= p->after.most;
  if (at_once > kMostAtOnce)
    node["after"].fail(fmt::format("{} jobs for each of the first task's in this chain; at most {} are accepted",
                                   at_once, kMostAtOnce));
  task.period = std::max(parent.period / task.after.most, Duration(1));
  task.queue = task.after.most;
}

void parse_deadline(const ConfigNode& node, TaskSpec& task, bool has_default) {
  const ConfigNode deadline = node["deadline"];
  if (!deadline.present() && !has_default)
    node.fail("has no deadline: only a period, or the `min` of other arrivals, stands for one");
  task.deadline = deadline.present() ? positive_duration(deadline) : task.period;
  if (task.after.task >= 0 || (task.arrivals.kind != ArrivalSpec::Kind::periodic && !task.hard)) return;
  // A frame that waits longer than queue + 1 periods is overwritten, so a later deadline could never be used.
  const Duration most = task.period * (task.queue + 1);
  if (task.deadline > most)
    deadline.fail(fmt::format(
        "'{}' is beyond what the queue allows: with `queue: {}` and a period of {} a frame is overwritten after {}; "
        "accepted is up to that, or a longer queue",
        deadline.text(), task.queue, format_duration(task.period), format_duration(most)));
}

void parse_timing(const ConfigNode& node, const TaskFile& file, TaskSpec& task) {
  const bool follows = node["after"].present();
  bool known = false;
  if (follows) {
    parse_after(node, file, task);
  } else {
    for (const char* key : {"per", "max"})
      if (node[key].present()) node[key].fail("is of tasks that run after another one: `after: TASK`");
    known = parse_releases(node, task);
  }
  if (node["queue"].present()) task.queue = static_cast<int>(node["queue"].integer(1, kMaxQueue));
  if (const ConfigNode late = node["late"]; late.present()) {
    const std::string text = late.one_of({"finish", "skip", "abort"});
    task.late = text == "skip" ? Late::skip : text == "abort" ? Late::abort : Late::finish;
    if (follows && task.late == Late::abort)
      late.fail("a task that runs after another one cannot be given up; accepted are finish, skip");
  }
  if (node["miss_rate"].present()) task.miss_rate = node["miss_rate"].fraction();
  if (const ConfigNode hard = node["hard"]; hard.present()) {
    task.hard = hard.boolean();
    if (task.hard && follows) hard.fail("a task that runs after another one cannot be proven; accepted is false");
    if (task.hard && !known && task.arrivals.kind != ArrivalSpec::Kind::trace)
      hard.fail("a proof needs the shortest interval between releases: give `min` in `arrivals`");
  }
  parse_deadline(node, task, known);
}

bool is_off(const ConfigNode& node) { return node.is_scalar() && (node.text() == "off" || node.text() == "false"); }

void parse_faults(const ConfigNode& node, TaskSpec& task) {
  if (const ConfigNode watchdog = node["watchdog"]; watchdog.present())
    task.watchdog = is_off(watchdog) ? 0 : watchdog.number(1, 1e6);
  const ConfigNode fallback = node["fallback"];
  if (!fallback.present()) return;
  if (is_off(fallback)) {
    task.fallback.after = 0;
    return;
  }
  fallback.require_map("`off`, or a map such as {after: 3, to: variant}");
  fallback.allow({"after", "to"});
  if (fallback["after"].present()) task.fallback.after = static_cast<int>(fallback["after"].integer(1, 1'000'000));
  if (const ConfigNode to = fallback["to"]; to.present()) {
    const std::string text = to.one_of({"any", "variant", "processor"});
    task.fallback.to = text == "variant"     ? FallbackTo::variant
                       : text == "processor" ? FallbackTo::processor
                                             : FallbackTo::any;
  }
}

TaskSpec parse_task(const ConfigNode& node, const TaskFile& file) {
  node.require_map("a task such as {name: faces, model: faces.onnx, period: 33 ms, …}");
  node.allow({"name",   "model",    "variants", "data",     "pre",      "post",     "shapes", "state",      "inputs",
              "period", "deadline", "jitter",   "offset",   "arrivals", "after",    "per",    "max",        "miss_rate",
              "hard",   "queue",    "late",     "watchdog", "fallback", "accuracy", "scale",  "processors", "split"});
  TaskSpec task;
  task.where = node;
  if (!node["name"].present()) node.fail("has no name");
  task.name = node["name"].text();
  require_plain_name(task.name, node["name"]);
  parse_model(node, task);
  parse_bindings(node, task);
  parse_timing(node, file, task);
  parse_faults(node, task);
  if (!node["data"].present()) node.fail("has no data: write for instance `data: {source: images, path: pictures}`");
  task.data = node["data"];
  task.pre = node["pre"];
  task.post = node["post"];
  if (task.post.present() && task.post["kind"].present()) task.post_kind = task.post["kind"].text();
  if (task.post_kind == "plugin")
    task.post_kind = task.post["gives"].one_of(
        {"classes", "detections", "score_map", "segmentation", "lines", "scalar", "ctc", "tensor"});
  task.accuracy = parse_accuracy(node["accuracy"]);
  task.scale = parse_scale(node["scale"]);
  return task;
}

void parse_candidates(const ConfigNode& node, const TaskFile& file, TaskSpec& task) {
  if (!node.present()) return;
  std::vector<std::string> names;
  for (const ProcessorSpec& p : file.processors) names.push_back(p.name);
  for (const ConfigNode& item : node.items()) {
    task.processors.push_back(item.text());
    if (file.processor_index(item.text()) < 0)
      item.fail(fmt::format("'{}' is no processor; accepted are {}", excerpt(item.text()), fmt::join(names, ", ")));
  }
  if (task.processors.empty()) node.fail("an empty list; name at least one processor");
}

void parse_task_processors(const ConfigNode& node, const TaskFile& file, TaskSpec& task) {
  parse_candidates(node["processors"], file, task);
  const ConfigNode split = node["split"];
  if (split.present()) task.split = split.boolean();
  const auto candidates = std::count_if(file.processors.begin(), file.processors.end(),
                                        [&](const ProcessorSpec& p) { return task.may_run_on(p.name); });
  if (task.split && candidates < 2)
    split.fail(
        "true, but this task has one processor to run on; a model is split over two, so name another or leave "
        "`split` out");
}

EnergySpec parse_energy(const ConfigNode& node, const std::vector<ProcessorSpec>& processors) {
  EnergySpec energy = EnergySpec::parse(node);
  if (!energy.watts && !energy.harvest) return energy;
  for (const ProcessorSpec& p : processors)
    if (!p.power)
      node.fail(
          fmt::format("what is drawn has to be known: '{}' has no `power`, such as {{busy: 4 W, idle: 1 W}}", p.name));
  return energy;
}

TaskFile parse_document(const ConfigNode& root, const std::filesystem::path& path) {
  TaskFile file;
  file.path = path;
  root.require_map("a task file: a map with `tasks`");
  root.allow({"storage", "memory", "adapt", "energy", "processors", "tasks"});
  if (root["storage"].present()) file.storage = root["storage"].bytes();
  if (root["memory"].present()) file.memory = root["memory"].bytes();
  if (root["adapt"].present()) file.adapt = root["adapt"].boolean();
  file.processors = parse_processors(root["processors"]);
  file.energy = parse_energy(root["energy"], file.processors);
  const ConfigNode tasks = root["tasks"];
  if (!tasks.present()) root.fail("has no tasks: write `tasks:` and a list");
  for (const ConfigNode& node : tasks.items()) {
    TaskSpec task = parse_task(node, file);
    parse_task_processors(node, file, task);
    // What the file gives all tasks together is theirs to share: the standard bound of each is for files that give
    // none.
    if (file.storage && !node["scale"]["storage"].present()) task.scale.storage = kFamilyStorageMost;
    for (const TaskSpec& other : file.tasks)
      if (other.name == task.name)
        node["name"].fail(fmt::format("two tasks have the name '{}'; names must differ", task.name));
    file.tasks.push_back(std::move(task));
  }
  if (file.tasks.empty()) tasks.fail("an empty list; at least one task is needed");
  if (file.tasks.size() > kMaxTasks)
    tasks.fail(fmt::format("{} tasks; at most {} are accepted", file.tasks.size(), kMaxTasks));
  return file;
}

}  // namespace

int threads_on(const ProcessorSpec& processor, int threads) {
  return is_cpu(processor.device) ? std::min(threads, static_cast<int>(processor.cores.size())) : 1;
}

int slots_of_threads(int threads, int slots, std::size_t cores) {
  const auto shared = static_cast<int>(cores);
  if (shared < 1) return 1;
  const int each = std::min(slots, shared);  // more slots than cores: the kernel shares these out
  return std::clamp((threads * each + shared - 1) / shared, 1, slots);
}

std::string place_name(const std::vector<std::string>& processors, const std::vector<int>& cuts) {
  return fmt::format("{}@{}", fmt::join(processors, "+"), fmt::join(cuts, ","));
}

bool TaskSpec::may_run_on(const std::string& processor) const {
  return processors.empty() || std::find(processors.begin(), processors.end(), processor) != processors.end();
}

TaskFile TaskFile::load(const std::filesystem::path& path, const std::vector<Setting>& settings) {
  TaskFile file = parse_document(with_settings(ConfigNode::load(path), settings), path);
  file.sha256 = sha256_of_file(path);
  return file;
}
TaskFile TaskFile::parse(const std::string& text, const std::filesystem::path& path,
                         const std::vector<Setting>& settings) {
  TaskFile file = parse_document(with_settings(ConfigNode::parse(text, path), settings), path);
  file.sha256 = rtmdl::sha256(text);
  return file;
}

void TaskFile::stretch(double factor) {
  const auto stretched = [factor](Duration d) {
    return Duration(std::llround(static_cast<double>(d.count()) * factor));
  };
  for (TaskSpec& task : tasks) {
    const Duration interval = mean_interval(task.arrivals, task.period);
    const double played = to_seconds(interval) * factor;
    const bool in_range = played >= to_seconds(kShortestPeriod) && played <= to_seconds(kLongestPeriod);
    if (task.after.task < 0 && !in_range) {
      const ConfigNode period = task.where["period"];
      (period.present() ? period : task.where["arrivals"])
          .fail(fmt::format("'{}' played {:.3g} times as fast is out of range: {} to {} is accepted",
                            format_duration(interval), 1 / factor, format_duration(kShortestPeriod),
                            format_duration(kLongestPeriod)));
    }
    task.period = std::max(stretched(task.period), Duration(1));
    task.deadline = stretched(task.deadline);
    task.jitter = stretched(task.jitter);
    task.offset = stretched(task.offset);
    task.arrivals.stretch(factor);
  }
}

int TaskFile::processor_index(const std::string& name) const {
  for (std::size_t i = 0; i < processors.size(); ++i)
    if (processors[i].name == name) return static_cast<int>(i);
  return -1;
}

int TaskFile::host_processor() const {
  if (const int cpu = processor_index("cpu"); cpu >= 0 && is_cpu(processors[static_cast<std::size_t>(cpu)].device))
    return cpu;
  for (std::size_t i = 0; i < processors.size(); ++i)
    if (is_cpu(processors[i].device)) return static_cast<int>(i);
  return 0;
}

}  // namespace rtmdl
