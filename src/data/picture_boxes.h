#pragma once
/// Ground truth of detectors: the boxes of what pictures show, as YOLO and COCO write them down.

#include "data/frame.h"
#include "data/picture_labels.h"
#include "task/config_node.h"

#include <filesystem>
#include <span>
#include <vector>

namespace rtmdl {

/// One list for each picture, boxes in shares of its sides (0 to 1), cut at its borders.
using BoxLists = std::vector<std::vector<LabelledBox>>;

/// `labels: yolo`: for picture.jpg the file picture.txt with a line `class cx cy w h` for each thing, in shares of the
/// picture's sides. It is looked for beside the picture, in a folder `labels` there, and in a folder `labels` beside
/// the pictures' own. A picture without such a file shows nothing, but one of them at least must have one. The files
/// that were read are added to `texts`. Throws Error(bad_input) with file and line.
[[nodiscard]] BoxLists read_yolo_boxes(const ConfigNode& labels, const ConfigNode& path, const ClassNames& names,
                                       std::span<const std::filesystem::path> pictures,
                                       std::vector<std::filesystem::path>& texts);

/// `labels: {coco: FILE, ids: consecutive|original}`: `images`, `annotations` and `categories` of COCO's JSON (Lin et
/// al. 2014). Classes are numbered from 0 in the order of the categories' ids, or by `names` where there are some, or
/// are the ids themselves. Crowds are ignored, boxes without area left out. Every picture must be among the `images`.
/// Throws Error(bad_input) with the place in the file.
[[nodiscard]] BoxLists read_coco_boxes(const ConfigNode& labels, const ClassNames& names,
                                       std::span<const std::filesystem::path> pictures);

}  // namespace rtmdl
