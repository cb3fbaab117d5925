#include "base/exclusive_cores.h"

#include <rtmdl/error.h>

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <optional>
#include <sstream>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace rtmdl {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "rtmdl-";
constexpr std::string_view kOthers = "others";  ///< of the group of the other cores
constexpr const char* kBalance = "cpuset.sched_load_balance";

[[noreturn]] void refused(const fs::path& path, const std::string& why) {
  throw Error(ErrorCode::missing_device, fmt::format("{}: {}", path.string(), why));
}

/// The kernel judges each write as a whole. False with errno set.
bool try_write(const fs::path& path, const std::string& value) noexcept {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) return false;
  const bool written = ::write(fd, value.data(), value.size()) == static_cast<ssize_t>(value.size());
  const int failure = errno;
  ::close(fd);
  errno = failure;
  return written;
}

void write_value(const fs::path& path, const std::string& value) {
  if (!try_write(path, value)) refused(path, fmt::format("'{}' is not accepted: {}", value, std::strerror(errno)));
}

std::string first_line(const fs::path& path) {
  std::string line;
  std::getline(std::ifstream(path) >> std::ws, line);
  return line;
}

/// When a process began, in the kernel's ticks: with it a number that is used again is another process. Empty: gone.
std::string birth(const fs::path& proc, const std::string& process) {
  std::string stat = first_line(proc / process / "stat");
  stat.erase(0, stat.rfind(')') + 1);  // the name before it may hold anything
  std::istringstream fields(stat);
  std::string field;
  for (int i = 3; i <= 22; ++i)
    if (!(fields >> field)) return {};
  return field;
}

/// "rtmdl-PROCESS-BIRTH-NAME"
struct GroupName {
  std::string process, birth, name;
};

std::optional<GroupName> parse_group_name(const std::string& folder) {
  if (!folder.starts_with(kPrefix)) return {};
  std::istringstream parts(folder.substr(kPrefix.size()));
  GroupName n;
  const bool whole = std::getline(parts, n.process, '-') && std::getline(parts, n.birth, '-') &&
                     std::getline(parts, n.name) && !n.process.empty() &&
                     std::all_of(n.process.begin(), n.process.end(), [](char c) { return c >= '0' && c <= '9'; });
  return whole ? std::optional(n) : std::nullopt;
}

bool is_v1(const CpusetPlace& place) {
  std::error_code ec;
  return fs::exists(place.v1 / kBalance, ec);
}

/// The process's own cgroup.
fs::path own_group(const CpusetPlace& place) {
  std::ifstream groups(place.proc / "self" / "cgroup");
  for (std::string line; std::getline(groups, line);)
    if (line.starts_with("0::/")) return (place.v2 / line.substr(4)).lexically_normal();
  return place.v2;
}

fs::path base_of(const CpusetPlace& place) { return is_v1(place) ? place.v1 : own_group(place); }

/// Its threads go back to the folder above.
bool remove_group(const fs::path& group, const CpusetPlace& place) noexcept {
  try {
    const char* const threads = is_v1(place) ? "tasks" : "cgroup.threads";
    std::ifstream in(group / threads);
    for (std::string thread; std::getline(in, thread);)
      static_cast<void>(try_write(group.parent_path() / threads, thread));
    return place.remove_folder(group.c_str()) == 0;
  } catch (...) {
    return false;
  }
}

}  // namespace

std::vector<int> parse_core_list(const std::string& text) {
  std::vector<int> cores;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at != end) {
    int first = 0, last = 0;
    auto [next, ec] = std::from_chars(at, end, first);
    if (ec != std::errc{}) return {};
    last = first;
    if (next != end && *next == '-') {
      const auto range = std::from_chars(next + 1, end, last);
      if (range.ec != std::errc{}) return {};
      next = range.ptr;
    }
    for (int core = first; core <= last; ++core) cores.push_back(core);
    if (next != end && *next++ != ',') return {};
    at = next;
  }
  return cores;
}

