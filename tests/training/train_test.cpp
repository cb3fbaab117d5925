#include "training/train.h"

#include "base/atomic_file.h"
#include "networks/idx_files.h"

#include <gmock/gmock.h>
#include <rtmdl/error.h>

#include <atomic>
#include <limits>

namespace rtmdl {
namespace {

using namespace rtmdl::test;
using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;

class Train : public testing::Test {
 protected:
  Train() {
    write_idx_folder(folder_.path(), 200, 100);
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
  std::string model() {
    EXPECT_TRUE(train(options_, context_).finished);
    std::string bytes = read_file(options_.output);
    std::filesystem::remove(options_.output);
    return bytes;
  }
  [[nodiscard]] std::filesystem::path checkpoint() const { return options_.output.string() + ".checkpoint"; }
  std::string refused() {
    return refusal([&] { (void)train(options_, context_); });
  }

  TemporaryFolder folder_;
  TrainOptions options_;
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
    EXPECT_THAT(what, HasSubstr("training: epoch "));
    EXPECT_GT(fraction, last);
    last = fraction;
  };
  const TrainResult result = train(options_, context_);
  EXPECT_GT(result.test_accuracy, 0.8);
  EXPECT_DOUBLE_EQ(last, 1.0);
  EXPECT_EQ(result.bytes, static_cast<std::int64_t>(std::filesystem::file_size(options_.output)));
  EXPECT_GT(result.parameters, 0);
  ASSERT_EQ(messages_.size(), 6U);
  EXPECT_THAT(messages_[2], AllOf(HasSubstr("epoch 3/6: loss "), HasSubstr("test accuracy "), HasSubstr(" s left")));
  EXPECT_FALSE(std::filesystem::exists(checkpoint())) << "a finished run leaves its model only";
}

TEST_F(Train, MixedPrecisionIsRepeatableToo) {
  options_.mixed_precision = true;
  EXPECT_EQ(model(), model());
}

TEST_F(Train, ResumedAfterADeathInMidEpochEndsWithTheSameBytes) {
  options_.epochs = 3;
  const std::string undisturbed = model();
  struct Death {};
  int steps = 0;
  context_.progress = [&](const std::string&, double) {
    if (++steps == 15) throw Death{};
  };
  EXPECT_THROW((void)train(options_, context_), Death);
  EXPECT_FALSE(std::filesystem::exists(options_.output));
  ASSERT_TRUE(std::filesystem::exists(checkpoint()));
  context_.progress = nullptr;
  EXPECT_EQ(model(), undisturbed);
  EXPECT_THAT(messages_, Contains(HasSubstr("epoch 2 of 3")));
}

TEST_F(Train, StoppedInMidEpochItGoesOnFromThatStep) {
  options_.epochs = 2;
  const std::string undisturbed = model();
  std::atomic<bool> stop = false;
  context_.stop = &stop;
  int steps = 0;
  context_.progress = [&](const std::string&, double) { stop = ++steps == 13; };
  const TrainResult stopped = train(options_, context_);
  EXPECT_FALSE(stopped.finished);
  EXPECT_FALSE(std::filesystem::exists(options_.output));
  stop = false;
  EXPECT_EQ(model(), undisturbed);
  EXPECT_EQ(steps, 20) << "13 steps before the stop, 7 after it";
}

TEST_F(Train, RefusesTheCheckpointOfOtherOptions) {
  std::atomic<bool> stop = true;
  context_.stop = &stop;
  (void)train(options_, context_);
  context_.seed = 7;
  EXPECT_THAT(refused(), AllOf(HasSubstr(checkpoint().string()), HasSubstr("other options, data or seed")));
}

TEST_F(Train, RefusesADamagedCheckpoint) {
  std::atomic<bool> stop = true;
  context_.stop = &stop;
  (void)train(options_, context_);
  std::string bytes = read_file(checkpoint());
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  write(checkpoint(), bytes);
  EXPECT_THAT(refused(), HasSubstr(checkpoint().string() + ": damaged checkpoint; delete it to start over"));
  write(checkpoint(), "");
  EXPECT_THAT(refused(), HasSubstr("damaged checkpoint"));
}

TEST_F(Train, DivergenceThatNoLowerRateHelpsEndsInAnError) {
  options_.learning_rate = 1e36;
  options_.warm_up = 0;
  const std::string message = refused();
  EXPECT_THAT(message, AllOf(HasSubstr("in epoch 1, step "), HasSubstr("learning rate of 1e+36 8 times"),
                             HasSubstr("start with a lower one")));
  ASSERT_EQ(warnings_.size(), 8U);
  EXPECT_THAT(warnings_[0], HasSubstr("back to epoch 1, step 1 at learning rate 5e+35"));
}

TEST_F(Train, DivergenceIsOvercomeByALowerRate) {
  options_.learning_rate = 1000;
  options_.weight_decay = 0;
  EXPECT_TRUE(train(options_, context_).finished);
  ASSERT_GE(warnings_.size(), 1U);
  EXPECT_LT(warnings_.size(), 8U);
  EXPECT_THAT(warnings_[0],
              AllOf(HasSubstr("in epoch 1, step "), HasSubstr("back to epoch 1, step 1 at learning rate 500")));
}

TEST_F(Train, RefusesOptionsOutOfRange) {
  const auto with = [&](auto change) {
    const TrainOptions good = options_;
    change(options_);
    const std::string message = refused();
    options_ = good;
    return message;
  };
  EXPECT_THAT(with([](TrainOptions& o) { o.network = "vgg"; }),
              HasSubstr("network 'vgg' is unknown, accepted: resnet18"));
  EXPECT_THAT(with([](TrainOptions& o) { o.epochs = 0; }), HasSubstr("0 epochs, accepted: 1 to 10000"));
  EXPECT_THAT(with([](TrainOptions& o) { o.batch = 1; }), HasSubstr("batch 1, accepted: 2 to"));
  EXPECT_THAT(with([](TrainOptions& o) { o.widths = {8, 8}; }), HasSubstr("widths 8,8: resnet18 takes four"));
  EXPECT_THAT(with([](TrainOptions& o) { o.learning_rate = std::numeric_limits<double>::quiet_NaN(); }),
              HasSubstr("learning rate nan, accepted: above 0"));
  EXPECT_THAT(with([](TrainOptions& o) { o.data.clear(); }), HasSubstr("no data folder given"));
}

TEST_F(Train, TheCommandSpellsOutWhatIsNotStandard) {
  options_ = {};
  options_.data = "d";
  options_.output = "m.onnx";
  EXPECT_EQ(train_command(options_, 1), "rtmdl train --data d --output m.onnx --epochs 10 --seed 1");
  options_.widths = {16, 16, 32, 32};
  options_.batch = 64;
  options_.mixed_precision = true;
  EXPECT_EQ(
      train_command(options_, 3),
      "rtmdl train --data d --output m.onnx --epochs 10 --seed 3 --widths 16,16,32,32 --batch 64 --mixed-precision");
}

}  // namespace
}  // namespace rtmdl
