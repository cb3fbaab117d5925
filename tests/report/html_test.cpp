#include "report/html.h"

#include "base/atomic_file.h"
#include "report/charts.h"
#include "report/look.h"
#include "report/sample.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <limits>
#include <vector>

namespace rtmdl {
namespace {

using testing::HasSubstr;
using testing::Not;

struct ComparedContent {
  std::vector<RunOutcome> outcomes{sample::outcome("default", sample::edge_box(1, "source", 0), 4, 1),
                                   sample::outcome("rtmdl", sample::edge_box(0.3, "int8", 0.003), 4, 1)};
  std::vector<TaskInfo> tasks = sample::infos(sample::edge_box(1, "", 0));
  PlanProblem problem = sample::problem();
  Plan plan = sample::plan(problem);

  ComparePage page() {
    ComparePage p;
    p.workload = "edge-box";
    p.tasks = tasks;
    p.plan = &plan;
    p.problem = &problem;
    p.machine = {{"processor", "2 cores"}};
    p.notes = {"a note"};
    for (const RunOutcome& o : outcomes) {
      p.runs.push_back(o.report);
      p.timelines.push_back({o.report.policy, timeline_svg(o, tasks), o.report.policy + ".pftrace"});
    }
    return p;
  }
};

TEST(EscapeHtml, leaves_no_markup_and_no_damaged_text) {
  EXPECT_EQ(escape_html("<b a='x' c=\"y\">&"), "&lt;b a=&#39;x&#39; c=&quot;y&quot;&gt;&amp;");
  EXPECT_EQ(escape_html("a\x01\nb\xff é顔"), "a  b\uFFFD é顔");
}

TEST(Shortened, cuts_characters_not_bytes) {
  EXPECT_EQ(shortened("faces", 5), "faces");
  EXPECT_EQ(shortened("éééééé", 5), "éééé…");
  EXPECT_EQ(shortened("", 5), "");
}

TEST(ComparePageHtml, is_one_small_file_that_needs_nothing_else) {
  ComparedContent content;
  const std::string html = compare_page(content.page());
  EXPECT_EQ(sample::unbalanced(html), "");
  EXPECT_LT(html.size(), 1'000'000u);
  for (const char* outside : {"<script", "<link", "<img", "<iframe", "href=", "src=", "url(", "@import", "http"})
    EXPECT_THAT(html, Not(HasSubstr(outside)));
  for (const char* text :
       {"default misses", "Who misses what", "How long a result takes", "What accuracy it costs", "How each run begins",
        "All figures", "What the planner chose", "ui.perfetto.dev", "rtmdl.pftrace", "a note", "prefers-color-scheme"})
    EXPECT_THAT(html, HasSubstr(text));
}

TEST(ComparePageHtml, escapes_hostile_texts_everywhere) {
  const std::string evil = "<script>alert(1)</script>\"'>&";
  ComparedContent content;
  content.tasks[0].name = content.problem.tasks[0].name = evil;
  content.problem.tasks[0].options[0].variant = content.problem.tasks[0].options[0].processor =
      content.problem.processors[0].name = evil;
  content.plan.reason = content.plan.method = evil;
  for (RunOutcome& o : content.outcomes) {
    o.processor_names[0] = o.report.processors[0].name = o.report.policy = o.report.preemption = evil;
    o.report.tasks[0].name = o.report.tasks[0].variant = evil;
    o.report.notes = {evil};
  }
  ComparePage page = content.page();
  page.workload = evil;
  page.machine = {{evil, evil}};
  page.notes = {evil};
  const std::string html = compare_page(page);
  EXPECT_THAT(html, Not(HasSubstr("<script")));
  EXPECT_THAT(html, Not(HasSubstr("\"'>")));
  EXPECT_EQ(sample::unbalanced(html), "");
}

TEST(ComparePageHtml, of_little_or_odd_data_is_still_a_page) {
  EXPECT_EQ(sample::unbalanced(compare_page({})), "");
  ComparedContent content;
  ComparePage page;
  page.runs = {content.outcomes[0].report};
  EXPECT_EQ(sample::unbalanced(compare_page(page)), "");
  RunReport& r = page.runs[0];
  r.miss_rate = r.accuracy_loss = std::numeric_limits<double>::quiet_NaN();
  for (TaskReport& t : r.tasks) {
    t.miss_rate = std::numeric_limits<double>::infinity();
    t.response = {0, std::numeric_limits<double>::quiet_NaN(), 1e300};
  }
  const std::string html = compare_page(page);
  EXPECT_EQ(sample::unbalanced(html), "");
  EXPECT_THAT(html, Not(HasSubstr("\"nan")));
  EXPECT_THAT(html, Not(HasSubstr("\"inf")));
}

TEST(TimelineSvg, stays_small_whatever_the_run) {
  auto loads = sample::edge_box(0.05, "source", 0);
  for (auto& l : loads) l.info.period = from_ms(0.5), l.pre_us = l.post_us = 10, l.infer_us = 40;
  const RunOutcome dense = sample::outcome("default", loads, 4, 1);
  EXPECT_LT(timeline_svg(dense, sample::infos(loads), std::chrono::seconds(4)).size(), 250'000u);
  EXPECT_EQ(sample::unbalanced(timeline_svg({}, {})), "");
}

TEST(TimelineSvg, marks_misses_and_stalls) {
  ComparedContent content;
  const std::string svg = timeline_svg(content.outcomes[0], content.tasks);
  EXPECT_THAT(svg, HasSubstr("class=\"miss\""));
  EXPECT_THAT(svg, HasSubstr("core 1 stood still for 12.5 ms"));
}

TEST(ComparePageHtml, is_rendered_by_a_browser) {
  if (std::system("command -v chromium >/dev/null 2>&1") != 0) GTEST_SKIP() << "chromium is not installed";
  const std::filesystem::path folder = testing::TempDir() + "/rtmdl_html_test";
  std::filesystem::remove_all(folder);
  ComparedContent content;
  write_file_atomically(folder / "page.html", compare_page(content.page()));
  const std::string base =
      "timeout 60 chromium --headless --no-sandbox --disable-gpu --disable-background-networking --user-data-dir=" +
      (folder / "profile").string() + " --window-size=1200,1600 ";
  const std::string page = "file://" + (folder / "page.html").string() + " ";
  ASSERT_EQ(std::system((base + "--screenshot=" + (folder / "page.png").string() + " " + page + "> " +
                         (folder / "log").string() + " 2>&1")
                            .c_str()),
            0)
      << read_file(folder / "log");
  EXPECT_GT(std::filesystem::file_size(folder / "page.png"), 50'000u);  // a blank page has 10 kB
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace rtmdl
