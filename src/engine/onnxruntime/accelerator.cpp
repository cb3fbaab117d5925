#include "engine/onnxruntime/accelerator.h"

#include "engine/onnxruntime/provider.h"

#include <chrono>
#include <string_view>

namespace rtmdl {
namespace {

constexpr Duration kLook = std::chrono::milliseconds(5);  ///< of who waits, whether it was cancelled
constexpr Duration kPatience = std::chrono::seconds(5);   ///< for a thread that has the device to come back

bool is_kind(const std::string& device, std::string_view kind) {
  return std::string_view(device).substr(0, device.find(':')) == kind;
}

/// Of the process, as ONNX Runtime's context is.
PriorityMutex& webgpu_turn() {
  static PriorityMutex turn;
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
  if (!accelerator_.turn) return;
  if (!accelerator_.turn->try_lock_for(kPatience)) {
    static_cast<void>(model_.release());
    return;
  }
  model_.reset();
  accelerator_.turn->unlock();
}

bool AcceleratedExecutable::run() noexcept {
  for (int k = 0; k < segments(); ++k)
    if (!run_segment(k)) return false;
  return true;
}

bool AcceleratedExecutable::run_segment(int k) noexcept {
  if (!accelerator_.turn) return model_->run_segment(k);
  while (!accelerator_.turn->try_lock_for(kLook))
    if (cancelled_) return false;
  const std::lock_guard<PriorityMutex> turn(*accelerator_.turn, std::adopt_lock);
  return model_->run_segment(k);
}

std::filesystem::path AcceleratedExecutable::finish_profile() {
  const auto turn = take_turn(accelerator_.turn);
  return model_->finish_profile();
}

}  // namespace rtmdl
