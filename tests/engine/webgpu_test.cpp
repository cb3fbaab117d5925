// On a real WebGPU device, which is Mesa's software driver where there is no GPU (scripts/setup --tests, and
// VK_DRIVER_FILES in tests/CMakeLists.txt). Correctness only: it is slow.
#include "architectures.h"
#include "engine/engine.h"
#include "engine/same_outputs.h"

#include <rtmdl/error.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

namespace rtmdl {
namespace {

namespace fs = std::filesystem;
using Bytes = std::vector<std::byte>;

constexpr float kTolerance = 1e-3F;

Bytes output_of(Executable& model) {
  Bytes all;
  for (std::size_t i = 0; i < model.outputs().size(); ++i) {
    const auto bytes = model.output(i).bytes;
    all.insert(all.end(), bytes.begin(), bytes.end());
  }
  return all;
}

class WebGpu : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (!std::getenv("VK_DRIVER_FILES")) GTEST_SKIP() << "VK_DRIVER_FILES names no driver: scripts/setup --tests";
    setenv("LP_NUM_THREADS", "1", 0);  // tests run side by side
    setenv("MESA_SHADER_CACHE_DIR", RTMDL_BINARY_DIR "/shaders", 0);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  static LoadRequest asset(const std::string& name) {
    LoadRequest request;
    request.model = fs::path(RTMDL_SOURCE_DIR) / "assets" / "models" / name;
    if (name == "ppocr_det.onnx") request.shapes = {{"x", {1, 3, 64, 96}}};
    if (name == "ppocr_rec.onnx") request.shapes = {{"x", {1, 3, 48, 96}}};
    if (name == "ppocr_cls.onnx") request.shapes = {{"x", {1, 3, 48, 192}}};
    return request;
  }

  LoadRequest architecture(const std::string& name) const {
    LoadRequest request;
    request.model = folder_ / (name + ".onnx");
    save_model(test::architecture(name), request.model);
    return request;
  }

  [[nodiscard]] LoadRequest named(const std::string& name) const {
    return name.ends_with(".onnx") ? asset(name) : architecture(name);
  }

  static LoadRequest on_gpu(LoadRequest request) {
    request.device = "webgpu";
    return request;
  }

