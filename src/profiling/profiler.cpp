#include "profiling/profiler.h"

#include "base/thread_placement.h"
#include "base/units.h"
#include "data/plugin_steps.h"
#include "data/source.h"
#include "profiling/content_key.h"
#include "profiling/detection_counts.h"
#include "profiling/job_energy.h"
#include "profiling/machine.h"
#include "profiling/measure.h"
#include "profiling/segmentation.h"
#include "profiling/slow_downs.h"

#include <rtmdl/error.h>

#include <malloc.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <map>
#include <memory>
#include <optional>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace rtmdl {
namespace {

constexpr std::string_view kMeasuringRevision = "2";  // raise when measure() would give other times
constexpr std::string_view kCuttingRevision = "1";    // raise when choose_segmentations() would cut elsewhere
constexpr std::string_view kMeteringRevision = "1";   // raise when meter_stages() would give other energies
constexpr int kWindows = 20;                          // of metering, in the time for a variant
constexpr std::size_t kFrames = 24, kStreamFrameBytes = 64u << 20;
constexpr double kNoisy = 0.05;  // share of stalls that is worth a word

/// One variant on one processor with one number of threads and segments: what is measured at a time.
struct Unit {
  std::size_t task = 0, variant = 0;
  int processor = 0, threads = 1;
  LoadRequest request;
  Bench bench;
  std::vector<int> neighbour_cores;
  std::string pre_key, infer_key, post_key, cuts_key, split_key;
  std::vector<std::string> segment_keys;  // of a model that is cut
  std::optional<StageTimes> pre, infer, post;
  std::vector<std::optional<StageTimes>> segments;
  std::optional<StageEnergy> pre_energy, infer_energy, post_energy;
  bool refused = false, reused = false;
  bool to_cut = false;    ///< uncut, on a processor that cannot preempt; where to cut is not known yet
  bool to_split = false;  ///< uncut, and where its variant may go over to another processor is not known yet
  [[nodiscard]] bool in_two() const { return !request.places.empty(); }  ///< a split has a part of one, and of another
  [[nodiscard]] bool known() const {
    return pre && infer && post && std::all_of(segments.begin(), segments.end(), [](const auto& s) { return !!s; });
  }
  [[nodiscard]] bool metered() const { return pre_energy && infer_energy && post_energy; }
};

/// As many consecutive frames (of a stateful task) or frames spread over the stream as are worth keeping in memory.
std::vector<Frame> stream_frames(const TaskSpec& task, Source& source) {
  std::vector<Frame> frames;
  const std::size_t there = source.size(Split::stream);
  const std::size_t count = std::min(kFrames, there);
  std::size_t bytes = 0;
  for (std::size_t k = 0; k < count && (frames.empty() || bytes < kStreamFrameBytes); ++k) {
    frames.push_back(source.read(Split::stream, task.state.empty() ? k * there / count : k));
    bytes += frames.back().image.total() * frames.back().image.elemSize() + frames.back().tensor.bytes.size();
  }
  frames.front().restart = true;
  return frames;
}

/// Of two stages that were measured apart: one sample of each, in the order measured.
StageTimes one_after_the_other(const StageTimes& first, const StageTimes& then) {
  StageTimes both;
  const auto add = [](const std::vector<Duration>& a, const std::vector<Duration>& b, std::vector<Duration>& sums) {
    for (std::size_t k = 0; k < std::min(a.size(), b.size()); ++k) sums.push_back(a[k] + b[k]);
  };
  add(first.alone, then.alone, both.alone);
  add(first.busy, then.busy, both.busy);
  both.stalls = {first.stalls.count + then.stalls.count, first.stalls.of + then.stalls.of,
                 std::max(first.stalls.worst, then.stalls.worst)};
  return both;
}

class Profiling {
 public:
  Profiling(Engine& engine, const TaskFile& file, const Workspace& workspace, const std::vector<TaskVariants>& variants,
            const ProfileOptions& options, const Context& context)
      : engine_(engine),
        file_(file),
        variants_(variants),
        options_(options),
        context_(context),
        store_(workspace.store()),
        fifo_(realtime_permitted()),
        machine_(machine_id()),
        engine_version_(engine.version()),
        sources_(file.tasks.size()) {
    if (options.budget > Duration::zero()) deadline_ = MonotonicClock::now() + options.budget;
    host_ = file.host_processor();
    for (const ProcessorSpec& p : file.processors) all_cores_.insert(all_cores_.end(), p.cores.begin(), p.cores.end());
    std::sort(all_cores_.begin(), all_cores_.end());
    open_energy_meter();
  }

