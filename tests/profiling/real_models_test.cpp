/// The demo's models on real pictures and sounds: results are right, not only on time. scripts/setup fetches models and
/// data.

#include "data/metric.h"
#include "data/postprocess.h"
#include "data/preprocess.h"
#include "data/source.h"
#include "engine/engine.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <vector>

#include <gtest/gtest.h>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

namespace rtmdl {
namespace {

const std::filesystem::path kAssets = std::filesystem::path(RTMDL_SOURCE_DIR) / "assets";

/// One model with its steps, run frame by frame.
class Task {
 public:
  Task(const std::string& model, const std::string& pre, const std::string& post, LoadRequest request = {})
      : engine_(make_onnxruntime_engine()) {
    request.model = kAssets / "models" / model;
    executable_ = engine_->load(request);
    pre_ = make_preprocess(ConfigNode::parse(pre, kAssets / "test.yaml"), executable_->inputs()[0]);
    post_ = make_postprocess(ConfigNode::parse(post, kAssets / "test.yaml"), executable_->outputs());
    post_->prepare(result_);
    outputs_.resize(executable_->outputs().size());
  }

  const Result& run(const Frame& frame) {
    if (frame.restart) executable_->reset_state();
    Geometry geometry;
    EXPECT_TRUE(pre_->run(frame, executable_->input(0), geometry));
    EXPECT_TRUE(executable_->run()) << executable_->last_error();
    for (std::size_t i = 0; i < outputs_.size(); ++i) outputs_[i] = executable_->output(i);
    EXPECT_TRUE(post_->run(outputs_, geometry, result_));
    return result_;
  }

  const Result& run(const cv::Mat& image) {
    Frame frame;
    frame.image = image;
    return run(frame);
  }

 private:
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<Executable> executable_;
  std::unique_ptr<Preprocess> pre_;
  std::unique_ptr<Postprocess> post_;
  std::vector<TensorView> outputs_;
  Result result_;
};

class RealModels : public testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(kAssets / "models") || !std::filesystem::exists(kAssets / "data"))
      GTEST_SKIP() << "run scripts/setup to fetch models and data";
  }
  static cv::Mat picture(const std::string& name) {
    cv::Mat image = cv::imread((kAssets / "data" / name).string());
    EXPECT_FALSE(image.empty()) << name;
    return image;
  }
};

Task faces() {
  return Task("blazeface_128.onnx", "{letterbox: [128, 128], scale: 2/255, shift: -1, layout: NHWC}",
              "{kind: detections}");
}

TEST_F(RealModels, BlazeFaceFindsTheAstronautsFaceWhereItIs) {
  Task task = faces();
  const Result& r = task.run(picture("pictures/astronaut.png"));
  ASSERT_EQ(r.boxes.size(), 1u);
  const Box face{170, 65, 275, 180, 1, 0};  // by eye, in the 512 × 512 picture
  const float w = std::min(r.boxes[0].x1, face.x1) - std::max(r.boxes[0].x0, face.x0),
              h = std::min(r.boxes[0].y1, face.y1) - std::max(r.boxes[0].y0, face.y0);
  const float both = w * h,
              either = (r.boxes[0].x1 - r.boxes[0].x0) * (r.boxes[0].y1 - r.boxes[0].y0) + 105 * 115 - both;
  EXPECT_GT(both / either, 0.6f);
}

TEST_F(RealModels, BlazeFaceFollowsTheFaceThroughLetterboxAndCrop) {
  Task task = faces();
  const cv::Mat astronaut = picture("pictures/astronaut.png");
  const Result whole = task.run(astronaut);
  ASSERT_EQ(whole.boxes.size(), 1u);
  const Result part = task.run(astronaut(cv::Rect(100, 10, 300, 220)));
  ASSERT_EQ(part.boxes.size(), 1u);
  EXPECT_NEAR(part.boxes[0].x0 + 100, whole.boxes[0].x0, 20);
  EXPECT_NEAR(part.boxes[0].y1 + 10, whole.boxes[0].y1, 20);
}

TEST_F(RealModels, BlazeFaceFindsNoFaceWhereThereIsNone) {
  Task task = faces();
  for (const char* name : {"pictures/brick.png", "pictures/coffee.png"})
    EXPECT_TRUE(task.run(picture(name)).boxes.empty()) << name;
}

LoadRequest text_shape() {
  LoadRequest request;
  request.shapes["x"] = {1, 3, 192, 384};
  return request;
}
const char* const kTextPre =
    "{letterbox: [384, 192], colour: bgr, scale: 1/255, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}";

TEST_F(RealModels, PpOcrFindsTheLinesOfThePage) {
  Task task("ppocr_det.onnx", kTextPre, "{kind: score_map}", text_shape());
  const cv::Mat page = picture("text/page.png");  // a title, five lines of text and the top of a listing
  const Result& r = task.run(page);
  EXPECT_GE(r.boxes.size(), 6u);
  EXPECT_LE(r.boxes.size(), 9u);
  for (const Box& box : r.boxes) EXPECT_GT(box.score, 0.8f);
  const Box& title = r.boxes[0];
  EXPECT_LT(title.y0, 20);
  EXPECT_GT(title.x1 - title.x0, 0.6f * static_cast<float>(page.cols));
  const double share =
      static_cast<double>(std::count(r.mask.begin(), r.mask.end(), 1)) / static_cast<double>(r.mask.size());
  EXPECT_GT(share, 0.1);
  EXPECT_LT(share, 0.4);
}

