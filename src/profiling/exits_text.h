#pragma once
/// A variant's early exits as text (JSON), for the store.

#include "scaling/early_exits.h"

#include <string>

namespace rtmdl {

/// Empty if there are none.
[[nodiscard]] std::string exits_text(const EarlyExits& exits);
/// Throws Error(bad_input): not written by exits_text().
[[nodiscard]] EarlyExits parse_exits(const std::string& text);

}  // namespace rtmdl
