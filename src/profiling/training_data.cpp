#include "profiling/training_data.h"

#include "base/hash.h"
#include "data/pipeline.h"
#include "data/plugin_steps.h"
#include "data/preprocess.h"
#include "data/random.h"
#include "data/source.h"

#include <algorithm>
#include <map>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace rtmdl {
namespace {

constexpr std::size_t kTrainingFrameBytes = 256u << 20;  // of decoded frames kept

/// The one input that frames fill.
TensorSpec input_to_fill(const TaskSpec& task, const std::vector<TensorSpec>& model_inputs) {
  if (!task.state.empty()) {
    const auto& [output, input] = *task.state.begin();
    task.where["state"].fail(
        fmt::format("'{}' is fed back to '{}': a model that keeps state cannot be fine-tuned, because it learns from "
                    "sequences and the data gives single frames; accepted are models without `state`",
                    output, input));
  }
  std::vector<TensorSpec> inputs;
  std::vector<std::string> names;
  for (const TensorSpec& in : model_inputs)
    if (!task.inputs.contains(in.name)) {
      inputs.push_back(in);
      names.push_back(in.name);
    }
  if (inputs.size() != 1)
    task.where.fail(
        fmt::format("the model has {} inputs to fill ({}); pre-processing fills one: give the others as `inputs:` "
                    "(constants)",
                    inputs.size(), fmt::join(names, ", ")));
  return inputs[0];
}

void fix_dimensions(const TaskSpec& task, const Frame& frame, TensorSpec& input) {
  if (const auto given = task.shapes.find(input.name); given != task.shapes.end()) input.shape = given->second;
  if (!input.shape.empty() && input.shape[0] < 0 && !frame.image.empty()) input.shape[0] = frame.batch;
  if (std::any_of(input.shape.begin(), input.shape.end(), [](std::int64_t d) { return d < 0; }))
    task.where["shapes"].fail(
        fmt::format("input '{}' has free dimensions [{}] (-1: free); fix them with `shapes: {{\"{}\": [...]}}`",
                    input.name, fmt::join(input.shape, ", "), input.name));
}

class FramesAsExamples final : public TrainingData {
 public:
  FramesAsExamples(const TaskSpec& task, const std::vector<TensorSpec>& model_inputs, std::uint64_t seed)
      : where_(task.where), input_(input_to_fill(task, model_inputs)), source_(open_source(task.data, seed)) {
    fix_dimensions(task, frame(0), input_);
    pre_ = make_preprocess(task.pre, input_, sampling_rate(task.data));
    fingerprint_ =
        sha256(fmt::format("training data 1\n{}\n{}\n{} {} [{}]\n", source_->fingerprint(), step_key(task.pre),
                           input_.name, element_name(input_.type), fmt::join(input_.shape, ", ")));
    static_cast<void>(at(0));  // what does not fit is said before anything is trained
  }

  std::size_t size() const override { return source_->size(Split::training); }

  Example at(std::size_t i) override {
    const Frame& from = frame(i);
    Example example;
    example.inputs.emplace_back(input_.type, input_.shape);
    Geometry geometry;
    if (!pre_->run(from, example.inputs[0].view(), geometry))
      where_["data"].fail(
          fmt::format("frame {}, {}, does not fit the model's input {}; `pre`, `shapes` or other data "
                      "may change that",
                      i, described(from), described(std::span(&input_, 1))));
    example.labels = from.labels;
    for (LabelledBox box : from.boxes) {
      box.x0 = box.x0 * geometry.scale_x + geometry.offset_x;
      box.x1 = box.x1 * geometry.scale_x + geometry.offset_x;
      box.y0 = box.y0 * geometry.scale_y + geometry.offset_y;
      box.y1 = box.y1 * geometry.scale_y + geometry.offset_y;
      example.boxes.push_back(box);
    }
    return example;
  }

  bool labelled() const override { return source_->labelled(); }
  int classes() const override { return labelled() ? source_->classes() : 0; }
  std::string fingerprint() const override { return fingerprint_; }

 private:
  const Frame& frame(std::size_t i) {
    if (const auto found = kept_.find(i); found != kept_.end()) return found->second;
    Frame read = source_->read(Split::training, i);
    const std::size_t bytes = read.image.total() * read.image.elemSize() + read.tensor.bytes.size();
    if (kept_bytes_ + bytes > kTrainingFrameBytes) return passing_ = std::move(read);
    kept_bytes_ += bytes;
    return kept_.emplace(i, std::move(read)).first->second;
  }

  ConfigNode where_;  ///< the task, for errors
  TensorSpec input_;
  std::unique_ptr<Source> source_;
  std::unique_ptr<Preprocess> pre_;
  std::string fingerprint_;
  std::map<std::size_t, Frame> kept_;
  std::size_t kept_bytes_ = 0;
  Frame passing_;  // the last one that was not kept
};

}  // namespace

std::unique_ptr<TrainingData> open_training_data(const TaskSpec& task, const std::vector<TensorSpec>& model_inputs,
                                                 std::uint64_t seed) {
  return std::make_unique<FramesAsExamples>(task, model_inputs, seed);
}

std::unique_ptr<TrainingData> open_unseen_data(const TaskSpec& task, const std::vector<TensorSpec>& model_inputs,
                                               std::uint64_t seed, std::uint64_t draw) {
  if (!open_source(task.data, seed)->synthetic()) return nullptr;
  constexpr std::uint64_t kPurpose = 0x756e7365656eULL;
  return open_training_data(task, model_inputs, Random(seed, kPurpose, draw).next());
}

}  // namespace rtmdl
