// Narrower forms end to end, as a user makes them: a real network, real pictures, fine-tuned, killed in between, used
// by the verbs that follow. Needs the training library.
#include "base/atomic_file.h"
#include "command.h"
#include "model/models.h"
#include "profiling/database.h"
#include "short_data.h"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <random>
#include <string>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace rtmdl {
namespace {

using Json = nlohmann::json;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

const fs::path kSourceFolder = RTMDL_SOURCE_DIR;

class Forms : public testing::Test {
 protected:
  Forms() {
    if (!fs::exists(fs::path(RTMDL_BINARY_DIR) / "librtmdl_training.so")) return;
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    write_data(1536);
    write_tasks(kSourceFolder / "examples/edge-box/models/fashion_resnet18.onnx", "fp32", "{metric: top1, min: 40 %}");
  }
  void write_data(std::uint32_t training) const { write_short_fashion(folder_ / "data", training, 480); }
  void write_tasks(const fs::path& model, const std::string& precisions, const std::string& accuracy) const {
    write_file_atomically(folder_ / "tasks.yaml", fmt::format(R"(
processors: {{cpu: {{cores: [0]}}}}
tasks:
  - name: clothes
    model: {}
    data: {{source: idx, path: data, batch: 12}}
    shapes: {{image: [12, 1, 28, 28]}}
    pre: {{colour: gray, scale: 1/255, layout: NCHW}}
    post: {{kind: classes, k: 1}}
    period: 100 ms
    accuracy: {}
    scale: {{precision: [{}], width: [0.5], storage: 200 %, tuning: {{epochs: 2, limit: 2 min}}}}
)",
                                                              model.string(), accuracy, precisions));
  }
  ~Forms() override { fs::remove_all(folder_); }
  void SetUp() override {
    if (!fs::exists(folder_ / "tasks.yaml")) GTEST_SKIP() << "built without libtorch";
  }
  std::string in(const std::string& workspace) const {
    return fmt::format("'{}' --workspace '{}'", (folder_ / "tasks.yaml").string(), (folder_ / workspace).string());
  }
  static Json variants(const CommandResult& r) {
    EXPECT_EQ(r.status, 0) << r.err;
    const Json j = Json::parse(r.out, nullptr, false);
    EXPECT_FALSE(j.is_discarded()) << r.out.substr(0, 300);
    return j["tasks"][0]["variants"];
  }

  const fs::path folder_ =
      fs::path(RTMDL_BINARY_DIR) / "forms-test" / testing::UnitTest::GetInstance()->current_test_info()->name();
};

/// How far it had got: what is there of forms that are not finished.
std::string left_behind(const fs::path& workspace) {
  std::string text;
  if (!fs::exists(workspace / "forms")) return text;
  for (const auto& entry : fs::recursive_directory_iterator(workspace / "forms"))
    if (entry.is_regular_file()) text += ", left " + entry.path().filename().string();
  return text;
}

TEST_F(Forms, AreMadeOnceStoredAndUsedByTheOtherVerbs) {
  const Json first = variants(run_rtmdl("scale --json " + in("workspace")));
  ASSERT_EQ(first.size(), 2U) << first.dump(1);
  const Json& half = first[1];
  EXPECT_EQ(half["id"], "w0.5");
  EXPECT_EQ(half["width"], 0.5);
  EXPECT_LT(half["bytes"].get<std::int64_t>(), first[0]["bytes"].get<std::int64_t>() * 6 / 10);
  EXPECT_GT(half["accuracy"].get<double>(), 0.4);
  EXPECT_LT(half["median_ms"].get<double>(), first[0]["median_ms"].get<double>());
  EXPECT_THAT(half["note"].get<std::string>(), HasSubstr("steps of fine-tuning"));
  EXPECT_FALSE(fs::exists(folder_ / "workspace/forms/") && !fs::is_empty(folder_ / "workspace/forms/"));
  const CommandResult again = run_rtmdl("scale --json " + in("workspace"));
  EXPECT_EQ(variants(again), first);
  EXPECT_EQ(Json::parse(again.out)["tasks"][0]["reused"], true);
  const CommandResult profile = run_rtmdl("profile --budget 5s --json " + in("workspace"));
  ASSERT_EQ(profile.status, 0) << profile.err;
  EXPECT_THAT(profile.out, HasSubstr("\"w0.5\""));
}

/// The float form as the workspace remembers it, whether its file is kept beside the int8 one or not.
std::pair<std::string, double> remembered_form(const fs::path& workspace) {
  Database database(workspace / "profile.sqlite");
  Statement rows(database, "SELECT content, accuracy FROM variants WHERE id = 'w0.5'");
  if (!rows.step()) return {};
  return {rows.text(0), rows.real(1)};
}

