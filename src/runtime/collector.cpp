#include "runtime/collector.h"

#include "base/atomic_file.h"
#include "base/thread_placement.h"

#include <rtmdl/error.h>

#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include <fmt/format.h>

namespace rtmdl {
namespace {

constexpr auto kPause = std::chrono::milliseconds(20);

const char* fate_name(const JobRecord& r) {
  switch (r.fate) {
    case JobFate::completed: return r.late ? "late" : "in_time";
    case JobFate::failed: return "failed";
    case JobFate::dropped: return "dropped";
  }
  return "?";
}

/// Processor time of the calling thread.
Duration thread_time() noexcept {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return std::chrono::seconds(t.tv_sec) + Duration(t.tv_nsec);
}

}  // namespace

Collector::Collector(Dispatcher& dispatcher, CollectorConfig config)
    : dispatcher_(dispatcher), config_(std::move(config)) {
  if (!config_.csv.empty()) {
    std::error_code ec;
    std::filesystem::create_directories(config_.csv.parent_path(), ec);
    part_ = part_of(config_.csv);
    csv_.open(part_);
    if (!csv_) bad_input(fmt::format("{}: cannot create: {}", config_.csv.string(), std::strerror(errno)));
    csv_ << "task,job,frame,variant,fate,release_ms,deadline_ms,finish_ms,stages\n";
  }
  thread_ = std::thread([this] {
    setpriority(PRIO_PROCESS, static_cast<id_t>(syscall(SYS_gettid)), 19);
    while (!stopping_.load(std::memory_order_acquire)) {
      drain();
      std::this_thread::sleep_for(kPause);
    }
    worked_ = thread_time();
  });
}

Collector::~Collector() {
  stopping_.store(true, std::memory_order_release);
  if (thread_.joinable()) thread_.join();
  if (csv_.is_open()) {
    csv_.close();
    std::error_code ec;
    std::filesystem::remove(part_, ec);
  }
}

void Collector::drain() {
  while (JobRecord* record = dispatcher_.records().front()) {
    if (record->has_result) {
      Ring<Result>& results = dispatcher_.results(record->task);
      if (config_.score) config_.score(*record, *results.front());
      results.pop();
    } else if (record->fate == JobFate::completed) {
      ++unscored_;
    }
    ++collected_;
    if (config_.statistics) config_.statistics->add(*record);
    if (kept_.size() < config_.record_limit) kept_.push_back(*record);
    if (csv_.is_open()) write(*record);
    dispatcher_.records().pop();
  }
}

void Collector::write(const JobRecord& r) {
  const auto ms = [&](Time t) { return to_ms(t - config_.start); };
  csv_ << fmt::format("{},{},{},{},{},{:.4f},{:.4f},{:.4f},", config_.task_names[r.task], r.job, r.frame,
                      config_.variant_names[r.task][r.mode], fate_name(r), ms(r.release),
                      ms(r.release + config_.deadlines[r.task]), ms(r.finish));
  for (int s = 0; s < r.stages; ++s) {
    const auto& stage = r.stage[static_cast<std::size_t>(s)];
    if (!stage.ran()) continue;
    csv_ << fmt::format("{}{}:{:.4f}-{:.4f}", s ? " " : "", config_.processor_names[stage.processor], ms(stage.start),
                        ms(stage.end));
  }
  csv_ << '\n';
}

void Collector::finish() {
  stopping_.store(true, std::memory_order_release);
  thread_.join();
  const Duration before = thread_time();
  drain();
  worked_ += thread_time() - before;
  if (!csv_.is_open()) return;
  csv_.close();
  std::error_code ec;
  if (csv_.fail()) {
    std::filesystem::remove(part_, ec);
    bad_input(
        fmt::format("{}: cannot write the job records: is the disk full? Nothing was written", config_.csv.string()));
  }
  std::filesystem::rename(part_, config_.csv, ec);
  if (ec) bad_input(fmt::format("{}: cannot put in place: {}", config_.csv.string(), ec.message()));
}

}  // namespace rtmdl