  std::vector<TaskProfile> run() {
    list_units();
    std::size_t missing = 0;
    for (const Unit& unit : units_) missing += complete(unit) ? 0 : 1;
    const auto unmetered = [](const Unit& unit) { return !unit.metered(); };
    if (!no_meter_.empty() && std::any_of(units_.begin(), units_.end(), unmetered))
      context_.warn(no_meter_ + "; joules of jobs are computed from `power` instead");
    if (missing > 0 && !fifo_)
      context_.warn(
          "SCHED_FIFO is not permitted (needs root, CAP_SYS_NICE or an rtprio limit): measured under the ordinary "
          "scheduler; times are noisier");
    std::size_t done = 0;
    for (std::size_t i = 0; i < units_.size(); ++i) {  // grows on the way
      if (complete(units_[i])) continue;
      if (context_.stopping()) break;
      context_.report(name_of(units_[i]), static_cast<double>(done) / static_cast<double>(missing));
      look_up(units_[i]);  // two tasks may share a model and its data
      if (!units_[i].known() || lacks_energy(units_[i])) measure_unit(units_[i], left_from(i));
      ++done;
      const bool in_time = deadline_ == Time::max() || MonotonicClock::now() < deadline_;
      const auto goes_on = [&] { return !units_[i].refused && !context_.stopping() && in_time; };
      if (units_[i].to_split && goes_on()) missing += split(i);
      if (units_[i].to_cut && goes_on()) missing += cut(i);
    }
    neighbour_.reset();
    choose_members();
    const PairBench bench{
        engine_, file_, store_, context_, fifo_, deadline_, [this](std::size_t t) { return frames(t); }};
    pairs_ = measure_pairs(members_, bench);
    return deliver();
  }

 private:
  [[nodiscard]] const TaskSpec& task_of(const Unit& unit) const { return file_.tasks[unit.task]; }
  [[nodiscard]] const Variant& variant_of(const Unit& unit) const {
    return variants_[unit.task].variants[unit.variant];
  }
  [[nodiscard]] const ProcessorSpec& processor(int p) const { return file_.processors[static_cast<std::size_t>(p)]; }

  [[nodiscard]] std::string name_of(const Unit& unit) const {
    const std::size_t segments = unit.request.cuts.size() + 1;
    return fmt::format("{} {} on {}, {} thread{}{}", task_of(unit).name, variant_of(unit).id,
                       processor(unit.processor).name, unit.threads, unit.threads == 1 ? "" : "s",
                       unit.in_two()  ? fmt::format(", in two at node {}", unit.request.cuts.front())
                       : segments > 1 ? fmt::format(", {} segments", segments)
                                      : "");
  }

  void open_energy_meter() {
    if (file_.energy.meter == MeterKind::constant) return;
    try {
      meter_ = open_meter(file_.energy.meter, MonotonicClock::now(), options_.sysfs);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::missing_device) throw;
      no_meter_ = error.what();
    }
  }
  [[nodiscard]] bool lacks_energy(const Unit& unit) const { return meter_ && !unit.metered(); }
  [[nodiscard]] bool complete(const Unit& unit) const {
    return unit.known() && !unit.to_cut && !unit.to_split && !lacks_energy(unit);
  }

  void list_units() {
    for (std::size_t t = 0; t < variants_.size(); ++t) {
      sources_[t] = open_source(file_.tasks[t].data, options_.seed);
      for (std::size_t v = 0; v < variants_[t].variants.size(); ++v) {
        const std::size_t first = units_.size();
        if (!variants_[t].variants[v].exits.none()) {
          list_exit_units(t, v);
          continue;
        }
        for (const int p : candidates(t))
          for (int threads = 1; threads <= most_threads(p); ++threads) {
            units_.push_back(unit_for(t, v, p, threads));
            if (!cuttable(processor(p))) continue;
            const auto known = store_.segmentations(units_.back().cuts_key);
            units_.back().to_cut = !known;
            if (known) append(cut_units(units_.back(), *known));
          }
        if (!file_.tasks[t].split) continue;
        Unit& whole = *std::find_if(units_.begin() + static_cast<std::ptrdiff_t>(first), units_.end(),
                                    [&](const Unit& unit) { return unit.processor == split_by(t); });
        const auto known = store_.segmentations(whole.split_key);
        whole.to_split = !known;
        if (known) append(split_units(whole, *known));
      }
    }
  }

  /// Of a variant with early exits: cut where its units begin, nowhere else.
  void list_exit_units(std::size_t t, std::size_t v) {
    for (const int p : candidates(t))
      for (int threads = 1; threads <= most_threads(p); ++threads) {
        Unit whole = unit_for(t, v, p, threads);
        variant_of(whole).exits.apply_to(whole.request);
        units_.push_back(cut_unit(whole, std::vector<int>(whole.request.cuts), false));
      }
  }

  void append(std::vector<Unit> units) { std::move(units.begin(), units.end(), std::back_inserter(units_)); }

