#include "networks/train.h"

#include "base/atomic_file.h"
#include "model/edit.h"
#include "networks/detector.h"
#include "networks/idx_files.h"
#include "networks/networks.h"

#include <gmock/gmock.h>
#include <opencv2/imgcodecs.hpp>

#include <atomic>
#include <cmath>
#include <limits>

namespace rtmdl {
namespace {

using namespace rtmdl::test;
using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

/// Learns nothing; keeps what it was asked for.
class FakeTuner final : public FineTuner {
 public:
  std::optional<std::string> refuses(const Model&) const override { return std::nullopt; }
  FineTuneResult tune(const FineTuneRequest& request, const Context&) override {
    options = request.options;
    detector = request.detector;
    checkpoint = request.checkpoint;
    examples = request.data->size();
    first = request.data->at(0);
    input = model_inputs(*request.students.at(0).model).at(0);
    outputs.clear();
    for (const auto& output : request.students[0].model->graph().output()) outputs.push_back(output.name());
    FineTuneResult result;
    if (stops) return result;
    for (int e = 1; e <= static_cast<int>(request.options.epochs); ++e) request.after_epoch(e, 1.0 / e);
    result.finished = true;
    result.seconds = 5;
    return result;
  }
  std::vector<std::vector<double>> taylor_importance(const Model&, const Model*, const ChannelGroups&, TrainingData&,
                                                     std::size_t, const Context&) override {
    return {};
  }

  bool stops = false;
  FineTuneOptions options;
  std::optional<DetectorTarget> detector;
  std::filesystem::path checkpoint;
  std::size_t examples = 0;
  Example first;
  TensorSpec input;
  std::vector<std::string> outputs;
};

class TrainNetwork : public testing::Test {
 protected:
  TrainNetwork() {
    write_idx_folder(folder_.path(), 200, 100);
    options_.width = 0.125;
    options_.epochs = 2;
    options_.data = folder_.path();
    options_.output = folder_.path() / "model.onnx";
    context_.log = [this](LogLevel, const std::string& message) { messages_.push_back(message); };
  }
  TrainResult run() { return train(options_, tuner_, *engine_, context_); }
  std::string refused() {
    return refusal([&] { (void)run(); });
  }

