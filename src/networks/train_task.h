#pragma once
/// The task that a network is trained for, as a task file would say it.

#include "networks/networks.h"
#include "networks/train.h"

#include "task/task_file.h"

#include <cstdint>
#include <string>

namespace rtmdl::networks {

/// Error(bad_input) that names the first value out of range and what is accepted. The network's own are left to
/// complete().
void check(const TrainOptions& options);

struct TrainTask {
  TaskSpec task;           ///< no model, no period: for data, pre- and post-processing, and the metric
  NetworkOptions network;  ///< complete
  int padding = 0;         ///< pixels
  bool mirror = false;
  bool synthetic = false;
  std::string pre;    ///< as text; empty: none
  std::string lines;  ///< "pre: {…}, post: {…}", as a task file wants it
};

/// Looks at the data: sizes, classes. Error(bad_input): they cannot be opened, have no labels (boxes, for a detector)
/// or no fixed size.
[[nodiscard]] TrainTask make_task(const TrainOptions& options, const NetworkInfo& info, std::uint64_t seed);
/// `post:` and the lines again, after the anchors have been chosen.
void set_post(TrainTask& task, const NetworkInfo& info);

}  // namespace rtmdl::networks
