#include "report/perfetto.h"

#include "base/atomic_file.h"
#include "report/run_slices.h"
#include "report/utf8.h"

#include <algorithm>
#include <limits>
#include <map>
#include <new>

#include <report/perfetto.pb.h>
#include <zlib.h>

namespace rtmdl {
namespace {

using perfetto::TracePacket;
using perfetto::TrackDescriptor;
using perfetto::TrackEvent;
using Uuid = std::uint64_t;
using Iid = std::uint64_t;  ///< stands for a string; 0: none

constexpr Uuid kRun = 1;

constexpr int kBatch = 4096;  ///< packets that are deflated together: the format's readers expect less than 512 KB

/// "\uFFFD" for what is not UTF-8.
std::string valid_utf8(std::string_view text) {
  std::string valid;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t from = i;
    if (next_code_point(text, i) == kReplacement) valid += "\uFFFD";
    else valid.append(text, from, i - from);
  }
  return valid;
}

std::uint64_t nanoseconds(Time t) {
  return static_cast<std::uint64_t>(std::max<Duration::rep>(0, t.time_since_epoch().count()));
}

/// Packets to a file, batch by batch.
class PacketFile {
 public:
  explicit PacketFile(const std::filesystem::path& path) : file_(path), deflated_(*outer_.add_packet()) {}

  /// The next packet of the one sequence, to be filled in before the next call.
  TracePacket& next() {
    if (batch_.packet_size() == kBatch) flush();
    ++count_;
    TracePacket& packet = *batch_.add_packet();
    packet.set_trusted_packet_sequence_id(1);
    packet.set_sequence_flags(count_ == 1 ? TracePacket::SEQ_INCREMENTAL_STATE_CLEARED
                                          : TracePacket::SEQ_NEEDS_INCREMENTAL_STATE);
    return packet;
  }
  void commit() {
    flush();
    file_.commit();
  }
  [[nodiscard]] std::size_t count() const { return count_; }

 private:
  void flush() {
    batch_.SerializeToString(&bytes_);
    uLongf size = compressBound(static_cast<uLong>(bytes_.size()));
    std::string& deflated = *deflated_.mutable_compressed_packets();
    deflated.resize(size);
    if (compress2(reinterpret_cast<Bytef*>(deflated.data()), &size, reinterpret_cast<const Bytef*>(bytes_.data()),
                  static_cast<uLong>(bytes_.size()), Z_BEST_SPEED) != Z_OK)
      throw std::bad_alloc();  // there is no other reason
    deflated.resize(size);
    outer_.SerializeToString(&bytes_);
    file_.write(bytes_);
    batch_.Clear();  // keeps its memory for the next
  }

  AtomicFile file_;
  perfetto::Trace batch_, outer_;
  TracePacket& deflated_;  ///< the one packet of outer_
  std::string bytes_;
  std::size_t count_ = 0;
};

/// Strings of one kind and what stands for them.
class Interned {
 public:
  Iid operator()(const std::string& text) {
    if (text.empty()) return 0;
    return ids_.try_emplace(valid_utf8(text), ids_.size() + 1).first->second;
  }
  void write(google::protobuf::RepeatedPtrField<perfetto::InternedString>& strings) const {
    for (const auto& [text, id] : ids_) {
      perfetto::InternedString& s = *strings.Add();
      s.set_iid(id);
      s.set_str(text);
    }
  }

 private:
  std::map<std::string, Iid> ids_;
};

struct Kind {
  Iid category = 0, name = 0;
};

class PerfettoWriter {
 public:
  PerfettoWriter(const std::filesystem::path& path, const RunOutcome& outcome, const std::vector<TaskInfo>& tasks)
      : outcome_(outcome),
        tasks_(tasks),
        slices_(outcome, tasks, std::numeric_limits<std::size_t>::max()),
        jobs_(slices_.jobs()),
        file_(path) {}