  /// Puts them after units_[i]. Returns how many of them are to be measured.
  std::size_t insert(std::size_t i, std::vector<Unit> units) {
    const auto missing = std::count_if(units.begin(), units.end(), [this](const Unit& u) { return !complete(u); });
    units_.insert(units_.begin() + static_cast<std::ptrdiff_t>(i) + 1, std::make_move_iterator(units.begin()),
                  std::make_move_iterator(units.end()));
    return static_cast<std::size_t>(missing);
  }

  /// Processors that the task's inference may run on.
  [[nodiscard]] std::vector<int> candidates(std::size_t t) const {
    std::vector<int> all;
    for (std::size_t p = 0; p < file_.processors.size(); ++p)
      if (file_.tasks[t].may_run_on(file_.processors[p].name)) all.push_back(static_cast<int>(p));
    return all;
  }

  /// The one whose times say where to split: the first cpu device, or the first of all.
  [[nodiscard]] int split_by(std::size_t t) const {
    const std::vector<int> all = candidates(t);
    const auto cpu = std::find_if(all.begin(), all.end(), [&](int p) { return processor(p).device == "cpu"; });
    return cpu == all.end() ? all.front() : *cpu;
  }

  [[nodiscard]] int most_threads(int p) const {
    const int most = threads_on(processor(p), std::numeric_limits<int>::max());
    return options_.max_threads > 0 ? std::min(most, options_.max_threads) : most;
  }

  Unit unit_for(std::size_t t, std::size_t v, int p, int threads) {
    Unit unit;
    unit.task = t;
    unit.variant = v;
    unit.processor = p;
    unit.threads = threads;
    place(unit);
    const Variant& variant = variant_of(unit);
    const ProcessorSpec& spec = processor(p);
    unit.request = load_request(task_of(unit), variant.path, variant.shapes);
    unit.request.device = spec.device;
    unit.request.provider_options = spec.options;
    unit.request.threads = threads;
    unit.request.pool = {unit.bench.infer_cores, fifo_ ? 80 : 0};
    set_keys(unit);
    look_up(unit);
    unit.reused = unit.known();
    return unit;
  }

  /// Where nothing else can interrupt a stage.
  [[nodiscard]] bool cuttable(const ProcessorSpec& spec) const {
    return !(spec.preemptive && fifo_) && spec.segments > 1;
  }

  std::vector<Unit> cut_units(const Unit& whole, const std::vector<std::vector<int>>& segmentations) {
    std::vector<Unit> units;
    for (const std::vector<int>& cuts : segmentations) {
      if (cuts.size() >= static_cast<std::size_t>(processor(whole.processor).segments)) continue;
      units.push_back(cut_unit(whole, cuts, false));
    }
    return units;
  }

  /// In two at each place, on each processor of the task.
  std::vector<Unit> split_units(const Unit& of, const std::vector<std::vector<int>>& places) {
    std::vector<Unit> units;
    for (const int p : candidates(of.task))
      for (int threads = 1; threads <= most_threads(p); ++threads) {
        const Unit whole = unit_for(of.task, of.variant, p, threads);
        for (const std::vector<int>& cuts : places) units.push_back(cut_unit(whole, cuts, true));
      }
    return units;
  }

  /// `apart`: what crosses goes the way that it goes between two processors.
  Unit cut_unit(const Unit& whole, const std::vector<int>& cuts, bool apart) {
    Unit unit = whole;
    unit.to_cut = unit.to_split = false;
    unit.request.cuts = cuts;
    if (apart) unit.request.places.assign(cuts.size() + 1, unit.request);
    unit.pre_energy.reset(), unit.infer_energy.reset(), unit.post_energy.reset();
    unit.pre.reset(), unit.infer.reset(), unit.post.reset();  // measured together: they go with one another job by job
    unit.segments.resize(cuts.size() + 1);
    set_keys(unit);
    look_up(unit);
    unit.reused = unit.known();
    return unit;
  }

  /// Finds where to cut units_[i] and puts what comes of it after it. Returns how many of those are to be measured.
  std::size_t cut(std::size_t i) {
    Unit& whole = units_[i];
    auto known = store_.segmentations(whole.cuts_key);
    if (!known) {
      known.emplace();
      for (Segmentation& s : choose_segmentations(engine_, whole.request, kMaxSegments, placed(whole), context_)) {
        context_.info(fmt::format("{}: {} segments, the longest {}, all {}", name_of(whole), s.cuts.size() + 1,
                                  format_duration(s.longest), format_duration(s.total)));
        known->push_back(std::move(s.cuts));
      }
      if (context_.stopping()) return 0;
      store_.put_segmentations(whole.cuts_key, name_of(whole), *known);
    }
    whole.to_cut = false;
    return insert(i, cut_units(whole, *known));
  }

