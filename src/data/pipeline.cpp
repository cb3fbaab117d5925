#include "data/pipeline.h"

#include "data/postprocess_kinds.h"

#include <rtmdl/error.h>

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace rtmdl {
namespace {

std::string described(const Frame& frame) {
  if (frame.image.empty())
    return fmt::format("{} [{}]", element_name(frame.tensor.type), fmt::join(frame.tensor.shape, ", "));
  const std::string pictures = frame.batch == 1 ? "a picture" : fmt::format("{} pictures", frame.batch);
  return fmt::format("{} of {} × {} pixels", pictures, frame.image.cols, frame.image.rows / frame.batch);
}

}  // namespace

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
    : name_(task.name), executable_(engine.load(request)) {
  if (executable_->inputs().size() != 1) {
    std::string names;
    for (const TensorSpec& in : executable_->inputs()) names += (names.empty() ? "" : ", ") + in.name;
    task.where.fail(fmt::format(
        "the model has {} inputs to fill ({}); pre-processing fills one: give the others as `inputs:` (constants) "
        "or `state:` (outputs fed back)",
        executable_->inputs().size(), names));
  }
  crops_ = task.pre.is_map() && task.pre["crop"].is_list();
  pre_ = make_preprocess(task.pre, executable_->inputs()[0]);
  post_ = make_postprocess(task.post, executable_->outputs());
  outputs_.resize(executable_->outputs().size());
}

bool Pipeline::pre(const Frame& frame) noexcept {
  if (frame.restart) executable_->reset_state();
  return pre_->run(frame, executable_->input(0), geometry_);
}

bool Pipeline::infer() noexcept { return executable_->run(); }

bool Pipeline::post(Result& result) noexcept {
  for (std::size_t i = 0; i < outputs_.size(); ++i) outputs_[i] = executable_->output(i);
  result.clear();
  return post_->run(outputs_, geometry_, result);
}

void Pipeline::run(const Frame& frame, Result& result) {
  if (!pre(frame)) fail_at_pre(frame);
  if (!infer()) bad_input(fmt::format("{}: inference failed: {}", name_, executable_->last_error()));
  if (!post(result)) bad_input(fmt::format("{}: post-processing: the outputs do not fit `post`, or hold NaN", name_));
}

void Pipeline::fail_at_pre(const Frame& frame) const {
  const TensorSpec& input = executable_->inputs()[0];
  bad_input(fmt::format("{}: pre-processing: frame {}, {}, does not fit the model's input '{}', {} [{}]{}", name_,
                        frame.index, described(frame), input.name, element_name(input.type),
                        fmt::join(input.shape, ", "), crops_ ? ", or `crop` reaches beyond it" : ""));
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
