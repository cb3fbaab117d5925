#include "cli/console.h"

#include "base/units.h"
#include "report/charts.h"
#include "report/table.h"

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>

#include <sys/ioctl.h>
#include <unistd.h>

#include <fmt/format.h>

namespace rtmdl {
namespace {

constexpr Duration kBetweenDrawings = std::chrono::milliseconds(100);
constexpr Duration kBetweenLines = std::chrono::seconds(10);

std::atomic<bool> g_stop{false};  // a signal handler can reach nothing else

void on_signal(int signal) {
  if (g_stop.exchange(true)) {
    std::signal(signal, SIG_DFL);
    std::raise(signal);
  }
}

std::size_t terminal_columns() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col : 80;
}

/// Wrapped lines could not be drawn over.
std::string fitted(const std::string& line, std::size_t columns) {
  std::string text = line;
  for (std::size_t n = columns; n > 0 && display_width(text) >= columns; --n) text = shortened(line, n - 1);
  return text;
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
  if (!terminal_ && !verbose_) return;
  if (now - drawn_ < (terminal_ ? kBetweenDrawings : kBetweenLines) && (fraction < 1 || !terminal_)) return;
  drawn_ = now;
  if (!terminal_) {
    std::fprintf(stderr, "%s%s\n", fraction < 0 ? "" : fmt::format("{:.0f} %: ", fraction * 100).c_str(), what.c_str());
    return;
  }
  constexpr int kWidth = 16;
  std::string line;
  if (fraction >= 0) {
    const auto full = static_cast<std::size_t>(std::min(1.0, fraction) * kWidth);
    line = fmt::format("[{}{}] {:3.0f} %", std::string(full, '#'), std::string(kWidth - full, '.'), fraction * 100);
    if (fraction > first_ + 0.02 && now - begun_ > std::chrono::milliseconds(500))
      line += fmt::format(
          ", {} left", format_duration(from_seconds(to_seconds(now - begun_) * (1 - fraction) / (fraction - first_))));
    line += "  ";
  }
  std::fprintf(stderr, "\r\033[K%s", fitted(line + what, terminal_columns()).c_str());
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
