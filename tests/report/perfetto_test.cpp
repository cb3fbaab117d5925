#include "report/perfetto.h"

#include "base/atomic_file.h"
#include "report/run_slices.h"
#include "report/sample.h"

#include <gtest/gtest.h>
#include <rtmdl/error.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <report/perfetto.pb.h>
#include <zlib.h>

namespace rtmdl {
namespace {

using perfetto::TracePacket;
using perfetto::TrackEvent;

std::string inflated(const std::string& bytes) {
  std::string out(16'000'000, '\0');
  uLongf size = out.size();
  if (uncompress(reinterpret_cast<Bytef*>(out.data()), &size, reinterpret_cast<const Bytef*>(bytes.data()),
                 bytes.size()) != Z_OK)
    throw std::runtime_error("not deflated");
  out.resize(size);
  return out;
}

/// What a reader makes of the file: packets in the order of their times, numbers replaced by strings.
struct Read {
  struct Slice {
    std::uint64_t track = 0, start = 0, end = 0;
    std::string category, name;
    std::map<std::string, std::string> notes;
    std::vector<std::uint64_t> flows, last_flows;
  };
  std::vector<TracePacket> packets;
  std::map<std::uint64_t, perfetto::TrackDescriptor> tracks;
  std::vector<Slice> slices, instants;
  std::map<std::uint64_t, std::vector<std::pair<std::uint64_t, std::int64_t>>> counters;

  explicit Read(const std::filesystem::path& path) {
    perfetto::Trace outer;
    EXPECT_TRUE(outer.ParseFromString(read_file(path)));
    for (const TracePacket& batch : outer.packet()) {
      EXPECT_TRUE(batch.has_compressed_packets());
      EXPECT_LT(batch.compressed_packets().size(), 512u << 10);
      perfetto::Trace trace;
      EXPECT_TRUE(trace.ParseFromString(inflated(batch.compressed_packets())));
      packets.insert(packets.end(), trace.packet().begin(), trace.packet().end());
    }
    for (const TracePacket& p : packets) take_state(p);
    std::vector<const TracePacket*> events;
    for (const TracePacket& p : packets)
      if (p.has_track_event()) events.push_back(&p);
    std::stable_sort(events.begin(), events.end(),
                     [](const TracePacket* a, const TracePacket* b) { return a->timestamp() < b->timestamp(); });
    for (const TracePacket* p : events) take(p->timestamp(), p->track_event());
    for (const auto& [track, stack] : open_) EXPECT_TRUE(stack.empty()) << "slices of track " << track << " do not end";
  }

  [[nodiscard]] std::vector<Slice> of_category(const std::string& category) const {
    std::vector<Slice> found;
    std::copy_if(slices.begin(), slices.end(), std::back_inserter(found),
                 [&](const Slice& s) { return s.category == category; });
    return found;
  }
  [[nodiscard]] std::string path(std::uint64_t track) const {
    const perfetto::TrackDescriptor& t = tracks.at(track);
    if (t.has_process()) return t.process().process_name();
    return path(t.parent_uuid()) + "/" + t.name();
  }

 private:
  using Strings = std::map<std::uint64_t, std::string>;

