#include "engine/onnxruntime/cuda_stream.h"

#include <rtmdl/error.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <utility>
#include <vector>

#include <dlfcn.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace rtmdl {
namespace {

constexpr unsigned kNonBlocking = 1;  // cudaStreamNonBlocking
constexpr std::string_view kRemedy =
    "install the GPU's driver and the CUDA runtime (libcudart) of the version that ONNX Runtime was built with, or "
    "name "
    "its path in RTMDL_CUDART_LIBRARY";

[[noreturn]] void missing(int device, const std::string& reason) {
  throw Error(ErrorCode::missing_device,
              fmt::format("device 'cuda:{}' does not start: {}; {}", device, reason, kRemedy));
}

/// The library stays loaded: its driver context outlives every stream.
void* open_runtime(int device) {
  std::vector<std::string> names{"libcudart.so.13", "libcudart.so.12", "libcudart.so.11.0", "libcudart.so"};
  if (const char* set = std::getenv("RTMDL_CUDART_LIBRARY"); set && *set) names = {set};
  for (const std::string& name : names)
    if (void* handle = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL)) return handle;
  missing(device, fmt::format("there is no {}", fmt::join(names, ", ")));
}

template <typename Function>
Function symbol(void* runtime, const char* name, int device) {
  const auto found = reinterpret_cast<Function>(dlsym(runtime, name));
  if (!found) missing(device, fmt::format("libcudart has no {}", name));
  return found;
}

}  // namespace

CudaStream::CudaStream(int device, double urgency) : device_(device) {
  void* runtime = open_runtime(device);
  const auto text = symbol<const char* (*)(int)>(runtime, "cudaGetErrorString", device);
  const auto range = symbol<int (*)(int*, int*)>(runtime, "cudaDeviceGetStreamPriorityRange", device);
  const auto create = symbol<int (*)(void**, unsigned, int)>(runtime, "cudaStreamCreateWithPriority", device);
  set_device_ = symbol<int (*)(int)>(runtime, "cudaSetDevice", device);
  destroy_ = symbol<int (*)(void*)>(runtime, "cudaStreamDestroy", device);
  const auto require = [&](const char* what, int error) {
    if (error != 0) missing(device, fmt::format("{}: {}", what, text(error)));
  };
  int least = 0, greatest = 0;
  require("cudaSetDevice", set_device_(device));
  require("cudaDeviceGetStreamPriorityRange", range(&least, &greatest));
  priority_ = least + static_cast<int>(std::lround(urgency * (greatest - least)));
  require("cudaStreamCreateWithPriority", create(&stream_, kNonBlocking, priority_));
}

CudaStream::CudaStream(CudaStream&& other) noexcept
    : device_(other.device_),
      priority_(other.priority_),
      stream_(std::exchange(other.stream_, nullptr)),
      set_device_(other.set_device_),
      destroy_(other.destroy_) {}

CudaStream::~CudaStream() {
  if (!stream_) return;
  set_device_(device_);
  destroy_(stream_);
}

std::string CudaStream::option() const { return std::to_string(reinterpret_cast<std::uintptr_t>(stream_)); }

}  // namespace rtmdl
