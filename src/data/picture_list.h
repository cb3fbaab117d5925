#pragma once
/// The pictures of `source: images` and what is known of each: its class, or the boxes of what it shows.

#include "data/frame.h"
#include "task/config_node.h"

#include <cstdint>
#include <filesystem>
#include <vector>

namespace rtmdl {

struct PictureList {
  std::vector<std::filesystem::path> files;
  std::vector<std::filesystem::path> texts;     ///< that labels and classes were read from
  std::vector<std::int32_t> labels;             ///< one a picture; empty without labels
  std::vector<std::vector<LabelledBox>> boxes;  ///< one list a picture, in shares of its sides (0 to 1); empty without
  int classes = 0;                              ///< largest label + 1
};

/// Reads `path`, `labels` (none, folders, yolo, {coco: FILE}, or a text file) and `classes`. Throws Error(bad_input).
[[nodiscard]] PictureList list_pictures(const ConfigNode& data);

}  // namespace rtmdl
