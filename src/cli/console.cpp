#include "cli/console.h"

#include "base/units.h"

#include <atomic>
#include <csignal>
#include <cstdio>

#include <unistd.h>

#include <fmt/format.h>

namespace rtmdl {
namespace {

std::atomic<bool> g_stop{false};  // a signal handler can reach nothing else

void on_signal(int signal) {
  if (g_stop.exchange(true)) {
    std::signal(signal, SIG_DFL);
    std::raise(signal);
  }
}

}  // namespace

Console::Console(bool verbose) : terminal_(isatty(STDERR_FILENO) == 1), verbose_(verbose) {
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

Console::~Console() { clear(); }

Context Console::context(std::uint64_t seed) {
  Context context;
  context.stop = &g_stop;
  context.seed = seed;
  context.log = [this](LogLevel level, const std::string& message) { log(level, message); };
  context.progress = [this](const std::string& what, double fraction) { progress(what, fraction); };
  return context;
}

void Console::log(LogLevel level, const std::string& message) {
  const std::lock_guard lock(mutex_);
  if (level == LogLevel::debug && !verbose_) return;
  clear();
  std::fprintf(stderr, "%s%s\n", level == LogLevel::warning ? "note: " : "", message.c_str());
}

void Console::progress(const std::string& what, double fraction) {
  const std::lock_guard lock(mutex_);
  const Time now = MonotonicClock::now();
  const std::string step = what.substr(0, what.find(','));
  if (step != step_) {
    step_ = step;
    begun_ = now;
    first_ = fraction;
  }
  if (!terminal_ || (now - drawn_ < std::chrono::milliseconds(100) && fraction < 1)) return;
  drawn_ = now;
  constexpr int kWidth = 28;
  const int full = static_cast<int>(fraction * kWidth);
  std::string left;
  if (fraction > first_ + 0.02 && now - begun_ > std::chrono::milliseconds(500))
    left = fmt::format(", {} left",
                       format_duration(from_seconds(to_seconds(now - begun_) * (1 - fraction) / (fraction - first_))));
  std::fprintf(stderr, "\r\033[K[%s%s] %3.0f %%  %s%s", std::string(static_cast<std::size_t>(full), '#').c_str(),
               std::string(static_cast<std::size_t>(kWidth - full), '.').c_str(), fraction * 100, what.c_str(),
               left.c_str());
  std::fflush(stderr);
  shown_ = true;
  if (fraction >= 1) clear();
}

void Console::clear() {
  if (!shown_) return;
  std::fprintf(stderr, "\r\033[K");
  std::fflush(stderr);
  shown_ = false;
}

}  // namespace rtmdl