  static void fill(Strings& strings, const google::protobuf::RepeatedPtrField<perfetto::InternedString>& from) {
    for (const perfetto::InternedString& s : from) EXPECT_TRUE(s.iid() > 0 && strings.emplace(s.iid(), s.str()).second);
  }
  void take_state(const TracePacket& p) {
    EXPECT_EQ(p.trusted_packet_sequence_id(), 1u);
    const bool first = &p == &packets.front();
    EXPECT_EQ(p.first_packet_on_sequence(), first);
    EXPECT_EQ(p.sequence_flags(),
              first ? TracePacket::SEQ_INCREMENTAL_STATE_CLEARED : TracePacket::SEQ_NEEDS_INCREMENTAL_STATE);
    if (first) {
      EXPECT_EQ(p.trace_packet_defaults().timestamp_clock_id(), perfetto::BUILTIN_CLOCK_MONOTONIC);
      fill(categories_, p.interned_data().event_categories());
      fill(names_, p.interned_data().event_names());
      fill(keys_, p.interned_data().debug_annotation_names());
      fill(values_, p.interned_data().debug_annotation_string_values());
    }
    if (!p.has_track_descriptor()) return;
    const perfetto::TrackDescriptor& t = p.track_descriptor();
    EXPECT_TRUE(tracks.emplace(t.uuid(), t).second) << "track " << t.uuid() << " twice";
    EXPECT_TRUE(t.has_process() || tracks.contains(t.parent_uuid()));
  }
  void take(std::uint64_t when, const TrackEvent& e) {
    ASSERT_TRUE(tracks.contains(e.track_uuid()));
    EXPECT_EQ(tracks.at(e.track_uuid()).has_counter(), e.type() == TrackEvent::TYPE_COUNTER);
    std::vector<Slice>& stack = open_[e.track_uuid()];
    if (e.type() == TrackEvent::TYPE_COUNTER) {
      counters[e.track_uuid()].emplace_back(when, e.counter_value());
    } else if (e.type() == TrackEvent::TYPE_SLICE_END) {
      ASSERT_FALSE(stack.empty()) << "an end without a begin";
      stack.back().end = when;
      slices.push_back(stack.back());
      stack.pop_back();
    } else {
      Slice s{e.track_uuid(), when, when, categories_.at(e.category_iids(0)), names_.at(e.name_iid()), {}, {}, {}};
      for (const perfetto::DebugAnnotation& a : e.debug_annotations())
        s.notes[keys_.at(a.name_iid())] = a.has_string_value_iid() ? values_.at(a.string_value_iid())
                                          : a.has_bool_value()     ? (a.bool_value() ? "true" : "false")
                                          : a.has_double_value()   ? std::to_string(a.double_value())
                                          : a.has_uint_value()     ? std::to_string(a.uint_value())
                                                                   : std::to_string(a.int_value());
      s.flows = {e.flow_ids().begin(), e.flow_ids().end()};
      s.last_flows = {e.terminating_flow_ids().begin(), e.terminating_flow_ids().end()};
      if (e.type() == TrackEvent::TYPE_INSTANT) instants.push_back(s);
      else stack.push_back(s);
    }
  }

  Strings categories_, names_, keys_, values_;
  std::map<std::uint64_t, std::vector<Slice>> open_;
};

class Perfetto : public ::testing::Test {
 protected:
  Read written(const RunOutcome& outcome, const std::vector<TaskInfo>& tasks) {
    summary_ = write_perfetto(path_, outcome, tasks);
    Read read(path_);
    EXPECT_EQ(read.packets.size(), summary_.events);
    return read;
  }
  void TearDown() override { std::filesystem::remove(path_); }

