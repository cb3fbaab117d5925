#include "report/run_slices.h"

#include <algorithm>
#include <map>
#include <tuple>

#include <fmt/format.h>

namespace rtmdl {

RunSlices::RunSlices(const RunOutcome& outcome, const std::vector<TaskInfo>& tasks, std::size_t event_limit)
    : outcome_(outcome), tasks_(tasks), tracks_(outcome), task_count_(tasks.size()) {
  jobs_.reserve(outcome.records.size());
  for (const JobRecord& r : outcome.records) jobs_.push_back(&r);
  std::sort(jobs_.begin(), jobs_.end(), [](const JobRecord* a, const JobRecord* b) {
    return std::tie(a->release, a->task, a->job) < std::tie(b->release, b->task, b->job);
  });
  std::size_t events = 0, kept = 0;
  for (; kept < jobs_.size(); ++kept) {
    const auto stages = static_cast<std::size_t>(recorded_stages(*jobs_[kept]));
    events += 2 + (jobs_[kept]->missed() ? 2 : 0) + (stages ? 2 + 2 * stages : 0);
    if (events > event_limit) break;
  }
  left_out_ = jobs_.size() - kept;
  jobs_.resize(kept);
  for (const JobRecord* r : jobs_) task_count_ = std::max(task_count_, r->task + std::size_t{1});
}

std::vector<SliceTrack> RunSlices::processors() const {
  std::vector<SliceTrack> tracks(tracks_.size());
  for (std::size_t j = 0; j < jobs_.size(); ++j)
    for (int s = 0; s < recorded_stages(*jobs_[j]); ++s) {
      const JobRecord::Stage& stage = jobs_[j]->stage[static_cast<std::size_t>(s)];
      if (!stage.ran()) continue;
      tracks[tracks_.of(stage)].slices.push_back(
          {stage.start, stage.end, static_cast<std::uint32_t>(j), static_cast<std::uint8_t>(s), false});
    }
  for (std::size_t t = 0; t < tracks.size(); ++t) {
    tracks[t].name = tracks_.name(t);
    tracks[t].index = t;
    make_nested(tracks[t].slices);
  }
  return tracks;
}

std::vector<SliceTrack> RunSlices::tasks_by_lane() const {
  std::vector<std::vector<Span>> spans(task_count_);
  for (std::size_t j = 0; j < jobs_.size(); ++j) {
    const JobRecord& r = *jobs_[j];
    spans[r.task].push_back({r.release, std::max(r.release, r.finish), static_cast<std::uint32_t>(j), 0, false});
  }
  std::vector<SliceTrack> tracks;
  for (std::size_t task = 0; task < task_count_; ++task) {
    const std::vector<std::size_t> lanes = assign_lanes(spans[task]);
    const std::size_t first = tracks.size();
    const std::size_t used = lanes.empty() ? 1 : 1 + *std::max_element(lanes.begin(), lanes.end());
    for (std::size_t lane = 0; lane < used; ++lane) tracks.push_back({task_name(tasks_, task), task, lane, {}});
    for (std::size_t k = 0; k < lanes.size(); ++k) tracks[first + lanes[k]].slices.push_back(spans[task][k]);
  }
  return tracks;
}

std::vector<SliceTrack> RunSlices::stalls() const {
  std::map<int, std::vector<Span>> cores;
  for (const Stall& s : outcome_.stalls) {
    std::vector<Span>& spans = cores[s.core];
    if (s.end > outcome_.start) spans.push_back({s.start, s.end, 0, 0, false});
  }
  std::vector<SliceTrack> tracks;
  for (auto& [core, spans] : cores) {
    make_nested(spans);
    tracks.push_back(
        {fmt::format("stalls of core {}", core), static_cast<std::size_t>(std::max(0, core)), 0, std::move(spans)});
  }
  return tracks;
}

std::vector<std::vector<Time>> RunSlices::misses() const {
  std::vector<std::vector<Time>> ends(task_count_);
  for (const JobRecord* r : jobs_)
    if (r->missed()) ends[r->task].push_back(std::max(r->release, r->finish));
  for (std::vector<Time>& times : ends) std::sort(times.begin(), times.end());
  return ends;
}

std::string_view fate_of(const JobRecord& r) {
  if (r.fate == JobFate::dropped) return "dropped";
  if (r.fate == JobFate::failed) return "failed";
  return r.late ? "late" : "in time";
}

}  // namespace rtmdl
