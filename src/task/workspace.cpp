#include "task/workspace.h"

#include "base/atomic_file.h"

#include <rtmdl/error.h>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <string_view>
#include <thread>

#include <fmt/format.h>

namespace rtmdl {
namespace {

constexpr int kVersion = 1;  ///< raise when a later version's files cannot be read by this one

/// Whether there is anything but the marker or a part of it, which a process that was killed left, or one that begins
/// now.
bool holds_other_files(const std::filesystem::path& folder) {
  std::error_code ec;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ec))
    if (!entry.path().filename().string().starts_with("workspace-version")) return true;
  return false;
}

void check_version(const std::filesystem::path& marker, const std::filesystem::path& folder) {
  const std::string text = read_file(marker);
  int version = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), version);
  const std::string_view rest(end, static_cast<std::size_t>(text.data() + text.size() - end));
  if (ec != std::errc{} || version < 1 || !(rest.empty() || rest == "\n"))
    bad_input(fmt::format("{}: not a version number; delete the workspace to make it anew", marker.string()));
  if (version > kVersion)
    bad_input(
        fmt::format("{}: the workspace was written by a newer rtmdl (version {}, this one reads up to {}); update "
                    "rtmdl or name another "
                    "--workspace",
                    folder.string(), version, kVersion));
}

}  // namespace

Workspace::Workspace(std::filesystem::path folder) : folder_(std::move(folder)) {
  const std::filesystem::path marker = folder_ / "workspace-version";
  std::error_code ec;
  if (std::filesystem::exists(folder_, ec) && !std::filesystem::is_directory(folder_, ec))
    bad_input(fmt::format("{}: not a folder; a workspace is one", folder_.string()));
  const bool foreign = holds_other_files(folder_);
  // Looked for after the other files: whatever another process puts there comes later than its marker.
  if (std::filesystem::exists(marker, ec)) {
    check_version(marker, folder_);
    for (const std::filesystem::path& f : {folder_, variants(), runs()}) remove_leftover_parts(f);
    return;
  }
  if (foreign) bad_input(fmt::format("{}: not a workspace and not empty; name another --workspace", folder_.string()));
  write_file_atomically(marker, fmt::format("{}\n", kVersion));
}

std::filesystem::path Workspace::default_folder(const std::filesystem::path& task_file) {
  std::filesystem::path folder = task_file;
  return folder.replace_extension(".workspace");
}

WorkspaceLock::WorkspaceLock(const Workspace& workspace, const Context& context)
    : file_(::open((workspace.folder() / "lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644)) {
  bool said = false;
  while (file_ >= 0 && !context.stopping() && ::flock(file_, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) return;
    if (!said)
      context.info(fmt::format("another rtmdl is at work in {}; waiting for it to end", workspace.folder().string()));
    said = true;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

WorkspaceLock::~WorkspaceLock() {
  if (file_ >= 0) ::close(file_);
}

}  // namespace rtmdl