  /// Finds where the variant of units_[i] may go over to another processor, likewise.
  std::size_t split(std::size_t i) {
    Unit& whole = units_[i];
    auto known = store_.segmentations(whole.split_key);
    if (!known) {
      known.emplace();
      for (const int place : choose_split_places(engine_, whole.request, placed(whole), context_))
        known->push_back({place});
      if (context_.stopping()) return 0;
      context_.info(
          fmt::format("{} {}: may be split at {} places", task_of(whole).name, variant_of(whole).id, known->size()));
      store_.put_segmentations(whole.split_key, name_of(whole), *known);
    }
    whole.to_split = false;
    return insert(i, split_units(whole, *known));
  }

  [[nodiscard]] ThreadPlacement placed(const Unit& unit) const { return {unit.bench.infer_cores, fifo_ ? 80 : 0}; }

  void look_up(Unit& unit) {
    if (!unit.pre) unit.pre = store_.times(unit.pre_key);
    if (!unit.infer) unit.infer = store_.times(unit.infer_key);
    if (!unit.post) unit.post = store_.times(unit.post_key);
    for (std::size_t k = 0; k < unit.segments.size(); ++k)
      if (!unit.segments[k]) unit.segments[k] = store_.times(unit.segment_keys[k]);
    if (file_.energy.meter == MeterKind::constant) return;
    if (!unit.pre_energy) unit.pre_energy = store_.energy(energy_key(unit.pre_key));
    if (!unit.infer_energy) unit.infer_energy = store_.energy(energy_key(unit.infer_key));
    if (!unit.post_energy) unit.post_energy = store_.energy(energy_key(unit.post_key));
  }
  [[nodiscard]] std::string energy_key(const std::string& times) const {
    return ContentKey("energy")
        .add("revision", kMeteringRevision)
        .add("of", times)
        .add("meter", meter_name(file_.energy.meter))
        .digest();
  }

  /// The measured threads on cores of their processors; the neighbour on the others. Where the processor has all cores,
  /// it lends the neighbour those that the threads leave free.
  void place(Unit& unit) const {
    const ProcessorSpec& spec = processor(unit.processor);
    const std::vector<int>& host = processor(host_).cores;
    unit.bench.fifo = fifo_;
    unit.bench.cpu_clock = spec.device == "cpu" && unit.threads == 1;
    unit.bench.host_cores = host;
    unit.bench.infer_cores = spec.device == "cpu" ? spec.cores : host;
    const auto others = [&] {
      std::vector<int> cores;
      std::set_difference(all_cores_.begin(), all_cores_.end(), unit.bench.infer_cores.begin(),
                          unit.bench.infer_cores.end(), std::back_inserter(cores));
      return cores;
    };
    std::sort(unit.bench.infer_cores.begin(), unit.bench.infer_cores.end());
    unit.neighbour_cores = others();
    if (!unit.neighbour_cores.empty() || unit.bench.infer_cores.size() <= static_cast<std::size_t>(unit.threads))
      return;
    unit.bench.infer_cores.resize(static_cast<std::size_t>(unit.threads));
    if (unit.processor == host_ || spec.device != "cpu") unit.bench.host_cores = unit.bench.infer_cores;
    unit.neighbour_cores = others();
  }

  void add_model(ContentKey& key, const Unit& unit) {
    key.add("model", hashes_.of(unit.request.model));
    key.add("shape", unit.request.shapes).add("state", unit.request.state).add("constant", unit.request.constants);
    key.add("device", unit.request.device)
        .add("option", unit.request.provider_options)
        .add("threads", fmt::format("{}", unit.threads));
  }
  void add_box(ContentKey& key, const Unit& unit) const {
    key.add("policy", fifo_ ? "fifo" : "other")
        .add("machine", machine_)
        .add("engine", engine_version_)
        .add("fingerprint", sources_[unit.task]->fingerprint());
  }

  void set_keys(Unit& unit) {
    const TaskSpec& task = task_of(unit);
    const std::string fingerprint = sources_[unit.task]->fingerprint();
    const auto base = [&](std::string_view stage) {
      ContentKey key("times");
      key.add("revision", kMeasuringRevision).add("stage", stage);
      add_model(key, unit);
      key.add("cores", fmt::format("{}", fmt::join(unit.bench.infer_cores, ",")))
          .add("neighbours", fmt::format("{}", fmt::join(unit.neighbour_cores, ",")));
      add_box(key, unit);
      return key;
    };
    const std::string host = fmt::format("{}", fmt::join(unit.bench.host_cores, ","));
    const auto cut = [&](ContentKey key) {
      if (!unit.request.cuts.empty()) key.add("cuts", fmt::format("{}", fmt::join(unit.request.cuts, ",")));
      if (unit.in_two()) key.add("crossing", "through the host");
      return key;
    };
    unit.infer_key = cut(base("infer")).digest();
    unit.cuts_key = base("cuts").add("chosen by", kCuttingRevision).digest();
    unit.split_key = base("split").add("chosen by", kCuttingRevision).digest();
    unit.segment_keys.clear();
    for (std::size_t k = 0; k < unit.segments.size(); ++k)
      unit.segment_keys.push_back(cut(base("segment")).add("segment", fmt::format("{}", k)).digest());
    unit.pre_key = cut(base("pre")).add("host", host).add("pre", step_key(task.pre)).digest();
    unit.post_key = cut(base("post")).add("host", host).add("data", data_key(task, fingerprint)).digest();
  }

