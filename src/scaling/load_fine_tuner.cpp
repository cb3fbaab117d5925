#include "scaling/load_fine_tuner.h"

#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <vector>

#include <fmt/format.h>

namespace rtmdl {
namespace {

constexpr const char* kLibrary = "librtmdl_training.so";

/// Where it is looked for, in this order. A path that is set is the only one.
std::vector<std::filesystem::path> places() {
  if (const char* set = std::getenv("RTMDL_TRAINING_LIBRARY"); set && *set) return {set};
  std::error_code ec;
  const std::filesystem::path folder = std::filesystem::read_symlink("/proc/self/exe", ec).parent_path();
  return {folder / kLibrary, folder.parent_path() / "lib" / "rtmdl" / kLibrary};
}

struct Library {
  void* handle = nullptr;
  std::string reason;
};

Library open() {
  Library library;
  for (const std::filesystem::path& path : places()) {
    std::error_code ec;
    if (!std::filesystem::exists(path, ec)) continue;
    void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
      const char* why = dlerror();
      library.reason = fmt::format("{} cannot be loaded: {}", path.string(), why ? why : "unknown reason");
      return library;
    }
    const auto version = reinterpret_cast<const char* (*)()>(dlsym(handle, "rtmdl_training_version"));
    const std::string found = version ? version() : "none";
    if (found == kTrainingVersion) {
      library.handle = handle;
      return library;
    }
    dlclose(handle);
    library.reason = fmt::format("{} has version '{}', this program needs '{}': build both together", path.string(),
                                 found, kTrainingVersion);
    return library;
  }
  library.reason = fmt::format(
      "{} is not there (looked for at {}): install libtorch (scripts/setup --training) and "
      "build again",
      kLibrary, places().front().string());
  return library;
}

}  // namespace

void* training_symbol(const char* name, std::string& reason) {
  static std::mutex mutex;
  static Library library;
  const std::scoped_lock lock(mutex);
  if (!library.handle) library = open();  // what was not there may be there now
  reason = library.reason;
  if (!library.handle) return nullptr;
  void* symbol = dlsym(library.handle, name);
  if (!symbol) reason = fmt::format("{} has no '{}'", kLibrary, name);
  return symbol;
}

LoadedFineTuner load_fine_tuner() {
  LoadedFineTuner loaded;
  const auto make = reinterpret_cast<FineTuner* (*)()>(training_symbol("rtmdl_make_fine_tuner", loaded.reason));
  if (make) loaded.tuner.reset(make());
  return loaded;
}

}  // namespace rtmdl
