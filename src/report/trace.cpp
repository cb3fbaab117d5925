#include "report/trace.h"

#include "base/atomic_file.h"
#include "report/run_slices.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <iterator>

#include <fmt/format.h>

namespace rtmdl {
namespace {

constexpr int kProcessors = 1, kTasks = 2, kMachine = 3;  // process ids
constexpr std::size_t kLanes = 100;                       // thread ids per task
constexpr std::size_t kEventBytes = 140;

std::string quoted(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

/// Reserved colour names of the trace viewers.
std::string_view colour_of(const JobRecord& r) {
  if (r.fate == JobFate::dropped) return "bad";
  if (r.fate == JobFate::failed) return "black";
  return r.late ? "terrible" : "good";
}

class TraceWriter {
 public:
  TraceWriter(const RunOutcome& outcome, const std::vector<TaskInfo>& tasks, const TraceOptions& options)
      : outcome_(outcome),
        tasks_(tasks),
        options_(options),
        slices_(outcome, tasks, options.event_limit),
        jobs_(slices_.jobs()) {
    summary_.jobs = jobs_.size();
    summary_.jobs_left_out = slices_.jobs_left_out();
  }

  std::string write() {
    out_.reserve(jobs_.size() * 8 * kEventBytes + 4096);
    out_ += "{\"displayTimeUnit\":\"ms\",\n\"traceEvents\":[";
    name_tasks();
    write_tasks();
    write_processors();
    write_stalls();
    if (summary_.jobs_left_out > 0) write_limit();
    out_ += fmt::format(
        "\n],\n\"otherData\":{{\"policy\":{},\"preemption\":{},\"jobs\":{},\"jobs_left_out\":{},\"records_lost\":{}}}}}"
        "\n",
        quoted(outcome_.report.policy), quoted(outcome_.report.preemption), summary_.jobs, summary_.jobs_left_out,
        outcome_.report.trace ? outcome_.report.trace->lost : 0);
    return std::move(out_);
  }

  [[nodiscard]] const TraceSummary& summary() const { return summary_; }

 private:
  template <typename... Args>
  void event(fmt::format_string<Args...> format, Args&&... args) {
    out_ += summary_.events++ ? ",\n{" : "\n{";
    fmt::format_to(std::back_inserter(out_), format, std::forward<Args>(args)...);
    out_ += '}';
  }

  /// Microseconds with three decimals, from the start of the run; never negative.
  [[nodiscard]] std::string at(Time t) const { return us(t - outcome_.start); }
  [[nodiscard]] static std::string us(Duration d) {
    const auto ns = std::max<Duration::rep>(0, d.count());
    return fmt::format("{}.{:03}", ns / 1000, ns % 1000);
  }
  /// Of an interval, agreeing with at() of its two ends.
  [[nodiscard]] std::string length(Time start, Time end) const {
    return us(std::max(end, outcome_.start) - std::max(start, outcome_.start));
  }

  void process(int pid, std::string_view name) {
    event(R"("ph":"M","pid":{},"tid":0,"name":"process_name","args":{{"name":"{}"}})", pid, name);
    event(R"("ph":"M","pid":{0},"tid":0,"name":"process_sort_index","args":{{"sort_index":{0}}})", pid);
  }
  void thread(int pid, std::size_t tid, const std::string& name) {
    event(R"("ph":"M","pid":{},"tid":{},"name":"thread_name","args":{{"name":{}}})", pid, tid, quoted(name));
    event(R"("ph":"M","pid":{0},"tid":{1},"name":"thread_sort_index","args":{{"sort_index":{1}}})", pid, tid);
  }

  void name_tasks() {
    for (std::size_t i = 0; i < slices_.tasks(); ++i) {
      names_.push_back(quoted(task_name(tasks_, i)));
      variants_.emplace_back();
      for (const std::string& variant : variant_names(outcome_, i)) variants_.back().push_back(quoted(variant));
    }
  }

  [[nodiscard]] const std::string& variant_of(const JobRecord& r) const {
    const auto& modes = variants_[r.task];
    return modes[std::min<std::size_t>(r.mode, modes.size() - 1)];
  }

  static std::size_t lane_id(std::size_t task, std::size_t lane) {
    return task * kLanes + std::min(lane, kLanes - 1) + 1;
  }

  void write_tasks() {
    process(kTasks, "tasks");
    for (const SliceTrack& track : slices_.tasks_by_lane()) {
      if (track.lane < kLanes)
        thread(kTasks, lane_id(track.index, track.lane), track.name + (track.lane ? " (overlapping)" : ""));
      for (const Span& s : track.slices) write_job(s, lane_id(track.index, track.lane));
    }
    count_misses();
  }

  void write_job(const Span& span, std::size_t lane) {
    const std::uint32_t j = span.job;
    const JobRecord& r = *jobs_[j];
    const std::string& name = names_[r.task];
    const bool begun = recorded_stages(r) > 0;
    event(
        R"("ph":"X","pid":{},"tid":{},"ts":{},"dur":{},"cat":"job","name":{},"cname":"{}","args":{{"job":{},"variant":{},"frame":{},"outcome":"{}",)"
        R"("ms_after_release":{:.6f},"stalled":{}}})",
        kTasks, lane, at(span.start), length(span.start, span.end), name, colour_of(r), r.job, variant_of(r), r.frame,
        fate_of(r), to_ms(span.end - span.start), r.stalled);
    if (begun)
      event(R"("ph":"s","pid":{},"tid":{},"ts":{},"cat":"job","name":"job","id":{})", kTasks, lane, at(span.start),
            j + 1);
    if (r.task < tasks_.size())
      event(R"("ph":"i","pid":{},"tid":{},"ts":{},"s":"t","cat":"deadline","name":"deadline","args":{{"job":{}}})",
            kTasks, lane_id(r.task, 0), at(r.release + tasks_[r.task].deadline), r.job);
    if (begun)  // just before the end: an arrow ends at what is open
      event(R"("ph":"f","bp":"e","pid":{},"tid":{},"ts":{},"cat":"job","name":"job","id":{})", kTasks, lane,
            at(std::max(span.start, span.end - Duration(1))), j + 1);
    if (!r.missed()) return;
    event(
        R"("ph":"i","pid":{},"tid":{},"ts":{},"s":"t","cat":"miss","name":"{}","cname":"{}","args":{{"job":{},"stalled":{}}})",
        kTasks, lane_id(r.task, 0), at(span.end), fate_of(r), colour_of(r), r.job, r.stalled);
  }

  void count_misses() {
    const std::vector<std::vector<Time>> misses = slices_.misses();
    for (std::size_t task = 0; task < misses.size(); ++task) {
      const std::string name = quoted("misses of " + task_name(tasks_, task));
      for (std::size_t n = 0; n < misses[task].size(); ++n)
        event(R"("ph":"C","pid":{},"ts":{},"name":{},"args":{{"misses":{}}})", kTasks, at(misses[task][n]), name,
              n + 1);
    }
  }

  void write_processors() {
    process(kProcessors, "processors");
    for (const SliceTrack& track : slices_.processors()) {
      thread(kProcessors, track.index + 1, track.name);
      for (const Span& s : track.slices) write_stage(track.index + 1, s);
    }
  }

  void write_stage(std::size_t tid, const Span& s) {
    const JobRecord& r = *jobs_[s.job];
    event(
        R"("ph":"X","pid":{},"tid":{},"ts":{},"dur":{},"cat":"stage","name":{},"args":{{"job":{},"variant":{},"stage":"{}","frame":{},"late":{}{}}})",
        kProcessors, tid, at(s.start), length(s.start, s.end), names_[r.task], r.job, variant_of(r),
        stage_name(outcome_, r, s.stage), r.frame, r.late, s.clamped ? R"(,"clamped":true)" : "");
    event(R"("ph":"t","pid":{},"tid":{},"ts":{},"cat":"job","name":"job","id":{})", kProcessors, tid, at(s.start),
          s.job + 1);
  }

  void write_stalls() {
    if (outcome_.stalls.empty()) return;
    process(kMachine, "machine");
    for (const SliceTrack& track : slices_.stalls()) {
      thread(kMachine, track.index + 1, track.name);
      for (const Span& s : track.slices)
        event(R"("ph":"X","pid":{},"tid":{},"ts":{},"dur":{},"cat":"stall","name":"stall","cname":"grey","args":{{}})",
              kMachine, track.index + 1, at(s.start), length(s.start, s.end));
    }
  }

  void write_limit() {
    const Time last = jobs_.empty() ? outcome_.start : jobs_.back()->release;
    event(
        R"("ph":"i","pid":{},"tid":0,"ts":{},"s":"g","name":"the trace ends here: {} later jobs left out, limit {} events","args":{{}})",
        kTasks, at(last), summary_.jobs_left_out, options_.event_limit);
  }

  const RunOutcome& outcome_;
  const std::vector<TaskInfo>& tasks_;
  TraceOptions options_;
  RunSlices slices_;
  const std::vector<const JobRecord*>& jobs_;  // by release
  TraceSummary summary_;
  std::vector<std::string> names_;                  // per task, quoted
  std::vector<std::vector<std::string>> variants_;  // and in each mode
  std::string out_;
};

}  // namespace

std::string trace_json(const RunOutcome& outcome, const std::vector<TaskInfo>& tasks, const TraceOptions& options,
                       TraceSummary* summary) {
  TraceWriter writer(outcome, tasks, options);
  std::string text = writer.write();
  if (summary) *summary = writer.summary();
  return text;
}

TraceSummary write_trace(const std::filesystem::path& path, const RunOutcome& outcome,
                         const std::vector<TaskInfo>& tasks, const TraceOptions& options) {
  TraceSummary summary;
  write_file_atomically(path, trace_json(outcome, tasks, options, &summary));
  return summary;
}

}  // namespace rtmdl
