// Steps for plugin_steps_test.cpp: a gain before, the largest value's place after; they refuse, fail and throw as
// asked.

#include <rtmdl/step.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>

namespace {

class Gain final : public rtmdl::PreStep {
 public:
  explicit Gain(float gain) : gain_(gain) {}
  bool run(const rtmdl::Input& in, rtmdl::TensorView to, rtmdl::Geometry& geometry) override {
    if (!in.values) return false;
    const auto* from = static_cast<const float*>(in.values);
    for (float& v : to.as<float>()) v = gain_ * *from++;
    geometry.scale_x = gain_;
    geometry.offset_x = in.restart ? 1 : 0;
    geometry.offset_y = static_cast<float>(in.batch);
    return true;
  }

 private:
  float gain_;
};

class Largest final : public rtmdl::PostStep {
 public:
  bool run(std::span<const rtmdl::TensorView> outputs, const rtmdl::Geometry& geometry,
           rtmdl::Result& result) override {
    const auto values = outputs[0].as<float>();
    const auto best = std::max_element(values.begin(), values.end());
    if (*best < -1000) throw std::runtime_error("thrown");
    if (*best < 0) return false;
    result.k = 1;
    result.classes.push_back(static_cast<std::int32_t>(best - values.begin()));
    result.scores.push_back(geometry.scale_x);
    return true;
  }
  int classes() const override { return 4; }
};

}  // namespace

extern "C" rtmdl::PreStep* rtmdl_make_pre_step_1(const rtmdl::TensorSpec*, const char* options) {
  if (std::strcmp(options, "refuse") == 0) return nullptr;
  if (std::strcmp(options, "throw") == 0) throw std::invalid_argument("for a reason");
  return new Gain(*options ? std::strtof(options, nullptr) : 1);
}

#ifndef ONLY_PRE
extern "C" rtmdl::PostStep* rtmdl_make_post_step_1(const rtmdl::TensorSpec*, std::size_t, const char*) {
  return new Largest;
}
#endif
