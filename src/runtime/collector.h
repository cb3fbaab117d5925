#pragma once
/// Takes finished jobs from the dispatcher's rings while the run goes on: counts, scores, writes the job records. Its
/// own thread, at the lowest importance that still gets processor time, so that the hot path neither allocates nor
/// writes.

#include "runtime/dispatcher.h"
#include "runtime/job_record.h"
#include "runtime/live_statistics.h"

#include <atomic>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <thread>
#include <vector>

namespace rtmdl {

struct CollectorConfig {
  std::vector<std::string> task_names, processor_names;
  std::vector<std::vector<std::string>> variant_names;  ///< of each task in each mode
  std::vector<Duration> deadlines;
  Time start{};                          ///< of the run: times in the CSV count from it
  std::filesystem::path csv;             ///< job records; empty: none
  std::size_t record_limit = 4'000'000;  ///< records kept in memory for percentiles and traces
  /// Scores a completed job. From the collector's thread.
  std::function<void(const JobRecord&, const Result&)> score;
  LiveStatistics* statistics = nullptr;  ///< told of every record; may be null, outlives the collector
};

class Collector {
 public:
  /// Throws Error(bad_input) if the CSV cannot be created.
  Collector(Dispatcher& dispatcher, CollectorConfig config);
  ~Collector();
  Collector(const Collector&) = delete;
  Collector& operator=(const Collector&) = delete;

  /// Drains what is left, ends the thread, puts the CSV in place. Throws Error(bad_input) if the disk was full (no
  /// partial file is left).
  void finish();
  /// After finish(), in the order of their ends.
  [[nodiscard]] std::vector<JobRecord>& records() { return kept_; }
  [[nodiscard]] std::int64_t unscored() const {
    return unscored_;
  }  ///< completed jobs whose result had no room in the ring
  /// After finish(): records that came, kept or not, and the processor time that this took.
  [[nodiscard]] std::int64_t collected() const { return collected_; }
  [[nodiscard]] Duration worked() const { return worked_; }

 private:
  void drain();
  void write(const JobRecord& record);

  Dispatcher& dispatcher_;
  CollectorConfig config_;
  std::filesystem::path part_;
  std::ofstream csv_;
  std::vector<JobRecord> kept_;
  std::int64_t unscored_ = 0, collected_ = 0;
  Duration worked_{};
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace rtmdl
