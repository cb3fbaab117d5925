#pragma once
/// Execution providers by name: a new accelerator is a line in a table, not code.

#include <onnxruntime_cxx_api.h>

#include <map>
#include <string>

namespace rtmdl {

/// Adds the provider of `device` ("cpu", "webgpu", "cuda:0", "tensorrt:0", or any provider's own name) to the options.
/// Throws Error(missing_device) if this ONNX Runtime does not have it, and says what it has.
void append_provider(Ort::SessionOptions& options, const std::string& device,
                     const std::map<std::string, std::string>& provider_options);

}  // namespace rtmdl
