#include "data/input_files.h"

#include "base/atomic_file.h"
#include "base/hash.h"

#include <rtmdl/error.h>

#include <algorithm>
#include <cctype>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace rtmdl {
namespace fs = std::filesystem;
namespace {

bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

std::string shown(std::span<const std::string_view> extensions) {
  return fmt::format("{}", fmt::join(extensions, ", "));
}

template <typename Keep>
std::vector<fs::path> entries(const ConfigNode& node, const fs::path& folder, Keep keep) {
  std::error_code ec;
  std::vector<fs::path> found;
  fs::directory_iterator it(folder, ec);
  for (; !ec && it != fs::directory_iterator(); it.increment(ec))
    if (it->path().filename().string().front() != '.' && keep(*it)) found.push_back(it->path());
  if (ec) node.fail(fmt::format("'{}' cannot be read: {}", folder.string(), ec.message()));
  std::sort(found.begin(), found.end(), [](const fs::path& a, const fs::path& b) {
    return natural_less(a.filename().string(), b.filename().string());
  });
  return found;
}

}  // namespace

bool has_extension(const fs::path& file, std::span<const std::string_view> extensions) {
  std::string found = file.extension().string();
  std::transform(found.begin(), found.end(), found.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return std::find(extensions.begin(), extensions.end(), found) != extensions.end();
}

bool natural_less(std::string_view a, std::string_view b) noexcept {
  std::size_t i = 0, j = 0;
  while (i < a.size() && j < b.size()) {
    if (!is_digit(a[i]) || !is_digit(b[j])) {
      if (a[i] != b[j]) return static_cast<unsigned char>(a[i]) < static_cast<unsigned char>(b[j]);
      ++i, ++j;
      continue;
    }
    std::size_t first = i, second = j;
    while (first < a.size() && a[first] == '0') ++first;
    while (second < b.size() && b[second] == '0') ++second;
    i = first, j = second;
    while (i < a.size() && is_digit(a[i])) ++i;
    while (j < b.size() && is_digit(b[j])) ++j;
    if (i - first != j - second) return i - first < j - second;
    const int order = a.substr(first, i - first).compare(b.substr(second, j - second));
    if (order != 0) return order < 0;
  }
  if (a.size() - i != b.size() - j) return a.size() - i < b.size() - j;
  return a < b;  // they differ at most in leading zeros
}

std::vector<fs::path> files_in(const ConfigNode& node, const fs::path& folder,
                               std::span<const std::string_view> extensions) {
  return entries(node, folder, [&](const fs::directory_entry& e) {
    std::error_code ec;
    return e.is_regular_file(ec) && has_extension(e.path(), extensions);
  });
}

std::vector<fs::path> list_files(const ConfigNode& node, std::span<const std::string_view> extensions,
                                 std::string_view what) {
  const fs::path path = node.path();
  std::error_code ec;
  const fs::file_status status = fs::status(path, ec);
  if (!fs::exists(status))
    node.fail(
        fmt::format("'{}' does not exist{}: a folder of {} or one such file is accepted ({})", path.string(),
                    ec && ec != std::errc::no_such_file_or_directory ? " or cannot be read (" + ec.message() + ")" : "",
                    what, shown(extensions)));
  if (!fs::is_directory(status)) {
    if (!has_extension(path, extensions) || !fs::is_regular_file(status))
      node.fail(fmt::format("'{}' is not accepted: a folder of {} or one such file is ({})", path.string(), what,
                            shown(extensions)));
    return {path};
  }
  std::vector<fs::path> found = files_in(node, path, extensions);
  if (found.empty())
    node.fail(fmt::format("'{}' holds no {} (sub-folders are not searched): accepted are {}", path.string(), what,
                          shown(extensions)));
  return found;
}

std::vector<fs::path> list_folders(const ConfigNode& node) {
  const fs::path path = node.path();
  std::error_code ec;
  if (!fs::is_directory(path, ec))
    node.fail(fmt::format("'{}' is not a folder: one with a sub-folder for each class is accepted", path.string()));
  std::vector<fs::path> found = entries(node, path, [](const fs::directory_entry& e) {
    std::error_code ignored;
    return e.is_directory(ignored);
  });
  if (found.empty()) node.fail(fmt::format("'{}' holds no sub-folders: one for each class is accepted", path.string()));
  return found;
}

std::vector<std::string> read_lines(const ConfigNode& file) { return read_lines(file, file.path()); }

std::vector<std::string> read_lines(const ConfigNode& where, const fs::path& file) {
  std::string bytes;
  try {
    bytes = read_file(file);
  } catch (const Error& e) {
    where.fail(e.what());
  }
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < bytes.size();) {
    const std::size_t end = std::min(bytes.find('\n', at), bytes.size());
    lines.push_back(bytes.substr(at, end - at));
    if (!lines.back().empty() && lines.back().back() == '\r') lines.back().pop_back();
    at = end + 1;
  }
  return lines;
}

std::string fingerprint_of(const ConfigNode& data, std::uint64_t seed, std::span<const fs::path> files) {
  std::string text = fmt::format("data 2\n{}\nseed {}\n", data.canonical(), seed);
  for (const fs::path& file : files) {
    std::error_code ec;
    const auto size = fs::file_size(file, ec);
    const auto changed = fs::last_write_time(file, ec);
    text += fmt::format("{} {} {}\n", file.string(), size, changed.time_since_epoch().count());
  }
  return sha256(text);
}

}  // namespace rtmdl
