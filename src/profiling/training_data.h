#pragma once
/// What a task's model learns from: the training split of the task's own data, as the runtime would give it to the
/// model.

#include "scaling/fine_tuner.h"

#include "task/task_file.h"

#include <cstdint>
#include <memory>
#include <vector>

namespace rtmdl {

/// Opens the task's source and its pre-processing. Example i is frame i of Split::training, written by the same code
/// that fills the model's input in a run; its labels are the frame's. Decoded frames are kept as far as 256 MB hold
/// them. `model_inputs` are the inputs of the model: one of them is filled (those that the task's `inputs` makes
/// constants are passed over and not part of an example); free dimensions are fixed by the task's `shapes`, a free
/// batch by the source. One thread at a time.
///
/// Throws Error(bad_input): the model keeps state between frames (its examples are sequences, not frames), no or
/// several inputs to fill, dimensions that stay free, data that cannot be read or do not fit the input.
[[nodiscard]] std::unique_ptr<TrainingData> open_training_data(const TaskSpec& task,
                                                               const std::vector<TensorSpec>& model_inputs,
                                                               std::uint64_t seed);

/// Of data that are drawn: training examples that nothing has learnt from, since they are drawn with other seeds, for
/// each `draw` others. Nullptr: the data are not drawn. Throws as above.
[[nodiscard]] std::unique_ptr<TrainingData> open_unseen_data(const TaskSpec& task,
                                                             const std::vector<TensorSpec>& model_inputs,
                                                             std::uint64_t seed, std::uint64_t draw);

}  // namespace rtmdl
