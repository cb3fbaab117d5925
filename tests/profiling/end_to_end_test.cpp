/// A real model and real pictures through scale and profile.

#include "profiling/profiler.h"
#include "profiling/scale_tasks.h"
#include "profiling/task_folder.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace rtmdl {
namespace {

/// Counts loads of the real engine.
class CountingEngine final : public Engine {
 public:
  std::unique_ptr<Executable> load(const LoadRequest& request) override {
    ++loads;
    return engine_->load(request);
  }
  std::string version() const override { return engine_->version(); }
  std::vector<std::string> devices() const override { return engine_->devices(); }
  int loads = 0;

 private:
  std::unique_ptr<Engine> engine_ = make_onnxruntime_engine();
};

TEST(EndToEnd, BlazeFaceIsScaledProfiledAndMeasuredOnce) {
  const std::filesystem::path assets = std::filesystem::path(RTMDL_SOURCE_DIR) / "assets";
  if (!std::filesystem::exists(assets / "models/blazeface_128.onnx")) GTEST_SKIP() << "no assets; run scripts/setup";
  TaskFolder folder;
  const TaskFile file = folder.parse(fmt::format(R"(
processors: {{cpu: {{cores: [0]}}}}
tasks:
  - name: faces
    model: {0}/models/blazeface_128.onnx
    data: {{source: images, path: {0}/data/pictures}}
    pre: {{resize: [128, 128], layout: NHWC, scale: 0.00784, shift: -1}}
    post: {{kind: detections}}
    period: 33 ms
    accuracy: {{min: 90 %}}
)",
                                                 assets.string()));
  CountingEngine engine;
  Context context;
  context.log = [](LogLevel, const std::string& line) { fmt::print("  {}\n", line); };

  const auto variants = scale_tasks(engine, file, folder.workspace(), {}, context);
  ASSERT_EQ(variants.size(), 1u);
  ASSERT_FALSE(variants[0].variants.empty());
  EXPECT_EQ(variants[0].variants[0].id, "source");
  EXPECT_EQ(variants[0].variants[0].accuracy, 1);
  for (const Variant& v : variants[0].variants) {
    EXPECT_GE(v.accuracy, 0.9) << v.id;
    EXPECT_EQ(static_cast<std::int64_t>(std::filesystem::file_size(v.path)), v.bytes) << v.id;
  }

  ProfileOptions options;
  options.per_variant = std::chrono::milliseconds(300);
  const auto profile = profile_tasks(engine, file, folder.workspace(), variants, options, context);
  ASSERT_EQ(profile[0].variants.size(), variants[0].variants.size());
  for (const VariantProfile& v : profile[0].variants) {
    EXPECT_GE(v.infer.stalls.of, 30);
    EXPECT_GT(summary(v.infer).p50, Duration::zero());
    EXPECT_GT(summary(v.pre).p50, Duration::zero());
    EXPECT_GE(v.memory, v.bytes);
  }

  const int loads = engine.loads;
  const auto again = scale_tasks(engine, file, folder.workspace(), {}, context);
  EXPECT_TRUE(again[0].reused);
  const auto profile_again = profile_tasks(engine, file, folder.workspace(), again, options, context);
  EXPECT_EQ(engine.loads, loads);
  EXPECT_EQ(profile_again[0].variants[0].infer.busy, profile[0].variants[0].infer.busy);
}

}  // namespace
}  // namespace rtmdl
