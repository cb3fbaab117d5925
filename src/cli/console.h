#pragma once
/// Messages and progress on stderr (a bar with the time left on a terminal; elsewhere, if verbose, a line now and
/// then), and ctrl-C.

#include "base/context.h"

#include <rtmdl/time.h>

#include <mutex>
#include <string>

namespace rtmdl {

/// One per process: it takes SIGINT and SIGTERM. The first asks work to end cleanly, the second ends the process at
/// once (files are atomic and the store is transactional, so nothing breaks).
class Console {
 public:
  explicit Console(bool verbose);
  ~Console();
  Console(const Console&) = delete;
  Console& operator=(const Console&) = delete;

  /// Reports to this console, which must outlive it.
  [[nodiscard]] Context context(std::uint64_t seed);

 private:
  void log(LogLevel level, const std::string& message);
  void progress(const std::string& what, double fraction);
  void clear();

  const bool terminal_, verbose_;
  std::mutex mutex_;
  std::string step_;        ///< what is going on, without its figures
  Time begun_{}, drawn_{};  ///< drawn: or said
  double first_ = 0;        ///< fraction when the step began
  bool shown_ = false;
};

}  // namespace rtmdl