  const std::filesystem::path path_ = testing::TempDir() + "/rtmdl_perfetto_test.pftrace";
  TraceSummary summary_;
};

std::uint64_t ns(Time t) { return static_cast<std::uint64_t>(t.time_since_epoch().count()); }

/// Every job, stage, deadline and miss of a run, at its time, and flows that lead from job to job's stages.
void expect_sound(const Read& read, const RunOutcome& outcome, const std::vector<TaskInfo>& tasks) {
  std::map<std::pair<std::string, std::string>, const JobRecord*> records;  // by task and number
  std::size_t stages = 0, missed = 0, begun = 0;
  for (const JobRecord& r : outcome.records) {
    records[{task_name(tasks, r.task), std::to_string(r.job)}] = &r;
    stages += r.stages;
    begun += r.stages > 0;
    missed += r.missed();
  }
  ASSERT_EQ(records.size(), outcome.records.size());
  const auto record_of = [&](const Read::Slice& s) { return records.at({s.name, s.notes.at("job")}); };

  std::map<std::uint64_t, const JobRecord*> flows;
  const std::vector<Read::Slice> jobs = read.of_category("job");
  EXPECT_EQ(jobs.size(), outcome.records.size());
  for (const Read::Slice& s : jobs) {
    const JobRecord& r = *record_of(s);
    EXPECT_EQ(s.start, ns(r.release));
    EXPECT_EQ(s.end, ns(std::max(r.release, r.finish)));
    EXPECT_EQ(s.notes.at("outcome"), fate_of(r));
    EXPECT_EQ(s.notes.at("frame"), std::to_string(r.frame));
    EXPECT_EQ(s.flows.size(), r.stages > 0 ? 1u : 0u);
    for (const std::uint64_t flow : s.flows) EXPECT_TRUE(flows.emplace(flow, &r).second);
  }
  EXPECT_EQ(flows.size(), begun);
  std::map<std::uint64_t, int> steps;
  std::size_t ended = 0;
  const std::vector<Read::Slice> pieces = read.of_category("stage");
  EXPECT_EQ(pieces.size(), stages);
  for (const Read::Slice& s : pieces) {
    const JobRecord& r = *record_of(s);
    ASSERT_EQ(s.flows.size() + s.last_flows.size(), 1u);
    ended += s.last_flows.size();
    const std::uint64_t flow = s.flows.empty() ? s.last_flows.front() : s.flows.front();
    EXPECT_EQ(flows.at(flow), &r);
    ++steps[flow];
    EXPECT_TRUE(std::any_of(r.stage.begin(), r.stage.begin() + r.stages, [&](const JobRecord::Stage& stage) {
      return s.start == ns(stage.start) &&
             (s.notes.contains("clamped") || s.end == ns(std::max(stage.start, stage.end)));
    }));
    EXPECT_EQ(s.notes.contains("late"), r.late);
  }
  EXPECT_EQ(ended, begun);
  for (const auto& [flow, n] : steps) EXPECT_EQ(n, flows.at(flow)->stages);

  const auto instants = [&](const char* category) {
    return static_cast<std::size_t>(std::count_if(read.instants.begin(), read.instants.end(),
                                                  [&](const Read::Slice& s) { return s.category == category; }));
  };
  EXPECT_EQ(instants("deadline"), outcome.records.size());
  EXPECT_EQ(instants("miss"), missed);
  EXPECT_EQ(read.of_category("stall").size(),
            static_cast<std::size_t>(std::count_if(outcome.stalls.begin(), outcome.stalls.end(),
                                                   [&](const Stall& s) { return s.end > outcome.start; })));
  for (const auto& [track, values] : read.counters) {
    if (!read.path(track).ends_with("jobs waiting or in progress")) continue;
    EXPECT_EQ(values.back().second, 0);
    for (const auto& [when, value] : values) {
      const auto in_system = std::count_if(outcome.records.begin(), outcome.records.end(), [&](const JobRecord& r) {
        return ns(r.release) <= when && ns(std::max(r.release, r.finish)) > when;
      });
      ASSERT_EQ(value, in_system) << "at " << when;
    }
  }
}

TEST_F(Perfetto, of_a_lifelike_run_has_everything_at_its_time) {
  const auto loads = sample::edge_box(1, "source", 0);
  for (const Duration jitter : {sample::us(3), sample::us(200)}) {
    const RunOutcome out = sample::outcome("default", loads, 5, 1, jitter);
    expect_sound(written(out, sample::infos(loads)), out, sample::infos(loads));
  }
}

TEST_F(Perfetto, of_any_run_nests_and_joins) {
  std::vector<TaskInfo> tasks(4);
  for (std::size_t i = 0; i < tasks.size(); ++i)
    tasks[i] = {"t" + std::to_string(i), Duration(100), Duration(80), 0.01};
  for (std::uint32_t seed = 0; seed < 40; ++seed) {
    SCOPED_TRACE(seed);
    const RunOutcome out = sample::random_outcome(seed);
    expect_sound(written(out, tasks), out, tasks);
    if (HasFatalFailure()) return;
  }
}

TEST_F(Perfetto, groups_tracks_below_the_run) {
  const auto loads = sample::edge_box(1, "source", 0);
  const RunOutcome out = sample::outcome("dm-nmc", loads, 1, 1);
  const Read read = written(out, sample::infos(loads));
  std::set<std::string> paths;
  for (const auto& [uuid, track] : read.tracks) paths.insert(read.path(uuid));
  for (const char* path :
       {"rtmdl: dm-nmc", "rtmdl: dm-nmc/processors/cpu", "rtmdl: dm-nmc/processors/gpu", "rtmdl: dm-nmc/tasks/faces",
        "rtmdl: dm-nmc/stalls of core 1", "rtmdl: dm-nmc/jobs waiting or in progress", "rtmdl: dm-nmc/misses of text"})
    EXPECT_TRUE(paths.contains(path)) << path;
}

TEST_F(Perfetto, says_what_was_recorded_and_what_was_lost) {
  const auto loads = sample::edge_box(1, "source", 0);
  RunOutcome out = sample::outcome("rtmdl", loads, 1, 1);
  out.report.trace = {1234, 56, 7.5};
  const Read read = written(out, sample::infos(loads));
  const auto run = std::find_if(read.instants.begin(), read.instants.end(),
                                [](const Read::Slice& s) { return s.category == "run"; });
  ASSERT_NE(run, read.instants.end());
  EXPECT_EQ(run->start, ns(out.start));
  EXPECT_EQ(run->notes.at("policy"), "rtmdl");
  EXPECT_EQ(run->notes.at("preemption"), "kernel");
  EXPECT_EQ(run->notes.at("jobs"), std::to_string(out.records.size()));
  EXPECT_EQ(run->notes.at("records"), "1234");
  EXPECT_EQ(run->notes.at("records lost"), "56");
  EXPECT_EQ(run->notes.at("collector_cpu_ms"), "7.500000");
}

TEST_F(Perfetto, names_the_segment_of_a_stage) {
  RunOutcome out;
  out.processor_names = {"cpu", "gpu"};
  out.scheduler.tasks.resize(1);
  out.scheduler.tasks[0].stage_processors = {0, 1, 1, 0};
  JobRecord r;
  r.stages = 4;
  for (int s = 0; s < 4; ++s) {
    const Time start(Duration(100 * s));
    r.stage[static_cast<std::size_t>(s)] = {start, start + Duration(50), static_cast<std::uint8_t>(s % 3 ? 1 : 0), 1};
  }
  r.finish = Time(Duration(400));
  out.records = {r};
  std::map<std::string, std::string> found;
  const Read read = written(out, {{"faces", {}, {}, 0}});
  for (const Read::Slice& s : read.of_category("stage")) found[s.notes.at("stage")] = read.path(s.track);
  EXPECT_EQ(found, (std::map<std::string, std::string>{{"pre", "rtmdl: /processors/cpu"},
                                                       {"infer 1", "rtmdl: /processors/gpu"},
                                                       {"infer 2", "rtmdl: /processors/gpu"},
                                                       {"post", "rtmdl: /processors/cpu"}}));
}

TEST_F(Perfetto, of_nothing_is_valid) {
  const Read read = written({}, {});
  EXPECT_TRUE(read.slices.empty());
  EXPECT_EQ(read.instants.size(), 1u);
}

TEST_F(Perfetto, keeps_names_as_they_are_if_they_are_text) {
  auto loads = sample::edge_box(1, "source", 0);
  loads[0].info.name = "Gesichter – 顔 \"}\n\\";
  loads[1].info.name = std::string("a\xff\xc3(\0b", 6);
  const RunOutcome out = sample::outcome("p\"\xfe", loads, 0.5, 1);
  const Read read = written(out, sample::infos(loads));
  std::set<std::string> names;
  for (const Read::Slice& s : read.of_category("job")) names.insert(s.name);
  EXPECT_TRUE(names.contains(loads[0].info.name));
  EXPECT_TRUE(names.contains(std::string("a\uFFFD\uFFFD(\0b", 10)));
  EXPECT_EQ(read.path(1), "rtmdl: p\"\uFFFD");
}

TEST_F(Perfetto, is_written_whole_or_not_at_all) {
  EXPECT_THROW(write_perfetto("/proc/nothing/x.pftrace", {}, {}), Error);
  const std::filesystem::path folder = testing::TempDir() + "/rtmdl_perfetto_folder";
  std::filesystem::create_directories(folder / "taken.pftrace/by a folder");
  EXPECT_THROW(write_perfetto(folder / "taken.pftrace", {}, {}), Error);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder), {}), 1);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace rtmdl
