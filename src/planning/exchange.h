#pragma once
/// How the processes of one search (ranks, 0 to ranks() − 1) reach each other. Every rank calls the same functions in
/// the same order; each returns when the ranks that it needs have called it too. One thread at a time.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace rtmdl {

class Exchange {
 public:
  virtual ~Exchange() = default;
  [[nodiscard]] virtual int rank() const = 0;
  [[nodiscard]] virtual int ranks() const = 0;
  /// Hands `bytes` to the next rank (the last to rank 0), returns what the rank before handed over.
  [[nodiscard]] virtual std::string pass_on(const std::string& bytes) = 0;
  /// Returns rank 0's bytes on every rank; those of the others are not looked at.
  [[nodiscard]] virtual std::string from_first(const std::string& bytes) = 0;
  /// On rank 0 the bytes of every rank, by rank; nothing on the others.
  [[nodiscard]] virtual std::vector<std::string> to_first(const std::string& bytes) = 0;
  /// The bits that any rank has set.
  [[nodiscard]] virtual std::uint32_t any(std::uint32_t bits) = 0;
  /// Ends all ranks at once with this exit status, from whichever: they could wait for this one for ever.
  [[noreturn]] virtual void abandon(int status) = 0;
};

/// Runs `work` once per rank, each in a thread of this process; the first exception comes out of here. For tests.
void run_ranks(int ranks, const std::function<void(Exchange&)>& work);

}  // namespace rtmdl