/// The form is the same bit for bit. Which parts of levels become integer, measured time decides.
void expect_same_family(const Json& made, const fs::path& workspace, const fs::path& undisturbed) {
  EXPECT_NE(remembered_form(workspace).first, "");
  EXPECT_EQ(remembered_form(workspace), remembered_form(undisturbed));
  // In integers it is kept where that is faster, which not every processor makes it.
  const auto narrow = [](const Json& v) { return v["id"] == "w0.5" || v["id"] == "w0.5-int8"; };
  EXPECT_TRUE(std::any_of(made.begin(), made.end(), narrow)) << made.dump(1);
  for (const Json& level : made) EXPECT_NO_THROW((void)load_model(level["path"].get<std::string>())) << level.dump(1);
  for (const auto& entry : fs::directory_iterator(workspace / "variants"))
    EXPECT_THAT(entry.path().filename().string(), ContainsRegex("^[0-9a-f]{16,}\\.")) << "left by a killed start";
  EXPECT_FALSE(fs::exists(workspace / "forms") && !fs::is_empty(workspace / "forms"));
}

/// Small enough to be scaled twelve times, large enough that narrower and in integers it is faster.
Model small_network() {
  test::ModelMaker m;
  std::string x = m.input("image", {12, 1, 28, 28});
  std::int64_t in = 1, stride = 1;
  for (const std::int64_t out : {32, 64, 64}) {
    x = m.node("Relu", {m.conv(x, in, out, 3, stride)});
    in = out;
    stride = 2;
  }
  x = m.node("Flatten", {m.node("GlobalAveragePool", {x})});
  m.output(m.node("Gemm", {x, m.weights({64, 10}), m.weights({10})}));
  return m.model();
}

/// Ten kills at random moments of a run: every other one of a run that has the source's levels already, so that as many
/// fall into the making of forms. Each start goes on from what the one before it left; where one ends before its
/// moment, its family is looked at and the next begins anew. On a busy machine no start is given more than some
/// seconds.
TEST_F(Forms, KilledAtAnyMomentTheNextStartEndsWithTheSameForm) {
  constexpr int kKills = 10, kStarts = 40;
  constexpr double kLongest = 10;  // seconds
  write_data(384);
  save_model(small_network(), folder_ / "small.onnx");
  write_tasks(folder_ / "small.onnx", "fp32, int8", "{min: 2 %}");
  const auto scale = [&](const std::string& options, const std::string& name, const std::string& before = "") {
    // On one core: threads that wait for each other come to a stand where others work.
    return run_rtmdl(fmt::format("scale --json {} {}", options, in(name)), "taskset -c 0 " + before);
  };
  const auto timed = [&](const std::string& options, const std::string& name) {
    const auto begin = std::chrono::steady_clock::now();
    (void)variants(scale(options, name));
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  };
  const double quick = timed("--quick", "quick");
  fs::copy(folder_ / "quick", folder_ / "undisturbed", fs::copy_options::recursive);
  const double forms = timed("", "undisturbed");
  fs::copy(folder_ / "quick", folder_ / "forms", fs::copy_options::recursive);

  std::mt19937 random(20);
  const auto finish = [&](const CommandResult& r, const std::string& name) {
    expect_same_family(variants(r), folder_ / name, folder_ / "undisturbed");
    fs::remove_all(folder_ / name);
    if (name == "forms") fs::copy(folder_ / "quick", folder_ / name, fs::copy_options::recursive);
  };
  int kills = 0;
  for (int start = 0; start < kStarts && kills < kKills; ++start) {
    const std::string name = kills % 2 == 0 ? "whole" : "forms";
    const double longest = std::min(kLongest, name == "forms" ? forms : quick + forms);
    const double after = std::uniform_real_distribution<double>(0, longest)(random);
    const CommandResult r = scale("", name, fmt::format("timeout -s KILL {:.3f}", after));
    if (r.status != 128 + SIGKILL) {
      finish(r, name);
      continue;
    }
    ++kills;
    fmt::print("{}: killed after {:.1f} of {:.1f} + {:.1f} s{}\n", name, after, quick, forms,
               left_behind(folder_ / name));
  }
  EXPECT_EQ(kills, kKills);
  for (const char* name : {"whole", "forms"}) finish(scale("", name), name);
}

TEST_F(Forms, AStartThatWasKilledJustBeforeItsEndIsBroughtToItsEnd) {
  write_data(384);
  save_model(small_network(), folder_ / "small.onnx");
  write_tasks(folder_ / "small.onnx", "fp32", "{min: 2 %}");
  const Json made = variants(run_rtmdl("scale --json " + in("workspace")));
  Database database(folder_ / "workspace/profile.sqlite");
  Statement families(database, "SELECT key FROM families");
  ASSERT_TRUE(families.step());
  const fs::path left = folder_ / "workspace/forms" / families.text(0).substr(0, 16);
  fs::create_directories(left);
  write_file_atomically(left / "w0.5.onnx", "of a form that is done");
  EXPECT_EQ(variants(run_rtmdl("scale --json " + in("workspace"))).size(), made.size());
  EXPECT_FALSE(fs::exists(left));
}

TEST_F(Forms, QuickMakesNone) { EXPECT_EQ(variants(run_rtmdl("scale --quick --json " + in("quick"))).size(), 1U); }

}  // namespace
}  // namespace rtmdl
