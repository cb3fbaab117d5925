#pragma once
/// Shared libraries of our own that are loaded only when they are needed, because what they link is not on every box.

#include <string>

namespace rtmdl {

class PlugIn {
 public:
  struct About {
    const char* file;              ///< librtmdl_NAME.so
    const char* variable;          ///< environment variable that names it; a path that is set is the only one looked at
    const char* version_function;  ///< C name of `const char* f()` in it
    const char* version;           ///< what that has to return: both sides are built from one source by one compiler
    const char* remedy;            ///< what to do if it is not there, as in "install X and build again"
    bool global = false;           ///< what it links is seen by libraries that it loads itself
  };
  explicit PlugIn(const About& about) : about_(about) {}
  PlugIn(const PlugIn&) = delete;
  PlugIn& operator=(const PlugIn&) = delete;

  /// A function by its C name; the library is loaded at the first call and stays for good. It is looked for at the
  /// environment variable's path, beside the executable, and in ../lib/rtmdl from there. Nullptr, with the reason in
  /// `reason` as one line that says what to do, if there is no such library, or one of another version. Not
  /// thread-safe.
  [[nodiscard]] void* symbol(const char* name, std::string& reason);

 private:
  void open();
  About about_;
  void* handle_ = nullptr;
  std::string reason_;
};

}  // namespace rtmdl