  /// Units to measure from this one on, those that cutting may add included.
  [[nodiscard]] std::size_t left_from(std::size_t i) const {
    std::size_t left = 0;
    for (; i < units_.size(); ++i) {
      left += units_[i].known() ? 0 : 1;
      for (int n = 2; units_[i].to_cut && n <= processor(units_[i].processor).segments; n *= 2) ++left;
      if (!units_[i].to_split) continue;
      for (const int p : candidates(units_[i].task))
        left += kMostSplitPlaces * static_cast<std::size_t>(most_threads(p));
    }
    return left;
  }

  /// Of each task and processor the slowest variant, and one in the middle of those that are accurate enough.
  void choose_members() {
    for (std::size_t t = 0; t < variants_.size(); ++t)
      for (std::size_t p = 0; p < file_.processors.size(); ++p) {
        std::vector<const Unit*> units;
        for (const Unit& unit : units_)
          if (unit.task == t && unit.processor == static_cast<int>(p) && in_pairs(unit)) units.push_back(&unit);
        std::stable_sort(units.begin(), units.end(),
                         [](const Unit* a, const Unit* b) { return summary(*a->infer).p50 > summary(*b->infer).p50; });
        if (units.empty()) continue;
        add_member(*units.front());
        if (units.size() > 1) add_member(*units[units.size() / 2]);
      }
  }

  [[nodiscard]] bool in_pairs(const Unit& unit) const {
    const Variant& v = variant_of(unit);
    const bool accurate = v.id == "source" || v.accuracy >= task_of(unit).accuracy.min;
    return unit.known() && unit.threads == 1 && unit.request.cuts.empty() && accurate;
  }

  void add_member(const Unit& unit) {
    PairMember member{unit.task, variant_of(unit).id, unit.processor, unit.request, {}, {}};
    ContentKey key("pair member");
    key.add("revision", kMeasuringRevision);
    add_model(key, unit);
    add_box(key, unit);
    member.key = key.digest();
    member.load = to_seconds(summary(*unit.infer).p50) / to_seconds(task_of(unit).period);
    members_.push_back(std::move(member));
  }

  /// The member of the unit's task, on its processor, whose time is nearest; null: none.
  [[nodiscard]] const PairMember* member_for(const Unit& unit) const {
    const double load = to_seconds(summary(*unit.infer).p50) / to_seconds(task_of(unit).period);
    const auto distance = [&](const PairMember& m) { return std::abs(std::log(m.load / load)); };
    const PairMember* nearest = nullptr;
    for (const PairMember& m : members_)
      if (m.task == unit.task && m.processor == unit.processor && (!nearest || distance(m) < distance(*nearest)))
        nearest = &m;
    return nearest;
  }

  /// Of its cores, or of an accelerator whose copies of the member were beside each other.
  [[nodiscard]] double demand_of(const Unit& unit, const PairMember* member) const {
    const ProcessorSpec& on = processor(unit.processor);
    if (on.device == "cpu") {
      const double used = unit.infer->cores_used > 0 ? unit.infer->cores_used : unit.threads;
      return std::min(1.0, used / static_cast<double>(on.cores.size()));
    }
    for (const PairSlowDown& pair : pairs_)
      if (pair.slowed == pair.by && &members_[pair.by] == member)
        return std::clamp(pair.factor / copies_beside(on), 1.0 / copies_beside(on), 1.0);
    return 1;
  }

  [[nodiscard]] std::vector<SlowDown> slow_downs_of(const PairMember& member) const {
    std::vector<SlowDown> all;
    for (const PairSlowDown& pair : pairs_) {
      const PairMember& by = members_[pair.by];
      if (&members_[pair.slowed] != &member || &by == &member) continue;
      all.push_back({file_.tasks[by.task].name, by.variant, processor(by.processor).name, pair.factor});
    }
    return all;
  }

  void measure_unit(Unit& unit, std::size_t left) {
    const std::int64_t resident = (malloc_trim(0), resident_bytes());
    std::unique_ptr<Pipeline> pipeline;
    try {
      pipeline = std::make_unique<Pipeline>(engine_, task_of(unit), unit.request);
    } catch (const Error& error) {
      leave_out_or_throw(unit, error);
      return;
    }
    const std::int64_t memory = std::max<std::int64_t>(0, resident_bytes() - resident);
    if (!unit.known()) measure_times(unit, *pipeline, memory, left);
    const bool in_time = MonotonicClock::now() < deadline_;
    if (unit.known() && lacks_energy(unit) && in_time && !context_.stopping()) measure_energy(unit, *pipeline);
  }

