#include "profiling/slow_downs.h"

#include "data/pipeline.h"
#include "profiling/content_key.h"
#include "profiling/measure.h"
#include "profiling/neighbour.h"

#include <rtmdl/error.h>

#include <algorithm>
#include <map>
#include <memory>
#include <numeric>
#include <optional>
#include <set>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace rtmdl {
namespace {

constexpr std::string_view kPairRevision = "1";  // raise when measuring a pair would give another factor
constexpr std::size_t kMostPairs = 200;
constexpr int kMostBeside = 4;  // a copy and those of a Neighbour
constexpr MeasureLimits kPairLimits{.length = std::chrono::milliseconds(150),
                                    .min = 6,
                                    .wanted = 12,
                                    .max = 300,
                                    .busy_per_alone = 1,
                                    .warm_up = std::chrono::milliseconds(10)};

class PairMeasuring {
 public:
  PairMeasuring(const std::vector<PairMember>& members, const PairBench& bench) : members_(members), bench_(bench) {
    for (const ProcessorSpec& p : bench.file.processors) all_cores_.insert(p.cores.begin(), p.cores.end());
  }

  std::vector<PairSlowDown> run() {
    list_pairs();
    const auto missing = std::count_if(pairs_.begin(), pairs_.end(), [](const Pair& p) { return !p.factor; });
    std::ptrdiff_t done = 0;
    for (Pair& pair : pairs_) {
      if (pair.factor || bench_.context.stopping()) continue;
      bench_.context.report(name_of(pair), static_cast<double>(done++) / static_cast<double>(missing));
      pair.factor = bench_.store.slow_down(pair.key);  // on other cores, which are alike
      if (!pair.factor) measure_pair(pair);
    }
    std::vector<PairSlowDown> known;
    for (const Pair& pair : pairs_)
      if (pair.factor) known.push_back({pair.slowed, pair.by, *pair.factor});
    return known;
  }

 private:
  struct Places {
    int slowed = 0;
    std::vector<int> by;  // a core for each copy
  };
  struct Pair {
    std::size_t slowed = 0, by = 0;
    Places cores;
    std::string key;
    std::optional<double> factor;
  };

  [[nodiscard]] const ProcessorSpec& processor_of(const PairMember& m) const {
    return bench_.file.processors[static_cast<std::size_t>(m.processor)];
  }
  [[nodiscard]] std::string name_of(const PairMember& m) const {
    return fmt::format("{} {} on {}", bench_.file.tasks[m.task].name, m.variant, processor_of(m).name);
  }
  [[nodiscard]] std::string name_of(const Pair& pair) const {
    return fmt::format("{} beside {}", name_of(members_[pair.slowed]), name_of(members_[pair.by]));
  }

  /// What submits to an accelerator may run anywhere.
  [[nodiscard]] std::vector<int> cores_of(const PairMember& m) const {
    const ProcessorSpec& on = processor_of(m);
    return on.device == "cpu" ? on.cores : std::vector<int>(all_cores_.begin(), all_cores_.end());
  }

  /// Where the two would be side by side, if anywhere. A task's jobs are never beside each other.
  [[nodiscard]] std::optional<Places> side_by_side(std::size_t slowed, std::size_t by) const {
    const PairMember &a = members_[slowed], &b = members_[by];
    const bool on_cores = processor_of(a).device == "cpu" && processor_of(b).device == "cpu";
    if (a.processor == b.processor && processor_of(a).slots < 2) return std::nullopt;
    if (a.task == b.task && (slowed != by || on_cores)) return std::nullopt;
    const std::vector<int> of_b = cores_of(b);
    for (const int x : cores_of(a)) {
      const auto y = std::find_if(of_b.begin(), of_b.end(), [&](int core) { return core != x; });
      if (y == of_b.end()) continue;
      const int copies = slowed == by ? copies_beside(processor_of(a)) - 1 : 1;
      if (on_cores) return Places{std::min(x, *y), {std::max(x, *y)}};
      return Places{x, std::vector<int>(static_cast<std::size_t>(copies), *y)};
    }
    return std::nullopt;
  }

