// `rtmdl train` from end to end, with libtorch.
#include "networks/train.h"

#include "base/atomic_file.h"
#include "data/postprocess.h"
#include "model/edit.h"
#include "networks/detector.h"
#include "networks/idx_files.h"
#include "networks/networks.h"
#include "training/fine_tuner.h"
#include "training/graph_module.h"

#include <gmock/gmock.h>

#include <atomic>

namespace rtmdl {
namespace {

using namespace rtmdl::test;
using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;

class Train : public testing::Test {
 protected:
  Train() {
    write_idx_folder(folder_.path(), 220, 100);
    options_.widths = {4, 4, 8, 8};
    options_.epochs = 1;
    options_.batch = 20;
    options_.threads = 1;
    options_.data = folder_.path();
    options_.output = folder_.path() / "model.onnx";
    context_.log = [this](LogLevel level, const std::string& message) {
      (level == LogLevel::warning ? warnings_ : messages_).push_back(message);
    };
  }
  TrainResult run() { return train(options_, *tuner_, *engine_, context_); }
  std::string model() {
    EXPECT_TRUE(run().finished);
    std::string bytes = read_file(options_.output);
    std::filesystem::remove(options_.output);
    return bytes;
  }
  [[nodiscard]] std::filesystem::path checkpoint() const { return options_.output.string() + ".checkpoint"; }