  TemporaryFolder folder_;
  TrainOptions options_;
  FakeTuner tuner_;
  std::unique_ptr<Engine> engine_ = make_onnxruntime_engine();
  Context context_;
  std::vector<std::string> messages_;
};

TEST_F(TrainNetwork, TakesSizeAndClassesFromTheData) {
  const TrainResult result = run();
  EXPECT_TRUE(result.finished);
  EXPECT_EQ(tuner_.examples, 200U);
  EXPECT_THAT(tuner_.input.shape, ElementsAre(-1, 1, 12, 12));
  EXPECT_THAT(tuner_.first.inputs.at(0).shape, ElementsAre(1, 1, 12, 12));
  EXPECT_THAT(tuner_.first.labels, ElementsAre(0));
  EXPECT_GT(tuner_.first.inputs[0].as<float>()[0], 0.7F) << "pixel / 255";
  EXPECT_LE(tuner_.first.inputs[0].as<float>()[0], 1.0F);
  const Model model = load_model(options_.output);
  EXPECT_EQ(result.parameters, parameter_count(model));
  EXPECT_EQ(model.graph().output(0).type().tensor_type().shape().dim(1).dim_value(), 10);
}

TEST_F(TrainNetwork, AsksForWhatTheOptionsSay) {
  options_.label_smoothing = 0.05;
  options_.momentum = 0.8;
  options_.batch = 20;
  options_.mixed_precision = true;
  context_.seed = 7;
  (void)run();
  EXPECT_EQ(tuner_.options.objective, Objective::labels);
  EXPECT_EQ(tuner_.options.epochs, 2);
  EXPECT_EQ(tuner_.options.batch, 20);
  EXPECT_EQ(tuner_.options.learning_rate, 0.1) << "the catalogue's for ResNet";
  EXPECT_EQ(tuner_.options.label_smoothing, 0.05);
  EXPECT_EQ(tuner_.options.momentum, 0.8);
  EXPECT_EQ(tuner_.options.augment_shift, 2);
  EXPECT_TRUE(tuner_.options.augment_mirror);
  EXPECT_TRUE(tuner_.options.mixed_precision);
  EXPECT_EQ(tuner_.options.seed, 7U);
  EXPECT_EQ(tuner_.checkpoint, options_.output.string() + ".checkpoint");
  options_.learning_rate = 0.25;
  options_.padding = 0;
  options_.mirror = false;
  options_.network = "vgg11";
  (void)run();
  EXPECT_EQ(tuner_.options.learning_rate, 0.25);
  EXPECT_EQ(tuner_.options.augment_shift, 0);
  EXPECT_FALSE(tuner_.options.augment_mirror);
}

TEST_F(TrainNetwork, AnswersOnTheWayAreLearntButNotWritten) {
  (void)run();
  EXPECT_THAT(tuner_.outputs, ElementsAre("logits"));
  EXPECT_EQ(tuner_.options.further_outputs, 0);
  options_.exits = true;
  const TrainResult result = run();
  EXPECT_THAT(tuner_.outputs, testing::SizeIs(testing::AllOf(testing::Ge(4U), testing::Le(7U))));
  EXPECT_EQ(tuner_.outputs.front(), "logits");
  EXPECT_GT(tuner_.options.further_outputs, 0);
  const Model model = load_model(options_.output);
  EXPECT_EQ(model.graph().output_size(), 1);
  EXPECT_EQ(result.parameters, parameter_count(model));
  EXPECT_THAT(model.proto.doc_string(), HasSubstr(" --exits"));
  options_.network = "tiny-yolo";
  EXPECT_THAT(refused(), HasSubstr("--exits is for classifiers, which tiny-yolo is not"));
}

TEST_F(TrainNetwork, SaysAfterEveryEpochHowMuchIsRight) {
  const TrainResult result = run();
  ASSERT_EQ(messages_.size(), 2U);
  EXPECT_THAT(messages_[0],
              AllOf(HasSubstr("epoch 1/2: loss 1.0000"), HasSubstr("test accuracy "), HasSubstr(" s left")));
  EXPECT_THAT(messages_[1], HasSubstr("epoch 2/2: loss 0.5000"));
  EXPECT_GE(result.test_accuracy, 0);
  EXPECT_LE(result.test_accuracy, 1);
}

TEST_F(TrainNetwork, TheModelSaysHowToUseAndToMakeIt) {
  options_.network = "vgg11";
  const TrainResult result = run();
  EXPECT_EQ(result.task, "pre: {scale: 1/255}, post: {kind: classes}");
  EXPECT_EQ(result.bytes, static_cast<std::int64_t>(std::filesystem::file_size(options_.output)));
  EXPECT_THAT(load_model(options_.output).proto.doc_string(),
              AllOf(HasSubstr("pre: {scale: 1/255}, post: {kind: classes}; test accuracy "),
                    HasSubstr("made by: rtmdl train --data "), HasSubstr("--network vgg11 --width 0.125")));
}

TEST_F(TrainNetwork, WritesNoModelWhenItIsStopped) {
  tuner_.stops = true;
  EXPECT_FALSE(run().finished);
  EXPECT_FALSE(std::filesystem::exists(options_.output));
  EXPECT_THAT(messages_, Contains(HasSubstr("the same command goes on from " + tuner_.checkpoint.string())));
}

TEST_F(TrainNetwork, TakesTheDataOfATaskFileInBraces) {
  options_.data = "{source: idx, path: " + folder_.path().string() + ", batch: 4}";
  options_.input = {3, 16, 20};
  options_.pre = "{scale: 1/128, shift: -1}";
  (void)run();
  EXPECT_EQ(tuner_.examples, 50U);
  EXPECT_THAT(tuner_.input.shape, ElementsAre(-1, 3, 16, 20));
}

TEST_F(TrainNetwork, ADetectorGetsAnchorsForTheBoxesOfItsData) {
  const auto pictures = folder_.path() / "pictures";
  std::filesystem::create_directories(pictures);
  std::string labels;
  for (int i = 0; i < 12; ++i) {
    cv::imwrite((pictures / (std::to_string(i) + ".png")).string(), cv::Mat(96, 128, CV_8UC3, cv::Scalar(9, 9, i)));
    // Half of them wide, half of them high: as fractions of the picture, class x y w h.
    write(pictures / (std::to_string(i) + ".txt"), i % 2 == 0 ? "0 0.5 0.5 0.5 0.25\n" : "1 0.25 0.5 0.125 0.5\n");
  }
  options_.source = "images";
  options_.data = "{source: images, path: " + pictures.string() + ", labels: yolo}";
  options_.network = "tiny-yolo";
  options_.input = {3, 192, 256};
  const TrainResult result = run();
  EXPECT_EQ(tuner_.options.objective, Objective::boxes);
  EXPECT_THAT(tuner_.outputs, ElementsAre("grid"));
  ASSERT_TRUE(tuner_.detector);
  EXPECT_EQ(tuner_.detector->classes, 2);
  EXPECT_EQ(tuner_.detector->rows, 192);
  EXPECT_EQ(tuner_.first.boxes.size(), 1U);
  const Model model = load_model(options_.output);
  EXPECT_EQ(model.graph().output(0).name(), "detections");
  EXPECT_THAT(result.task, HasSubstr("post: {kind: detections, decoder: yolo"));

  options_.network = "ssdlite";
  (void)run();
  EXPECT_THAT(tuner_.outputs, ElementsAre("boxes", "scores"));
  EXPECT_EQ(tuner_.detector->loss, DetectorTarget::Loss::ssd);
  EXPECT_EQ(tuner_.detector->grids.size(), 6U);
}

/// A second of a tone, 16 bits mono.
void write_tone(const std::filesystem::path& path, double hertz, int rate) {
  std::string samples;
  for (int i = 0; i < rate; ++i) {
    const auto value = static_cast<std::int16_t>(12000 * std::sin(2 * 3.14159265 * hertz * i / rate));
    samples.append(reinterpret_cast<const char*>(&value), 2);
  }
  std::string header = "RIFF";
  const auto number = [&](std::uint32_t v, int bytes) {
    for (int b = 0; b < bytes; ++b) header += static_cast<char>(v >> 8 * b & 255);
  };
  number(36 + static_cast<std::uint32_t>(samples.size()), 4);
  header += "WAVEfmt ";
  number(16, 4), number(1, 2), number(1, 2);
  number(static_cast<std::uint32_t>(rate), 4), number(static_cast<std::uint32_t>(2 * rate), 4);
  number(2, 2), number(16, 2);
  header += "data";
  number(static_cast<std::uint32_t>(samples.size()), 4);
  write(path, header + samples);
}

TEST_F(TrainNetwork, SoundsBecomeWhatTheNetworkHears) {
  for (int i = 0; i < 12; ++i) {
    const auto folder = folder_.path() / "sounds" / (i % 2 == 0 ? "high" : "low");
    std::filesystem::create_directories(folder);
    write_tone(folder / (std::to_string(i) + ".wav"), (i % 2 == 0 ? 900 : 200) + 20 * i, 16000);
  }
  options_.source = "audio";
  options_.data = folder_.path() / "sounds";
  options_.width = 0.25;
  options_.network = "lstm";
  const TrainResult result = run();
  EXPECT_THAT(tuner_.input.shape, ElementsAre(-1, 128, 40));
  EXPECT_EQ(tuner_.options.batch, 32) << "the catalogue's";
  EXPECT_TRUE(tuner_.options.adamw);
  EXPECT_EQ(tuner_.options.augment_shift, 0);
  EXPECT_THAT(result.task, HasSubstr("pre: {mfcc: {coefficients: 40"));
  options_.network = "sbcnn";
  (void)run();
  EXPECT_THAT(tuner_.input.shape, ElementsAre(-1, 1, 128, 128));
  options_.padding = 2;
  EXPECT_THAT(refused(), HasSubstr("sbcnn on these data takes neither"));
}

TEST_F(TrainNetwork, DrawnDataNeedNoPathAndMakeASyntheticModel) {
  options_.source = "signs";
  options_.data = "{source: signs, count: {training: 40, evaluation: 20}}";
  options_.network = "mobilenetv2";
  const TrainResult result = run();
  EXPECT_TRUE(result.synthetic);
  EXPECT_FALSE(tuner_.options.augment_mirror) << "a sign has a left and a right";
  EXPECT_THAT(load_model(options_.output).proto.doc_string(), HasSubstr("of synthetic data"));
  options_.data.clear();
  EXPECT_EQ(refused(), "");
}

TEST_F(TrainNetwork, RefusesOptionsOutOfRange) {
  const auto with = [&](auto change) {
    const TrainOptions good = options_;
    change(options_);
    const std::string message = refused();
    options_ = good;
    return message;
  };
  EXPECT_THAT(with([](TrainOptions& o) { o.network = "vgg"; }),
              HasSubstr("network 'vgg' is unknown, accepted: alexnet"));
  EXPECT_THAT(with([](TrainOptions& o) { o.epochs = 0; }), HasSubstr("0 epochs, accepted: 1 to 10000"));
  EXPECT_THAT(with([](TrainOptions& o) { o.batch = 1; }), HasSubstr("batch 1, accepted: 2 to"));
  EXPECT_THAT(with([](TrainOptions& o) { o.widths = {8, 8}; }), HasSubstr("widths 8,8: resnet18 takes four"));
  EXPECT_THAT(with([](TrainOptions& o) { o.learning_rate = std::numeric_limits<double>::quiet_NaN(); }),
              HasSubstr("learning rate nan, accepted: above 0"));
  EXPECT_THAT(with([](TrainOptions& o) { o.data.clear(); }), HasSubstr("path"));
  EXPECT_THAT(with([](TrainOptions& o) { o.data = "nowhere"; }), HasSubstr("nowhere"));
  EXPECT_THAT(with([](TrainOptions& o) { o.source = "tape"; }), HasSubstr("'tape'"));
  EXPECT_THAT(with([](TrainOptions& o) { o.network = "tiny-yolo"; }), HasSubstr("no boxes, from which tiny-yolo"));
  EXPECT_THAT(with([](TrainOptions& o) {
                o.input = {3, 32};
              }),
              HasSubstr("input 3,32, accepted: channels,rows,columns"));
}

TEST(TrainCommand, SpellsOutWhatIsNotStandard) {
  TrainOptions o;
  o.data = "d";
  o.output = "m.onnx";
  EXPECT_EQ(train_command(o, 1), "rtmdl train --data d --output m.onnx --epochs 10 --seed 1");
  o.widths = {16, 16, 32, 32};
  o.batch = 64;
  o.mixed_precision = true;
  EXPECT_EQ(
      train_command(o, 3),
      "rtmdl train --data d --output m.onnx --epochs 10 --seed 3 --widths 16,16,32,32 --batch 64 --mixed-precision");
  o = {};
  o.data = "{source: images, path: it's}";
  o.output = "m.onnx";
  o.network = "mobilenetv2";
  o.mirror = false;
  EXPECT_EQ(train_command(o, 1),
            "rtmdl train --data '{source: images, path: it'\\''s}' --output m.onnx --epochs 10 --seed 1 --network "
            "mobilenetv2 --no-mirror");
}

TEST(ClusterSizes, FindsTheSizesThatBoxesHave) {
  std::vector<std::array<float, 2>> sizes;
  for (int i = 0; i < 30; ++i) {
    sizes.push_back({10.0F + static_cast<float>(i % 3), 20});
    sizes.push_back({80, 40.0F + static_cast<float>(i % 5)});
  }
  EXPECT_THAT(cluster_sizes(sizes, 2), ElementsAre(11, 20, 80, 42));
  EXPECT_THAT(cluster_sizes({{5, 5}, {5, 5}}, 3), ElementsAre(5, 5));
  EXPECT_TRUE(cluster_sizes({}, 3).empty());
}

}  // namespace
}  // namespace rtmdl
