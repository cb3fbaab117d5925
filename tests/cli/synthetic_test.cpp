// Families whose data are drawn are called synthetic wherever their accuracies are shown.
#include "base/atomic_file.h"
#include "command.h"
#include "signs_model.h"

#include <filesystem>
#include <string>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace rtmdl {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;
namespace fs = std::filesystem;

class SyntheticFamilies : public testing::Test {
 protected:
  SyntheticFamilies() {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    save_signs_model(folder_ / "signs.onnx");
    write_file_atomically(folder_ / "tasks.yaml", R"(
tasks:
  - name: signs
    model: signs.onnx
    data: {source: signs, count: {training: 8, calibration: 8, evaluation: 16, stream: 8}}
    post: {kind: classes, k: 1}
    period: 100 ms
    scale: {precision: [fp32]}
)");
  }
  ~SyntheticFamilies() override { fs::remove_all(folder_); }
  CommandResult scale(const std::string& options) const {
    return run_rtmdl(fmt::format("scale --quick {} '{}' --workspace '{}'", options, (folder_ / "tasks.yaml").string(),
                                 (folder_ / "workspace").string()));
  }
  const fs::path folder_ = fs::path(RTMDL_BINARY_DIR) / "synthetic-test";
};

TEST_F(SyntheticFamilies, AreLabelledInJsonTableAndPage) {
  const CommandResult json = scale("--json");
  ASSERT_EQ(json.status, 0) << json.err;
  EXPECT_EQ(Json::parse(json.out)["tasks"][0]["synthetic"], true);
  const CommandResult table = scale("");
  ASSERT_EQ(table.status, 0) << table.err;
  EXPECT_THAT(table.out, HasSubstr("* synthetic data: its accuracies say nothing of the world"));
  EXPECT_THAT(read_file(folder_ / "workspace/scale.html"), HasSubstr("synthetic data"));
}

}  // namespace
}  // namespace rtmdl
