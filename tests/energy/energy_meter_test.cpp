// On a copy of what sysfs shows.
#include "energy/energy_meter.h"

#include <rtmdl/error.h>

#include <fstream>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

namespace rtmdl {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using ::testing::HasSubstr;

class EnergyMeterTest : public ::testing::Test {
 protected:
  void SetUp() override { sysfs_ = fs::temp_directory_path() / fmt::format("rtmdl-meter-{}", ::getpid()); }
  void TearDown() override { fs::remove_all(sysfs_); }

  void write(const std::string& file, const std::string& text) {
    fs::create_directories((sysfs_ / file).parent_path());
    std::ofstream(sysfs_ / file) << text << '\n';
  }
  void zone(const std::string& place, const std::string& name, const std::string& microjoules) {
    write("class/powercap/" + place + "/name", name);
    write("class/powercap/" + place + "/energy_uj", microjoules);
    write("class/powercap/" + place + "/max_energy_range_uj", "1000000");
  }
  std::string missing(MeterKind kind) {
    try {
      static_cast<void>(open_meter(kind, Time{}, sysfs_));
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::missing_device);
      return e.what();
    }
    return "there";
  }
  fs::path sysfs_;
};

TEST_F(EnergyMeterTest, RaplAddsPackagesAndMemoryAndGoesOnWhenItWrapsAround) {
  zone("intel-rapl:0", "package-0", "900000");
  zone("intel-rapl:0:0", "core", "5");
  zone("intel-rapl:0:1", "dram", "100");
  zone("intel-rapl:1", "psys", "7");
  zone("intel-rapl-mmio:0", "package-0", "900000");
  const auto meter = open_meter(MeterKind::rapl, Time{}, sysfs_);
  EXPECT_EQ(meter->resolution(), 1ms);
  ASSERT_EQ(meter->read(Time(1s)).size(), 2U);
  EXPECT_DOUBLE_EQ(joules_of(*meter, Time(1s)), 0);
  zone("intel-rapl:0", "package-0", "950000");
  zone("intel-rapl:0:1", "dram", "10100");
  EXPECT_NEAR(joules_of(*meter, Time(2s)), 0.06, 1e-12);
  zone("intel-rapl:0", "package-0", "50000");
  EXPECT_NEAR(joules_of(*meter, Time(3s)), 0.16, 1e-12);
  EXPECT_EQ(meter->read(Time(3s))[0].name, "package-0");
}

TEST_F(EnergyMeterTest, SensorsAreAddedUpOverTime) {
  write("class/hwmon/hwmon0/name", "coretemp");
  write("class/hwmon/hwmon0/power1_input", "99000000");
  write("class/hwmon/hwmon1/name", "ina226");
  write("class/hwmon/hwmon1/power1_input", "2000000");
  write("class/hwmon/hwmon2/name", "ina3221");
  write("class/hwmon/hwmon2/in1_label", "VDD_GPU");
  write("class/hwmon/hwmon2/in1_input", "5000");
  write("class/hwmon/hwmon2/curr1_input", "200");
  write("class/hwmon/hwmon1/update_interval", "36");
  const auto meter = open_meter(MeterKind::hwmon, Time{}, sysfs_);
  EXPECT_EQ(meter->resolution(), 50ms) << "of the slowest; one does not say";
  EXPECT_NEAR(joules_of(*meter, Time(1s)), 3, 1e-12);
  write("class/hwmon/hwmon1/power1_input", "4000000");
  const auto& domains = meter->read(Time(2s));
  ASSERT_EQ(domains.size(), 2U);
  EXPECT_EQ(domains[0].name, "ina226 1");
  EXPECT_NEAR(domains[0].joules, 2 + 3, 1e-12);  // from 2 W to 4 W
  EXPECT_EQ(domains[1].name, "ina3221 VDD_GPU");
  EXPECT_NEAR(domains[1].joules, 2, 1e-12);
}

TEST_F(EnergyMeterTest, OneThatIsNotThereIsAMissingDevice) {
  EXPECT_THAT(missing(MeterKind::rapl), HasSubstr("energy.meter: rapl: this machine has no such counters"));
  EXPECT_THAT(missing(MeterKind::hwmon), HasSubstr("energy.meter: hwmon: no sensor of the INA kind"));
}

TEST_F(EnergyMeterTest, ACounterThatMayNotBeReadSaysWhatToDo) {
  zone("intel-rapl:0", "package-0", "900000");
  fs::remove(sysfs_ / "class/powercap/intel-rapl:0/energy_uj");
  EXPECT_THAT(missing(MeterKind::rapl), HasSubstr("cannot be read; run as root, or allow it with `chmod a+r"));
}

}  // namespace
}  // namespace rtmdl