  [[nodiscard]] std::string key_of(const Pair& pair) const {
    return ContentKey("slow-down")
        .add("revision", kPairRevision)
        .add("slowed", members_[pair.slowed].key)
        .add("by", members_[pair.by].key)
        .add("cores", fmt::format("{} {}", pair.cores.slowed, fmt::join(pair.cores.by, ",")))
        .digest();
  }

  /// Jobs may be further apart than a period says, which is the least.
  [[nodiscard]] double load_of(const PairMember& m) const {
    const TaskSpec& task = bench_.file.tasks[m.task];
    return m.load * to_seconds(task.period) / to_seconds(mean_interval(task.arrivals, task.period));
  }

  void list_pairs() {
    std::vector<std::size_t> order(members_.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return load_of(members_[a]) > load_of(members_[b]); });
    std::set<std::string> keys;
    for (std::size_t sum = 0; sum + 1 < 2 * order.size(); ++sum)  // of places in the order: the heaviest pairs first
      for (std::size_t i = sum < order.size() ? 0 : sum - order.size() + 1; i <= sum && i < order.size(); ++i) {
        Pair pair{order[i], order[sum - i], {}, {}, {}};
        const auto cores = side_by_side(pair.slowed, pair.by);
        if (!cores) continue;
        pair.cores = *cores;
        pair.key = key_of(pair);
        if (keys.size() == kMostPairs && keys.count(pair.key) == 0) continue;
        keys.insert(pair.key);
        pair.factor = bench_.store.slow_down(pair.key);
        pairs_.push_back(std::move(pair));
      }
    // One model after the other, so that each is loaded once to be measured.
    std::stable_sort(pairs_.begin(), pairs_.end(), [](const Pair& a, const Pair& b) { return a.slowed < b.slowed; });
  }

  const Frame& first_frame(std::size_t task) {
    const auto known = first_frames_.find(task);
    return known != first_frames_.end() ? known->second
                                        : first_frames_.emplace(task, bench_.frames(task).front()).first->second;
  }

  void measure_pair(Pair& pair) {
    if (MonotonicClock::now() >= bench_.deadline) return;  // it counts as the worst neighbour
    const PairMember &slowed = members_[pair.slowed], &by = members_[pair.by];
    StageTimes infer;
    try {
      if (loaded_ != pair.slowed) {
        pipeline_.reset();
        pipeline_ = std::make_unique<Pipeline>(bench_.engine, bench_.file.tasks[slowed.task], slowed.request);
        loaded_ = pair.slowed;
      }
      Neighbour neighbour(bench_.engine, bench_.file.tasks[by.task], by.request, first_frame(by.task), pair.cores.by,
                          bench_.fifo);
      const Bench on{{pair.cores.slowed}, {pair.cores.slowed}, bench_.fifo, processor_of(slowed).device == "cpu"};
      infer = measure(*pipeline_, bench_.frames(slowed.task), on, &neighbour, kPairLimits, bench_.context).infer;
    } catch (const Error& error) {
      if (error.code() != ErrorCode::bad_input) throw;
      bench_.context.warn(fmt::format("{}: left out: {}", name_of(pair), error.what()));
      return;
    }
    if (bench_.context.stopping()) return;
    pair.factor = slow_down_of(infer);
    bench_.store.put_slow_down(pair.key, name_of(pair), *pair.factor);
    bench_.context.info(fmt::format("{}: {:.2f} times its time alone", name_of(pair), *pair.factor));
  }

  const std::vector<PairMember>& members_;
  const PairBench& bench_;
  std::set<int> all_cores_;
  std::vector<Pair> pairs_;
  std::map<std::size_t, Frame> first_frames_;  // by task
  std::unique_ptr<Pipeline> pipeline_;
  std::optional<std::size_t> loaded_;  // the member that pipeline_ is
};

}  // namespace

std::vector<PairSlowDown> measure_pairs(const std::vector<PairMember>& members, const PairBench& bench) {
  return PairMeasuring(members, bench).run();
}

int copies_beside(const ProcessorSpec& processor) { return std::min(processor.slots, kMostBeside); }

}  // namespace rtmdl
