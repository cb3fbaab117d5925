#pragma once
/// Sets of cores that are scheduling domains of their own (exclusive cpusets). The kernel gives SCHED_DEADLINE to a
/// thread only if that may run on every core of its domain, so a thread that is bound to a core needs one of just that.
///
/// With the cpuset controller of cgroup v1 each set is a cpuset, the other cores are one too, and the root's load
/// balancing is off as long; with v2 each is a threaded partition below the process's own cgroup, which must be the
/// root or a partition itself. What this makes is named after the process. A process that is killed leaves it behind;
/// the next one removes it.

#include <sys/types.h>
#include <unistd.h>
#include <filesystem>
#include <string>
#include <vector>

namespace rtmdl {

/// Where the kernel shows its cpusets. For tests: elsewhere.
struct CpusetPlace {
  std::filesystem::path v1 = "/sys/fs/cgroup/cpuset";
  std::filesystem::path v2 = "/sys/fs/cgroup";
  std::filesystem::path proc = "/proc";
  int (*remove_folder)(const char* path) = ::rmdir;
};

class ExclusiveCores {
 public:
  /// Disjoint sets, which leave at least one core of the machine. Threads that are not bound may stay where they are.
  /// Throws Error(missing_device): what the kernel or its set-up refuses. Nothing is left then.
  explicit ExclusiveCores(const std::vector<std::vector<int>>& sets, const CpusetPlace& place = {});
  ~ExclusiveCores();  ///< threads that are still in a set go back
  ExclusiveCores(const ExclusiveCores&) = delete;
  ExclusiveCores& operator=(const ExclusiveCores&) = delete;

  /// Puts a thread of this process (gettid) into a set; binding it to cores comes after. False with errno set.
  [[nodiscard]] bool join(std::size_t set, pid_t thread) const noexcept;

  /// Removes what processes that are gone have left. The constructor does so first.
  static void clean_up(const CpusetPlace& place = {}) noexcept;

 private:
  void make_v1(const std::vector<std::vector<int>>& sets);
  void make_v2(const std::vector<std::vector<int>>& sets);
  std::filesystem::path make_group(const std::string& name);
  void remove_all() noexcept;

  CpusetPlace place_;
  bool v2_;
  std::filesystem::path base_;                 ///< folder of the groups
  std::vector<std::filesystem::path> groups_;  ///< as the sets; then the one of the other cores
  bool controls_ = false;                      ///< v2: the controller was turned on here
};

/// "0-2,5" as the kernel writes it. Ascending; what is no list is empty.
[[nodiscard]] std::vector<int> parse_core_list(const std::string& text);

}  // namespace rtmdl
