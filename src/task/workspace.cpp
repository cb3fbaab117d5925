#include "task/workspace.h"

#include "base/atomic_file.h"

#include <rtmdl/error.h>

#include <charconv>

#include <fmt/format.h>

namespace rtmdl {
namespace {
constexpr int kVersion = 1;  ///< raise when a later version's files cannot be read by this one
}

Workspace::Workspace(std::filesystem::path folder) : folder_(std::move(folder)) {
  const std::filesystem::path marker = folder_ / "workspace-version";
  std::error_code ec;
  if (std::filesystem::exists(folder_, ec) && !std::filesystem::is_directory(folder_, ec))
    bad_input(fmt::format("{}: not a folder; a workspace is one", folder_.string()));
  if (std::filesystem::exists(marker, ec)) {
    const std::string text = read_file(marker);
    int version = 0;
    if (std::from_chars(text.data(), text.data() + text.size(), version).ec != std::errc{})
      bad_input(fmt::format("{}: not a version number; delete the workspace to make it anew", marker.string()));
    if (version > kVersion)
      bad_input(fmt::format("{}: the workspace was written by a newer rtmdl (version {}, this one reads up to {}); update rtmdl or name another "
                            "--workspace",
                            folder_.string(), version, kVersion));
    return;
  }
  if (std::filesystem::is_directory(folder_, ec) && !std::filesystem::is_empty(folder_, ec))
    bad_input(fmt::format("{}: not a workspace and not empty; name another --workspace", folder_.string()));
  write_file_atomically(marker, fmt::format("{}\n", kVersion));
}

std::filesystem::path Workspace::default_folder(const std::filesystem::path& task_file) {
  std::filesystem::path folder = task_file;
  return folder.replace_extension(".workspace");
}

}  // namespace rtmdl
