#include "calibration/observe.h"

#include "planning/stage_draw.h"
#include "scheduling/arrivals.h"

#include <algorithm>
#include <bit>
#include <map>
#include <tuple>
#include <utility>

namespace rtmdl {
namespace {

constexpr Duration kProbePeriod =
    std::chrono::milliseconds(1);  ///< a stall may have begun so long before it was noticed
constexpr Duration kMostDispatch = std::chrono::milliseconds(5);  ///< longer waits have another reason
constexpr double kNearlyAll = 0.9;
constexpr std::size_t kRareStalls = 4;  ///< at most one job in so many is left out

/// One stage on its slot.
struct Piece {
  std::size_t job = 0;  ///< index in the records
  int stage = 0;
  Time start{}, end{}, ready{};
  Duration taken{};                             ///< by stages that ran over it
  Duration stalled{};                           ///< by the machine, without what those took that ran over it
  bool hit = false;                             ///< a stall was near
  bool wide = false;                            ///< on several slots: what ran over it may have done so on any
  std::vector<std::pair<Time, Time>> inside{};  ///< of a wide one: when something ran over it
};

class Observing {
 public:
  Observing(const RunRecords& run, const PlanProblem& problem, const Choices& choices)
      : run_(run), problem_(problem), choices_(choices) {
    observation_.dispatch.resize(problem.processors.size());
    observation_.moments.resize(problem.processors.size());
    samples_.resize(problem.processors.size());
  }

  Observation run() {
    collect();
    for (auto& [processor, ends] : ends_) std::sort(ends.begin(), ends.end());
    for (auto& [slot, pieces] : slots_) unnest(slot.first, pieces);
    deliver();
    deliver_stalls();
    return std::move(observation_);
  }

 private:
  using Slot = std::pair<int, int>;  // processor, slot of it

  void collect() {
    std::vector<std::size_t> order(run_.jobs.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
      return std::tie(run_.jobs[a].task, run_.jobs[a].job) < std::tie(run_.jobs[b].task, run_.jobs[b].job);
    });
    std::map<std::pair<int, Time>, Time> completed;  // of task and release: what others may run after
    for (const JobRecord& job : run_.jobs)
      if (job.fate == JobFate::completed) completed[{job.task, job.release}] = job.finish;
    std::vector<Time> over(problem_.tasks.size());  // when the task's job before ended
    for (const std::size_t i : order) {
      const JobRecord& job = run_.jobs[i];
      if (job.task >= problem_.tasks.size() || job.stages == 0) continue;
      const PlanTask& task = problem_.tasks[job.task];
      const auto before = completed.find({task.after.task, job.release});
      const Time released = before != completed.end()
                                ? before->second
                                : job.release + release_jitter(run_.seed, job.task, job.job, task.jitter);
      Time ready = std::max(released, over[job.task]);
      for (int s = 0; s < std::min<int>(job.stages, kRecordedStages); ++s) {
        const JobRecord::Stage& stage = job.stage[static_cast<std::size_t>(s)];
        if (!stage.ran() && s + 1 < job.stages) continue;
        if (!stage.ran() || stage.end < stage.start || stage.processor >= problem_.processors.size()) break;
        Piece piece{i, s, stage.start, stage.end, ready, {}, {}, false, stage.width() > 1};
        for (unsigned rest = stage.slots; rest != 0; rest &= rest - 1)
          slots_[{stage.processor, std::countr_zero(rest)}].push_back(piece);
        ends_[stage.processor].push_back(stage.end);
        ready = stage.end;
      }
      over[job.task] = std::max(ready, job.finish);
    }
  }