  void measure_times(Unit& unit, Pipeline& pipeline, std::int64_t memory, std::size_t left) {
    MeasureLimits limits{options_.per_variant, options_.samples_min, options_.samples_wanted, options_.samples_max};
    if (deadline_ != Time::max()) {
      const Duration share =
          std::max(Duration::zero(), deadline_ - MonotonicClock::now()) / static_cast<std::int64_t>(left);
      if (share < limits.length) {
        limits.length = share;
        limits.wanted = limits.min;
      }
    }
    PipelineTimes times;
    try {
      times = measure(pipeline, frames(unit.task), unit.bench, neighbour_for(unit), limits, context_);
    } catch (const Error& error) {
      if (unit.request.cuts.empty()) throw;
      leave_out_or_throw(unit, error);
      return;
    }
    if (context_.stopping()) return;
    keep(unit, unit.pre, unit.pre_key, "pre", times.pre);
    StageTimes infer = times.infer;
    infer.memory = memory;
    keep(unit, unit.infer, unit.infer_key, "infer", infer);
    for (std::size_t k = 0; k < unit.segments.size(); ++k)
      keep(unit, unit.segments[k], unit.segment_keys[k], fmt::format("segment {}", k + 1), times.segments[k]);
    keep(unit, unit.post, unit.post_key, "post", times.post);
    log(unit);
  }

  void measure_energy(Unit& unit, Pipeline& pipeline) {
    const MeterLimits limits{.window = options_.per_variant / kWindows};
    const JobEnergy energy = meter_stages(pipeline, frames(unit.task), unit.bench, *meter_, limits, context_);
    if (context_.stopping()) return;
    const auto keep_energy = [&](std::optional<StageEnergy>& slot, const std::string& times_key, const char* stage,
                                 const StageEnergy& of) {
      if (slot) return;
      store_.put_energy(energy_key(times_key), fmt::format("{}, {}", name_of(unit), stage), of);
      slot = of;
    };
    keep_energy(unit.pre_energy, unit.pre_key, "pre", energy.pre);
    keep_energy(unit.infer_energy, unit.infer_key, "infer", energy.infer);
    keep_energy(unit.post_energy, unit.post_key, "post", energy.post);
    const std::string_view meter = meter_name(file_.energy.meter);
    if (energy.infer.joules > 0)
      context_.info(
          fmt::format("{}: infer takes {} beyond idle ({})", name_of(unit), format_joules(energy.infer.joules), meter));
    else
      context_.warn(
          fmt::format("{}: {} does not tell what inference draws; it is computed from `power`", name_of(unit), meter));
  }

  /// Another device may run what this one refuses, and uncut a model that does not run in segments; a device that is
  /// not there at all is the user's to mend.
  void leave_out_or_throw(Unit& unit, const Error& error) const {
    const bool whole_on_cpu = unit.request.device == "cpu" && unit.request.cuts.empty();
    if (whole_on_cpu || error.code() != ErrorCode::bad_input) throw error;
    context_.warn(fmt::format("{}: left out: {}", name_of(unit), error.what()));
    unit.refused = true;
  }

  /// What the store held already stays.
  void keep(const Unit& unit, std::optional<StageTimes>& slot, const std::string& key, const std::string& stage,
            const StageTimes& times) {
    if (slot) return;
    store_.put_times(key, fmt::format("{}, {}", name_of(unit), stage), times);
    slot = times;
  }

  void log(const Unit& unit) const {
    const StageSummary s = summary(*unit.infer);
    context_.info(fmt::format("{}: infer p50 {}, p99 {} under load ({:.2f} times those alone), {} samples",
                              name_of(unit), format_duration(s.p50), format_duration(s.p99), slow_down_of(*unit.infer),
                              s.samples));
    if (unit.infer->stalls.share() > kNoisy)
      context_.warn(fmt::format("{}: the machine stood still in {} of the samples (up to {}); they are left out",
                                name_of(unit), format_percent(unit.infer->stalls.share()),
                                format_duration(unit.infer->stalls.worst)));
  }

  std::span<const Frame> frames(std::size_t t) {
    if (frames_of_ != t) {
      frames_ = stream_frames(file_.tasks[t], *sources_[t]);
      frames_of_ = t;
    }
    return frames_;
  }

  /// The source model of the heaviest other task (of the task itself if it is alone).
  [[nodiscard]] std::size_t heaviest_besides(std::size_t task) const {
    std::size_t heaviest = task;
    std::pair<Duration, std::int64_t> most{Duration(-1), -1};
    for (std::size_t t = 0; t < variants_.size(); ++t) {
      if (t == task || variants_[t].variants.empty()) continue;
      const Variant& source = variants_[t].variants.front();
      const std::pair<Duration, std::int64_t> weight{source.median, source.bytes};
      if (weight > most) {
        most = weight;
        heaviest = t;
      }
    }
    return heaviest;
  }

