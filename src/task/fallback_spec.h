#pragma once
/// `fallback` of the task file: what a task runs after so many failed jobs.

#include <cstdint>

namespace rtmdl {

/// Which of the ways to run a task it falls back to.
enum class FallbackTo : std::uint8_t {
  any,       ///< from an accelerator: as `processor`, if there is one; else as `variant`, if there is one
  variant,   ///< the fastest other variant on the same processor
  processor  ///< the same variant on another processor
};

struct FallbackSpec {
  int after = 3;  ///< failed jobs in a row; 0: never
  FallbackTo to = FallbackTo::any;
};

}  // namespace rtmdl
