#include "engine/onnxruntime/provider.h"

#include <rtmdl/error.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <memory>
#include <string_view>
#include <unordered_map>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace rtmdl {
namespace {

struct Provider {
  std::string_view device;      ///< as in task files
  std::string_view registered;  ///< as ONNX Runtime lists it
  std::string_view append;      ///< as its append call takes it
  std::string_view build;       ///< what to do if this ONNX Runtime does not have it
  std::string_view start;       ///< what to do if it has it and it does not start
  const char* memory;           ///< its device's memory, as ONNX Runtime names it; nullptr: the host's
};

constexpr std::string_view kCudaDriver =
    "install the GPU's driver, and CUDA and cuDNN of the versions that it was built with";

constexpr std::array<Provider, 5> kProviders{{
    {"webgpu", "WebGpuExecutionProvider", "WebGPU", "use a build of ONNX Runtime with WebGPU",
     "install libvulkan1 and the GPU's Vulkan driver (without a GPU: mesa-vulkan-drivers, 24 or newer)",
     "WebGPU_Buffer"},
    {"cuda", "CUDAExecutionProvider", "CUDA", "point ONNXRUNTIME_ROOT at a CUDA build of ONNX Runtime", kCudaDriver,
     "Cuda"},
    {"tensorrt", "TensorrtExecutionProvider", "TensorRT", "point ONNXRUNTIME_ROOT at a TensorRT build of ONNX Runtime",
     kCudaDriver, "Cuda"},
    {"openvino", "OpenVINOExecutionProvider", "OpenVINO", "point ONNXRUNTIME_ROOT at an OpenVINO build of ONNX Runtime",
     "install OpenVINO's runtime for this device", nullptr},
    {"xnnpack", "XnnpackExecutionProvider", "XNNPACK", "point ONNXRUNTIME_ROOT at a build of ONNX Runtime with XNNPACK",
     "look at `options`", nullptr},
}};

[[noreturn]] void refuse(const std::string& device, std::string_view hint) {
  const std::vector<std::string> available = Ort::GetAvailableProviders();
  throw Error(ErrorCode::missing_device, fmt::format("device '{}' is not there: this ONNX Runtime has {}; {}", device,
                                                     fmt::join(available, ", "), hint));
}

/// ONNX Runtime's messages carry file names, template arguments and conditions before what matters.
std::string last_clause(std::string message) {
  for (const std::string_view before : {" : FAIL : ", " was false. "})
    if (const auto at = message.rfind(before); at != std::string::npos) message.erase(0, at + before.size());
  if (const auto at = message.find('\n'); at != std::string::npos) message.resize(at);
  return message.substr(0, 200);
}

using Options = std::unordered_map<std::string, std::string>;

struct KeysAndValues {
  explicit KeysAndValues(const Options& options) {
    for (const auto& [key, value] : options) {
      keys.push_back(key.c_str());
      values.push_back(value.c_str());
    }
  }
  std::vector<const char*> keys, values;
};

void append_cuda(Ort::SessionOptions& options, const Options& values) {
  const OrtApi& api = Ort::GetApi();
  OrtCUDAProviderOptionsV2* raw = nullptr;
  Ort::ThrowOnError(api.CreateCUDAProviderOptions(&raw));
  const std::unique_ptr<OrtCUDAProviderOptionsV2, decltype(api.ReleaseCUDAProviderOptions)> cuda(
      raw, api.ReleaseCUDAProviderOptions);
  const KeysAndValues list(values);
  Ort::ThrowOnError(api.UpdateCUDAProviderOptions(raw, list.keys.data(), list.values.data(), list.keys.size()));
  options.AppendExecutionProvider_CUDA_V2(*raw);
}

void append_tensorrt(Ort::SessionOptions& options, const Options& values) {
  const OrtApi& api = Ort::GetApi();
  OrtTensorRTProviderOptionsV2* raw = nullptr;
  Ort::ThrowOnError(api.CreateTensorRTProviderOptions(&raw));
  const std::unique_ptr<OrtTensorRTProviderOptionsV2, decltype(api.ReleaseTensorRTProviderOptions)> tensorrt(
      raw, api.ReleaseTensorRTProviderOptions);
  const KeysAndValues list(values);
  Ort::ThrowOnError(api.UpdateTensorRTProviderOptions(raw, list.keys.data(), list.values.data(), list.keys.size()));
  options.AppendExecutionProvider_TensorRT_V2(*raw);
}

const Provider* provider_of(const std::string& device) {
  const auto* known = std::find_if(kProviders.begin(), kProviders.end(), [&](const Provider& p) {
    return p.device == std::string_view(device).substr(0, device.find(':'));
  });
  return known == kProviders.end() ? nullptr : known;
}

}  // namespace

void require_provider(const std::string& device) {
  if (device == "cpu") return;
  const Provider* known = provider_of(device);
  if (!known) refuse(device, "write cpu, webgpu, cuda:0, tensorrt:0, openvino or xnnpack");
  const std::vector<std::string> available = Ort::GetAvailableProviders();
  if (std::find(available.begin(), available.end(), known->registered) == available.end()) refuse(device, known->build);
}

int device_number(const std::string& device) {
  const auto colon = device.find(':');
  if (colon == std::string::npos) return 0;
  int number = 0;
  const char* const end = device.data() + device.size();
  const auto [read, error] = std::from_chars(device.data() + colon + 1, end, number);
  if (error != std::errc() || read != end || number < 0)
    bad_input(fmt::format("device '{}': what follows the colon is the device's number, such as {}:0", device,
                          device.substr(0, colon)));
  return number;
}

void append_provider(Ort::SessionOptions& options, const std::string& device,
                     const std::map<std::string, std::string>& provider_options) {
  if (device == "cpu") return;
  require_provider(device);
  const Provider* known = provider_of(device);
  const std::string_view kind = known->device;
  std::unordered_map<std::string, std::string> values(provider_options.begin(), provider_options.end());
  if (device.find(':') != std::string::npos) values.emplace("device_id", std::to_string(device_number(device)));
  // In its own preference, NHWC, ONNX Runtime 1.30 computes some 1-D convolutions wrongly (Silero's, for one).
  if (kind == "webgpu") values.emplace("preferredLayout", "NCHW");
  try {
    if (kind == "cuda") {
      append_cuda(options, values);
    } else if (kind == "tensorrt") {
      append_tensorrt(options, values);
    } else {
      options.AppendExecutionProvider(std::string(known->append), values);
    }
  } catch (const Ort::Exception& e) {
    throw Error(ErrorCode::missing_device,
                fmt::format("device '{}' does not start: {}; {}", device, last_clause(e.what()), known->start));
  }
}

bool returns_early(const std::string& device) {
  const Provider* known = provider_of(device);
  return known && known->device == "webgpu";
}

Ort::Allocator device_allocator(const Ort::Session& session, const std::string& device) {
  const Provider* known = provider_of(device);
  Ort::Allocator allocator{nullptr};
  if (!known || !known->memory) return allocator;
  try {
    const Ort::MemoryInfo memory(known->memory, OrtDeviceAllocator, device_number(device), OrtMemTypeDefault);
    allocator = Ort::Allocator(session, memory);
  } catch (const Ort::Exception&) {  // none: whatever the provider does, it works from the host's
  }
  return allocator;
}

}  // namespace rtmdl