  std::unique_ptr<Engine> engine_ = make_onnxruntime_engine();
  fs::path folder_ = fs::temp_directory_path() / ("rtmdl-webgpu-" + std::to_string(::getpid()));
};

TEST_P(WebGpu, GivesWhatTheCpuGives) {
  const LoadRequest request = named(GetParam());
  const auto cpu = engine_->load(request), gpu = engine_->load(on_gpu(request));
  for (const std::uint32_t seed : {1U, 2U}) {
    test::fill(*cpu, seed);
    test::fill(*gpu, seed);
    ASSERT_TRUE(cpu->run()) << cpu->last_error();
    ASSERT_TRUE(gpu->run()) << gpu->last_error();
    test::expect_equal_outputs(*cpu, *gpu, GetParam(), kTolerance);
  }
}

INSTANTIATE_TEST_SUITE_P(Models, WebGpu,
                         testing::Values("blazeface_128.onnx", "blazeface_256.onnx", "mlsd_320.onnx", "ppocr_det.onnx",
                                         "ppocr_rec.onnx", "ppocr_cls.onnx", "squeezenet1_1", "preact_resnet",
                                         "mobilenet_v2", "shufflenet_v1", "group_norm", "super_resolution", "unet",
                                         "gru", "text_transformer"),
                         [](const auto& instance) {
                           std::string name = instance.param;
                           return name.substr(0, name.find('.'));
                         });

class WebGpuSegments : public WebGpu {};

TEST_P(WebGpuSegments, GiveWhatTheUncutModelGives) {
  LoadRequest request = on_gpu(named(GetParam()));
  const auto whole = engine_->load(request);
  request.cuts = test::some_cuts(load_model(request.model), 3);
  const auto cut = engine_->load(request);
  ASSERT_EQ(cut->segments(), static_cast<int>(request.cuts.size()) + 1);
  for (const std::uint32_t seed : {1U, 2U, 1U}) {
    test::fill(*whole, seed);
    test::fill(*cut, seed);
    ASSERT_TRUE(whole->run()) << whole->last_error();
    for (int k = 0; k < cut->segments(); ++k) ASSERT_TRUE(cut->run_segment(k)) << cut->last_error();
    test::expect_equal_outputs(*whole, *cut, GetParam(), kTolerance);
  }
}

INSTANTIATE_TEST_SUITE_P(Models, WebGpuSegments,
                         testing::Values("blazeface_128.onnx", "ppocr_det.onnx", "squeezenet1_1", "preact_resnet",
                                         "unet"),
                         [](const auto& instance) {
                           std::string name = instance.param;
                           return name.substr(0, name.find('.'));
                         });

class WebGpuParts : public WebGpu {
 protected:
  /// Cut in two, the first part on one device and the rest on the other.
  static LoadRequest split(LoadRequest request, const std::string& first, const std::string& rest) {
    request.cuts = test::some_cuts(load_model(request.model), 1);
    request.places.resize(2);
    request.places[0].device = first;
    request.places[1].device = rest;
    return request;
  }
};

TEST_P(WebGpuParts, OfWhichOneIsOnTheCpuGiveWhatTheCpuGives) {
  const LoadRequest request = named(GetParam());
  const auto cpu = engine_->load(request);
  for (const auto& [first, rest] : {std::pair("cpu", "webgpu"), {"webgpu", "cpu"}, {"webgpu", "webgpu"}}) {
    const auto both = engine_->load(split(request, first, rest));
    ASSERT_EQ(both->segments(), 2);
    for (const std::uint32_t seed : {1U, 2U, 1U}) {
      test::fill(*cpu, seed);
      test::fill(*both, seed);
      ASSERT_TRUE(cpu->run()) << cpu->last_error();
      for (int k = 0; k < 2; ++k) ASSERT_TRUE(both->run_segment(k)) << both->last_error();
      test::expect_equal_outputs(*cpu, *both, GetParam() + ", " + first + " and " + rest, kTolerance);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, WebGpuParts,
                         testing::Values("blazeface_128.onnx", "ppocr_det.onnx", "squeezenet1_1", "preact_resnet",
                                         "unet"),
                         [](const auto& instance) {
                           std::string name = instance.param;
                           return name.substr(0, name.find('.'));
                         });

TEST_F(WebGpuParts, KeepTheStateOfTheWhole) {
  const LoadRequest request = test::model_with_state(folder_);
  for (const int cut : {1, 2, 3}) {
    const auto cpu = engine_->load(request);
    for (const auto& [first, rest] : {std::pair("cpu", "webgpu"), {"webgpu", "cpu"}}) {
      LoadRequest parts = split(request, first, rest);
      parts.cuts = {cut};
      const auto both = engine_->load(parts);
      cpu->reset_state();
      for (std::uint32_t step = 0; step < 4; ++step) {
        test::fill(*cpu, step);
        test::fill(*both, step);
        ASSERT_TRUE(cpu->run());
        ASSERT_TRUE(both->run()) << both->last_error();
        test::expect_equal_outputs(*cpu, *both, "step " + std::to_string(step), kTolerance);
      }
    }
  }
}

// The part on the CPU waits for nobody's turn.
TEST_F(WebGpuParts, RunBesideModelsOfTheDevice) {
  const LoadRequest request = asset("blazeface_128.onnx");
  const auto gpu = engine_->load(on_gpu(request));
  const auto both = engine_->load(split(request, "webgpu", "cpu"));
  test::fill(*gpu, 1);
  test::fill(*both, 2);
  ASSERT_TRUE(gpu->run() && both->run());
  const Bytes of_gpu = output_of(*gpu), of_both = output_of(*both);
  std::thread other([&] {
    for (int n = 0; n < 8; ++n) {
      EXPECT_TRUE(gpu->run()) << gpu->last_error();
      EXPECT_EQ(output_of(*gpu), of_gpu);
    }
  });
  for (int n = 0; n < 8; ++n) {
    EXPECT_TRUE(both->run()) << both->last_error();
    EXPECT_EQ(output_of(*both), of_both);
  }
  other.join();
}

TEST_F(WebGpu, KeepsTheStateOfARecurrentModel) {
  LoadRequest request = asset("silero_vad.onnx");
  request.shapes = {{"input", {1, 576}}, {"state", {2, 1, 128}}};
  request.state = {{"stateN", "state"}};
  request.constants = {{"sr", 16000}};
  const auto cpu = engine_->load(request), gpu = engine_->load(on_gpu(request));
  for (int round = 0; round < 2; ++round) {
    for (std::uint32_t step = 0; step < 3; ++step) {
      test::fill(*cpu, step);
      test::fill(*gpu, step);
      ASSERT_TRUE(cpu->run()) << cpu->last_error();
      ASSERT_TRUE(gpu->run()) << gpu->last_error();
      test::expect_equal_outputs(*cpu, *gpu, "step " + std::to_string(step), kTolerance);
    }
    cpu->reset_state();
    gpu->reset_state();
  }
}

TEST_F(WebGpu, KeepsStateAcrossSegments) {
  LoadRequest request = test::model_with_state(folder_);
  const auto cpu = engine_->load(request);
  request.cuts = {1, 2, 3};
  const auto gpu = engine_->load(on_gpu(request));
  for (std::uint32_t step = 0; step < 4; ++step) {
    test::fill(*cpu, step);
    test::fill(*gpu, step);
    ASSERT_TRUE(cpu->run());
    ASSERT_TRUE(gpu->run()) << gpu->last_error();
    test::expect_equal_outputs(*cpu, *gpu, "step " + std::to_string(step), kTolerance);
  }
}

TEST_F(WebGpu, ACancelledModelRunsAgainOnceItIsRearmed) {
  LoadRequest request = on_gpu(asset("blazeface_128.onnx"));
  for (const int cuts : {0, 1}) {
    request.cuts = test::some_cuts(load_model(request.model), static_cast<std::size_t>(cuts));
    const auto model = engine_->load(request);
    test::fill(*model, 1);
    ASSERT_TRUE(model->run());
    const Bytes before = output_of(*model);
    model->cancel();
    EXPECT_FALSE(model->run());
    EXPECT_FALSE(model->run()) << "until it is rearmed";
    EXPECT_STRNE(model->last_error(), "");
    model->rearm();
    ASSERT_TRUE(model->run()) << model->last_error();
    EXPECT_EQ(output_of(*model), before);
  }
}

TEST_F(WebGpu, IsCancelledFromAnotherThreadWhileItRuns) {
  const auto model = engine_->load(on_gpu(asset("blazeface_128.onnx")));
  test::fill(*model, 1);
  ASSERT_TRUE(model->run());
  const Bytes before = output_of(*model);
  std::atomic<bool> running{false};
  std::thread runner([&] {
    running = true;
    while (model->run()) {
    }
  });
  while (!running) std::this_thread::yield();
  model->cancel();
  runner.join();
  model->rearm();
  ASSERT_TRUE(model->run()) << model->last_error();
  EXPECT_EQ(output_of(*model), before);
}

// Unguarded, ONNX Runtime would crash in each of the next two.
TEST_F(WebGpu, ThreadsThatRunAtOnceTakeTurns) {
  const LoadRequest request = on_gpu(asset("blazeface_128.onnx"));
  constexpr std::size_t kThreads = 3;
  std::vector<std::unique_ptr<Executable>> models;
  std::vector<Bytes> expected;
  for (std::size_t i = 0; i < kThreads; ++i) {
    models.push_back(engine_->load(request));
    test::fill(*models[i], static_cast<std::uint32_t>(i));
    ASSERT_TRUE(models[i]->run());
    expected.push_back(output_of(*models[i]));
  }
  EXPECT_NE(expected[0], expected[1]);
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < kThreads; ++i)
    threads.emplace_back([&, i] {
      for (int n = 0; n < 8; ++n) {
        EXPECT_TRUE(models[i]->run()) << models[i]->last_error();
        EXPECT_EQ(output_of(*models[i]), expected[i]);
      }
    });
  for (std::thread& thread : threads) thread.join();
}

TEST_F(WebGpu, ModelsComeAndGoBesideRuns) {
  const LoadRequest request = on_gpu(asset("blazeface_128.onnx"));
  const auto stays = engine_->load(request);
  test::fill(*stays, 1);
  ASSERT_TRUE(stays->run());
  const Bytes expected = output_of(*stays);
  std::atomic<bool> done{false};
  const auto come_and_go = [&](int cuts) {
    const auto engine = make_onnxruntime_engine();  // all engines of a process share the device
    LoadRequest r = request;
    r.cuts = test::some_cuts(load_model(r.model), static_cast<std::size_t>(cuts));
    for (int n = 0; n < 3; ++n) {
      const auto model = engine->load(r);
      test::fill(*model, 1);
      EXPECT_TRUE(model->run()) << model->last_error();
      EXPECT_EQ(output_of(*model).size(), expected.size());
    }
  };
  std::thread runner([&] {
    while (!done) {
      EXPECT_TRUE(stays->run()) << stays->last_error();
      EXPECT_EQ(output_of(*stays), expected);
    }
  });
  std::thread whole(come_and_go, 0), cut(come_and_go, 2);
  whole.join();
  cut.join();
  done = true;
  runner.join();
}

TEST_F(WebGpu, AModelThatItRefusesLeavesTheDeviceUsable) {
  LoadRequest request = on_gpu(asset("blazeface_128.onnx"));
  request.shapes = {{"no such input", {1}}};
  EXPECT_THROW(static_cast<void>(engine_->load(request)), Error);
  request.shapes.clear();
  EXPECT_TRUE(engine_->load(request)->run());
}

}  // namespace
}  // namespace rtmdl
