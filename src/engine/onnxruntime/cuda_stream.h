#pragma once
/// A CUDA stream with a priority, from the CUDA runtime library that the box has: building needs no CUDA.

#include <string>

namespace rtmdl {

/// Work of streams of higher priority is taken up first wherever the device has room for another thread block; blocks
/// that run are not displaced (CUDA C++ Programming Guide, "Stream Priorities"). Not run on hardware here: tests use a
/// recording double of libcudart.
class CudaStream {
 public:
  /// A stream of device `device` that does not wait for the default stream. `urgency` from 0 (the least priority that
  /// the device has) to 1 (the greatest); those between are spread evenly. libcudart is opened now; the environment
  /// variable RTMDL_CUDART_LIBRARY names it, otherwise the system's versions 13, 12 and 11 are looked for. Makes
  /// `device` the calling thread's. Throws Error(missing_device) that says what to install.
  CudaStream(int device, double urgency);
  ~CudaStream();
  CudaStream(CudaStream&& other) noexcept;
  CudaStream& operator=(CudaStream&&) = delete;
  CudaStream(const CudaStream&) = delete;
  CudaStream& operator=(const CudaStream&) = delete;

  [[nodiscard]] int priority() const noexcept { return priority_; }  ///< as CUDA counts: lower is more urgent
  /// The stream's address as ONNX Runtime's option `user_compute_stream` takes it.
  [[nodiscard]] std::string option() const;

 private:
  int device_;
  int priority_ = 0;
  void* stream_ = nullptr;
  int (*set_device_)(int) = nullptr;
  int (*destroy_)(void*) = nullptr;
};

}  // namespace rtmdl
