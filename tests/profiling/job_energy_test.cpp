// On a copy of what sysfs shows, whose counter goes on with time and with the work of the engine.
#include "profiling/job_energy.h"

#include "profiling/profiler.h"
#include "profiling/task_folder.h"
#include "profiling/text_engine.h"

#include "base/thread_placement.h"

#include <atomic>
#include <fstream>
#include <thread>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rtmdl {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

/// A package of 1 W idle, and 5 W more while the engine works. Renewed every millisecond.
class FakeRapl {
 public:
  FakeRapl(std::filesystem::path sysfs, const TextEngine& engine) : sysfs_(std::move(sysfs)), engine_(engine) {
    std::filesystem::create_directories(zone());
    std::ofstream(zone() / "name") << "package-0\n";
    std::ofstream(zone() / "max_energy_range_uj") << "1000000000000\n";
    write();
    thread_ = std::thread([this] {
      for (; !stopping_; std::this_thread::sleep_for(1ms)) write();
    });
  }
  ~FakeRapl() {
    stopping_ = true;
    thread_.join();
  }
  FakeRapl(const FakeRapl&) = delete;
  FakeRapl& operator=(const FakeRapl&) = delete;
  std::atomic<double> watts{5};

 private:
  [[nodiscard]] std::filesystem::path zone() const { return sysfs_ / "class/powercap/intel-rapl:0"; }
  void write() {
    const double worked = static_cast<double>(engine_.worked) * 1e-9;
    const double joules = to_seconds(MonotonicClock::now() - start_) + watts * worked;
    std::ofstream(zone() / "next") << static_cast<std::int64_t>(1e6 * joules) << '\n';
    std::filesystem::rename(zone() / "next", zone() / "energy_uj");
  }
  std::filesystem::path sysfs_;
  const TextEngine& engine_;
  Time start_ = MonotonicClock::now();
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

struct JobEnergyTest : testing::Test {
  JobEnergyTest() {
    folder.write("faces.model", "1 300");
    folder.write("faces-fast.model", "1 100");
    options.per_variant = 400ms;
    options.samples_wanted = 40;
    options.sysfs = folder.path() / "sys";
    context.log = [this](LogLevel level, const std::string& line) {
      if (level == LogLevel::warning) warnings += line + "\n";
    };
  }
  void SetUp() override {
    if (available_cores().size() < 2) GTEST_SKIP() << "the meter takes a core";
  }
  [[nodiscard]] TaskFile parse(const std::string& meter) const {
    return folder.parse("processors: {cpu: {cores: [0], power: {busy: 4 W, idle: 1 W}}}\nenergy: {meter: " + meter +
                        "}\ntasks: [{name: faces, model: faces.model, period: 10 ms, data: {source: synthetic, shape: "
                        "[1, 4]}}]\n");
  }
  std::vector<VariantProfile> profile(const std::string& meter) {
    TaskVariants faces;
    faces.task = "faces";
    for (const char* file : {"faces", "faces-fast"}) {
      Variant v;
      v.id = file;
      v.path = folder.path() / (std::string(file) + ".model");
      v.bytes = 1;
      faces.variants.push_back(v);
    }
    return profile_tasks(engine, parse(meter), folder.workspace(), {faces}, options, context)[0].variants;
  }
  TaskFolder folder;
  TextEngine engine;
  ProfileOptions options;
  Context context;
  std::string warnings;
};

TEST_F(JobEnergyTest, IsWhatTheMeterCountsBeyondIdle) {
  const FakeRapl rapl(options.sysfs, engine);
  const std::vector<VariantProfile> variants = profile("rapl");
  ASSERT_EQ(variants.size(), 2u);
  for (const VariantProfile& v : variants) {
    EXPECT_TRUE(v.metered);
    EXPECT_NEAR(v.infer.watts, 5, 0.75) << v.id;
    double seconds = 0;
    for (const Duration d : planning_times(v.infer)) seconds += to_seconds(d);
    seconds /= static_cast<double>(planning_times(v.infer).size());
    EXPECT_NEAR(v.joules.value(), seconds * v.infer.watts, 0.1 * *v.joules) << "little but inference";
  }
}

TEST_F(JobEnergyTest, IsMeteredOnceAndOnlyThatWhereTimesAreKnown) {
  const std::vector<VariantProfile> timed = profile("constant");
  EXPECT_FALSE(timed[0].metered);
  EXPECT_NEAR(timed[0].joules.value(), 3 * 0.0003, 0.0003) << "by the processor's power";
  const FakeRapl rapl(options.sysfs, engine);
  std::atomic<bool> stop{false};
  context.stop = &stop;
  context.progress = [&](const std::string& what, double) {
    if (what.find("faces-fast") != std::string::npos) stop = true;
  };
  const std::vector<VariantProfile> part = profile("rapl");
  EXPECT_TRUE(part[0].metered);
  EXPECT_FALSE(part[1].metered);
  stop = false;
  context.progress = {};
  const std::vector<VariantProfile> all = profile("rapl");
  EXPECT_EQ(all[0].infer.watts, part[0].infer.watts);
  EXPECT_TRUE(all[1].metered);
  EXPECT_EQ(all[0].infer.busy, timed[0].infer.busy) << "times are as they were";
  const int loads = engine.loaded();
  EXPECT_EQ(profile("rapl")[1].joules, all[1].joules);
  EXPECT_EQ(engine.loaded(), loads);
  EXPECT_FALSE(profile("constant")[0].metered);
}

TEST_F(JobEnergyTest, OfAMeterThatDoesNotTellIsComputedAndThatIsSaid) {
  FakeRapl rapl(options.sysfs, engine);
  rapl.watts = 0;
  const std::vector<VariantProfile> variants = profile("rapl");
  EXPECT_FALSE(variants[0].metered);
  EXPECT_GT(variants[0].joules.value(), 0.0005);
  EXPECT_THAT(warnings, HasSubstr("rapl does not tell what inference draws"));
  warnings.clear();
  EXPECT_FALSE(profile("rapl")[0].metered);
  EXPECT_THAT(warnings, Not(HasSubstr("does not tell"))) << "once";
}

TEST_F(JobEnergyTest, OfAMeterThatIsNotThereIsComputedAndThatIsSaid) {
  const std::vector<VariantProfile> variants = profile("rapl");
  EXPECT_FALSE(variants[0].metered);
  EXPECT_THAT(warnings, HasSubstr("this machine has no such counters"));
  EXPECT_THAT(warnings, HasSubstr("computed from `power`"));
}

}  // namespace
}  // namespace rtmdl
