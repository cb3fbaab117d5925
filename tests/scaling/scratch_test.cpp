/// Files that a killed process left behind.

#include "base/atomic_file.h"
#include "run_model.h"
#include "scaling/calibrate.h"

#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

namespace rtmdl {
namespace {

TEST(Scratch, OfProcessesThatAreGoneGoes) {
  const test::Folder folder;
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  siginfo_t dead;
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(child), &dead, WEXITED | WNOWAIT), 0);  // it stays a zombie
  const std::string own = scratch_path(folder.path(), "own.onnx").string();
  const std::string mine = "-" + std::to_string(::getpid()) + "-";  // the folder's own name has the number, too
  std::string others = own;
  others.replace(others.rfind(mine), mine.size(), fmt::format("-{}-", child));
  for (const std::string& path : {own, others, (folder.path() / "kept.onnx").string()})
    write_file_atomically(path, "bytes");
  remove_abandoned_scratch(folder.path());
  EXPECT_FALSE(std::filesystem::exists(others));
  EXPECT_TRUE(std::filesystem::exists(own));
  EXPECT_TRUE(std::filesystem::exists(folder.path() / "kept.onnx"));
  EXPECT_EQ(::waitpid(child, nullptr, 0), child);
}

}  // namespace
}  // namespace rtmdl
