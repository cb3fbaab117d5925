#include "profiling/segmentation.h"

#include "model/model.h"
#include "model/split.h"

#include <rtmdl/error.h>

#include <algorithm>
#include <exception>
#include <limits>
#include <optional>
#include <set>
#include <thread>

#include <fmt/format.h>

namespace rtmdl {
namespace {

constexpr Duration kShortest = std::chrono::microseconds(500);  // a stage that blocks nobody for longer stays whole
constexpr std::size_t kMostCrossing = 4;                        // tensors
constexpr double kCrossing = 0.01;                              // of the whole time, for each tensor beyond one
constexpr int kRounds = 4, kFineRounds = 2;
constexpr double kEven = 1.1;       // times an equal share: as good as it gets
constexpr double kShorter = 0.8;    // of the longest segment of the segmentation before
constexpr double kMostTotal = 1.3;  // times the uncut model
constexpr int kRuns = 15, kLeastRuns = 5, kWarmUpRuns = 2;
constexpr Duration kTiming = std::chrono::milliseconds(300);

Duration middle(std::vector<Duration>& times) {
  const auto at = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
  std::nth_element(times.begin(), at, times.end());
  return *at;
}

class Choosing {
 public:
  Choosing(Engine& engine, const LoadRequest& request, const Context& context)
      : engine_(engine), request_(request), context_(context) {}

  std::vector<Segmentation> run(int most) {
    const Duration whole = timed({}).front();
    if (most < 2 || !prepare(whole)) return {};
    std::vector<Segmentation> found;
    int n = 2;
    while (n * 2 <= most) n *= 2;
    for (int rounds = kRounds; n >= 2 && !context_.stopping(); n /= 2, rounds = kFineRounds)
      if (std::optional<Segmentation> best = cut_into(static_cast<std::size_t>(n), rounds, whole))
        found.push_back(*best);
    if (found.empty() || context_.stopping()) return {};
    // The box may have slowed down since.
    return worthwhile(std::move(found), std::max(whole, timed({}).front()));
  }

  /// Into up to `parts` of equal length, but for what the graph does not allow.
  std::vector<int> even_cuts(std::size_t parts) {
    const Duration whole = timed({}).front();
    if (!prepare(whole)) return {};
    std::optional<Segmentation> found;
    for (std::size_t n = std::min(parts, seams_.size() + 1); !found && n >= 2 && !context_.stopping(); --n)
      found = cut_into(n, kFineRounds, whole);
    return found && !context_.stopping() ? found->cuts : std::vector<int>{};
  }

 private:
  /// Whether there is something to cut.
  bool prepare(Duration whole) {
    if (whole < kShortest) return false;
    const std::optional<Model> model = read_model();
    if (!model) return false;
    find_places(*model);
    if (seams_.empty()) return false;
    spread(*model, whole);
    return true;
  }

  /// The back-end may run what we cannot read; it stays whole then.
  [[nodiscard]] std::optional<Model> read_model() const {
    try {
      return load_model(request_.model);
    } catch (const Error& error) {
      context_.debug(error.what());
      return std::nullopt;
    }
  }

  void find_places(const Model& model) {
    const Links links(model);
    std::vector<Seam> all = find_seams(model, kMostCrossing);
    std::copy_if(all.begin(), all.end(), std::back_inserter(seams_),
                 [&](const Seam& seam) { return !parts_a_pair(model, links, seam); });
    if (seams_.empty()) seams_ = std::move(all);
  }

  /// A first guess at what nodes take.
  void spread(const Model& model, Duration whole) {
    node_time_.resize(static_cast<std::size_t>(model.graph().node_size()));
    double sum = 0;
    for (std::size_t i = 0; i < node_time_.size(); ++i)
      sum += node_time_[i] = is_heavy(model.graph().node(static_cast<int>(i))) ? 1 : 0.05;
    for (double& time : node_time_) time *= to_seconds(whole) / sum;
  }

  std::optional<Segmentation> cut_into(std::size_t n, int rounds, Duration whole) {
    std::optional<Segmentation> best;
    std::set<std::vector<int>> tried;
    for (int round = 0; round < rounds && !context_.stopping(); ++round) {
      Segmentation s;
      s.cuts = best_cuts(n, to_seconds(whole));
      if (s.cuts.empty() || !tried.insert(s.cuts).second) break;
      const std::optional<std::vector<Duration>> measured = timed_cuts(s.cuts);
      if (!measured) break;
      const std::vector<Duration>& times = *measured;
      learn(s.cuts, times);
      for (const Duration t : times) {
        s.total += t;
        s.longest = std::max(s.longest, t);
      }
      if (!best || s.longest < best->longest) best = s;
      if (to_seconds(best->longest) * static_cast<double>(n) <= kEven * to_seconds(whole)) break;
    }
    return best;
  }

