#include "networks/train.h"

#include "base/units.h"
#include "model/edit.h"
#include "networks/detector.h"
#include "networks/train_task.h"
#include "profiling/accuracy.h"
#include "profiling/training_data.h"
#include "scaling/calibrate.h"
#include "scaling/exit_heads.h"
#include "scaling/prune.h"

#include <rtmdl/error.h>
#include <rtmdl/time.h>

#include <algorithm>
#include <unordered_map>

#include <fmt/format.h>

namespace rtmdl {
namespace {

using namespace networks;

constexpr std::size_t kAnchors = 5;               // as YOLOv2 has them
constexpr std::size_t kPicturesForAnchors = 512;  // whose boxes are looked at
constexpr std::size_t kAnswers = 6, kAnswerFeatures = 256;
constexpr double kAnswerWeight = 0.3;  // of each; the network's own weighs 1

/// The anchors that fit the boxes of the training pictures.
std::vector<float> choose_anchors(TrainingData& data) {
  std::vector<std::array<float, 2>> sizes;
  const std::size_t looked_at = std::min(data.size(), kPicturesForAnchors);
  for (std::size_t i = 0; i < looked_at; ++i)
    for (const LabelledBox& b : data.at(i * data.size() / looked_at).boxes)
      if (!b.ignore && b.x1 - b.x0 >= 1 && b.y1 - b.y0 >= 1) sizes.push_back({b.x1 - b.x0, b.y1 - b.y0});
  return cluster_sizes(std::move(sizes), kAnchors);
}

/// Weights of the same names.
void copy_weights(const Model& from, Model& to) {
  std::unordered_map<std::string, const onnx::TensorProto*> weights;
  for (const auto& tensor : from.graph().initializer()) weights[tensor.name()] = &tensor;
  for (auto& tensor : *to.graph().mutable_initializer())
    if (const auto found = weights.find(tensor.name()); found != weights.end()) tensor = *found->second;
}

/// What is fine-tuning to the tuner is training here.
std::string renamed(const std::string& what) {
  constexpr std::string_view kTuning = "fine-tuning";
  return what.starts_with(kTuning) ? "training" + what.substr(kTuning.size()) : what;
}

class Training {
 public:
  Training(const TrainOptions& options, FineTuner& tuner, Engine& engine, const Context& context)
      : options_(options),
        info_(network_info(options.network)),
        tuner_(tuner),
        engine_(engine),
        context_(context),
        task_(make_task(options, info_, context.seed)) {
    data_ = open_data();
    if (info_.kind == NetworkKind::yolo) {
      task_.network.anchors = choose_anchors(*data_);
      task_.network = complete(info_, task_.network);
      set_post(task_, info_);
    }
    model_ = network(info_.name, task_.network, context.seed);
    if (const auto why = tuner.refuses(model_)) throw Error(ErrorCode::internal, *why);
    evaluator_ = std::make_unique<AccuracyEvaluator>(engine, task_.task, context.seed);
  }

  TrainResult run() {
    const bool yolo = info_.kind == NetworkKind::yolo;
    // What is learnt is the raw grid; its decoding has nothing to learn.
    Model student = yolo ? with_outputs(model_, {kYoloGrid}) : options_.exits ? with_answers() : model_;
    FineTuneRequest request = this->request();
    request.students.emplace_back().model = &student;
    begun_ = MonotonicClock::now();
    request.after_epoch = [&](int epoch, double loss) { say(student, epoch, loss); };

    TrainResult result;
    result.parameters = parameter_count(model_);
    result.synthetic = task_.synthetic;
    result.task = task_.lines;
    Context told = context_;
    told.progress = [&](const std::string& what, double fraction) { context_.report(renamed(what), fraction); };
    const FineTuneResult tuned = tuner_.tune(request, told);
    result.seconds = tuned.seconds;
    if (!tuned.finished) {
      context_.info(fmt::format("stopped; the same command goes on from {}", request.checkpoint.string()));
      return result;
    }
    copy_weights(student, model_);
    model_.proto.set_doc_string(about("not measured"));
    save_model(model_, options_.output);  // the checkpoint is gone: this must not be lost
    result.test_accuracy = accuracy({});
    model_.proto.set_doc_string(about(described(result.test_accuracy)));
    save_model(model_, options_.output);
    result.bytes = model_bytes(options_.output);
    result.finished = true;
    return result;
  }

