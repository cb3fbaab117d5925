#pragma once
/// Counts every heap allocation of the calling thread (malloc and its kin, and so operator new): the test binary's own
/// malloc hands on to glibc's. Not with sanitizers, which have a malloc of their own.

#include <cstddef>

namespace rtmdl::test {

[[nodiscard]] bool can_count_allocations() noexcept;
[[nodiscard]] std::size_t allocations() noexcept;

template <typename Action>
std::size_t allocations_of(Action action) {
  const std::size_t before = allocations();
  action();
  return allocations() - before;
}

}  // namespace rtmdl::test
