/// Whatever the bytes: a model or one Error, and every edit leaves a model that checks.

#include "model/edit.h"
#include "model/fold.h"
#include "model/opset.h"

#include <rtmdl/error.h>

#include <cstddef>
#include <cstdint>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace rtmdl;
  try {
    Model model = parse_model({reinterpret_cast<const char*>(data), size}, "fuzz.onnx", "/nonexistent");
    normalise(model);
    check_model(model);
    (void)spatial_input(model);
    (void)upgrade_opset(model);
    normalise(model);
    fold_all(model);
    check_model(model);
    (void)parse_model(serialize(model), "again.onnx");
  } catch (const Error&) {
  }
  return 0;
}
