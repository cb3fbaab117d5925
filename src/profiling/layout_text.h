#pragma once
/// A family's layout as the store keeps it.

#include "scaling/family_layout.h"

#include <optional>
#include <string>

namespace rtmdl {

/// JSON. Equal layouts give equal texts; one with a name that is no UTF-8 gives none.
[[nodiscard]] std::string layout_text(const FamilyLayout& layout);
/// Nothing for a text that is no layout, or whose indices lead nowhere.
[[nodiscard]] std::optional<FamilyLayout> parse_layout(const std::string& text);

}  // namespace rtmdl
