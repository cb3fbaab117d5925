#pragma once
/// Early exits for a classifier that somebody else trained: heads after some of its layers, fitted to the network's own
/// answers (and to labels) while the network stays as it is, and thresholds by which jobs leave.

#include "base/context.h"
#include "engine/engine.h"
#include "model/exits.h"
#include "scaling/fine_tuner.h"
#include "scaling/scale.h"

#include <rtmdl/time.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace rtmdl {

struct ExitsRequest {
  LoadRequest at;                  ///< the classifier: model, shapes, constants
  TrainingData* data = nullptr;    ///< what heads learn from; never what an accuracy is measured on
  TrainingData* unseen = nullptr;  ///< what the network has not learnt from, for thresholds; none: two fifths of `data`
  bool labels = false;             ///< accuracy is against labels, which the data have; else against the network itself
  std::vector<double> losses{0.005, 0.02};  ///< of accuracy, one level each
  std::size_t exits_max = 3;
  double speedup_min = 1.05;                 ///< times faster than the whole network on average, or it is refused
  std::filesystem::path folder;              ///< for scratch files
  Duration pass = std::chrono::seconds(45);  ///< at most about, to run the network over examples; twice
  std::uint64_t seed = 1;
  /// Times of each segment of a model that the request cuts; empty: the wall clock. Tests put their own.
  std::function<std::vector<Duration>(const LoadRequest&)> segment_times;
};

struct ExitsLevel {
  Model model;  ///< with its rules
  std::vector<ExitRule> rules;
  std::vector<int> cuts;
  double whole_seconds = 0;          ///< of the network without exits
  std::vector<double> unit_seconds;  ///< of each unit, measured beside that
};

struct ExitsOutcome {
  std::vector<ExitsLevel> levels;    ///< in the order of `losses`; none twice
  std::vector<std::string> refused;  ///< why there are fewer
  bool finished = true;              ///< false: the context was stopped
};

/// Heads are tried at up to six places spread over the measured time. What a head reads is computed once for all
/// examples, since the network before it does not change; what remains is a small classifier: linear
/// (softmax_regression.h), by class centroids (class_centroids.h) or with a hidden layer (convolutional_head.h). At
/// each place the one stays with which an exit there alone would save most. Thresholds are chosen on other examples, as
/// many as the time allows (exit_thresholds.h). Throws Error: the model does not run, or the data do not fit it.
[[nodiscard]] ExitsOutcome attach_exits(Engine& engine, const ExitsRequest& request, const Context& context);

}  // namespace rtmdl
