#pragma once
/// Running a model on a processor. One folder per back-end: onnxruntime/ (CPU and every execution provider), fake/
/// (scripted times).

#include "base/thread_placement.h"
#include "model/exit_rule.h"

#include <rtmdl/tensor.h>

#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace rtmdl {

/// Where a model runs, or a segment of one. Device and provider options are strings, so that a new accelerator is
/// configuration.
struct ModelPlace {
  std::string device = "cpu";  ///< "cpu", "webgpu", "cuda:0", "tensorrt:0"
  std::map<std::string, std::string> provider_options;
  double urgency = 0;    ///< 0 (least) to 1 (most) of those that share the device: the priority of its CUDA stream
  int threads = 1;       ///< intra-op, the calling thread included; 0: the back-end's own default
  ThreadPlacement pool;  ///< for the back-end's own threads (threads > 1)
};

/// What to load and how. Plain data.
struct LoadRequest : ModelPlace {
  std::filesystem::path model;
  bool defaults =
      false;  ///< leave every session option as the library has it: what people do today (`--policy default`)
  std::map<std::string, std::vector<std::int64_t>> shapes;  ///< fixes free dimensions of inputs
  std::map<std::string, std::string> state;  ///< output name -> input name: fed back after every run, zero at first
  std::map<std::string, double> constants;   ///< input name -> value that fills it once (a sample rate, say)
  /// Cuts the model into segments: the nodes before which one begins (model/split.h), ascending; empty: one segment.
  std::vector<int> cuts;
  /// Of a model with early exits: when a job may leave after each segment but the last. The engine runs what it is
  /// told.
  std::vector<ExitRule> exits;
  /// Of each segment, if they have places of their own: what crosses a cut goes through the host's memory then, even
  /// between places that are alike. Empty: all run in the one above.
  std::vector<ModelPlace> places;
  std::filesystem::path profile;  ///< where the back-end writes per-node times; empty: nowhere. Not of segments
};

/// A loaded model with its inputs and outputs bound once to memory that it owns. One thread at a time may use it.
class Executable {
 public:
  virtual ~Executable() = default;
  /// Inputs that the caller fills (state and constants left out) and all outputs, with the shapes that are really
  /// bound.
  [[nodiscard]] virtual std::span<const TensorSpec> inputs() const noexcept = 0;
  [[nodiscard]] virtual std::span<const TensorSpec> outputs() const noexcept = 0;
  /// Bound memory: valid until the next run() (outputs) or for the object's life (inputs). No allocation.
  [[nodiscard]] virtual TensorView input(std::size_t i) noexcept = 0;
  [[nodiscard]] virtual TensorView output(std::size_t i) noexcept = 0;
  /// Runs on the calling thread (and the pool). False if it failed or was cancelled; last_error() says why. Back-ends
  /// of ours do not throw.
  virtual bool run() = 0;
  /// Pieces that run() runs one after the other, and one of them: all in order are a run().
  [[nodiscard]] virtual int segments() const noexcept { return 1; }
  virtual bool run_segment(int /*k*/) { return run(); }
  /// Asks a running run() to stop soon (seen between nodes), and later ones not to begin, until rearm(). From any
  /// thread.
  virtual void cancel() noexcept = 0;
  /// Takes back what cancel() asked for. From the thread that runs.
  virtual void rearm() noexcept = 0;
  /// Recurrent state back to zero.
  virtual void reset_state() noexcept = 0;
  [[nodiscard]] virtual const char* last_error() const noexcept = 0;
  /// Ends per-node profiling and gives the file's path; empty if it was not asked for.
  virtual std::filesystem::path finish_profile() { return {}; }
};

/// A back-end. Thread-safe. load() throws Error: bad_input (not a model, an operator refused; the message names the
/// file), missing_device (provider not there, what to do).
class Engine {
 public:
  virtual ~Engine() = default;
  [[nodiscard]] virtual std::unique_ptr<Executable> load(const LoadRequest& request) = 0;
  /// Name and version of the library: part of every profile's key.
  [[nodiscard]] virtual std::string version() const = 0;
  [[nodiscard]] virtual std::vector<std::string> devices() const = 0;
};

[[nodiscard]] std::unique_ptr<Engine> make_onnxruntime_engine();

}  // namespace rtmdl
