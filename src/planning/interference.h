#pragma once
/// What more urgent work may take from the processors while a stage, or a whole job, is on its way: the inner sum of
/// every response-time equation, and the least fixed points of those equations. See response_time.h.

#include "scheduling/scheduler.h"

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

namespace rtmdl {

inline constexpr int kKernel = -1;  ///< instead of a task: the kernel that stops real-time threads

/// Consecutive stages of a more urgent task on one processor. Times are nanoseconds.
struct Interferer {
  int task = 0, visit = 0;
  std::int64_t period = 0, time = 0;
  /// Arrivals lie at nominal + x, with all x within a range of this length.
  std::int64_t jitter = 0;
  /// It may arrive by a completion: also at the very end of a window, before what completes there is seen to. A release
  /// comes after the completions of its instant.
  bool by_completion = false;
  std::int64_t backlog = 0;  ///< jobs that may be there already when the window opens, besides what jitter says
  /// From the earliest arrival to the latest completion, both from the nominal release: what was begun before a window
  /// may reach into it.
  std::int64_t stay = 0;
  std::int64_t stay_backlog = 0;

  /// Most that may arrive in a window that opens when no more urgent work is on the processor.
  [[nodiscard]] std::int64_t arrivals(std::int64_t window, bool at_the_end_too = false) const {
    return (window + jitter + (by_completion || at_the_end_too ? period : period - 1)) / period + backlog;
  }
  /// Most that may be on the processor at some moment of a window that opens at any time.
  [[nodiscard]] std::int64_t present(std::int64_t window) const {
    return (window + stay + period - 1) / period + stay_backlog;
  }
};

/// The more urgent work on every processor, as the task below sees it. Keeps its memory.
class Interference {
 public:
  enum class Window {
    to_completion,  ///< opens when none of this work is there: arrivals() count
    to_beginning,   ///< as that, up to where something begins that cannot be stopped: what arrives at the very end
                    ///< counts
    anywhere        ///< opens at any moment: present() counts
  };

  void clear(std::size_t processors);
  void add(int processor, const Interferer& interferer);
  [[nodiscard]] const std::vector<Interferer>& on(int processor) const {
    return lists_[static_cast<std::size_t>(processor)];
  }

  /// The least w ≥ 0 with w = own + Σ n(w)·C over the interferers on the processors of the mask, where what is there in
  /// the first instant counts in any case; nothing where it lies beyond `limit`. `guess` is at most the answer.
  [[nodiscard]] std::optional<std::int64_t> window(std::uint32_t processors, Window kind, std::int64_t own,
                                                   std::int64_t guess, std::int64_t limit);
  [[nodiscard]] static std::int64_t count(const Interferer& h, Window kind, std::int64_t window) {
    return kind == Window::anywhere ? h.present(window) : h.arrivals(window, kind == Window::to_beginning);
  }
  /// Allows so many steps of iterations until the next call; then windows have no answer.
  void allow(int steps) { steps_ = steps; }

 private:
  struct Sums {  ///< of C/T, C/T·jitter and C/T·stay
    double share = 0, jitter = 0, stay = 0;
  };
  std::vector<std::vector<Interferer>> lists_;
  std::array<Sums, kMaxProcessors> sums_{};
  int steps_ = 0;
};

}  // namespace rtmdl