  /// The n − 1 seams that leave the longest of the segments shortest, as far as is known.
  [[nodiscard]] std::vector<int> best_cuts(std::size_t n, double whole) const {
    const std::size_t count = seams_.size();
    if (count + 1 < n) return {};
    std::vector<double> before(node_time_.size() + 1);
    for (std::size_t i = 0; i < node_time_.size(); ++i) before[i + 1] = before[i] + node_time_[i];
    const auto at = [&](std::size_t seam) { return before[static_cast<std::size_t>(seams_[seam].node)]; };
    const auto cost = [&](std::size_t seam) {
      return kCrossing * whole * static_cast<double>(seams_[seam].crossing.size() - 1);
    };
    // longest[k][s]: with the k-th cut at seam s, of the segments before it.
    constexpr double kNone = std::numeric_limits<double>::infinity();
    std::vector<std::vector<double>> longest(n, std::vector<double>(count, kNone));
    std::vector<std::vector<std::size_t>> from(n, std::vector<std::size_t>(count));
    for (std::size_t s = 0; s < count; ++s) longest[1][s] = at(s) + cost(s);
    for (std::size_t k = 2; k < n; ++k)
      for (std::size_t s = k - 1; s < count; ++s)
        for (std::size_t r = k - 2; r < s; ++r) {
          const double length = std::max(longest[k - 1][r], at(s) - at(r) + cost(s));
          if (length < longest[k][s]) longest[k][s] = length, from[k][s] = r;
        }
    std::size_t last = 0;
    double least = kNone;
    for (std::size_t s = 0; s < count; ++s) {
      const double length = std::max(longest[n - 1][s], before.back() - at(s));
      if (length < least) least = length, last = s;
    }
    std::vector<int> cuts;
    for (std::size_t k = n - 1; k >= 1; --k) {
      cuts.push_back(seams_[last].node);
      last = from[k][last];
    }
    std::reverse(cuts.begin(), cuts.end());
    return cuts;
  }

  /// What the segments took is spread over their nodes as before.
  void learn(const std::vector<int>& cuts, const std::vector<Duration>& times) {
    for (std::size_t k = 0; k < times.size(); ++k) {
      const std::size_t from = k == 0 ? 0 : static_cast<std::size_t>(cuts[k - 1]);
      const std::size_t to = k < cuts.size() ? static_cast<std::size_t>(cuts[k]) : node_time_.size();
      double sum = 0;
      for (std::size_t i = from; i < to; ++i) sum += node_time_[i];
      for (std::size_t i = from; i < to && sum > 0; ++i) node_time_[i] *= to_seconds(times[k]) / sum;
    }
  }

  /// Nothing where the model does not run in these parts: shapes that depend on data, types that are no tensors.
  std::optional<std::vector<Duration>> timed_cuts(const std::vector<int>& cuts) {
    try {
      return timed(cuts);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::bad_input) throw;
      context_.debug(error.what());
      return std::nullopt;
    }
  }

  /// Median of each segment.
  std::vector<Duration> timed(const std::vector<int>& cuts) {
    LoadRequest request = request_;
    request.cuts = cuts;
    const std::unique_ptr<Executable> model = engine_.load(request);
    const auto segments = static_cast<std::size_t>(model->segments());
    std::vector<std::vector<Duration>> times(segments);
    const Time start = MonotonicClock::now();
    for (int run = 0; run < kWarmUpRuns + kRuns; ++run) {
      const bool counts = run >= kWarmUpRuns;
      for (std::size_t k = 0; k < segments; ++k) {
        const Time begun = MonotonicClock::now();
        if (!model->run_segment(static_cast<int>(k)))
          bad_input(fmt::format("{}: inference failed: {}", request.model.string(), model->last_error()));
        if (counts) times[k].push_back(MonotonicClock::now() - begun);
      }
      const Duration spent = MonotonicClock::now() - start;
      if (run >= kWarmUpRuns + kLeastRuns && spent > kTiming) break;
      std::this_thread::sleep_for(std::min<Duration>(spent / (12 * (run + 1)), std::chrono::milliseconds(5)));
    }
    std::vector<Duration> medians;
    for (std::vector<Duration>& t : times) medians.push_back(middle(t));
    return medians;
  }

  /// From the coarsest on, those that are finer by enough.
  static std::vector<Segmentation> worthwhile(std::vector<Segmentation> found, Duration whole) {
    std::vector<Segmentation> kept;
    Duration before = whole;  // coarser
    for (auto s = found.rbegin(); s != found.rend(); ++s) {
      if (to_seconds(s->longest) > kShorter * to_seconds(before)) continue;
      if (to_seconds(s->total) > kMostTotal * to_seconds(whole)) continue;
      before = s->longest;
      kept.push_back(std::move(*s));
    }
    return kept;
  }

  Engine& engine_;
  const LoadRequest& request_;
  const Context& context_;
  std::vector<Seam> seams_;
  std::vector<double> node_time_;  ///< seconds
};

/// On a thread of its own: the caller's placement stays as it is.
template <typename Work>
auto run_placed(const ThreadPlacement& placement, const Work& work) -> decltype(work()) {
  decltype(work()) result;
  std::exception_ptr failure;
  std::thread([&] {
    try {
      place_current_thread(placement);
      result = work();
    } catch (...) {
      failure = std::current_exception();
    }
  }).join();
  if (failure) std::rethrow_exception(failure);
  return result;
}

}  // namespace

std::vector<Segmentation> choose_segmentations(Engine& engine, const LoadRequest& request, int most,
                                               const ThreadPlacement& placement, const Context& context) {
  return run_placed(placement, [&] { return Choosing(engine, request, context).run(most); });
}

std::vector<int> choose_split_places(Engine& engine, const LoadRequest& request, const ThreadPlacement& placement,
                                     const Context& context) {
  return run_placed(placement, [&] { return Choosing(engine, request, context).even_cuts(kMostSplitPlaces + 1); });
}

}  // namespace rtmdl