  TraceSummary write() {
    write_head();
    write_run();
    write_tasks();
    write_processors();
    write_stalls();
    write_counters();
    file_.commit();
    return {file_.count(), jobs_.size(), 0};
  }

 private:
  template <typename Tasks>
  [[nodiscard]] static auto& of_mode(Tasks& all, const JobRecord& r) {
    auto& modes = all[r.task];
    return modes[std::min<std::size_t>(r.mode, modes.size() - 1)];
  }

  /// What packets refer to by number, and the clock.
  void write_head() {
    stages_.resize(slices_.tasks());
    for (std::size_t i = 0; i < slices_.tasks(); ++i) {
      task_names_.push_back(names_(task_name(tasks_, i)));
      variants_.emplace_back();
      for (const std::string& variant : variant_names(outcome_, i))
        variants_.back().push_back(variant.empty() ? 0 : values_(variant));
      stages_[i].resize(variants_.back().size());
    }
    for (const JobRecord* r : jobs_)
      for (int s = static_cast<int>(of_mode(stages_, *r).size()); s < recorded_stages(*r); ++s)
        of_mode(stages_, *r).push_back(values_(stage_name(outcome_, *r, s)));

    TracePacket& first = file_.next();
    first.set_first_packet_on_sequence(true);
    first.mutable_trace_packet_defaults()->set_timestamp_clock_id(perfetto::BUILTIN_CLOCK_MONOTONIC);
    perfetto::InternedData& interned = *first.mutable_interned_data();
    categories_.write(*interned.mutable_event_categories());
    names_.write(*interned.mutable_event_names());
    keys_.write(*interned.mutable_debug_annotation_names());
    values_.write(*interned.mutable_debug_annotation_string_values());

    perfetto::ClockSnapshot& snapshot = *file_.next().mutable_clock_snapshot();
    snapshot.set_primary_trace_clock(perfetto::BUILTIN_CLOCK_MONOTONIC);
    perfetto::ClockSnapshot::Clock& clock = *snapshot.add_clocks();
    clock.set_clock_id(perfetto::BUILTIN_CLOCK_MONOTONIC);
    clock.set_timestamp(nanoseconds(outcome_.start));
  }

  void write_run() {
    TrackDescriptor& run = *file_.next().mutable_track_descriptor();
    run.set_uuid(kRun);
    run.mutable_process()->set_pid(1);
    run.mutable_process()->set_process_name(valid_utf8("rtmdl: " + outcome_.report.policy));
    run.set_child_ordering(TrackDescriptor::EXPLICIT);
    TrackEvent& event = instant(outcome_.start, kRun, run_);
    if (policy_) note(event, policy_key_).set_string_value_iid(policy_);
    if (preemption_) note(event, preemption_key_).set_string_value_iid(preemption_);
    note(event, jobs_key_).set_uint_value(jobs_.size());
    if (const std::optional<TraceReport>& trace = outcome_.report.trace) {
      note(event, records_key_).set_int_value(trace->records);
      note(event, lost_key_).set_int_value(trace->lost);
      note(event, collector_key_).set_double_value(trace->collector_cpu_ms);
    }
  }

  void write_tasks() {
    const Uuid group = track("tasks", kRun);
    std::vector<Uuid> first_lane;
    for (const SliceTrack& t : slices_.tasks_by_lane()) {
      const Uuid uuid = track(t.name, group);
      if (t.lane == 0) first_lane.push_back(uuid);
      write_slices(uuid, t.slices, [&](TrackEvent& event, const Span& s) {
        const JobRecord& r = *jobs_[s.job];
        event.add_category_iids(job_.category);
        event.set_name_iid(task_names_[r.task]);
        if (recorded_stages(r) > 0) event.add_flow_ids(s.job + std::uint64_t{1});
        describe(event, r);
        note(event, frame_key_).set_int_value(r.frame);
        note(event, outcome_key_).set_string_value_iid(outcome_of(r));
        if (r.stalled) note(event, stalled_key_).set_bool_value(true);
      });
    }
    for (const JobRecord* r : jobs_) {
      if (r->task < tasks_.size())
        note(instant(r->release + tasks_[r->task].deadline, first_lane[r->task], deadline_), job_key_)
            .set_uint_value(r->job);
      if (!r->missed()) continue;
      TrackEvent& miss = instant(std::max(r->release, r->finish), first_lane[r->task], miss_of(*r));
      note(miss, job_key_).set_uint_value(r->job);
      if (r->stalled) note(miss, stalled_key_).set_bool_value(true);
    }
  }