ExclusiveCores::ExclusiveCores(const std::vector<std::vector<int>>& sets, const CpusetPlace& place)
    : place_(place), v2_(!is_v1(place)), base_(base_of(place)) {
  clean_up(place);
  try {
    if (v2_) make_v2(sets);
    else make_v1(sets);
  } catch (...) {
    remove_all();
    throw;
  }
}

ExclusiveCores::~ExclusiveCores() { remove_all(); }

fs::path ExclusiveCores::make_group(const std::string& name) {
  const std::string process = std::to_string(::getpid());
  const fs::path group = base_ / fmt::format("{}{}-{}-{}", kPrefix, process, birth(place_.proc, process), name);
  if (::mkdir(group.c_str(), 0755) != 0) refused(group, fmt::format("cannot be made: {}", std::strerror(errno)));
  groups_.push_back(group);
  return group;
}

void ExclusiveCores::make_v1(const std::vector<std::vector<int>>& sets) {
  std::vector<int> others = parse_core_list(first_line(base_ / "cpuset.cpus"));
  const std::string memory = first_line(base_ / "cpuset.mems");
  const auto make = [&](const std::string& name, const std::vector<int>& cores, bool exclusive) {
    const fs::path group = make_group(name);
    write_value(group / "cpuset.cpus", fmt::format("{}", fmt::join(cores, ",")));
    write_value(group / "cpuset.mems", memory);
    if (exclusive) write_value(group / "cpuset.cpu_exclusive", "1");
  };
  for (std::size_t s = 0; s < sets.size(); ++s) {
    for (const int core : sets[s]) std::erase(others, core);
    make(std::to_string(s), sets[s], true);
  }
  if (first_line(base_ / kBalance) == "0") return;  // whoever turned it off has said what becomes of the others
  make(std::string(kOthers), others, false);
  write_value(base_ / kBalance, "0");
}

void ExclusiveCores::make_v2(const std::vector<std::vector<int>>& sets) {
  if (first_line(base_ / "cgroup.controllers").find("cpuset") == std::string::npos)
    refused(base_, "there is no cpuset controller, neither of cgroup v1 nor of v2");
  if (first_line(base_ / "cgroup.subtree_control").find("cpuset") == std::string::npos) {
    write_value(base_ / "cgroup.subtree_control", "+cpuset");
    controls_ = true;
  }
  for (std::size_t s = 0; s < sets.size(); ++s) {
    const fs::path group = make_group(std::to_string(s));
    write_value(group / "cgroup.type", "threaded");
    write_value(group / "cpuset.cpus", fmt::format("{}", fmt::join(sets[s], ",")));
    write_value(group / "cpuset.cpus.partition", "root");
    // The write itself is accepted whatever comes of it.
    if (const std::string state = first_line(group / "cpuset.cpus.partition"); state != "root")
      refused(group,
              fmt::format("is '{}', not a partition; the process must be in the root cgroup or in a partition", state));
  }
}

bool ExclusiveCores::join(std::size_t set, pid_t thread) const noexcept {
  try {
    return try_write(groups_.at(set) / (v2_ ? "cgroup.threads" : "tasks"), std::to_string(thread));
  } catch (...) {
    errno = EINVAL;
    return false;
  }
}

void ExclusiveCores::remove_all() noexcept {
  for (const fs::path& group : groups_) {
    remove_group(group, place_);
    if (group.filename().string().ends_with(kOthers)) static_cast<void>(try_write(base_ / kBalance, "1"));
  }
  groups_.clear();
  if (controls_) static_cast<void>(try_write(base_ / "cgroup.subtree_control", "-cpuset"));
}

void ExclusiveCores::clean_up(const CpusetPlace& place) noexcept {
  try {
    std::vector<std::pair<fs::path, GroupName>> stale;
    for (const auto& entry : fs::directory_iterator(base_of(place)))
      if (const auto name = parse_group_name(entry.path().filename().string());
          name && birth(place.proc, name->process) != name->birth)
        stale.emplace_back(entry.path(), *name);
    for (const auto& [group, name] : stale)
      if (remove_group(group, place) && name.name == kOthers)
        static_cast<void>(try_write(group.parent_path() / kBalance, "1"));
  } catch (...) {  // a folder that cannot be read holds nothing of ours
  }
}

}  // namespace rtmdl
