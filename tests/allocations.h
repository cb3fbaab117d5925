#pragma once
/// Counts the calls of operator new in the test program.

#include <cstdint>

namespace rtmdl::test {

[[nodiscard]] std::int64_t allocations() noexcept;

}  // namespace rtmdl::test
