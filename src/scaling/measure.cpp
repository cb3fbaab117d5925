#include "scaling/measure.h"

#include "scaling/calibrate.h"

#include <fmt/format.h>
#include <rtmdl/error.h>

#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <random>

namespace rtmdl {
namespace {

Duration thread_time() noexcept {
  timespec t{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return std::chrono::seconds(t.tv_sec) + Duration(t.tv_nsec);
}

/// Bytes of this process in memory.
std::size_t resident() noexcept {
  unsigned long pages = 0;
  if (std::FILE* file = std::fopen("/proc/self/statm", "re")) {
    if (std::fscanf(file, "%*u %lu", &pages) != 1) pages = 0;
    std::fclose(file);
  }
  return pages * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

/// Of a run of `work` on one thread its CPU time, which is the time alone on the core: other processes do not count.
template <typename Work>
Duration timed(const LoadRequest& request, Executable& executable, const Work& work) {
  const bool alone = request.threads == 1 && request.device == "cpu";
  const auto now = [alone] { return alone ? thread_time() : MonotonicClock::now().time_since_epoch(); };
  const Duration begin = now();
  if (!work()) bad_input(fmt::format("{}: {}", request.model.string(), executable.last_error()));
  return now() - begin;
}

class Measurement {
 public:
  Measurement(Engine& engine, const std::vector<LoadRequest>& requests, const std::vector<InputSet>& inputs,
              const MeasureOptions& options, const Context& context)
      : engine_(engine),
        requests_(requests),
        inputs_(inputs),
        options_(options),
        context_(context),
        loaded_(requests.size()),
        times_(requests.size()) {}

  std::vector<std::vector<Duration>> run() {
    for (std::size_t i = 0; i < requests_.size() && !context_.stopping(); ++i) {
      if (part_.size() > 1 && bytes_ + 2 * file_bytes(i) > options_.memory) end_part();
      load(i);
    }
    if (!part_.empty()) end_part();
    make_comparable();
    return std::move(times_);
  }

 private:
  std::size_t file_bytes(std::size_t i) const {
    std::error_code none;
    const auto size = std::filesystem::file_size(requests_[i].model, none);
    return none ? 0 : static_cast<std::size_t>(size);
  }

  /// Memory that was free before hides some of what a model takes, so it counts for no less than its weights twice
  /// (as they are and packed).
  void load(std::size_t i) {
    const std::size_t before = resident();
    loaded_[i] = engine_.load(requests_[i]);
    if (i < inputs_.size() && !inputs_[i].empty()) feed(*loaded_[i], inputs_[i]);
    Duration least = timed_run(i);
    for (int k = 0; k < 2 && !context_.stopping(); ++k) least = std::min(least, timed_run(i));
    const std::size_t after = resident();
    const std::size_t bytes = std::max(after > before ? after - before : 0, 2 * file_bytes(i));
    if (i == 0) first_bytes_ = bytes, first_time_ = least;
    bytes_ += bytes;
    round_ += least;
    part_.push_back(i);
  }

  Duration timed_run(std::size_t i) {
    return timed(requests_[i], *loaded_[i], [&] { return loaded_[i]->run(); });
  }

  /// Times what is loaded; only the first request stays.
  void end_part() {
    const Duration budget =
        options_.budget * static_cast<std::int64_t>(part_.size()) / static_cast<std::int64_t>(requests_.size());
    const auto affordable = budget / std::max(round_, Duration(1));
    const auto rounds = std::clamp<std::int64_t>(affordable, options_.rounds_min, options_.rounds_max);
    const std::size_t first_begin = times_[0].size();
    for (std::int64_t r = 0; r < rounds && !context_.stopping(); ++r) {
      std::vector<std::size_t> order = part_;
      std::shuffle(order.begin(), order.end(), random_);  // no model always runs behind the same one
      for (const std::size_t i : order) times_[i].push_back(timed_run(i));
    }
    const std::vector<Duration> first(times_[0].begin() + static_cast<std::ptrdiff_t>(first_begin), times_[0].end());
    parts_.emplace_back(part_, quantile(first, kLow));
    for (const std::size_t i : part_) {
      if (i != 0) loaded_[i].reset();
    }
    part_ = {0};
    bytes_ = first_bytes_;
    round_ = first_time_;
  }

  void make_comparable() {
    if (parts_.size() < 2) return;
    const auto all = static_cast<double>(quantile(times_[0], kLow).count());
    for (const auto& [part, low] : parts_) {
      if (low.count() <= 0) continue;
      const double stretch = all / static_cast<double>(low.count());
      for (const std::size_t i : part) {
        if (i == 0) continue;
        for (Duration& t : times_[i]) t = Duration(std::llround(static_cast<double>(t.count()) * stretch));
      }
    }
  }

  static constexpr double kLow = 0.2;
  Engine& engine_;
  const std::vector<LoadRequest>& requests_;
  const std::vector<InputSet>& inputs_;
  const MeasureOptions& options_;
  const Context& context_;
  std::vector<std::unique_ptr<Executable>> loaded_;
  std::vector<std::vector<Duration>> times_;
  std::vector<std::size_t> part_;                                     ///< loaded now, the first request always
  std::vector<std::pair<std::vector<std::size_t>, Duration>> parts_;  ///< done, with the first's low quantile in each
  std::size_t bytes_ = 0, first_bytes_ = 0;
  Duration round_{}, first_time_{};
  std::mt19937 random_{1};
};

}  // namespace

std::vector<std::vector<Duration>> measure_times(Engine& engine, const std::vector<LoadRequest>& requests,
                                                 const std::vector<InputSet>& inputs, const MeasureOptions& options,
                                                 const Context& context) {
  return Measurement(engine, requests, inputs, options, context).run();
}

std::vector<std::vector<std::vector<Duration>>> measure_segments(Engine& engine,
                                                                 const std::vector<LoadRequest>& requests,
                                                                 const InputSet& input, const MeasureOptions& options,
                                                                 const Context& context) {
  std::vector<std::unique_ptr<Executable>> loaded;
  std::vector<std::vector<std::vector<Duration>>> times;
  for (const LoadRequest& request : requests) {
    loaded.push_back(engine.load(request));
    feed(*loaded.back(), input);
    times.emplace_back(static_cast<std::size_t>(loaded.back()->segments()));
  }
  const Time until = MonotonicClock::now() + options.budget;
  for (int round = -2; round < options.rounds_max && !context.stopping(); ++round) {  // the first two warm up
    if (round >= options.rounds_min && MonotonicClock::now() >= until) break;
    for (std::size_t i = 0; i < requests.size(); ++i)
      for (int k = 0; k < loaded[i]->segments(); ++k) {
        const Duration took = timed(requests[i], *loaded[i], [&] { return loaded[i]->run_segment(k); });
        if (round >= 0) times[i][static_cast<std::size_t>(k)].push_back(took);
      }
  }
  return times;
}

Duration quantile(std::vector<Duration> times, double q) {
  if (times.empty()) return {};
  const auto k = static_cast<std::ptrdiff_t>(q * static_cast<double>(times.size() - 1));
  std::nth_element(times.begin(), times.begin() + k, times.end());
  return times[static_cast<std::size_t>(k)];
}

}  // namespace rtmdl
