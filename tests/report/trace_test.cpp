#include "report/trace.h"

#include "base/atomic_file.h"
#include "report/nesting.h"
#include "report/sample.h"

#include <gtest/gtest.h>
#include <rtmdl/error.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <filesystem>
#include <map>
#include <set>

namespace rtmdl {
namespace {

using Json = nlohmann::json;

std::int64_t ns(const Json& us) { return std::llround(us.get<double>() * 1000); }

struct Interval {
  std::int64_t start, end;
};

void expect_nested(std::vector<Interval> intervals, const std::string& where) {
  std::stable_sort(intervals.begin(), intervals.end(), [](const Interval& a, const Interval& b) {
    return a.start != b.start ? a.start < b.start : a.end > b.end;
  });
  std::vector<Interval> open;
  for (const Interval& i : intervals) {
    while (!open.empty() && open.back().end <= i.start) open.pop_back();
    if (!open.empty()) {
      ASSERT_LE(i.end, open.back().end) << where << ": an interval from " << i.start << " ns crosses another";
    }
    open.push_back(i);
  }
}

void expect_sound(const RunOutcome& outcome, const std::vector<TaskInfo>& tasks) {
  TraceSummary summary;
  const Json trace = Json::parse(trace_json(outcome, tasks, {}, &summary));
  ASSERT_EQ(trace["traceEvents"].size(), summary.events);
  std::map<std::pair<int, int>, std::vector<Interval>> tracks;
  std::map<int, std::map<char, std::vector<std::int64_t>>> flows;  // id -> phase -> times
  std::map<std::string, int> instants;
  std::set<std::pair<int, int>> named;
  const auto track_of = [](const Json& e) { return std::pair(e["pid"].get<int>(), e["tid"].get<int>()); };
  int jobs = 0, stages = 0;
  for (const Json& e : trace["traceEvents"]) {
    const std::string phase = e["ph"];
    if (phase == "M") {
      if (e["name"] == "thread_name") named.insert(track_of(e));
      continue;
    }
    ASSERT_GE(e["ts"].get<double>(), 0);
    if (phase == "X") {
      ASSERT_GE(e["dur"].get<double>(), 0);
      tracks[track_of(e)].push_back({ns(e["ts"]), ns(e["ts"]) + ns(e["dur"])});
      EXPECT_TRUE(named.count(track_of(e))) << e;
      jobs += e["cat"] == "job";
      stages += e["cat"] == "stage";
    } else if (phase == "s" || phase == "t" || phase == "f") {
      flows[e["id"].get<int>()][phase[0]].push_back(ns(e["ts"]));
    } else if (phase == "i") {
      ++instants[e["name"].get<std::string>()];
    }
  }
  for (const auto& [track, intervals] : tracks)
    expect_nested(intervals, "track " + std::to_string(track.first) + "/" + std::to_string(track.second));
  int begun = 0, stage_count = 0;
  std::map<std::string, int> fates;
  for (const JobRecord& r : outcome.records) {
    begun += r.stages > 0;
    stage_count += r.stages;
    if (r.missed()) ++fates[r.fate == JobFate::dropped ? "dropped" : r.fate == JobFate::failed ? "failed" : "late"];
  }
  EXPECT_EQ(jobs, static_cast<int>(outcome.records.size()));
  EXPECT_EQ(stages, stage_count);
  EXPECT_EQ(static_cast<int>(flows.size()), begun);
  std::size_t steps = 0;
  for (auto& [id, phases] : flows) {
    EXPECT_EQ(phases['s'].size(), 1u) << "flow " << id;
    EXPECT_EQ(phases['f'].size(), 1u) << "flow " << id;
    EXPECT_LE(phases['s'].front(), phases['f'].front()) << "flow " << id;
    steps += phases['t'].size();
  }
  EXPECT_EQ(steps, static_cast<std::size_t>(stage_count));
  for (const char* fate : {"late", "dropped", "failed"}) EXPECT_EQ(instants[fate], fates[fate]) << fate;
  EXPECT_EQ(instants["deadline"], static_cast<int>(outcome.records.size()));
}

TEST(Trace, of_a_lifelike_run_nests_pairs_and_counts) {
  const auto loads = sample::edge_box(1, "source", 0);
  expect_sound(sample::outcome("default", loads, 5, 1), sample::infos(loads));
  expect_sound(sample::outcome("default", loads, 5, 2, sample::us(200)), sample::infos(loads));
}

TEST(Trace, of_any_run_nests_pairs_and_counts) {
  std::vector<TaskInfo> tasks(4);
  for (std::size_t i = 0; i < tasks.size(); ++i) tasks[i] = {"task", Duration(100), Duration(80), 0.01};
  for (std::uint32_t seed = 0; seed < 60; ++seed) {
    SCOPED_TRACE(seed);
    expect_sound(sample::random_outcome(seed), tasks);
    if (HasFatalFailure()) return;
  }
}

TEST(Trace, a_displaced_stage_contains_the_one_that_displaced_it) {
  RunOutcome out;
  out.processor_names = {"cpu"};
  JobRecord outer, inner;
  outer.stages = inner.stages = 1;
  inner.task = 1;
  outer.stage[0] = {Time(Duration(1000)), Time(Duration(9000)), 0, 1};
  inner.stage[0] = {Time(Duration(3000)), Time(Duration(5001)), 0, 1};
  outer.finish = Time(Duration(9000));
  inner.finish = Time(Duration(5001));
  out.records = {inner, outer};
  const Json trace = Json::parse(trace_json(out, {{"low", {}, {}, 0}, {"high", {}, {}, 0}}));
  std::vector<std::string> found;
  for (const Json& e : trace["traceEvents"])
    if (e["ph"] == "X" && e["cat"] == "stage")
      found.push_back(e["name"].get<std::string>() + " " + e["ts"].dump() + " " + e["dur"].dump() +
                      (e["args"].contains("clamped") ? " clamped" : ""));
  EXPECT_EQ(found, (std::vector<std::string>{"low 1.0 8.0", "high 3.0 2.001"}));
}

TEST(Trace, of_nothing_is_valid) {
  const Json trace = Json::parse(trace_json({}, {}));
  EXPECT_TRUE(trace["traceEvents"].is_array());
}

TEST(Trace, survives_hostile_names) {
  auto loads = sample::edge_box(1, "source", 0);
  loads[0].info.name = "a\"},\n\\{\xff";
  const auto out = sample::outcome("p\"", loads, 0.5, 1);
  const Json trace = Json::parse(trace_json(out, sample::infos(loads)));
  EXPECT_EQ(trace["otherData"]["policy"], "p\"");
}

TEST(Trace, says_what_its_limit_left_out) {
  const auto loads = sample::edge_box(1, "source", 0);
  const auto out = sample::outcome("default", loads, 5, 1);
  TraceSummary summary;
  const std::string text = trace_json(out, sample::infos(loads), {500}, &summary);
  EXPECT_GT(summary.jobs, 20u);
  EXPECT_EQ(summary.jobs + summary.jobs_left_out, out.records.size());
  EXPECT_LT(summary.events, 600u);
  EXPECT_NE(text.find("the trace ends here: " + std::to_string(summary.jobs_left_out) +
                      " later jobs left out, limit 500 events"),
            std::string::npos);
  EXPECT_EQ(Json::parse(text)["otherData"]["jobs_left_out"], summary.jobs_left_out);
}

TEST(Trace, says_how_many_records_were_lost) {
  RunOutcome out;
  out.report.trace = {100, 7, 1};
  EXPECT_EQ(Json::parse(trace_json(out, {}))["otherData"]["records_lost"], 7);
}

TEST(Trace, is_written_whole_or_not_at_all) {
  const std::filesystem::path folder = testing::TempDir() + "/rtmdl_trace_test";
  std::filesystem::remove_all(folder);
  const auto loads = sample::edge_box(1, "source", 0);
  const auto out = sample::outcome("default", loads, 0.5, 1);
  write_trace(folder / "trace.json", out, sample::infos(loads));
  EXPECT_EQ(read_file(folder / "trace.json"), trace_json(out, sample::infos(loads)));
  EXPECT_THROW(write_trace("/proc/nothing/trace.json", out, {}), Error);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder), {}), 1);
  std::filesystem::remove_all(folder);
}

