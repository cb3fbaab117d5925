#include "engine/onnxruntime/provider.h"

#include <rtmdl/error.h>

#include <algorithm>
#include <array>
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
  std::string_view hint;
};

constexpr std::array<Provider, 5> kProviders{{
    {"webgpu", "WebGpuExecutionProvider", "WebGPU", "use a build of ONNX Runtime with WebGPU and a Vulkan driver"},
    {"cuda", "CUDAExecutionProvider", "CUDA", "point ONNXRUNTIME_ROOT at a CUDA build of ONNX Runtime"},
    {"tensorrt", "TensorrtExecutionProvider", "TensorRT", "point ONNXRUNTIME_ROOT at a TensorRT build of ONNX Runtime"},
    {"openvino", "OpenVINOExecutionProvider", "OpenVINO",
     "point ONNXRUNTIME_ROOT at an OpenVINO build of ONNX Runtime"},
    {"xnnpack", "XnnpackExecutionProvider", "XNNPACK",
     "point ONNXRUNTIME_ROOT at a build of ONNX Runtime with XNNPACK"},
}};

[[noreturn]] void refuse(const std::string& device, std::string_view hint) {
  const std::vector<std::string> available = Ort::GetAvailableProviders();
  throw Error(ErrorCode::missing_device, fmt::format("device '{}' is not there: this ONNX Runtime has {}; {}", device,
                                                     fmt::join(available, ", "), hint));
}

/// ONNX Runtime's messages carry file names and template arguments before what matters.
std::string last_clause(std::string message) {
  if (const auto at = message.rfind(" : FAIL : "); at != std::string::npos) message = message.substr(at + 10);
  if (const auto at = message.find('\n'); at != std::string::npos) message = message.substr(0, at);
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

}  // namespace

void append_provider(Ort::SessionOptions& options, const std::string& device,
                     const std::map<std::string, std::string>& provider_options) {
  if (device == "cpu") return;
  const auto colon = device.find(':');
  const std::string kind = device.substr(0, colon);
  const auto* known =
      std::find_if(kProviders.begin(), kProviders.end(), [&](const Provider& p) { return p.device == kind; });
  if (known == kProviders.end()) refuse(device, "write cpu, webgpu, cuda:0, tensorrt:0, openvino or xnnpack");

  const std::vector<std::string> available = Ort::GetAvailableProviders();
  if (std::find(available.begin(), available.end(), known->registered) == available.end()) refuse(device, known->hint);

  std::unordered_map<std::string, std::string> values(provider_options.begin(), provider_options.end());
  if (colon != std::string::npos) values.emplace("device_id", device.substr(colon + 1));
  try {
    if (kind == "cuda") {
      append_cuda(options, values);
    } else if (kind == "tensorrt") {
      append_tensorrt(options, values);
    } else {
      options.AppendExecutionProvider(std::string(known->append), values);
    }
  } catch (const Ort::Exception& e) {
    refuse(device, fmt::format("{}, since this one failed to start: {}", known->hint, last_clause(e.what())));
  }
}

}  // namespace rtmdl