  TemporaryFolder folder_;
  TrainOptions options_;
  std::unique_ptr<FineTuner> tuner_ = make_fine_tuner();
  std::unique_ptr<Engine> engine_ = make_onnxruntime_engine();
  Context context_;
  std::vector<std::string> messages_, warnings_;
};

TEST_F(Train, EqualSeedsGiveEqualBytesAndOthersDoNot) {
  const std::string first = model();
  EXPECT_EQ(first, model());
  context_.seed = 2;
  EXPECT_NE(first, model());
}

TEST_F(Train, LearnsAndReports) {
  options_.epochs = 10;
  options_.mirror = false;
  options_.padding = 0;
  double last = 0;
  context_.progress = [&](const std::string& what, double fraction) {
    EXPECT_THAT(what, testing::StartsWith("training, "));
    EXPECT_GE(fraction, last);
    last = fraction;
  };
  const TrainResult result = run();
  EXPECT_GT(result.test_accuracy, 0.8);
  EXPECT_DOUBLE_EQ(last, 1.0);
  EXPECT_EQ(result.bytes, static_cast<std::int64_t>(std::filesystem::file_size(options_.output)));
  EXPECT_THAT(messages_,
              Contains(AllOf(HasSubstr("epoch 3/10: loss "), HasSubstr("test accuracy "), HasSubstr(" s left"))));
  EXPECT_FALSE(std::filesystem::exists(checkpoint())) << "a finished run leaves its model only";
}

TEST_F(Train, LabelSmoothingMomentumAndPrecisionMatter) {
  const std::string plain = model();
  options_.label_smoothing = 0;
  const std::string hard = model();
  EXPECT_NE(hard, plain);
  options_.momentum = 0.5;
  EXPECT_NE(model(), hard);
}

TEST_F(Train, AnswersOnTheWayMoveWhatIsBeforeThem) {
  const std::string plain = model();
  options_.exits = true;
  const std::string taught = model();
  EXPECT_NE(taught, plain);
  EXPECT_EQ(taught, model());
}

TEST_F(Train, ResumedAfterADeathInMidEpochEndsWithTheSameBytes) {
  options_.epochs = 3;
  const std::string undisturbed = model();
  struct Death {};
  int steps = 0;
  context_.progress = [&](const std::string& what, double) {
    if (what.starts_with("training, epoch") && ++steps == 15) throw Death{};
  };
  EXPECT_THROW((void)run(), Death);
  EXPECT_FALSE(std::filesystem::exists(options_.output));
  ASSERT_TRUE(std::filesystem::exists(checkpoint())) << "from the end of the first epoch";
  context_.progress = nullptr;
  EXPECT_EQ(model(), undisturbed);
  EXPECT_THAT(messages_, Contains(HasSubstr("going on from " + checkpoint().string() + ": step 10 of 30")));
}

TEST_F(Train, StoppedInMidEpochItGoesOnFromThatStep) {
  options_.epochs = 2;
  const std::string undisturbed = model();
  std::atomic<bool> stop = false;
  context_.stop = &stop;
  int steps = 0;
  context_.progress = [&](const std::string& what, double) {
    if (what.starts_with("training, epoch")) stop = ++steps == 13;
  };
  EXPECT_FALSE(run().finished);
  EXPECT_FALSE(std::filesystem::exists(options_.output));
  stop = false;
  EXPECT_EQ(model(), undisturbed);
  EXPECT_EQ(steps, 20) << "13 steps before the stop, 7 after it";
}

TEST_F(Train, RefusesTheCheckpointOfOtherOptionsOrADamagedOne) {
  std::atomic<bool> stop = true;
  context_.stop = &stop;
  EXPECT_FALSE(run().finished);
  ASSERT_TRUE(std::filesystem::exists(checkpoint()));
  context_.seed = 7;
  EXPECT_THAT(refusal([&] { (void)run(); }), AllOf(HasSubstr(checkpoint().string()), HasSubstr("of another request")));
  context_.seed = 1;
  std::string bytes = read_file(checkpoint());
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  write(checkpoint(), bytes);
  EXPECT_THAT(refusal([&] { (void)run(); }), HasSubstr("it is damaged; repeat the command that made it, or delete"));
}

TEST_F(Train, DivergenceThatNoLowerRateHelpsEndsInAnError) {
  options_.learning_rate = 1e36;
  options_.warm_up = 0;
  EXPECT_THAT(refusal([&] { (void)run(); }),
              AllOf(HasSubstr("learning rate of 1e+36 8 times"), HasSubstr("start with a lower one")));
  EXPECT_EQ(warnings_.size(), 8U);
}

class TrainsEveryNetwork : public Train, public testing::WithParamInterface<std::string_view> {};

INSTANTIATE_TEST_SUITE_P(Networks, TrainsEveryNetwork, testing::ValuesIn([] {
                           std::vector<std::string_view> names;
                           for (const NetworkInfo& one : network_catalogue()) names.push_back(one.name);
                           return names;
                         }()),
                         [](const auto& tested) {
                           std::string name(tested.param);
                           std::erase(name, '-');
                           return name;
                         });

TEST_P(TrainsEveryNetwork, IsTheGraphThatOnnxRuntimeRuns) {
  NetworkOptions o;
  o.width = 0.25;
  if (network_info(GetParam()).kind != NetworkKind::classifier) o.rows = o.columns = 128;
  o.classes = 4;
  const Model model = network(GetParam(), o, 1);
  EXPECT_EQ(tuner_->refuses(model), std::nullopt);
  training::GraphModule module(model);
  std::int64_t learnt = 0;
  for (const auto& p : module.parameters()) learnt += p.value.numel();
  EXPECT_EQ(learnt, parameter_count(model)) << "what is trained is what is counted";

  save_model(model, options_.output);
  LoadRequest request;
  request.model = options_.output;
  const std::string input = model.graph().input(0).name();
  std::vector<std::int64_t> shape = {2};
  for (int d = 1; d < model.graph().input(0).type().tensor_type().shape().dim_size(); ++d)
    shape.push_back(model.graph().input(0).type().tensor_type().shape().dim(d).dim_value());
  request.shapes[input] = shape;
  const auto executable = engine_->load(request);
  const at::Tensor x = at::rand(shape);
  std::copy_n(x.data_ptr<float>(), x.numel(), executable->input(0).as<float>().data());
  ASSERT_TRUE(executable->run()) << executable->last_error();
  const at::NoGradGuard no_grad;
  const auto outputs = module.forward({{input, x}}, false);
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const auto expected = executable->output(i).as<float>();
    const at::Tensor given = outputs[i].contiguous();
    ASSERT_EQ(given.numel(), static_cast<std::int64_t>(expected.size()));
    double apart = 0, most = 1e-6;
    for (std::size_t k = 0; k < expected.size(); ++k) {
      apart = std::max(apart, std::fabs(static_cast<double>(given.data_ptr<float>()[k]) - expected[k]));
      most = std::max(most, std::fabs(static_cast<double>(expected[k])));
    }
    EXPECT_LT(apart / most, 1e-4) << "output " << i;
  }
}

/// Bright rectangles on grey: wide ones are class 0, high ones class 1. 96 x 96 pixels.
class Rectangles final : public TrainingData {
 public:
  static constexpr int kSide = 96;
  std::size_t size() const override { return 64; }
  bool labelled() const override { return false; }
  std::string fingerprint() const override { return "rectangles"; }
  Example at(std::size_t i) override {
    const bool wide = i % 2 == 0;
    LabelledBox box;
    box.x0 = static_cast<float>(i * 7 % 50);
    box.y0 = static_cast<float>(i * 13 % 50);
    box.x1 = box.x0 + (wide ? 44 : 22);
    box.y1 = box.y0 + (wide ? 22 : 44);
    box.label = wide ? 0 : 1;
    Example e;
    e.inputs.emplace_back(ElementType::f32, std::vector<std::int64_t>{1, 3, kSide, kSide});
    auto pixels = e.inputs[0].as<float>();
    for (int c = 0; c < 3; ++c)
      for (int y = 0; y < kSide; ++y)
        for (int x = 0; x < kSide; ++x) {
          const bool inside = x >= box.x0 && x < box.x1 && y >= box.y0 && y < box.y1;
          pixels[static_cast<std::size_t>((c * kSide + y) * kSide + x)] =
              inside ? (c == box.label ? 0.9F : 0.1F) : 0.3F;
        }
    e.boxes = {box};
    return e;
  }
};

/// Share of the pictures in which the best box overlaps the true one by half and has its class.
double found(Engine& engine, const Model& model, const NetworkInfo& info, const NetworkOptions& o,
             const std::filesystem::path& file) {
  save_model(model, file);
  LoadRequest request;
  request.model = file;
  request.shapes["image"] = {1, 3, o.rows, o.columns};
  const auto executable = engine.load(request);
  std::vector<TensorSpec> specs(executable->outputs().begin(), executable->outputs().end());
  std::string settings = post_settings(info, o);
  settings.insert(settings.size() - 1, ", threshold: 0.1");
  const auto post = make_postprocess(ConfigNode::parse(settings), specs);
  Geometry geometry;
  geometry.frame_width = geometry.input_width = o.columns;
  geometry.frame_height = geometry.input_height = o.rows;
  Rectangles data;
  int right = 0;
  for (std::size_t i = 0; i < data.size(); ++i) {
    const Example e = data.at(i);
    std::copy(e.inputs[0].bytes.begin(), e.inputs[0].bytes.end(), executable->input(0).bytes.begin());
    EXPECT_TRUE(executable->run());
    std::vector<TensorView> views;
    for (std::size_t k = 0; k < specs.size(); ++k) views.push_back(executable->output(k));
    Result result;
    EXPECT_TRUE(post->run(views, geometry, result));
    const LabelledBox& t = e.boxes[0];
    const auto best = std::max_element(result.boxes.begin(), result.boxes.end(),
                                       [](const Box& a, const Box& b) { return a.score < b.score; });
    if (best == result.boxes.end() || best->label != t.label) continue;
    const float w = std::min(best->x1, t.x1) - std::max(best->x0, t.x0);
    const float h = std::min(best->y1, t.y1) - std::max(best->y0, t.y0);
    const float both = std::max(0.0F, w) * std::max(0.0F, h);
    right += both / ((best->x1 - best->x0) * (best->y1 - best->y0) + 44 * 22 - both) > 0.5F;
  }
  return right / static_cast<double>(data.size());
}

class TrainsDetectors : public Train, public testing::WithParamInterface<const char*> {};

INSTANTIATE_TEST_SUITE_P(Networks, TrainsDetectors, testing::Values("tiny-yolo", "ssdlite"), [](const auto& tested) {
  return std::string(tested.param) == "ssdlite" ? "ssdlite" : "tinyyolo";
});

TEST_P(TrainsDetectors, WhichThenFindThings) {
  const NetworkInfo& info = network_info(GetParam());
  NetworkOptions o;
  o.width = 0.25;
  o.rows = o.columns = Rectangles::kSide;
  o.classes = 2;
  if (info.kind == NetworkKind::yolo) o.anchors = {44, 22, 22, 44};
  Model model = network(info.name, o, 1);
  EXPECT_LT(found(*engine_, model, info, o, options_.output), 0.2);

  Rectangles data;
  Model student = info.kind == NetworkKind::yolo ? with_outputs(model, {kYoloGrid}) : model;
  FineTuneRequest request;
  request.students.emplace_back().model = &student;
  request.data = &data;
  request.options.objective = Objective::boxes;
  request.options.epochs = 60;
  request.options.batch = 16;
  request.options.threads = 1;
  request.options.learning_rate = 0.004;
  request.options.adamw = true;
  request.detector = detector_target(info, o);
  const FineTuneResult tuned = tuner_->tune(request, context_);
  EXPECT_TRUE(tuned.finished);
  EXPECT_LT(tuned.loss_after, 0.5 * tuned.loss_before);
  for (auto& tensor : *model.graph().mutable_initializer())
    for (const auto& learnt : student.graph().initializer())
      if (learnt.name() == tensor.name()) tensor = learnt;
  EXPECT_GT(found(*engine_, model, info, o, options_.output), 0.7);
}

}  // namespace
}  // namespace rtmdl
