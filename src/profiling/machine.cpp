#include "profiling/machine.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <thread>

#include <fmt/format.h>

namespace rtmdl {
namespace {

std::string first_line(const char* file) {
  std::ifstream in(file);
  std::string line;
  std::getline(in, line);
  return line;
}

std::string cpu_model() {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);)
    for (const char* name : {"model name", "CPU part", "Hardware"})  // x86; arm64 names the part by number
      if (line.rfind(name, 0) == 0) {
        const std::size_t colon = line.find(':');
        return colon == std::string::npos ? line : line.substr(std::min(line.size(), colon + 2));
      }
  return "unknown CPU";
}

}  // namespace

std::string machine_id() {
  return fmt::format("{}; {} cores; {}", cpu_model(), std::thread::hardware_concurrency(),
                     first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"));
}

std::int64_t stolen_ticks(const std::vector<int>& cores) {
  std::ifstream in("/proc/stat");
  std::int64_t stolen = 0;
  for (std::string line; std::getline(in, line) && line.rfind("cpu", 0) == 0;) {
    std::istringstream fields(line.substr(3));
    int core = -1;
    if (line[3] == ' ' || !(fields >> core)) continue;  // the line over all cores
    if (std::find(cores.begin(), cores.end(), core) == cores.end()) continue;
    std::int64_t ticks = 0;
    for (int field = 0; field < 8 && fields >> ticks; ++field)  // user nice system idle iowait irq softirq steal
      if (field == 7) stolen += ticks;
  }
  return stolen;
}

std::int64_t resident_bytes() {
  std::ifstream in("/proc/self/statm");
  std::int64_t all = 0, resident = 0;
  in >> all >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

}  // namespace rtmdl