 private:
  /// With linear classifiers on the way.
  [[nodiscard]] Model with_answers() const {
    const std::filesystem::path folder = options_.output.parent_path();
    const TensorSpecs specs = specs_of(engine_, model_, load_request(task_.task, options_.output), folder);
    const std::vector<ExitPlace> all = find_exit_places(model_, specs);
    std::vector<ExitHead> heads;
    for (const ExitPlace& place : spread_places(all, work_before(model_, specs, all), kAnswers)) {
      ExitHead& head = heads.emplace_back();
      head.reading = coarse_reading(place, kAnswerFeatures);
      head.classifier.features = head.reading.features();
      head.classifier.classes = static_cast<std::size_t>(task_.network.classes);
      head.classifier.weights.resize(head.classifier.features * head.classifier.classes);
      head.classifier.bias.resize(head.classifier.classes);
    }
    if (heads.empty()) bad_input(fmt::format("{} has no place for an exit; train it without --exits", info_.name));
    std::vector<HeadSpan> spans;
    return with_heads(model_, heads, false, spans);
  }

  [[nodiscard]] std::unique_ptr<TrainingData> open_data() const {
    const auto& [input, shape] = *task_.task.shapes.begin();
    return open_training_data(task_.task, {{input, ElementType::f32, shape}}, context_.seed);
  }

  [[nodiscard]] FineTuneRequest request() const {
    const TrainOptions& o = options_;
    FineTuneRequest request;
    request.data = data_.get();
    request.keep_foreign_checkpoint = true;
    request.checkpoint = o.checkpoint.empty() ? std::filesystem::path(o.output.string() + ".checkpoint") : o.checkpoint;
    FineTuneOptions& f = request.options;
    f.objective = info_.kind == NetworkKind::classifier ? Objective::labels : Objective::boxes;
    f.epochs = o.epochs;
    f.batch = o.batch.value_or(info_.batch);
    f.learning_rate = o.learning_rate.value_or(info_.learning_rate);
    f.adamw = info_.adamw;
    f.momentum = o.momentum;
    f.weight_decay = o.weight_decay;
    f.label_smoothing = o.label_smoothing;
    f.warm_up = o.warm_up;
    f.further_outputs = o.exits ? kAnswerWeight : 0;
    f.augment_shift = task_.padding;
    f.augment_mirror = task_.mirror;
    f.mixed_precision = o.mixed_precision;
    f.threads = o.threads;
    f.seed = context_.seed;
    if (info_.kind != NetworkKind::classifier) request.detector = detector_target(info_, task_.network);
    return request;
  }

  [[nodiscard]] std::string described(double accuracy) const {
    const char* what = info_.kind == NetworkKind::classifier ? "test accuracy" : "test mAP at IoU 0.5";
    return fmt::format("{} {}", what, format_percent(accuracy, 2));
  }

  [[nodiscard]] std::string about(const std::string& measured) const {
    return fmt::format("{}; {}{}; made by: {}", task_.lines, measured, task_.synthetic ? " of synthetic data" : "",
                       train_command(options_, context_.seed));
  }

  double accuracy(const Context& context) {
    const ScratchModel file(model_, options_.output.parent_path());
    return (*evaluator_)(load_request(task_.task, file.path()), context);
  }

  void say(const Model& student, int epoch, double loss) {
    first_epoch_ = std::min(first_epoch_, epoch);
    const double left =
        to_seconds(MonotonicClock::now() - begun_) / (epoch - first_epoch_ + 1) * (options_.epochs - epoch);
    std::string measured;
    if (epoch < options_.epochs) {  // the last is measured when all is done
      copy_weights(student, model_);
      try {
        measured = ", " + described(accuracy(context_));
      } catch (const Stopped&) {
        return;  // the tuner will see it too, and keep the checkpoint
      }
    }
    context_.info(
        fmt::format("epoch {}/{}: loss {:.4f}{}, {:.0f} s left", epoch, options_.epochs, loss, measured, left));
  }

  const TrainOptions& options_;
  const NetworkInfo& info_;
  FineTuner& tuner_;
  Engine& engine_;
  const Context& context_;
  TrainTask task_;
  std::unique_ptr<TrainingData> data_;
  Model model_;
  std::unique_ptr<AccuracyEvaluator> evaluator_;
  Time begun_{};
  int first_epoch_ = 1 << 30;
};

}  // namespace

TrainResult train(const TrainOptions& options, FineTuner& tuner, Engine& engine, const Context& context) {
  check(options);
  return Training(options, tuner, engine, context).run();
}

}  // namespace rtmdl