  void unnest(int processor, std::vector<Piece>& pieces) {
    std::sort(pieces.begin(), pieces.end(),
              [](const Piece& a, const Piece& b) { return std::tie(a.start, b.end) < std::tie(b.start, a.end); });
    std::vector<Piece*> open;  // each contains the next
    const std::vector<Time>& ends = ends_[processor];
    for (Piece& p : pieces) {
      while (!open.empty() && open.back()->end <= p.start) open.pop_back();
      // It may have waited for any slot of the processor: for several, or so as not to disturb another stage.
      const auto after = std::upper_bound(ends.begin(), ends.end(), p.start);
      const Time free = after == ends.begin() ? Time{} : *(after - 1);
      const Duration wait = std::max(Duration::zero(), p.start - std::max(p.ready, free));
      const Duration stalled = stalled_in(processor, p.start, p.end);
      p.stalled += stalled;
      p.hit = stalled_in(processor, p.start - kProbePeriod, p.end) > Duration::zero();
      const bool counted = own_.contains({p.job, p.stage});  // on another slot
      if (!counted && wait <= kMostDispatch &&
          stalled_in(processor, p.start - wait - kProbePeriod, p.start) == Duration::zero()) {
        observation_.dispatch[static_cast<std::size_t>(processor)].push_back(wait);
        if (p.stage == 0 && p.ready >= free) observation_.lateness.push_back(wait);
      }
      if (!open.empty()) {
        Piece& below = *open.back();
        below.taken += std::min(p.end, below.end) - std::max(p.start - wait, below.start);
        below.stalled -= stalled;
      }
      open.push_back(&p);
    }
    for (const Piece& p : pieces) {
      const auto [own, fresh] = own_.try_emplace({p.job, p.stage}, p);
      if (!fresh) own->second.taken += p.taken;
    }
  }

  [[nodiscard]] Duration stalled_in(int processor, Time from, Time to) const {
    const std::vector<int>& cores = run_.cores[static_cast<std::size_t>(processor)];
    std::map<int, Duration> by_core;
    // Stalls are by start, and short beside a run: those that may reach into [from, to].
    auto s = std::lower_bound(run_.stalls.begin(), run_.stalls.end(), from - longest_stall(),
                              [](const Stall& stall, Time t) { return stall.start < t; });
    for (; s != run_.stalls.end() && s->start < to; ++s) {
      if (!cores.empty() && std::find(cores.begin(), cores.end(), s->core) == cores.end()) continue;
      const Duration overlap = std::min(s->end, to) - std::max(s->start, from);
      if (overlap > Duration::zero()) by_core[s->core] += overlap;
    }
    Duration worst{};
    for (const auto& [core, time] : by_core) worst = std::max(worst, time);
    return worst;
  }

  [[nodiscard]] Duration longest_stall() const {
    if (!longest_) {
      longest_ = Duration::zero();
      for (const Stall& s : run_.stalls) longest_ = std::max(*longest_, s.end - s.start);
    }
    return *longest_;
  }

  void deliver() {
    for (std::size_t t = 0; t < problem_.tasks.size(); ++t) {
      const TaskOption& option = problem_.tasks[t].options[static_cast<std::size_t>(choices_[t].option)];
      std::vector<std::vector<Piece>> jobs, clean;
      for (std::size_t i = 0; i < run_.jobs.size(); ++i) {
        const JobRecord& job = run_.jobs[i];
        if (job.task != t || job.fate != JobFate::completed || job.stages != option.stages.size()) continue;
        std::vector<Piece> pieces;
        for (int s = 0; s < job.stages; ++s)
          if (const auto own = own_.find({i, s}); own != own_.end()) pieces.push_back(own->second);
        if (pieces.size() != option.stages.size()) continue;
        // What ran over one slot of a stage stopped only a part of it: how long it would have taken, nobody knows.
        if (std::any_of(pieces.begin(), pieces.end(), [](const Piece& p) { return p.wide && p.taken > Duration{}; }))
          continue;
        const bool hit = std::any_of(pieces.begin(), pieces.end(), [](const Piece& p) { return p.hit; });
        if (!hit) clean.push_back(pieces);
        jobs.push_back(std::move(pieces));
      }
      const bool rare = (jobs.size() - clean.size()) * kRareStalls <= jobs.size();
      deliver(problem_.tasks[t].name, option, rare ? clean : jobs);
    }
    for (std::size_t p = 0; p < samples_.size(); ++p) observation_.moments[p] = moment_pairs(std::move(samples_[p]));
  }

