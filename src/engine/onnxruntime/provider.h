#pragma once
/// Execution providers by name: a new accelerator is a line in a table, not code.

#include <onnxruntime_cxx_api.h>

#include <map>
#include <string>

namespace rtmdl {

/// Throws Error(missing_device) if this ONNX Runtime has no provider for `device` ("cpu", "webgpu", "cuda:0",
/// "tensorrt:0", "openvino", "xnnpack"), and says what it has.
void require_provider(const std::string& device);

/// The N of "cuda:N"; 0 if there is none. Throws Error(bad_input) if it is not a number.
[[nodiscard]] int device_number(const std::string& device);

/// Adds the provider of `device` to the options. Throws Error(missing_device) as above, and if it does not start.
void append_provider(Ort::SessionOptions& options, const std::string& device,
                     const std::map<std::string, std::string>& provider_options);

/// What allocates in the device's memory; empty (false) where values stay in the host's: the CPU, and providers that
/// have no memory of their own.
[[nodiscard]] Ort::Allocator device_allocator(const Ort::Session& session, const std::string& device);

/// Whether a run whose outputs all stay in the device's memory returns once its commands are submitted, not when they
/// are done: WebGPU's. (CUDA's waits for its stream.)
[[nodiscard]] bool returns_early(const std::string& device);

}  // namespace rtmdl
