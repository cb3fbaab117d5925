// The task file's parser on arbitrary text: it accepts or refuses with one line, and never ends otherwise.
#include <rtmdl/error.h>
#include <rtmdl/task_file.h>

#include <cstdint>
#include <cstdlib>
#include <string>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    static_cast<void>(rtmdl::TaskFile::parse(std::string(reinterpret_cast<const char*>(data), size), "tasks.yaml"));
  } catch (const rtmdl::Error& e) {
    if (e.code() != rtmdl::ErrorCode::bad_input || std::string(e.what()).find('\n') != std::string::npos) std::abort();
  }
  return 0;
}
