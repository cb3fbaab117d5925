#include "planning/exchange.h"

#include <barrier>
#include <cstddef>
#include <cstdlib>
#include <exception>
#include <thread>

namespace rtmdl {
namespace {

/// What the threads share: a place per rank, read between two barriers.
struct Table {
  explicit Table(int ranks) : places(static_cast<std::size_t>(ranks)), bits(places.size()), barrier(ranks) {}
  std::vector<std::string> places;
  std::vector<std::uint32_t> bits;
  std::barrier<> barrier;
};

class ThreadRank final : public Exchange {
  /// Puts `bytes` where the others can read them while `read` runs.
  template <typename Read>
  auto meet(const std::string& bytes, Read read) {
    table_.places[rank_] = bytes;
    table_.barrier.arrive_and_wait();
    auto result = read();
    table_.barrier.arrive_and_wait();
    return result;
  }

 public:
  ThreadRank(Table& table, std::size_t rank) : table_(table), rank_(rank) {}
  [[nodiscard]] int rank() const override { return static_cast<int>(rank_); }
  [[nodiscard]] int ranks() const override { return static_cast<int>(table_.places.size()); }
  [[nodiscard]] std::string pass_on(const std::string& bytes) override {
    const std::size_t n = table_.places.size();
    return meet(bytes, [&] { return table_.places[(rank_ + n - 1) % n]; });
  }
  [[nodiscard]] std::string from_first(const std::string& bytes) override {
    return meet(bytes, [&] { return table_.places[0]; });
  }
  [[nodiscard]] std::vector<std::string> to_first(const std::string& bytes) override {
    return meet(bytes, [&] { return rank_ == 0 ? table_.places : std::vector<std::string>{}; });
  }
  [[nodiscard]] std::uint32_t any(std::uint32_t bits) override {
    table_.bits[rank_] = bits;
    return meet({}, [&] {
      std::uint32_t all = 0;
      for (const std::uint32_t b : table_.bits) all |= b;
      return all;
    });
  }
  [[noreturn]] void abandon(int status) override { std::exit(status); }

 private:
  Table& table_;
  std::size_t rank_;
};

}  // namespace

void run_ranks(int ranks, const std::function<void(Exchange&)>& work) {
  Table table(ranks);
  std::vector<std::exception_ptr> errors(table.places.size());
  std::vector<std::thread> threads;
  for (std::size_t r = 0; r < table.places.size(); ++r) {
    threads.emplace_back([&, r] {
      try {
        ThreadRank rank(table, r);
        work(rank);
      } catch (...) {
        errors[r] = std::current_exception();
        table.barrier.arrive_and_drop();
      }
    });
  }
  for (std::thread& t : threads) t.join();
  for (const std::exception_ptr& e : errors) {
    if (e) std::rethrow_exception(e);
  }
}

}  // namespace rtmdl
