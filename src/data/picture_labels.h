#pragma once
/// Which class a picture shows: from the name of its folder, or from a text file.

#include "task/config_node.h"

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace rtmdl {

/// The names of a model's classes in its order, one a line (a line's first word is a name as well: "n01440764 tench").
class ClassNames {
 public:
  ClassNames() = default;  ///< there are none
  /// `classes: FILE`; may be absent. Throws Error(bad_input).
  explicit ClassNames(const ConfigNode& classes);

  [[nodiscard]] bool empty() const noexcept { return lines_.empty(); }
  /// The class that the text names, or gives as a number; −1 if it does neither.
  [[nodiscard]] std::int32_t find(std::string_view name) const noexcept;

 private:
  std::vector<std::string> lines_;
};

/// The class of each picture, after `labels: FILE`: lines `name class`, apart by a comma, a tab or the last blanks, in
/// any order. Lines for other pictures are passed over. Throws Error(bad_input): a picture without a class or with two,
/// a line that is not understood.
[[nodiscard]] std::vector<std::int32_t> read_labels(const ConfigNode& labels, const ClassNames& names,
                                                    std::span<const std::filesystem::path> pictures);

}  // namespace rtmdl
