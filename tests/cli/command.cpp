#include "command.h"

#include "base/atomic_file.h"

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>

#include <fmt/format.h>

namespace rtmdl {

CommandResult run_rtmdl(const std::string& arguments, const std::string& before) {
  static std::atomic<int> count{0};
  const auto base = std::filesystem::temp_directory_path() / fmt::format("rtmdl-cli-{}-{}", ::getpid(), ++count);
  const std::string out = base.string() + ".out", err = base.string() + ".err";
  const std::string line =
      fmt::format("{} '{}/rtmdl' >'{}' 2>'{}' </dev/null {}", before, RTMDL_BINARY_DIR, out, err, arguments);
  CommandResult result;
  const int status = std::system(line.c_str());
  result.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  result.out = read_file(out);
  result.err = read_file(err);
  std::filesystem::remove(out);
  std::filesystem::remove(err);
  return result;
}

}  // namespace rtmdl