  void deliver(const std::string& task, const TaskOption& option, const std::vector<std::vector<Piece>>& jobs) {
    if (jobs.empty()) return;
    OptionTimes times{task, option.variant, option.processor, option.threads, {}, option.alone};
    times.stages.resize(option.stages.size());
    for (const std::vector<Piece>& job : jobs)
      for (std::size_t s = 0; s < job.size(); ++s)
        times.stages[s].push_back(
            std::max(Duration(1), job[s].end - job[s].start - job[s].taken - std::max(Duration{}, job[s].stalled)));
    for (std::size_t s = 0; s < option.stages.size(); ++s) {
      const std::vector<double> scores = rank_scores(times.stages[s]);
      const double weight = standard_deviation(times.stages[s]);
      for (std::size_t k = 0; k < jobs.size(); ++k) {
        const std::int64_t release = run_.jobs[jobs[k][s].job].release.time_since_epoch().count();
        samples_[index(option.stages[s].processor)].push_back(
            {release >> kMomentBits, jobs[k][s].job, scores[k], weight});
      }
    }
    observation_.options.push_back(std::move(times));
  }

  void deliver_stalls() {
    StallTimes seen;
    seen.seconds = to_seconds(run_.watched.to - run_.watched.from);
    std::vector<Time> ends(problem_.processors.size());  // of what is counted
    Time end{};
    for (const Stall& s : run_.stalls) {
      if (s.start < run_.watched.from || s.start >= run_.watched.to) continue;
      const std::vector<bool> hit = hit_by(s);
      if (std::find(hit.begin(), hit.end(), true) == hit.end()) continue;
      if (s.start >= end || seen.lasting.empty()) {
        seen.lasting.emplace_back(hit.size());
        ++seen.count;
      }
      for (std::size_t p = 0; p < hit.size(); ++p) {
        if (!hit[p] || s.end <= ends[p]) continue;
        seen.lasting.back()[p] += s.end - std::max(s.start, ends[p]);
        ends[p] = s.end;
      }
      end = std::max(end, s.end);
    }
    observation_.stalls += seen;
  }

  /// By processor; the kernel's throttling is none.
  [[nodiscard]] std::vector<bool> hit_by(const Stall& stall) const {
    std::vector<bool> hit(problem_.processors.size());
    for (std::size_t p = 0; p < hit.size(); ++p) {
      const std::vector<int>& cores = run_.cores[p];
      const bool here = cores.empty() || std::find(cores.begin(), cores.end(), stall.core) != cores.end();
      hit[p] = here && !throttled(static_cast<int>(p), stall.start);
    }
    return hit;
  }

  /// Whether a slot's stages had used most of the share of a second that ended then.
  [[nodiscard]] bool throttled(int processor, Time at) const {
    const double share = problem_.processors[index(processor)].realtime_share;
    if (share >= 1) return false;
    const Time from = at - from_seconds(share);
    for (const auto& [slot, pieces] : slots_) {
      if (slot.first != processor) continue;
      Duration busy{};
      Time counted = from;  // pieces are by start and nest
      const auto first = std::lower_bound(pieces.begin(), pieces.end(), from - std::chrono::seconds(1),
                                          [](const Piece& piece, Time t) { return piece.start < t; });
      for (auto piece = first; piece != pieces.end() && piece->start < at; ++piece) {
        const Time begin = std::max(piece->start, counted), end = std::min(piece->end, at);
        if (end > begin) busy += end - begin, counted = end;
      }
      if (to_seconds(busy) > kNearlyAll * share) return true;
    }
    return false;
  }

  const RunRecords& run_;
  const PlanProblem& problem_;
  const Choices& choices_;
  Observation observation_;
  std::map<Slot, std::vector<Piece>> slots_;
  std::map<std::pair<std::size_t, int>, Piece> own_;
  std::map<int, std::vector<Time>> ends_;           ///< of all stages on a processor, ascending
  std::vector<std::vector<MomentSample>> samples_;  ///< per processor
  mutable std::optional<Duration> longest_;
};

}  // namespace

Observation observe(const RunRecords& run, const PlanProblem& problem, const Choices& choices) {
  return Observing(run, problem, choices).run();
}

}  // namespace rtmdl
