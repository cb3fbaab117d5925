#include "profiling/accuracy.h"

#include "base/thread_placement.h"

#include <rtmdl/error.h>

#include <algorithm>
#include <map>
#include <utility>

#include <fmt/format.h>

namespace rtmdl {
namespace {

constexpr std::size_t kKeptFrameBytes = 256u << 20;  // of decoded frames kept
constexpr std::size_t kResultBytes = 256u << 20;     // of the source's results on evaluation frames kept
constexpr std::size_t kPlayedFrames = 512;           // of the stream: what a run plays in a loop
constexpr std::size_t kCalibrationBytes = 128u << 20, kLeastCalibration = 8;

std::size_t frame_bytes(const Frame& frame) {
  return frame.image.total() * frame.image.elemSize() + frame.tensor.bytes.size();
}

/// Nobody times these runs: let them have the machine.
LoadRequest with_all_cores(LoadRequest request) {
  if (request.device == "cpu") request.threads = static_cast<int>(available_cores().size());
  return request;
}

}  // namespace

struct AccuracyEvaluator::References {
  std::vector<std::unique_ptr<Result>> results;  // by frame; null until computed
};

struct AccuracyEvaluator::Frames {
  std::map<std::pair<Split, std::size_t>, Frame> kept;
  std::size_t bytes = 0;
  Frame passing;  // the last one that was not kept
};

struct AccuracyEvaluator::Expected {
  std::vector<Result> kept;  // of the first frames
  std::size_t bytes = 0;
  std::size_t next = 0;  // the frame that the source pipeline's state is ready for
  Result passing;
};

AccuracyEvaluator::AccuracyEvaluator(Engine& engine, const TaskSpec& task, std::uint64_t seed)
    : engine_(engine),
      task_(task),
      source_(open_source(task.data, seed)),
      frames_(std::make_unique<Frames>()),
      expected_(std::make_unique<Expected>()) {
  if (task.accuracy.metric == "top5" && task.post_kind == "classes" && task.post["k"].present() &&
      task.post["k"].integer() < 5)
    task.post["k"].fail(
        fmt::format("{} is too few for the metric top5: at least 5 are accepted", task.post["k"].integer()));
  const bool boxes = task.accuracy.metric == "map50";
  if (!against_source() && !(boxes ? source_->has_boxes() : source_->labelled()))
    task.where["accuracy"]["metric"].fail(
        fmt::format("{0} needs {1}, and the data has none; accepted without {1} is "
                    "agreement",
                    task.accuracy.metric, boxes ? "boxes" : "labels"));
  if (!against_source() && task.post_kind != (boxes ? "detections" : "classes"))
    task.where["accuracy"]["metric"].fail(
        fmt::format("{} is for `post: {{kind: {}}}`, not for '{}'; agreement fits every kind", task.accuracy.metric,
                    boxes ? "detections" : "classes", task.post_kind));
  for (auto& split : references_) split = std::make_unique<References>();
}

AccuracyEvaluator::~AccuracyEvaluator() = default;

Pipeline& AccuracyEvaluator::source_pipeline() {
  if (!pipeline_)
    pipeline_ = std::make_unique<Pipeline>(engine_, task_, with_all_cores(load_request(task_, task_.model)));
  return *pipeline_;
}

const Frame& AccuracyEvaluator::frame(Split split, std::size_t i) {
  if (const auto found = frames_->kept.find({split, i}); found != frames_->kept.end()) return found->second;
  Frame frame = source_->read(split, i);
  const std::size_t bytes = frame_bytes(frame);
  if (frames_->bytes + bytes > kKeptFrameBytes) return frames_->passing = std::move(frame);
  frames_->bytes += bytes;
  return frames_->kept.emplace(std::pair{split, i}, std::move(frame)).first->second;
}

const Result& AccuracyEvaluator::reference(Split split, std::size_t i) {
  auto& results = references_[static_cast<std::size_t>(split)]->results;
  if (results.empty()) results.resize(source_->size(split));
  if (results.at(i)) return *results[i];
  Pipeline& pipeline = source_pipeline();
  Result result;
  const auto compute = [&](std::size_t at) {
    pipeline.run(frame(split, at), result);
    results[at] = std::make_unique<Result>(result);
  };
  if (task_.state.empty()) {
    compute(i);
  } else {  // each result rests on the frames before it, and other splits use the same pipeline: all at once
    expected_->next = static_cast<std::size_t>(-1);
    pipeline.executable().reset_state();
    for (std::size_t at = 0; at < results.size(); ++at) compute(at);
  }
  return *results[i];
}

const Result& AccuracyEvaluator::expected(std::size_t i) {
  Expected& e = *expected_;
  if (i < e.kept.size()) return e.kept[i];
  Pipeline& pipeline = source_pipeline();
  if (!task_.state.empty() && e.next != i) {
    pipeline.executable().reset_state();
    for (std::size_t before = 0; before < i; ++before) pipeline.run(frame(Split::evaluation, before), e.passing);
  }
  pipeline.run(frame(Split::evaluation, i), e.passing);
  e.next = i + 1;
  const std::size_t bytes = bytes_of(e.passing);
  if (i != e.kept.size() || e.bytes + bytes > kResultBytes) return e.passing;
  e.bytes += bytes;
  return e.kept.emplace_back(e.passing);
}

double AccuracyEvaluator::operator()(const LoadRequest& request, const Context& context) {
  const LoadRequest source = load_request(task_, task_.model);
  if (against_source() && request.model == source.model && request.shapes == source.shapes &&
      request.device == source.device)
    return 1;
  Pipeline pipeline(engine_, task_, with_all_cores(request));
  require_fitting_labels(pipeline);
  const std::unique_ptr<Metric> score = metric();
  const Result none;
  Result result;
  for (std::size_t i = 0; i < size(Split::evaluation); ++i) {
    if (context.stopping()) throw Stopped();
    const Result& right = against_source() ? expected(i) : none;
    const Frame& input = frame(Split::evaluation, i);
    try {
      pipeline.run(input, result);
    } catch (const Error&) {
      // A variant whose arithmetic broke agrees with nothing, but is no reason to stop; a source model's NaN is bad
      // input.
      if (request.model == source.model || !pipeline.gave_nan()) throw;
      return 0;
    }
    score->add(result, right, input);
  }
  return score->value();
}

AccuracyEvaluator::ExitScores AccuracyEvaluator::score_exits(const LoadRequest& request, const Context& context) {
  Pipeline pipeline(engine_, task_, with_all_cores(request));
  require_fitting_labels(pipeline);
  const int units = pipeline.exits() + 1;
  const std::unique_ptr<Metric> as_they_leave = metric();
  std::vector<std::unique_ptr<Metric>> after;
  for (int k = 0; k < units; ++k) after.push_back(metric());
  std::vector<double> left(static_cast<std::size_t>(units), 0);
  const Result none;
  Result result;
  const std::size_t frames = size(Split::evaluation);
  for (std::size_t i = 0; i < frames; ++i) {
    if (context.stopping()) throw Stopped();
    const Result& right = against_source() ? expected(i) : none;
    const Frame& input = frame(Split::evaluation, i);
    const int sure_after = run_units(pipeline, input, false, [&](int k, bool leaves) {
      if (!(k + 1 < units ? pipeline.post_at(k, result) : pipeline.post(result)))
        bad_input(fmt::format("{}: unit {} gave no classes", request.model.string(), k + 1));
      after[static_cast<std::size_t>(k)]->add(result, right, input);
      if (leaves) as_they_leave->add(result, right, input);
    });
    left[static_cast<std::size_t>(sure_after) - 1] += 1;
  }
  ExitScores scores;
  scores.accuracy = as_they_leave->value();
  scores.exits.whole_accuracy = after.back()->value();
  for (std::size_t k = 0; k < request.exits.size(); ++k)
    scores.exits.at.push_back(
        {request.exits[k], request.cuts[k], left[k] / static_cast<double>(frames), after[k]->value()});
  const std::size_t stream = std::min(size(Split::stream), kPlayedFrames);
  for (std::size_t i = 0; i < stream; ++i) {
    if (context.stopping()) throw Stopped();
    const int until = run_units(pipeline, frame(Split::stream, i), true, [](int, bool) {});
    scores.exits.units.push_back(static_cast<std::uint8_t>(until));
  }
  return scores;
}

template <typename Visit>
int AccuracyEvaluator::run_units(Pipeline& pipeline, const Frame& input, bool leave, const Visit& visit) {
  if (!pipeline.pre(input)) pipeline.fail_at_pre(input);
  const int units = pipeline.exits() + 1;
  int sure_after = 0;
  for (int k = 0; k < units && !(leave && sure_after > 0); ++k) {
    if (!pipeline.infer(k)) bad_input(fmt::format("inference failed: {}", pipeline.executable().last_error()));
    const bool leaves = sure_after == 0 && (k + 1 == units || pipeline.is_sure(k, pipeline.confidence(k)));
    if (leaves) sure_after = k + 1;
    visit(k, leaves);
  }
  return sure_after;
}

std::vector<InputSet> AccuracyEvaluator::calibration_inputs(std::size_t n, const std::vector<std::int64_t>& shape) {
  LoadRequest request = load_request(task_, task_.model);
  if (!shape.empty()) request.shapes[source_pipeline().executable().inputs()[0].name] = shape;
  // Pre-processing does not look at a model's state, so nothing is inferred here.
  Pipeline pipeline(engine_, task_, request);
  const std::size_t bytes = std::max<std::size_t>(1, pipeline.executable().input(0).bytes.size());
  const std::size_t there = size(Split::calibration);
  const std::size_t count = std::min({n, there, std::max(kLeastCalibration, kCalibrationBytes / bytes)});
  std::vector<InputSet> sets;
  sets.reserve(count);
  for (std::size_t k = 0; k < count; ++k) {
    const std::size_t i = task_.state.empty() ? k * there / count : k;
    const Frame& input = frame(Split::calibration, i);
    if (!pipeline.pre(input)) pipeline.fail_at_pre(input);
    sets.push_back(pipeline.inputs());
  }
  return sets;
}

void AccuracyEvaluator::require_fitting_labels(const Pipeline& pipeline) const {
  const int known = pipeline.classes(), wanted = source_->classes();
  if (against_source() || known == 0 || wanted <= known) return;
  task_.data.fail(
      fmt::format("the label {} is none of the model's {} classes (0 to {}); accepted are data of the "
                  "model's classes, numbered in its order",
                  wanted - 1, known, known - 1));
}

std::unique_ptr<Metric> AccuracyEvaluator::metric() const {
  return make_metric(task_.accuracy.metric, task_.post_kind, task_.accuracy.tolerance);
}

}  // namespace rtmdl
