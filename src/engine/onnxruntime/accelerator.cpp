#include "engine/onnxruntime/accelerator.h"

#include "engine/onnxruntime/provider.h"

#include <algorithm>
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

Accelerator accelerator_for(const ModelPlace& place, bool defaults) {
  Accelerator accelerator;
  if (is_kind(place.device, "webgpu")) accelerator.turn = &webgpu_turn();
  if (is_kind(place.device, "cuda") && !defaults && !place.provider_options.contains("user_compute_stream"))
    accelerator.stream.emplace(device_number(place.device), place.urgency);
  return accelerator;
}

PriorityMutex* turn_of(const std::vector<Accelerator>& accelerators) noexcept {
  for (const Accelerator& a : accelerators)
    if (a.turn) return a.turn;
  return nullptr;
}

AcceleratedExecutable::~AcceleratedExecutable() {
  PriorityMutex* const turn = turn_of(accelerators_);
  if (!turn) return;
  if (!turn->try_lock_for(kPatience)) {
    static_cast<void>(model_.release());
    return;
  }
  model_.reset();
  turn->unlock();
}

bool AcceleratedExecutable::run() noexcept {
  for (int k = 0; k < segments(); ++k)
    if (!run_segment(k)) return false;
  return true;
}

bool AcceleratedExecutable::run_segment(int k) noexcept {
  const auto place = std::min(static_cast<std::size_t>(k), accelerators_.size() - 1);
  PriorityMutex* const turn = accelerators_[place].turn;
  if (!turn) return model_->run_segment(k);
  while (!turn->try_lock_for(kLook))
    if (cancelled_) return false;
  const std::lock_guard<PriorityMutex> mine(*turn, std::adopt_lock);
  return model_->run_segment(k);
}

std::filesystem::path AcceleratedExecutable::finish_profile() {
  const auto turn = take_turn(turn_of(accelerators_));
  return model_->finish_profile();
}

}  // namespace rtmdl