std::string drawn(const std::vector<Span>& spans) {
  std::string text;
  for (const Span& s : spans)
    text += std::to_string(s.start.time_since_epoch().count()) + "-" +
            std::to_string(s.end.time_since_epoch().count()) + (s.clamped ? "! " : " ");
  return text;
}

Span span(int start, int end) { return {Time(Duration(start)), Time(Duration(end)), 0, 0, false}; }

TEST(Nesting, cuts_the_one_that_loses_less) {
  std::vector<Span> hand_over{span(0, 102), span(100, 150)};
  make_nested(hand_over);
  EXPECT_EQ(drawn(hand_over), "0-100! 100-150 ");
  std::vector<Span> early_end{span(0, 100), span(20, 101)};
  make_nested(early_end);
  EXPECT_EQ(drawn(early_end), "0-100 20-100! ");
  std::vector<Span> chain{span(0, 100), span(10, 50), span(48, 101)};
  make_nested(chain);
  EXPECT_EQ(drawn(chain), "0-100 10-48! 48-100! ");
}

TEST(Nesting, leaves_nested_and_apart_as_they_are) {
  std::vector<Span> spans{span(20, 30), span(0, 100), span(20, 20), span(100, 120), span(30, 60)};
  make_nested(spans);
  EXPECT_EQ(drawn(spans), "0-100 20-30 20-20 30-60 100-120 ");
}

TEST(Nesting, gives_overlapping_jobs_lanes_of_their_own) {
  EXPECT_EQ(assign_lanes({span(0, 10), span(5, 20), span(10, 12), span(13, 14), span(13, 30)}),
            (std::vector<std::size_t>{0, 1, 0, 0, 2}));
}

}  // namespace
}  // namespace rtmdl
