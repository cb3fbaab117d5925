// A libcudart with two devices, five stream priorities and no hardware. It records its calls.
#include <string>

namespace {

constexpr int kInvalidDevice = 101;  // cudaErrorInvalidDevice
std::string calls;
int current = 0;
std::size_t streams = 0;

}  // namespace

extern "C" {

const char* recorded_calls() { return calls.c_str(); }
void forget_calls() { calls.clear(); }

const char* cudaGetErrorString(int error) { return error == kInvalidDevice ? "invalid device ordinal" : "no error"; }

int cudaSetDevice(int device) {
  if (device > 1) return kInvalidDevice;
  current = device;
  return 0;
}

int cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  *least = 0;
  *greatest = -4;
  return 0;
}

int cudaStreamCreateWithPriority(void** stream, unsigned flags, int priority) {
  *stream = reinterpret_cast<void*>(++streams * 16);
  calls += "create device " + std::to_string(current) + " flags " + std::to_string(flags) + " priority " +
           std::to_string(priority) + "; ";
  return 0;
}

int cudaStreamDestroy(void* stream) {
  calls += "destroy " + std::to_string(reinterpret_cast<std::size_t>(stream) / 16) + " on device " +
           std::to_string(current) + "; ";
  return 0;
}
}
