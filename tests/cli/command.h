#pragma once
/// Runs the real binary as a user would.

#include <string>

namespace rtmdl {

struct CommandResult {
  int status = -1;
  std::string out, err;
};

/// `arguments` as for a shell, redirections included. From any thread. The binary is the one of this build.
CommandResult run_rtmdl(const std::string& arguments, const std::string& before = "");

}  // namespace rtmdl
