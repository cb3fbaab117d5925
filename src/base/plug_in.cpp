#include "base/plug_in.h"

#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>
#include <vector>

#include <fmt/format.h>

namespace rtmdl {
namespace {

std::vector<std::filesystem::path> places(const PlugIn::About& about) {
  if (const char* set = std::getenv(about.variable); set && *set) return {set};
  std::error_code ec;
  const std::filesystem::path folder = std::filesystem::read_symlink("/proc/self/exe", ec).parent_path();
  return {folder / about.file, folder.parent_path() / "lib" / "rtmdl" / about.file};
}

}  // namespace

void PlugIn::open() {
  reason_.clear();
  for (const std::filesystem::path& path : places(about_)) {
    std::error_code ec;
    if (!std::filesystem::exists(path, ec)) continue;
    void* handle = dlopen(path.c_str(), RTLD_NOW | (about_.global ? RTLD_GLOBAL : RTLD_LOCAL));
    if (!handle) {
      const char* why = dlerror();
      reason_ = fmt::format("{} cannot be loaded: {}", path.string(), why ? why : "unknown reason");
      return;
    }
    const auto version = reinterpret_cast<const char* (*)()>(dlsym(handle, about_.version_function));
    const std::string found = version ? version() : "none";
    if (found == about_.version) {
      handle_ = handle;
      return;
    }
    dlclose(handle);
    reason_ = fmt::format("{} has version '{}', this program needs '{}': build both together", path.string(), found,
                          about_.version);
    return;
  }
  reason_ = fmt::format("{} is not there (looked for at {}): {}", about_.file, places(about_).front().string(),
                        about_.remedy);
}

void* PlugIn::symbol(const char* name, std::string& reason) {
  if (!handle_) open();  // what was not there may be there now
  reason = reason_;
  if (!handle_) return nullptr;
  void* symbol = dlsym(handle_, name);
  if (!symbol) reason = fmt::format("{} has no '{}'", about_.file, name);
  return symbol;
}

}  // namespace rtmdl
