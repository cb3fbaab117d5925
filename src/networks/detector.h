#pragma once
/// What a detector's outputs mean: its anchors, for the losses and for the task file.

#include "model/model.h"
#include "networks/networks.h"

#include <string>
#include <vector>

namespace rtmdl {

/// The tensor of tiny-yolo that is trained, [N, anchors · (5 + classes), rows, columns]: for each anchor of a cell x,
/// y, w, h, objectness and classes, all raw.
inline constexpr const char* kYoloGrid = "grid";

/// One anchor a size and cell. Places are counted row by row, the anchors of a cell together; centres are those of the
/// cells, spread evenly over the input (what the decoder ssd of `post: {kind: detections}` lays).
struct AnchorGrid {
  int stride = 0;  ///< pixels of the input a cell
  int rows = 0, columns = 0;
  std::vector<float> sizes;  ///< width, height of each anchor of a cell, pixels of the input
  [[nodiscard]] int per_cell() const { return static_cast<int>(sizes.size() / 2); }
  [[nodiscard]] int count() const { return rows * columns * per_cell(); }
};

/// Six grids of strides 16 to 512. Sizes by Liu et al. 2016, equation 4, from 0.2 to 0.95 of the shorter side, ratios
/// 1, 2, 1/2, 3, 1/3 and a second square; the first grid has three anchors only, as SSDLite has it.
[[nodiscard]] std::vector<AnchorGrid> ssd_grids(int rows, int columns);
/// One grid of stride 32. Without anchors: the five of YOLOv2 for VOC, which are in cells.
[[nodiscard]] AnchorGrid yolo_grid(int rows, int columns, const std::vector<float>& anchors);

/// Offsets of SSD are divided by these (Liu et al. 2016's implementation): centres, sizes.
inline constexpr float kSsdVariances[2] = {0.1F, 0.2F};

/// Of a detector; the anchors of its options.
[[nodiscard]] std::vector<AnchorGrid> anchor_grids(const NetworkInfo& info, const NetworkOptions& options);

/// The `post:` of a task that runs this network: "{kind: detections, decoder: yolo}".
[[nodiscard]] std::string post_settings(const NetworkInfo& info, const NetworkOptions& options);

}  // namespace rtmdl
