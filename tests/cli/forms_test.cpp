// Narrower forms end to end, as a user makes them: a real network, real pictures, fine-tuned, killed in between, used
// by the verbs that follow. Needs the training library.
#include "base/atomic_file.h"
#include "command.h"
#include "data/idx_file.h"

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace rtmdl {
namespace {

using Json = nlohmann::json;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

const fs::path kSource = RTMDL_SOURCE_DIR;

/// The first items of an IDX file as an IDX file of its own.
void shorten_idx(const fs::path& from, const fs::path& to, std::uint32_t items) {
  IdxReader reader(from);
  std::string bytes{'\0', '\0', '\x08', static_cast<char>(reader.dimensions().size())};
  for (std::size_t d = 0; d < reader.dimensions().size(); ++d) {
    const auto n = d == 0 ? items : static_cast<std::uint32_t>(reader.dimensions()[d]);
    for (const int shift : {24, 16, 8, 0}) bytes += static_cast<char>(n >> shift & 0xff);
  }
  std::string item(reader.item_bytes(), '\0');
  for (std::uint32_t i = 0; i < items; ++i) {
    reader.read(reinterpret_cast<std::uint8_t*>(item.data()));
    bytes += item;
  }
  write_file_atomically(to, bytes);
}

class Forms : public testing::Test {
 protected:
  Forms() {
    if (!fs::exists(fs::path(RTMDL_BINARY_DIR) / "librtmdl_training.so")) return;
    fs::remove_all(folder_);
    fs::create_directories(folder_ / "data");
    const fs::path full = kSource / "assets/data/fashion-mnist";
    for (const auto& [name, items] : {std::pair{"train-images-idx3-ubyte", 1536U},
                                      {"train-labels-idx1-ubyte", 1536U},
                                      {"t10k-images-idx3-ubyte", 480U},
                                      {"t10k-labels-idx1-ubyte", 480U}}) {
      const fs::path plain = full / name, zipped = full / (std::string(name) + ".gz");
      shorten_idx(fs::exists(plain) ? plain : zipped, folder_ / "data" / name, items);
    }
    write_file_atomically(folder_ / "tasks.yaml",
                          fmt::format(R"(
processors: {{cpu: {{cores: [0]}}}}
tasks:
  - name: clothes
    model: {}
    data: {{source: idx, path: data, batch: 12}}
    shapes: {{image: [12, 1, 28, 28]}}
    pre: {{colour: gray, scale: 1/255, layout: NCHW}}
    post: {{kind: classes, k: 1}}
    period: 100 ms
    accuracy: {{metric: top1, min: 40 %}}
    scale: {{precision: [fp32], width: [0.5], storage: 200 %, tuning: {{epochs: 2, limit: 2 min}}}}
)",
                                      (kSource / "examples/edge-box/models/fashion_resnet18.onnx").string()));
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

  const fs::path folder_ = fs::path(RTMDL_BINARY_DIR) / "forms-test";
};

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

TEST_F(Forms, KilledAtAnyMomentTheNextStartEndsWithTheSameForm) {
  const Json undisturbed = variants(run_rtmdl("scale --json " + in("undisturbed")));
  ASSERT_EQ(undisturbed.size(), 2U);
  for (const char* after : {"3", "7", "12"}) {
    const CommandResult killed = run_rtmdl("scale --json " + in("killed"), fmt::format("timeout -s KILL {}", after));
    if (killed.status == 0) break;  // a fast machine
  }
  const Json killed = variants(run_rtmdl("scale --json " + in("killed")));
  ASSERT_EQ(killed.size(), 2U);
  EXPECT_EQ(fs::path(killed[1]["path"].get<std::string>()).filename(),
            fs::path(undisturbed[1]["path"].get<std::string>()).filename())
      << "files are named by their content";
  EXPECT_EQ(killed[1]["accuracy"], undisturbed[1]["accuracy"]);
}

TEST_F(Forms, QuickMakesNone) { EXPECT_EQ(variants(run_rtmdl("scale --quick --json " + in("quick"))).size(), 1U); }

}  // namespace
}  // namespace rtmdl
