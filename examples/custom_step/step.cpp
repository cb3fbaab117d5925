// Steps of one's own for a classifier, as a library that a task file names:
//
//   pre:  {plugin: libcustom_step.so}
//   post: {kind: plugin, plugin: libcustom_step.so, gives: classes, options: "0.6"}
//
// Before the model every picture is stretched to the full range of grey; after it, what the model is not sure of (a
// probability below the option) becomes the class "unknown", one more than the model has.

#include <rtmdl/step.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <stdexcept>

namespace {

/// [batch, 1, height, width] in f32, from as many grey pictures of that size.
class FullRange final : public rtmdl::PreStep {
 public:
  explicit FullRange(const rtmdl::TensorSpec& input) {
    if (input.type != rtmdl::ElementType::f32 || input.shape.size() != 4 || input.shape[1] != 1)
      throw std::invalid_argument("it takes grey pictures in f32");
  }
  bool run(const rtmdl::Input& in, rtmdl::TensorView to, rtmdl::Geometry& geometry) override {
    const auto width = static_cast<int>(to.shape[3]), height = static_cast<int>(to.shape[2]);
    if (!in.pixels || in.channels != 1 || in.batch != to.shape[0] || in.width != width ||
        in.height != height * in.batch)
      return false;
    float* out = to.as<float>().data();
    for (int b = 0; b < in.batch; ++b) {
      const std::uint8_t* first = in.pixels + static_cast<std::size_t>(b * height) * in.stride;
      std::uint8_t low = 255, high = 0;
      for (int y = 0; y < height; ++y)
        for (int x = 0; x < width; ++x) {
          const std::uint8_t v = first[static_cast<std::size_t>(y) * in.stride + static_cast<std::size_t>(x)];
          low = std::min(low, v);
          high = std::max(high, v);
        }
      const float gain = high > low ? 1.0f / static_cast<float>(high - low) : 0;
      for (int y = 0; y < height; ++y)
        for (int x = 0; x < width; ++x)
          *out++ = gain * static_cast<float>(
                              first[static_cast<std::size_t>(y) * in.stride + static_cast<std::size_t>(x)] - low);
    }
    geometry.frame_width = geometry.input_width = width;
    geometry.frame_height = geometry.input_height = height;
    return true;
  }
};

/// The likeliest class of each row of logits, [batch, classes].
class OrUnknown final : public rtmdl::PostStep {
 public:
  OrUnknown(const rtmdl::TensorSpec& logits, float least) : least_(least) {
    if (logits.type != rtmdl::ElementType::f32 || logits.shape.size() != 2)
      throw std::invalid_argument("it reads logits in f32, [batch, classes]");
  }
  bool run(std::span<const rtmdl::TensorView> outputs, const rtmdl::Geometry&, rtmdl::Result& result) override {
    const rtmdl::TensorView& logits = outputs[0];
    const auto classes = static_cast<std::size_t>(logits.shape[1]);
    result.k = 1;
    for (auto row = logits.as<float>(); !row.empty(); row = row.subspan(classes)) {
      const auto scores = row.first(classes);
      const auto best = std::max_element(scores.begin(), scores.end());
      float sum = 0;
      for (const float s : scores) sum += std::exp(s - *best);
      if (!std::isfinite(sum)) return false;
      const bool sure = 1 / sum >= least_;
      result.classes.push_back(
          static_cast<std::int32_t>(sure ? static_cast<std::size_t>(best - scores.begin()) : classes));
      result.scores.push_back(1 / sum);
    }
    return true;
  }
  void prepare(rtmdl::Result& result) const override {
    result.classes.reserve(64);
    result.scores.reserve(64);
  }

 private:
  float least_;
};

}  // namespace

extern "C" rtmdl::PreStep* rtmdl_make_pre_step_1(const rtmdl::TensorSpec* input, const char*) {
  return new FullRange(*input);
}

extern "C" rtmdl::PostStep* rtmdl_make_post_step_1(const rtmdl::TensorSpec* outputs, std::size_t, const char* options) {
  char* end = nullptr;
  const float least = std::strtof(options, &end);
  if (*options && (*end || !(least >= 0 && least <= 1)))
    throw std::invalid_argument("options: a probability from 0 to 1");
  return new OrUnknown(outputs[0], least);
}