  void write_processors() {
    const Uuid group = track("processors", kRun);
    for (const SliceTrack& t : slices_.processors())
      write_slices(track(t.name, group), t.slices, [&](TrackEvent& event, const Span& s) {
        const JobRecord& r = *jobs_[s.job];
        event.add_category_iids(stage_.category);
        event.set_name_iid(task_names_[r.task]);
        if (s.stage + 1 < recorded_stages(r)) event.add_flow_ids(s.job + std::uint64_t{1});
        else event.add_terminating_flow_ids(s.job + std::uint64_t{1});
        describe(event, r);
        note(event, stage_key_).set_string_value_iid(of_mode(stages_, r)[s.stage]);
        if (r.late) note(event, late_key_).set_bool_value(true);
        if (s.clamped) note(event, clamped_key_).set_bool_value(true);
      });
  }

  void write_stalls() {
    for (const SliceTrack& t : slices_.stalls())
      write_slices(track(t.name, kRun), t.slices, [&](TrackEvent& event, const Span&) { name(event, stall_); });
  }

  void write_counters() {
    std::vector<Time> ends;
    ends.reserve(jobs_.size());
    for (const JobRecord* r : jobs_) ends.push_back(std::max(r->release, r->finish));
    std::sort(ends.begin(), ends.end());
    const Uuid in_system = counter("jobs waiting or in progress");
    std::size_t over = 0;
    for (std::size_t released = 0; released < jobs_.size();) {
      const Time now = std::min(jobs_[released]->release, ends[over]);
      while (released < jobs_.size() && jobs_[released]->release == now) ++released;
      while (over < released && ends[over] == now) ++over;
      count(now, in_system, released - over);
    }
    for (; over < ends.size(); ++over) count(ends[over], in_system, ends.size() - over - 1);

    const std::vector<std::vector<Time>> misses = slices_.misses();
    for (std::size_t i = 0; i < misses.size(); ++i) {
      const Uuid uuid = counter("misses of " + task_name(tasks_, i));
      for (std::size_t n = 0; n < misses[i].size(); ++n) count(misses[i][n], uuid, n + 1);
    }
  }

  /// A named track below another, after those that were made before.
  Uuid track(const std::string& name, Uuid parent, bool counts = false) {
    TrackDescriptor& t = *file_.next().mutable_track_descriptor();
    t.set_uuid(++last_uuid_);
    t.set_parent_uuid(parent);
    t.set_name(valid_utf8(name));
    t.set_child_ordering(TrackDescriptor::EXPLICIT);
    t.set_sibling_order_rank(static_cast<int>(last_uuid_));
    if (counts) t.mutable_counter()->set_unit(perfetto::CounterDescriptor::UNIT_COUNT);
    return last_uuid_;
  }
  Uuid counter(const std::string& name) { return track(name, kRun, true); }

  TrackEvent& add(Time when, TrackEvent::Type type, Uuid uuid) {
    TracePacket& packet = file_.next();
    packet.set_timestamp(nanoseconds(when));
    TrackEvent& event = *packet.mutable_track_event();
    event.set_type(type);
    event.set_track_uuid(uuid);
    return event;
  }
  TrackEvent& instant(Time when, Uuid uuid, const Kind& kind) {
    TrackEvent& event = add(when, TrackEvent::TYPE_INSTANT, uuid);
    name(event, kind);
    return event;
  }
  void count(Time when, Uuid uuid, std::size_t value) {
    add(when, TrackEvent::TYPE_COUNTER, uuid).set_counter_value(static_cast<std::int64_t>(value));
  }

