#include "engine/onnxruntime/cuda_stream.h"
#include "engine/onnxruntime/accelerator.h"

#include <rtmdl/error.h>

#include <cstdlib>
#include <functional>
#include <string>
#include <utility>

#include <dlfcn.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rtmdl {
namespace {

using ::testing::HasSubstr;

/// With the double of tests/engine/cudart_double as the CUDA runtime.
class CudaStreams : public ::testing::Test {
 protected:
  CudaStreams() {
    setenv("RTMDL_CUDART_LIBRARY", RTMDL_CUDART_DOUBLE, 1);
    double_ = dlopen(RTMDL_CUDART_DOUBLE, RTLD_NOW);
    reinterpret_cast<void (*)()>(dlsym(double_, "forget_calls"))();
  }
  ~CudaStreams() override { unsetenv("RTMDL_CUDART_LIBRARY"); }

  [[nodiscard]] std::string calls() const {
    return reinterpret_cast<const char* (*)()>(dlsym(double_, "recorded_calls"))();
  }

  static std::string refusal(const std::function<void()>& what) {
    try {
      what();
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::missing_device);
      return e.what();
    }
    return "accepted";
  }

  void* double_;
};

TEST_F(CudaStreams, AreNonBlockingAndTheMostUrgentHasTheGreatestPriority) {
  const CudaStream least(0, 0), half(0, 0.5), most(1, 1);
  EXPECT_EQ(least.priority(), 0);
  EXPECT_EQ(half.priority(), -2);
  EXPECT_EQ(most.priority(), -4) << "CUDA counts down";
  EXPECT_EQ(calls(),
            "create device 0 flags 1 priority 0; create device 0 flags 1 priority -2; "
            "create device 1 flags 1 priority -4; ");
}

TEST_F(CudaStreams, AreDestroyedOnceOnTheirDevice) {
  std::string number;
  {
    CudaStream first(1, 0);
    number = std::to_string(std::stoul(first.option()) / 16);
    const CudaStream moved(std::move(first));
    const CudaStream other(0, 0);  // the thread's device is another now
    EXPECT_NE(other.option(), moved.option());
  }
  EXPECT_THAT(calls(), HasSubstr("destroy " + number + " on device 1; "));
  EXPECT_EQ(calls().find("destroy " + number), calls().rfind("destroy " + number));
}

TEST_F(CudaStreams, EachModelOnACudaDeviceHasItsOwn) {
  LoadRequest request;
  request.device = "cuda:1";
  request.urgency = 1;
  const Accelerator a = accelerator_for(request), b = accelerator_for(request);
  ASSERT_TRUE(a.stream && b.stream);
  EXPECT_NE(a.stream->option(), b.stream->option());
  EXPECT_EQ(a.stream->priority(), -4);
  EXPECT_EQ(a.turn, nullptr) << "jobs run side by side there";

  request.provider_options = {{"user_compute_stream", "1234"}};
  EXPECT_FALSE(accelerator_for(request).stream) << "the user's own";
  request.provider_options.clear();
  EXPECT_FALSE(accelerator_for(request, true).stream);
  for (const char* device : {"cpu", "webgpu", "openvino"}) {
    request.device = device;
    EXPECT_FALSE(accelerator_for(request).stream) << device;
  }
}

TEST_F(CudaStreams, ADeviceThatIsNotThereIsSaid) {
  EXPECT_THAT(refusal([] { CudaStream(7, 0); }),
              HasSubstr("device 'cuda:7' does not start: cudaSetDevice: invalid device ordinal; install the GPU's "
                        "driver and the CUDA runtime"));
}

TEST_F(CudaStreams, AMissingRuntimeLibrarySaysWhatToInstall) {
  setenv("RTMDL_CUDART_LIBRARY", "/nowhere/libcudart.so", 1);
  EXPECT_THAT(
      refusal([] { CudaStream(0, 0); }),
      HasSubstr("device 'cuda:0' does not start: there is no /nowhere/libcudart.so; install the GPU's driver and "
                "the CUDA runtime (libcudart)"));
}

TEST_F(CudaStreams, ADeviceNumberIsANumber) {
  LoadRequest request;
  request.device = "cuda:first";
  try {
    static_cast<void>(accelerator_for(request));
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::bad_input);
    EXPECT_THAT(e.what(), HasSubstr("device 'cuda:first': what follows the colon is the device's number"));
  }
}

}  // namespace
}  // namespace rtmdl
