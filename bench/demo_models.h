#pragma once
/// The demo's five models, to be loaded and run as jobs of one stage, or of one per segment.

#include "engine/engine.h"
#include "runtime/job_body.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace rtmdl {

struct BenchModel {
  std::string name;
  LoadRequest request;
};

inline std::vector<BenchModel> demo_models() {
  const std::filesystem::path root = RTMDL_SOURCE_DIR;
  std::vector<BenchModel> all(5);
  all[0] = {"speech", {}};
  all[0].request.model = root / "assets/models/silero_vad.onnx";
  all[0].request.shapes = {{"input", {1, 576}}, {"state", {2, 1, 128}}};
  all[0].request.state = {{"stateN", "state"}};
  all[0].request.constants = {{"sr", 16000}};
  all[1] = {"faces", {}};
  all[1].request.model = root / "assets/models/blazeface_128.onnx";
  all[2] = {"clothes", {}};
  all[2].request.model = root / "examples/edge-box/models/fashion_resnet18.onnx";
  all[2].request.shapes = {{"image", {12, 1, 28, 28}}};
  all[3] = {"lines", {}};
  all[3].request.model = root / "assets/models/mlsd_320.onnx";
  all[4] = {"text", {}};
  all[4].request.model = root / "assets/models/ppocr_det.onnx";
  all[4].request.shapes = {{"x", {1, 3, 480, 480}}};
  return all;
}

class ModelBody final : public JobBody {
 public:
  explicit ModelBody(std::unique_ptr<Executable> model) : model_(std::move(model)) {}
  int stages() const noexcept override { return model_->segments(); }
  std::int64_t begin(std::uint64_t) noexcept override { return 0; }
  bool stage(int index) noexcept override { return model_->run_segment(index); }
  void warm_up(int) override { model_->run(); }

 private:
  std::unique_ptr<Executable> model_;
};

inline double quantile(std::vector<double> v, double q) {
  if (v.empty()) return 0;
  std::sort(v.begin(), v.end());
  return v[static_cast<std::size_t>(std::max(1.0, std::ceil(q * static_cast<double>(v.size())))) - 1];
}

}  // namespace rtmdl