  /// Begins and ends in an order in which they nest, also those of one moment: readers sort by time and keep it.
  template <typename Describe>
  void write_slices(Uuid uuid, const std::vector<Span>& slices, const Describe& describe_slice) {
    std::vector<Time> open;
    const auto end_until = [&](Time t) {
      for (; !open.empty() && open.back() <= t; open.pop_back()) add(open.back(), TrackEvent::TYPE_SLICE_END, uuid);
    };
    for (const Span& s : slices) {
      end_until(s.start);
      describe_slice(add(s.start, TrackEvent::TYPE_SLICE_BEGIN, uuid), s);
      open.push_back(s.end);
    }
    end_until(Time::max());
  }

  static void name(TrackEvent& event, const Kind& kind) {
    event.add_category_iids(kind.category);
    event.set_name_iid(kind.name);
  }
  static perfetto::DebugAnnotation& note(TrackEvent& event, Iid key) {
    perfetto::DebugAnnotation& annotation = *event.add_debug_annotations();
    annotation.set_name_iid(key);
    return annotation;
  }
  void describe(TrackEvent& event, const JobRecord& r) const {
    note(event, job_key_).set_uint_value(r.job);
    if (const Iid variant = of_mode(variants_, r)) note(event, variant_key_).set_string_value_iid(variant);
  }

  [[nodiscard]] Iid outcome_of(const JobRecord& r) const {
    if (r.fate == JobFate::dropped) return dropped_value_;
    if (r.fate == JobFate::failed) return failed_value_;
    return r.late ? late_value_ : in_time_value_;
  }
  [[nodiscard]] const Kind& miss_of(const JobRecord& r) const {
    if (r.fate == JobFate::dropped) return dropped_;
    return r.fate == JobFate::failed ? failed_ : late_;
  }
  Kind kind(const std::string& category, const std::string& name) { return {categories_(category), names_(name)}; }

  const RunOutcome& outcome_;
  const std::vector<TaskInfo>& tasks_;
  RunSlices slices_;
  const std::vector<const JobRecord*>& jobs_;  // by release
  PacketFile file_;
  Uuid last_uuid_ = kRun;
  Interned categories_, names_, keys_, values_;
  std::vector<Iid> task_names_;                        // per task
  std::vector<std::vector<Iid>> variants_;             // and in each mode
  std::vector<std::vector<std::vector<Iid>>> stages_;  // and each stage, as far as jobs came
  const Kind run_ = kind("run", "run"), job_ = kind("job", ""), stage_ = kind("stage", ""),
             stall_ = kind("stall", "stall"), deadline_ = kind("deadline", "deadline"), late_ = kind("miss", "late"),
             dropped_ = kind("miss", "dropped"), failed_ = kind("miss", "failed");
  const Iid job_key_ = keys_("job"), variant_key_ = keys_("variant"), stage_key_ = keys_("stage"),
            frame_key_ = keys_("frame"), outcome_key_ = keys_("outcome"), late_key_ = keys_("late"),
            stalled_key_ = keys_("stalled"), clamped_key_ = keys_("clamped"), policy_key_ = keys_("policy"),
            preemption_key_ = keys_("preemption"), jobs_key_ = keys_("jobs"), records_key_ = keys_("records"),
            lost_key_ = keys_("records lost"), collector_key_ = keys_("collector_cpu_ms");
  const Iid policy_ = values_(outcome_.report.policy), preemption_ = values_(outcome_.report.preemption);
  const Iid in_time_value_ = values_("in time"), late_value_ = values_("late"), dropped_value_ = values_("dropped"),
            failed_value_ = values_("failed");
};

}  // namespace

TraceSummary write_perfetto(const std::filesystem::path& path, const RunOutcome& outcome,
                            const std::vector<TaskInfo>& tasks) {
  return PerfettoWriter(path, outcome, tasks).write();
}

}  // namespace rtmdl
