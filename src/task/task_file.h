#pragma once
/// The task file: what a user asks of the box. Parsed and checked as far as the text alone allows; models and data are
/// checked by the verbs that open them.

#include "task/arrival_spec.h"
#include "task/config_node.h"
#include "task/energy_spec.h"
#include "task/fallback_spec.h"
#include "task/limits.h"
#include "task/setting.h"

#include <rtmdl/time.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace rtmdl {

inline constexpr int kMaxSegments = 8;

/// By what the kernel orders the threads of a processor.
enum class KernelOrder : std::uint8_t {
  fifo,     ///< priorities (SCHED_FIFO)
  deadline  ///< reservations and deadlines (SCHED_DEADLINE), under policies of earliest deadline first
};

struct ProcessorSpec {
  std::string name;
  std::string device = "cpu";  ///< "cpu", "webgpu", "cuda:0", …
  std::vector<int> cores;      ///< of a cpu device; an accelerator's submitting thread runs on any core
  int slots = 1;               ///< stages that run side by side
  bool preemptive = true;      ///< a cpu device under SCHED_FIFO is; an accelerator is not
  KernelOrder kernel = KernelOrder::fifo;
  int segments = kMaxSegments;                 ///< that a model is cut into at most, where nothing preempts
  std::map<std::string, std::string> options;  ///< of the execution provider
  std::optional<ProcessorPower> power;
  ConfigNode where;
};

/// Of so many threads, those that a model has there: no more than cores; an accelerator is submitted to by one.
[[nodiscard]] int threads_on(const ProcessorSpec& processor, int threads);
/// Slots that a stage of so many threads takes where `slots` share `cores`.
[[nodiscard]] int slots_of_threads(int threads, int slots, std::size_t cores);

/// How a model is called whose segments run on these processors, one after the other: "cpu+gpu@57", where the rest
/// begins at node 57, as `cuts` say.
[[nodiscard]] std::string place_name(const std::vector<std::string>& processors, const std::vector<int>& cuts);

struct AccuracySpec {
  std::string metric = "agreement";  ///< agreement, top1, top5, map50
  double min = 0.95;                 ///< variants below are not used
  double weight = 1;
  double tolerance = 0.05;  ///< for scalars and raw tensors: what still counts as equal
};

/// How narrower and shallower forms are fine-tuned.
struct TuningSpec {
  std::string learn_from =
      "auto";         ///< labels, source (distillation), auto: labels where there are some, and the source
  double epochs = 3;  ///< passes over the training data per form
  Duration limit = std::chrono::minutes(10);  ///< per form
  double rate = 0.02;                         ///< at the top of the schedule
  int batch = 128;
  int shift = 0;        ///< pixels, random
  bool mirror = false;  ///< half of the inputs left-right
};

struct ScaleSpec {
  std::vector<std::string> precisions{"fp32", "int8"};
  std::vector<double> resolutions{1.0};  ///< fractions of the source's spatial input; below 1 only where that is free
  std::vector<double> widths{1.0, 0.75, 0.5, 0.35,
                             0.25};  ///< of the channels; w asks for w² of the multiply-accumulates
  std::vector<double> depths{1.0};   ///< of the blocks that can be left out
  bool exits = false;                ///< levels of classifiers whose jobs leave early when they are sure
  double shared = 0;     ///< share of the layers, from the inputs on, whose weights stay slices of the source's
  double storage = 1.3;  ///< bytes of the whole family / of the source, at most; unbounded if the file has a `storage`
  TuningSpec tuning;
};

struct TaskSpec {
  std::string name;
  std::filesystem::path model;  ///< the source model; of a task that brings its own variants, the first of them
  std::vector<std::filesystem::path> variants;  ///< brought by the user, besides the source
  ConfigNode data, pre, post;                   ///< see src/data
  std::string post_kind = "tensor";
  std::map<std::string, std::vector<std::int64_t>> shapes;  ///< fixes free dimensions of inputs
  std::map<std::string, std::string> state;                 ///< output -> input
  std::map<std::string, double> inputs;                     ///< constant inputs
  /// `period`: the shortest interval between releases, also where they are not periodic.
  Duration period{}, deadline{}, jitter{}, offset{};
  ArrivalSpec arrivals;
  AfterSpec after;          ///< of the tasks of its file
  double miss_rate = 0.01;  ///< limit ζ
  bool hard = false;
  int queue = 1;  ///< frames that may wait; the newest wins
  Late late = Late::finish;
  std::vector<std::string> processors;  ///< that inference may run on; empty: any
  bool split = false;                   ///< the first part of the model may run on one of them and the rest on another
  double watchdog = 20;  ///< a stage may run for so many times the 99th percentile that was measured; 0: for ever
  FallbackSpec fallback;
  AccuracySpec accuracy;
  ScaleSpec scale;
  ConfigNode where;  ///< for errors that name the line

  /// Whether inference may run on the processor of this name.
  [[nodiscard]] bool may_run_on(const std::string& processor) const;
};

struct TaskFile {
  std::filesystem::path path;
  std::string sha256;                   ///< of the text
  std::optional<std::int64_t> storage;  ///< bytes, over all variants of all tasks
  std::optional<std::int64_t> memory;   ///< bytes, of what is loaded
  bool adapt = false;                   ///< jobs may run lighter variants while load is higher than planned
  EnergySpec energy;
  std::vector<ProcessorSpec> processors;  ///< in the order written; "cpu" is where pre and post run
  std::vector<TaskSpec> tasks;

  /// Throws Error(bad_input): one line naming file, line, key, what was found and what is accepted.
  /// `settings` stand for what the file says, or add to it.
  static TaskFile load(const std::filesystem::path& path, const std::vector<Setting>& settings = {});
  static TaskFile parse(const std::string& text, const std::filesystem::path& path,
                        const std::vector<Setting>& settings = {});

  /// Multiplies every period, deadline, jitter, offset and other arrivals: the same workload, played slower (above 1)
  /// or faster. Throws Error(bad_input) if a period leaves what a task file may say.
  void stretch(double factor);

  [[nodiscard]] int processor_index(const std::string& name) const;  ///< -1 if there is none
  /// Where pre- and post-processing run: the processor named "cpu", else the first cpu device.
  [[nodiscard]] int host_processor() const;
};

}  // namespace rtmdl
