#include "engine/onnxruntime/accelerator.h"

#include "engine/onnxruntime/provider.h"

#include <string_view>

namespace rtmdl {
namespace {

bool is_kind(const std::string& device, std::string_view kind) {
  return std::string_view(device).substr(0, device.find(':')) == kind;
}

/// Of the process, as ONNX Runtime's context is.
std::mutex& webgpu_turn() {
  static std::mutex turn;
  return turn;
}

}  // namespace

Accelerator accelerator_for(const LoadRequest& request) {
  Accelerator accelerator;
  if (is_kind(request.device, "webgpu")) accelerator.turn = &webgpu_turn();
  if (is_kind(request.device, "cuda") && !request.defaults && !request.provider_options.contains("user_compute_stream"))
    accelerator.stream.emplace(device_number(request.device), request.urgency);
  return accelerator;
}

AcceleratedExecutable::~AcceleratedExecutable() {
  const auto turn = take_turn(accelerator_.turn);
  model_.reset();
}

bool AcceleratedExecutable::run() noexcept {
  for (int k = 0; k < segments(); ++k)
    if (!run_segment(k)) return false;
  return true;
}

bool AcceleratedExecutable::run_segment(int k) noexcept {
  const auto turn = take_turn(accelerator_.turn);
  return model_->run_segment(k);
}

std::filesystem::path AcceleratedExecutable::finish_profile() {
  const auto turn = take_turn(accelerator_.turn);
  return model_->finish_profile();
}

}  // namespace rtmdl
