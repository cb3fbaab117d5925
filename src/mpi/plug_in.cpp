// What the main command finds in librtmdl_mpi.so: see planning/load_exchange.h. The one file that includes mpi.h.
#include "planning/load_exchange.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <limits>
#include <thread>

#include <mpi.h>

namespace rtmdl {
namespace {

constexpr std::chrono::nanoseconds kFirstNap = std::chrono::microseconds(20),
                                   kLongestNap = std::chrono::milliseconds(2);

/// Open MPI waits by spinning. While rank 0 measures, the others must leave it the cores, so they look, and sleep.
void wait_for(MPI_Request request) {
  std::chrono::nanoseconds nap = kFirstNap;
  for (int done = 0;;) {
    MPI_Test(&request, &done, MPI_STATUS_IGNORE);
    if (done) return;
    std::this_thread::sleep_for(nap);
    nap = std::min(nap * 2, kLongestNap);
  }
}

/// Errors of MPI end all ranks: its default.
class MpiExchange final : public Exchange {
 public:
  MpiExchange() {
    int provided = 0;
    MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks_);
  }
  ~MpiExchange() override {
    MPI_Request request = MPI_REQUEST_NULL;
    MPI_Ibarrier(MPI_COMM_WORLD, &request);  // MPI_Finalize would spin for those that still print
    wait_for(request);
    MPI_Finalize();
  }

  [[nodiscard]] int rank() const override { return rank_; }
  [[nodiscard]] int ranks() const override { return ranks_; }

  [[nodiscard]] std::string pass_on(const std::string& bytes) override {
    const int next = (rank_ + 1) % ranks_, before = (rank_ + ranks_ - 1) % ranks_;
    MPI_Request sent = MPI_REQUEST_NULL, received = MPI_REQUEST_NULL;
    const unsigned long size = bytes.size();
    unsigned long coming = 0;
    MPI_Isend(&size, 1, MPI_UNSIGNED_LONG, next, 0, MPI_COMM_WORLD, &sent);
    MPI_Irecv(&coming, 1, MPI_UNSIGNED_LONG, before, 0, MPI_COMM_WORLD, &received);
    wait_for(received);
    wait_for(sent);
    std::string result(coming, '\0');
    MPI_Irecv(result.data(), count_of(coming), MPI_CHAR, before, 1, MPI_COMM_WORLD, &received);
    MPI_Isend(bytes.data(), count_of(size), MPI_CHAR, next, 1, MPI_COMM_WORLD, &sent);
    wait_for(received);
    wait_for(sent);
    return result;
  }

  [[nodiscard]] std::string from_first(const std::string& bytes) override {
    unsigned long size = bytes.size();
    MPI_Request request = MPI_REQUEST_NULL;
    MPI_Ibcast(&size, 1, MPI_UNSIGNED_LONG, 0, MPI_COMM_WORLD, &request);
    wait_for(request);
    std::string result = bytes;
    result.resize(size);
    MPI_Ibcast(result.data(), count_of(size), MPI_CHAR, 0, MPI_COMM_WORLD, &request);
    wait_for(request);
    return result;
  }

  [[nodiscard]] std::vector<std::string> to_first(const std::string& bytes) override {
    MPI_Request request = MPI_REQUEST_NULL;
    const int size = count_of(bytes.size());
    std::vector<int> sizes(static_cast<std::size_t>(ranks_)), starts(sizes.size());
    MPI_Igather(&size, 1, MPI_INT, sizes.data(), 1, MPI_INT, 0, MPI_COMM_WORLD, &request);
    wait_for(request);
    std::size_t all = 0;
    for (std::size_t r = 0; r < sizes.size(); ++r) {
      starts[r] = count_of(all);
      all += static_cast<std::size_t>(sizes[r]);
    }
    std::string text(all, '\0');
    MPI_Igatherv(bytes.data(), size, MPI_CHAR, text.data(), sizes.data(), starts.data(), MPI_CHAR, 0, MPI_COMM_WORLD,
                 &request);
    wait_for(request);
    std::vector<std::string> parts;
    for (std::size_t r = 0; rank_ == 0 && r < sizes.size(); ++r)
      parts.push_back(text.substr(static_cast<std::size_t>(starts[r]), static_cast<std::size_t>(sizes[r])));
    return parts;
  }

  [[nodiscard]] std::uint32_t any(std::uint32_t bits) override {
    std::uint32_t all = 0;
    MPI_Request request = MPI_REQUEST_NULL;
    MPI_Iallreduce(&bits, &all, 1, MPI_UINT32_T, MPI_BOR, MPI_COMM_WORLD, &request);
    wait_for(request);
    return all;
  }

  [[noreturn]] void abandon(int status) override {
    MPI_Abort(MPI_COMM_WORLD, status);
    std::abort();  // MPI_Abort does not return
  }

 private:
  /// MPI counts with int.
  int count_of(std::size_t size) {
    if (size > static_cast<std::size_t>(std::numeric_limits<int>::max())) abandon(1);
    return static_cast<int>(size);
  }
  int rank_ = 0, ranks_ = 1;
};

}  // namespace
}  // namespace rtmdl

extern "C" {

__attribute__((visibility("default"))) const char* rtmdl_mpi_version() { return rtmdl::kMpiVersion; }

__attribute__((visibility("default"))) rtmdl::Exchange* rtmdl_make_exchange() { return new rtmdl::MpiExchange; }
}