  Neighbour* neighbour_for(const Unit& unit) {
    if (unit.neighbour_cores.empty()) return nullptr;
    const std::size_t other = heaviest_besides(unit.task);
    if (!neighbour_ || neighbour_task_ != other || neighbour_cores_ != unit.neighbour_cores) {
      neighbour_.reset();
      const std::vector<Frame> one = stream_frames(file_.tasks[other], *sources_[other]);
      const TaskSpec& task = file_.tasks[other];
      neighbour_ = std::make_unique<Neighbour>(engine_, task, load_request(task, task.model), one.front(),
                                               unit.neighbour_cores, fifo_);
      neighbour_task_ = other;
      neighbour_cores_ = unit.neighbour_cores;
    }
    return neighbour_.get();
  }

  std::vector<TaskProfile> deliver() {
    std::vector<TaskProfile> tasks;
    for (const TaskSpec& task : file_.tasks) tasks.push_back({task.name, {}});
    for (const TaskSpec& task : file_.tasks)
      if (task.after.per_detection) count_detections(tasks, static_cast<std::size_t>(task.after.task));
    for (const Unit& unit : units_)
      if (unit.known() && !unit.in_two()) tasks[unit.task].variants.push_back(profile_of(unit));
    for (const Unit& first : units_)
      for (const Unit& rest : units_)
        if (go_together(first, rest)) tasks[first.task].variants.push_back(split_profile(first, rest));
    if (!context_.stopping()) require_each(tasks);
    return tasks;
  }

  VariantProfile profile_of(const Unit& unit) {
    const Variant& variant = variant_of(unit);
    VariantProfile out;
    out.id = variant.id;
    out.processor = processor(unit.processor).name;
    out.processor_index = unit.processor;
    out.threads = unit.threads;
    out.pre = *unit.pre;
    out.infer = *unit.infer;
    out.post = *unit.post;
    out.cuts = unit.request.cuts;
    for (const auto& segment : unit.segments) out.segment_times.push_back(*segment);
    set_watts(unit, out);
    out.interference = slow_down_of(out.infer);
    const PairMember* const member = member_for(unit);
    out.demand = demand_of(unit, member);
    if (member) out.representative = member->variant;
    if (member && member->variant == variant.id && in_pairs(unit)) out.slow_downs = slow_downs_of(*member);
    out.exits = variant.exits;
    out.accuracy = variant.accuracy;
    out.accuracy_loss = variant.accuracy_loss;
    out.content = hashes_.of(unit.request.model);
    out.key =
        ContentKey("option").add("pre", unit.pre_key).add("infer", unit.infer_key).add("post", unit.post_key).digest();
    out.bytes = variant.bytes;
    out.memory = std::max(out.infer.memory, variant.bytes);
    out.source = variant.id == "source";
    out.reused = unit.reused;
    add_joules(out);
    return out;
  }

  static void set_watts(const Unit& unit, VariantProfile& out) {
    const auto watts = [](const std::optional<StageEnergy>& energy) { return energy ? energy->watts() : 0; };
    out.pre.watts = watts(unit.pre_energy);
    out.infer.watts = watts(unit.infer_energy);
    out.post.watts = watts(unit.post_energy);
    for (StageTimes& segment : out.segment_times) segment.watts = out.infer.watts;
  }

  /// Stages that were not metered by the power of their processors.
  void add_joules(VariantProfile& v) const {
    double joules = 0;
    bool known = true;
    v.metered = true;
    const auto add = [&](const StageTimes& times, const ProcessorSpec& on, int threads, double reach) {
      const std::vector<Duration> all = planning_times(times);
      double seconds = 0;
      for (const Duration d : all) seconds += to_seconds(d) / static_cast<double>(all.size());
      const int slots = on.device == "cpu" ? slots_of_threads(threads, on.slots, on.cores.size()) : 1;
      known = known && (times.watts > 0 || on.power);
      if (times.watts > 0) joules += reach * seconds * times.watts;
      else if (on.power) joules += reach * seconds * on.power->of_slot(on.slots) * slots;
      return times.watts > 0;
    };
    const ProcessorSpec& host = processor(host_);
    add(v.pre, host, 1, 1);
    add(v.post, host, 1, 1);
    const std::vector<double> reach = v.exits.none() ? std::vector<double>{} : v.exits.reach();
    for (std::size_t k = 0; k < std::max<std::size_t>(v.segment_times.size(), 1); ++k) {
      const int p = v.split.empty() ? v.processor_index : file_.processor_index(v.split[k]);
      const StageTimes& times = v.segment_times.empty() ? v.infer : v.segment_times[k];
      v.metered &= add(times, processor(p), threads_on(processor(p), v.threads), reach.empty() ? 1 : reach[k]);
    }
    if (known || v.metered) v.joules = joules;
  }

