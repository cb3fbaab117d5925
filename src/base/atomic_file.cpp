#include "base/atomic_file.h"

#include <rtmdl/error.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstring>
#include <utility>

#include <fmt/format.h>

namespace rtmdl {
namespace {

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_;
};

bool write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

}  // namespace

AtomicFile::AtomicFile(std::filesystem::path path) : path_(std::move(path)), part_(part_of(path_).string()) {
  std::error_code ec;
  if (path_.has_parent_path()) std::filesystem::create_directories(path_.parent_path(), ec);
  fd_ = ::open(part_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd_ < 0) fail("create");
}

AtomicFile::~AtomicFile() {
  if (fd_ < 0) return;
  ::close(fd_);
  ::unlink(part_.c_str());
}

void AtomicFile::write(std::string_view bytes) {
  if (!write_all(fd_, bytes)) fail("write");
}

void AtomicFile::commit() {
  if (::fsync(fd_) != 0 || ::close(std::exchange(fd_, -1)) != 0) fail("flush");
  if (::rename(part_.c_str(), path_.c_str()) != 0) fail("rename into place");
}

void AtomicFile::fail(const char* what) {
  const int reason = errno;
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  ::unlink(part_.c_str());
  bad_input(fmt::format("{}: cannot {}: {}; nothing was written", path_.string(), what, std::strerror(reason)));
}

void write_file_atomically(const std::filesystem::path& path, std::string_view bytes) {
  AtomicFile file(path);
  file.write(bytes);
  file.commit();
}

std::filesystem::path part_of(const std::filesystem::path& path) {
  return fmt::format("{}.part.{}", path.string(), ::getpid());
}

void remove_leftover_parts(const std::filesystem::path& folder) {
  constexpr std::string_view kMark = ".part.";
  std::error_code ec;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ec)) {
    const std::string name = entry.path().filename().string();
    const std::size_t at = name.rfind(kMark);
    pid_t owner = 0;
    if (at == std::string::npos) continue;
    const auto [end, bad] = std::from_chars(name.data() + at + kMark.size(), name.data() + name.size(), owner);
    if (bad != std::errc{} || end != name.data() + name.size() || owner <= 0) continue;
    if (::kill(owner, 0) != 0 && errno == ESRCH) std::filesystem::remove(entry.path(), ec);
  }
}

std::string read_file(const std::filesystem::path& path) {
  const auto fail = [&] { bad_input(fmt::format("{}: cannot read: {}", path.string(), std::strerror(errno))); };
  Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) fail();
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) fail();
  if (S_ISDIR(info.st_mode)) bad_input(fmt::format("{}: cannot read: it is a folder", path.string()));
  std::string bytes(static_cast<std::size_t>(info.st_size), '\0');
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = ::read(file.get(), bytes.data() + done, bytes.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail();
    if (n == 0) break;
    done += static_cast<std::size_t>(n);
  }
  bytes.resize(done);
  return bytes;
}

}  // namespace rtmdl
