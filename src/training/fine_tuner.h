#pragma once
/// rtmdl::FineTuner over libtorch: see scaling/fine_tuner.h for what it promises.

#include "scaling/fine_tuner.h"

#include <memory>

namespace rtmdl {

/// Sets libtorch's number of threads and how malloc keeps freed memory, process-wide, while it works.
[[nodiscard]] std::unique_ptr<FineTuner> make_fine_tuner();

}  // namespace rtmdl