  /// One's first part and the other's rest, with equally many threads as far as their processors have them.
  [[nodiscard]] bool go_together(const Unit& first, const Unit& rest) const {
    if (!first.in_two() || !rest.in_two() || !first.known() || !rest.known()) return false;
    if (first.task != rest.task || first.variant != rest.variant || first.request.cuts != rest.request.cuts ||
        first.processor == rest.processor)
      return false;
    const int threads = std::max(first.threads, rest.threads);
    return first.threads == std::min(threads, most_threads(first.processor)) &&
           rest.threads == std::min(threads, most_threads(rest.processor));
  }

  VariantProfile split_profile(const Unit& first, const Unit& rest) {
    VariantProfile out = profile_of(first);
    const VariantProfile other = profile_of(rest);
    out.split = {out.processor, other.processor};
    out.processor = place_name(out.split, out.cuts);
    out.threads = std::max(first.threads, rest.threads);
    out.post = other.post;
    out.segment_times.back() = other.segment_times.back();
    out.infer = one_after_the_other(out.segment_times.front(), out.segment_times.back());
    out.interference = slow_down_of(out.infer);
    out.key = ContentKey("option")
                  .add("pre", first.pre_key)
                  .add("first", first.segment_keys.front())
                  .add("rest", rest.segment_keys.back())
                  .add("post", rest.post_key)
                  .digest();
    out.memory = std::max(out.memory, other.memory);
    add_joules(out);
    out.reused = first.reused && rest.reused;
    return out;
  }

  /// Not of a task that is itself given parts of frames: its stream is not what it sees in a run.
  void count_detections(std::vector<TaskProfile>& tasks, std::size_t t) {
    const TaskSpec& task = file_.tasks[t];
    if (task.after.per_detection || !tasks[t].detections.empty()) return;
    tasks[t].detections = detection_counts(engine_, task, store_, hashes_, options_.seed, context_);
  }

  void require_each(const std::vector<TaskProfile>& tasks) const {
    for (std::size_t t = 0; t < tasks.size(); ++t)
      if (tasks[t].variants.empty()) file_.tasks[t].where.fail("no processor runs any variant of this task");
  }

  Engine& engine_;
  const TaskFile& file_;
  const std::vector<TaskVariants>& variants_;
  const ProfileOptions& options_;
  const Context& context_;
  Store store_;
  bool fifo_;
  std::string machine_, engine_version_;
  std::unique_ptr<EnergyMeter> meter_;  // null: there is none to be read
  std::string no_meter_;                // why one that was asked for is not there
  int host_ = 0;
  Time deadline_ = Time::max();
  std::vector<int> all_cores_;  // of all processors, ascending
  ContentHashes hashes_;
  std::vector<std::unique_ptr<Source>> sources_;
  std::vector<Unit> units_;
  std::vector<PairMember> members_;
  std::vector<PairSlowDown> pairs_;
  std::vector<Frame> frames_;
  std::size_t frames_of_ = static_cast<std::size_t>(-1);
  std::unique_ptr<Neighbour> neighbour_;
  std::size_t neighbour_task_ = 0;
  std::vector<int> neighbour_cores_;
};

}  // namespace

std::vector<Duration> planning_times(const StageTimes& times) {
  std::vector<Duration> sorted = times.busy.empty() ? times.alone : times.busy;
  std::sort(sorted.begin(), sorted.end());
  return sorted;
}

StageSummary summary(const StageTimes& times) {
  const std::vector<Duration> sorted = planning_times(times);
  StageSummary s;
  s.samples = sorted.size();
  if (sorted.empty()) return s;
  const auto nearest_rank = [&](double q) {
    const auto rank = static_cast<std::size_t>(std::ceil(q * static_cast<double>(sorted.size())));
    return sorted[std::clamp<std::size_t>(rank, 1, sorted.size()) - 1];
  };
  s.min = sorted.front();
  s.p50 = nearest_rank(0.5);
  s.p99 = nearest_rank(0.99);
  s.max = sorted.back();
  return s;
}

Duration mean_of_units(const VariantProfile& v) {
  if (v.exits.none()) return summary(v.infer).p50;
  const std::vector<double> reach = v.exits.reach();
  double seconds = 0;
  for (std::size_t k = 0; k < v.segment_times.size(); ++k)
    seconds += reach[k] * to_seconds(summary(v.segment_times[k]).p50);
  return from_seconds(seconds);
}

std::vector<TaskProfile> profile_tasks(Engine& engine, const TaskFile& file, const Workspace& workspace,
                                       const std::vector<TaskVariants>& variants, const ProfileOptions& options,
                                       const Context& context) {
  return Profiling(engine, file, workspace, variants, options, context).run();
}

}  // namespace rtmdl
