// `rtmdl train` from end to end, with libtorch.
#include "networks/train.h"

#include "base/atomic_file.h"
#include "networks/idx_files.h"
#include "networks/networks.h"
#include "training/fine_tuner.h"
#include "training/graph_module.h"

#include <gmock/gmock.h>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

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
  options_.epochs = 6;
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
              Contains(AllOf(HasSubstr("epoch 3/6: loss "), HasSubstr("test accuracy "), HasSubstr(" s left"))));
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

/// Bright rectangles on grey: wide ones are class 0, high ones class 1.
void write_pictures_with_boxes(const std::filesystem::path& folder, int count) {
  std::filesystem::create_directories(folder);
  cv::RNG random(7);
  for (int i = 0; i < count; ++i) {
    cv::Mat picture(128, 128, CV_8UC3, cv::Scalar(60, 60, 60));
    const bool wide = i % 2 == 0;
    const int w = wide ? 48 : 24, h = wide ? 24 : 48;
    const int x = random.uniform(0, 128 - w), y = random.uniform(0, 128 - h);
    cv::rectangle(picture, {x, y, w, h}, wide ? cv::Scalar(40, 40, 250) : cv::Scalar(250, 200, 40), cv::FILLED);
    const std::string name = std::to_string(i);
    cv::imwrite((folder / (name + ".png")).string(), picture);
    std::ofstream(folder / (name + ".txt")) << (wide ? 0 : 1) << ' ' << (x + w / 2.0) / 128 << ' '
                                            << (y + h / 2.0) / 128 << ' ' << w / 128.0 << ' ' << h / 128.0 << '\n';
  }
}

TEST_F(Train, DetectorsLearnToFindThings) {
  write_pictures_with_boxes(folder_.path() / "pictures", 24);
  options_.widths.clear();
  options_.width = 0.25;
  options_.input = {3, 128, 128};
  options_.data = "{source: images, path: " + (folder_.path() / "pictures").string() +
                  ", labels: yolo, augment: {scale: [0.9, 1.0]}}";
  options_.epochs = 1;
  options_.batch = 32;
  options_.threads = 0;
  options_.learning_rate = 0.004;
  options_.network = "tiny-yolo";
  EXPECT_GT(run().test_accuracy, 0.5);
}

}  // namespace
}  // namespace rtmdl
