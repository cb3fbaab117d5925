#pragma once
/// The one error type of set-up code. The run-time path is `noexcept` and never throws it.

#include <stdexcept>
#include <string>

namespace rtmdl {

/// What kind of failure it is; the number is the exit status of the command that it ends.
enum class ErrorCode {
  internal = 1,        ///< a bug of ours
  bad_input = 2,       ///< task file, model, data, profile, plan or command line
  infeasible = 3,      ///< no feasible strategy, or a limit broken under --strict
  missing_device = 4,  ///< a device or privilege that was asked for is not there
};

/// One line that names file, line and key where there are such, what was found and what is accepted. Line breaks in
/// `message` (they come from quoted input) are escaped.
class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message);
  [[nodiscard]] ErrorCode code() const noexcept { return code_; }

 private:
  ErrorCode code_;
};

[[noreturn]] inline void bad_input(const std::string& message) { throw Error(ErrorCode::bad_input, message); }

}  // namespace rtmdl
