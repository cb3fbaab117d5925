// Planning with several processes, as a user starts it: mpirun and the real binary.
#include "base/atomic_file.h"
#include "command.h"
#include "signs_model.h"

#include <cstdlib>
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

constexpr const char* kFourRanks = "timeout 120 mpirun --allow-run-as-root --oversubscribe -n 4";

class Mpi : public testing::Test {
 protected:
  Mpi() {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    save_signs_model(folder_ / "signs.onnx");
    std::string tasks = "tasks:\n";
    for (const int period : {20, 30, 50}) {
      tasks += fmt::format(R"(  - name: signs{0}
    model: signs.onnx
    data: {{source: signs, count: {{training: 8, calibration: 8, evaluation: 16, stream: 8}}}}
    post: {{kind: classes, k: 1}}
    period: {0} ms
    scale: {{precision: [fp32]}}
)",
                           period);
    }
    write_file_atomically(folder_ / "tasks.yaml", tasks);
  }
  ~Mpi() override { fs::remove_all(folder_); }
  void SetUp() override {
    if (std::system("mpirun --version >/dev/null 2>&1") != 0) GTEST_SKIP() << "mpirun is not there (openmpi-bin)";
    if (!fs::exists(fs::path(RTMDL_BINARY_DIR) / "librtmdl_mpi.so")) GTEST_SKIP() << "built without Open MPI";
  }
  CommandResult plan(const std::string& before, const std::string& options = "") const {
    return run_rtmdl(fmt::format("plan --mpi --json --seed 3 {} '{}' --workspace '{}'", options,
                                 (folder_ / "tasks.yaml").string(), (folder_ / "workspace").string()),
                     before);
  }
  /// The plan without what differs from run to run.
  static std::string strategy(const CommandResult& r) {
    EXPECT_EQ(r.status, 0) << r.err;
    Json j = Json::parse(r.out, nullptr, false);
    EXPECT_FALSE(j.is_discarded()) << "rank 0 prints one object, the others nothing: " << r.out;
    EXPECT_EQ(j["search"]["method"], "nsga2");
    j["search"].erase("seconds");
    return j.dump();
  }
  void forget_plan() const { EXPECT_TRUE(fs::remove(folder_ / "workspace/plan.json")); }
  const fs::path folder_ =
      fs::path(RTMDL_BINARY_DIR) / "mpi-test" / testing::UnitTest::GetInstance()->current_test_info()->name();
};

/// Our own lines; mpirun adds its own.
int messages(const std::string& text) {
  int count = 0;
  for (std::size_t at = text.find("rtmdl: "); at != std::string::npos; at = text.find("rtmdl: ", at + 1))
    count += at == 0 || text[at - 1] == '\n';
  return count;
}

TEST_F(Mpi, FourRanksPlanAlikeTwiceAndOneNeedsNoMpirun) {
  const std::string first = strategy(plan(kFourRanks));
  forget_plan();
  EXPECT_EQ(strategy(plan(kFourRanks)), first);
  EXPECT_EQ(strategy(plan(kFourRanks)), first) << "the plan in the workspace";
  const std::string single = strategy(plan(""));
  EXPECT_LT(Json::parse(single)["search"]["evaluated"], Json::parse(first)["search"]["evaluated"])
      << "another number of ranks plans anew";
  EXPECT_EQ(strategy(run_rtmdl(fmt::format("plan --json --seed 3 --method nsga2 '{}' --workspace '{}'",
                                           (folder_ / "tasks.yaml").string(), (folder_ / "workspace").string()))),
            single)
      << "what ranks have planned is there for the commands that follow";
}

TEST_F(Mpi, AnErrorEndsAllRanksWithOneLine) {
  write_file_atomically(folder_ / "tasks.yaml", "tasks:\n  - nam: signs\n");
  const CommandResult r = plan(kFourRanks);
  EXPECT_EQ(r.status, 2) << r.err;
  EXPECT_EQ(messages(r.err), 1) << r.err;
  EXPECT_THAT(r.err, HasSubstr("tasks.yaml:2"));
  EXPECT_EQ(r.out, "");
}

TEST_F(Mpi, UsageIsRefusedByOneRank) {
  for (const auto& [options, message] :
       {std::pair("--jobs 0", "--jobs: '0' is not accepted"), std::pair("--method exact", "--mpi: method exact")}) {
    const CommandResult r = plan(kFourRanks, options);
    EXPECT_EQ(r.status, 2) << r.err;
    EXPECT_EQ(messages(r.err), 1) << r.err;
    EXPECT_THAT(r.err, HasSubstr(message));
  }
}

TEST(MpiPlugIn, WithoutItTheMessageSaysWhatToInstall) {
  const CommandResult r = run_rtmdl("plan --mpi nothing.yaml", "RTMDL_MPI_LIBRARY=/nowhere/librtmdl_mpi.so");
  EXPECT_EQ(r.status, 4);
  EXPECT_EQ(r.err,
            "rtmdl: --mpi: librtmdl_mpi.so is not there (looked for at /nowhere/librtmdl_mpi.so): install Open MPI "
            "(scripts/setup, or apt-get install libopenmpi-dev openmpi-bin) and build again\n");
}

}  // namespace
}  // namespace rtmdl
