#pragma once
/// Running models in tests: random inputs, outputs as floats, the demo's models.

#include "engine/engine.h"
#include "scaling/calibrate.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

namespace rtmdl::test {

inline Engine& engine() {
  static const auto one = make_onnxruntime_engine();
  return *one;
}

/// A folder of the test's own, removed with it.
class Folder {
 public:
  Folder() : path_(std::filesystem::temp_directory_path() / ("rtmdl_scaling_" + std::to_string(::getpid()))) {
    std::filesystem::create_directories(path_);
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] std::filesystem::path save(const Model& model, const std::string& name) const {
    save_model(model, path_ / name);
    return path_ / name;
  }

 private:
  std::filesystem::path path_;
};

/// Seeded inputs for a loaded model: smooth in the last dimension, as pictures are, from `low` to `high`.
inline InputSet random_inputs(Executable& executable, std::uint32_t seed, float low, float high) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> draw(low, high);
  InputSet set;
  for (std::size_t i = 0; i < executable.inputs().size(); ++i) {
    const TensorView view = executable.input(i);
    Tensor tensor(view.type, {view.shape.begin(), view.shape.end()});
    float value = draw(random);
    if (tensor.type == ElementType::f32) {
      for (float& x : tensor.as<float>()) x = value = 0.7F * value + 0.3F * draw(random);
    }
    set.push_back(std::move(tensor));
  }
  return set;
}

inline std::vector<std::vector<float>> outputs(const LoadRequest& request, const InputSet& set) {
  const auto executable = engine().load(request);
  feed(*executable, set);
  EXPECT_TRUE(executable->run()) << executable->last_error();
  std::vector<std::vector<float>> all;
  for (std::size_t i = 0; i < executable->outputs().size(); ++i) {
    const auto values = executable->output(i).as<float>();
    all.emplace_back(values.begin(), values.end());
  }
  return all;
}

/// Largest difference, relative to the largest magnitude of each output.
inline double difference(const std::vector<std::vector<float>>& a, const std::vector<std::vector<float>>& b) {
  EXPECT_EQ(a.size(), b.size());
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].size(), b[i].size());
    double most = 1e-6;
    double apart = 0;
    for (std::size_t k = 0; k < a[i].size(); ++k) {
      most = std::max(most, static_cast<double>(std::fabs(a[i][k])));
      apart = std::max(apart, static_cast<double>(std::fabs(a[i][k] - b[i][k])));
    }
    worst = std::max(worst, apart / most);
  }
  return worst;
}

struct DemoModel {
  const char* name;
  Shapes shapes;
  float low, high;
};

inline std::vector<DemoModel> demo_models() {
  return {{"blazeface_128", {}, -1, 1}, {"mlsd_320", {}, 0, 255}, {"ppocr_det", {{"x", {1, 3, 160, 224}}}, -2, 2}};
}

inline std::filesystem::path demo_path(const std::string& name) {
  return std::filesystem::path(RTMDL_SOURCE_DIR) / "assets" / "models" / (name + ".onnx");
}

inline LoadRequest at(const std::filesystem::path& path, const Shapes& shapes = {}) {
  LoadRequest request;
  request.model = path;
  request.shapes = shapes;
  return request;
}

}  // namespace rtmdl::test
