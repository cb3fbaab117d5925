#pragma once
/// What every verb is handed: where messages and progress go, whether to stop, the seed. No globals.

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

namespace rtmdl {

enum class LogLevel { debug, info, warning };

struct Context {
  /// Called from any thread, one whole message without newline. Empty: silence.
  std::function<void(LogLevel, const std::string&)> log;
  /// Long work reports here: what it is doing now (figures after a comma), how far (0..1; negative: no end is known).
  /// Called from the working thread.
  std::function<void(const std::string& what, double fraction)> progress;
  /// Set from a signal handler; long work looks at it and ends cleanly.
  const std::atomic<bool>* stop = nullptr;
  std::uint64_t seed = 1;

  void info(const std::string& m) const {
    if (log) log(LogLevel::info, m);
  }
  void warn(const std::string& m) const {
    if (log) log(LogLevel::warning, m);
  }
  void debug(const std::string& m) const {
    if (log) log(LogLevel::debug, m);
  }
  void report(const std::string& what, double fraction) const {
    if (progress) progress(what, fraction);
  }
  [[nodiscard]] bool stopping() const noexcept { return stop && stop->load(std::memory_order_relaxed); }
};

}  // namespace rtmdl