TEST_F(RealModels, PpOcrFindsNoTextInBricks) {
  Task task("ppocr_det.onnx", kTextPre, "{kind: score_map}", text_shape());
  EXPECT_LE(task.run(picture("pictures/brick.png")).boxes.size(), 1u);
}

TEST_F(RealModels, PpOcrReadsTheTitle) {
  LoadRequest request;
  request.shapes["x"] = {1, 3, 48, 480};
  Task task("ppocr_rec.onnx", "{resize: [480, 48], colour: bgr, scale: 2/255, shift: -1}",
            "{kind: ctc, alphabet: models/ppocr_keys.txt, space: true}", request);
  const Result& r = task.run(picture("text/page.png")(cv::Rect(2, 10, 294, 30)));
  EXPECT_EQ(r.text.substr(0, 6), "Region");
  EXPECT_NE(r.text.find("segmentation"), std::string::npos) << r.text;
  EXPECT_GT(r.scores[0], 0.8f);
}

Task lines() { return Task("mlsd_320.onnx", "{resize: [320, 320], alpha: 1, layout: NHWC}", "{kind: lines}"); }

TEST_F(RealModels, MlsdFindsTheSidesOfADrawnRectangle) {
  Task task = lines();
  cv::Mat drawing(480, 640, CV_8UC3, cv::Scalar(230, 230, 230));
  cv::rectangle(drawing, cv::Rect(120, 100, 400, 260), cv::Scalar(40, 40, 40), cv::FILLED);
  const Result& r = task.run(drawing);
  const auto found = [&](float x0, float y0, float x1, float y1) {
    const auto near = [](float ax, float ay, float bx, float by) { return std::hypot(ax - bx, ay - by) < 25; };
    return std::any_of(r.lines.begin(), r.lines.end(), [&](const LineSegment& l) {
      return (near(l.x0, l.y0, x0, y0) && near(l.x1, l.y1, x1, y1)) ||
             (near(l.x1, l.y1, x0, y0) && near(l.x0, l.y0, x1, y1));
    });
  };
  EXPECT_TRUE(found(120, 100, 520, 100)) << "top";
  EXPECT_TRUE(found(120, 360, 520, 360)) << "bottom";
  EXPECT_TRUE(found(120, 100, 120, 360)) << "left";
  EXPECT_TRUE(found(520, 100, 520, 360)) << "right";
  EXPECT_LE(r.lines.size(), 12u);
}

TEST_F(RealModels, MlsdFindsTheShelvesBehindTheMotorcycle) {
  Task task = lines();
  const Result& r = task.run(picture("pictures/motorcycle_left.png"));
  EXPECT_GE(r.lines.size(), 10u);
  const auto flat = std::count_if(r.lines.begin(), r.lines.end(), [](const LineSegment& l) {
    return std::abs(l.y1 - l.y0) < 0.1f * std::abs(l.x1 - l.x0) && l.x0 > 300;
  });
  EXPECT_GE(flat, 3);  // the boards of the shelf are level
}

class Speech : public RealModels {
 protected:
  static Task task() {
    LoadRequest request;
    request.shapes["input"] = {1, 576};
    request.shapes["state"] = {2, 1, 128};
    request.state["stateN"] = "state";
    request.constants["sr"] = 16000;
    return Task("silero_vad.onnx", "{}", "{kind: scalar, outputs: output, threshold: 0.5}", request);
  }
  static double share_of_speech(const std::string& path) {
    Task silero = task();
    const auto source = open_source(ConfigNode::parse("{source: audio, path: " + path + "}", kAssets / "test.yaml"), 1);
    const std::size_t n = source->size(Split::stream);
    double heard = 0;
    for (std::size_t i = 0; i < n; ++i) heard += silero.run(source->read(Split::stream, i)).classes[0];
    return heard / static_cast<double>(n);
  }
};

TEST_F(Speech, IsHeardInRecordingsOfSpeech) {
  EXPECT_GT(share_of_speech("data/speech"), 0.6);
  EXPECT_GT(share_of_speech("data/speech/sense_and_sensibility_01_austen_64kb-0870.wav"), 0.6);
}

TEST_F(Speech, IsNotHeardInRecordedNoise) { EXPECT_LT(share_of_speech("data/sounds/Noise.wav"), 0.05); }

TEST_F(Speech, IsNotHeardInSilence) {
  Task silero = task();
  for (int i = 0; i < 50; ++i) {
    Frame frame;
    frame.tensor = Tensor(ElementType::f32, {1, 576});
    frame.restart = i == 0;
    EXPECT_EQ(silero.run(frame).classes[0], 0) << "window " << i;
  }
}

TEST_F(RealModels, AgreeWithThemselvesOnEveryEvaluationInput) {
  Task task = faces();
  const auto source = open_source(
      ConfigNode::parse("{source: images, path: data/pictures/astronaut.png, size: [320, 240]}", kAssets / "test.yaml"),
      1);
  const auto metric = make_metric("agreement", "detections", 0);
  std::size_t found = 0;
  for (std::size_t i = 0; i < source->size(Split::evaluation); i += 10) {
    const Frame frame = source->read(Split::evaluation, i);
    const Result first = task.run(frame), second = task.run(frame);
    found += first.boxes.size();
    metric->add(second, first, frame);
  }
  EXPECT_DOUBLE_EQ(metric->value(), 1);
  EXPECT_GE(found, 10u);  // most crops keep the face
}

}  // namespace
}  // namespace rtmdl
