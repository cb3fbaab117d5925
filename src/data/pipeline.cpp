#include "data/pipeline.h"

#include "data/postprocess_kinds.h"
#include "data/source.h"

#include <rtmdl/error.h>

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace rtmdl {
std::string described(std::span<const TensorSpec> tensors) {
  std::string text;
  for (const TensorSpec& t : tensors)
    text +=
        fmt::format("{}'{}' {} [{}]", text.empty() ? "" : ", ", t.name, element_name(t.type), fmt::join(t.shape, ", "));
  return text;
}

std::string described(const Frame& frame) {
  if (frame.image.empty())
    return fmt::format("a tensor {} [{}]", element_name(frame.values().type), fmt::join(frame.values().shape, ", "));
  return fmt::format("{} of {} x {} pixels", frame.batch > 1 ? fmt::format("{} pictures", frame.batch) : "a picture",
                     frame.image.cols, frame.image.rows / frame.batch);
}

LoadRequest load_request(const TaskSpec& task, const std::filesystem::path& model,
                         const std::map<std::string, std::vector<std::int64_t>>& shapes) {
  LoadRequest request;
  request.model = model;
  request.shapes = task.shapes;
  for (const auto& [name, shape] : shapes) request.shapes[name] = shape;
  request.state = task.state;
  request.constants = task.inputs;
  return request;
}

Pipeline::Pipeline(Engine& engine, const TaskSpec& task, const LoadRequest& request)
    : where_(task.where), model_(request.model), executable_(engine.load(request)) {
  if (executable_->inputs().size() != 1) {
    std::string names;
    for (const TensorSpec& in : executable_->inputs()) names += (names.empty() ? "" : ", ") + in.name;
    task.where.fail(fmt::format(
        "the model has {} inputs to fill ({}); pre-processing fills one: give the others as `inputs:` (constants) "
        "or `state:` (outputs fed back)",
        executable_->inputs().size(), names));
  }
  crops_ = task.pre.is_map() && task.pre["crop"].is_list();
  pre_ = make_preprocess(task.pre, executable_->inputs()[0], sampling_rate(task.data));
  post_ = make_postprocess(task.post, executable_->outputs());
  outputs_.resize(executable_->outputs().size());
  const auto outputs = executable_->outputs();
  for (const ExitRule& rule : request.exits) {
    const auto found =
        std::find_if(outputs.begin(), outputs.end(), [&](const TensorSpec& o) { return o.name == rule.output; });
    if (found == outputs.end())
      bad_input(fmt::format("{}: no output '{}' to leave with", request.model.string(), rule.output));
    exits_.push_back({rule, static_cast<std::size_t>(found - outputs.begin())});
  }
}

bool Pipeline::pre(const Frame& frame) {
  if (frame.restart) executable_->reset_state();
  return pre_->run(frame, executable_->input(0), geometry_);
}

bool Pipeline::infer() { return executable_->run(); }

bool Pipeline::infer(int segment) { return executable_->run_segment(segment); }

double Pipeline::confidence(int exit) noexcept {
  const Exit& at = exits_[static_cast<std::size_t>(exit)];
  return rtmdl::confidence(at.rule, executable_->output(at.output));
}

bool Pipeline::is_sure(int exit, double confidence) const noexcept {
  return rtmdl::is_sure(exits_[static_cast<std::size_t>(exit)].rule, confidence);
}

bool Pipeline::post(Result& result) {
  for (std::size_t i = 0; i < outputs_.size(); ++i) outputs_[i] = executable_->output(i);
  return post_outputs(result);
}

bool Pipeline::post_at(int exit, Result& result) {
  for (std::size_t i = 0; i < outputs_.size(); ++i) outputs_[i] = executable_->output(i);
  outputs_.front() = outputs_[exits_[static_cast<std::size_t>(exit)].output];
  return post_outputs(result);
}

bool Pipeline::post_outputs(Result& result) {
  result.clear();
  return post_->run(outputs_, geometry_, result);
}

void Pipeline::run(const Frame& frame, Result& result) {
  if (!pre(frame)) fail_at_pre(frame);
  if (!infer())
    where_.fail(
        fmt::format("{} failed on frame {}: {}", model_.filename().string(), frame.index, executable_->last_error()));
  if (!post(result))
    where_["post"].fail(fmt::format("the outputs of {}, {}, do not fit this kind, or hold NaN (frame {})",
                                    model_.filename().string(), described(executable_->outputs()), frame.index));
}

void Pipeline::fail_at_pre(const Frame& frame) const {
  where_["data"].fail(
      fmt::format("frame {}, {}{}, does not fit the input of {}, {}{}; `pre`, `shapes` or other data may change that",
                  frame.index, described(frame), pre_->what_it_gives(frame), model_.filename().string(),
                  described(executable_->inputs()), crops_ ? ", or `crop` reaches beyond it" : ""));
}

bool Pipeline::gave_nan() const noexcept {
  return std::any_of(outputs_.begin(), outputs_.end(), [](const TensorView& output) {
    return output.type == ElementType::f32 && has_nan(output.as<float>());
  });
}

std::vector<Tensor> Pipeline::inputs() const {
  std::vector<Tensor> copies;
  for (std::size_t i = 0; i < executable_->inputs().size(); ++i) {
    const TensorView view = executable_->input(i);
    Tensor copy(view.type, {view.shape.begin(), view.shape.end()});
    std::copy(view.bytes.begin(), view.bytes.end(), copy.bytes.begin());
    copies.push_back(std::move(copy));
  }
  return copies;
}

}  // namespace rtmdl
