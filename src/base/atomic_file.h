#pragma once
/// Files that are there whole or not at all: written beside the target, flushed to disk, renamed over it.

#include <filesystem>
#include <string>
#include <string_view>

namespace rtmdl {

/// Written piece by piece. One thread at a time.
class AtomicFile {
 public:
  /// Creates parent folders. Throws Error(bad_input), as all do; nothing is left then.
  explicit AtomicFile(std::filesystem::path path);
  ~AtomicFile();  ///< without commit() nothing is left
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(std::string_view bytes);
  void commit();  ///< to disk and into place; once, at the end

 private:
  [[noreturn]] void fail(const char* what);

  std::filesystem::path path_;
  std::string part_;
  int fd_ = -1;
};

/// Creates parent folders. On any failure (full disk, no permission) removes what it wrote and throws Error(bad_input).
void write_file_atomically(const std::filesystem::path& path, std::string_view bytes);
/// Where this process writes what will be renamed to `path`: PATH.part.PID.
[[nodiscard]] std::filesystem::path part_of(const std::filesystem::path& path);
/// Removes the parts in a folder that processes which were killed left there.
void remove_leftover_parts(const std::filesystem::path& folder);
/// Throws Error(bad_input) if the file cannot be read.
[[nodiscard]] std::string read_file(const std::filesystem::path& path);

}  // namespace rtmdl
