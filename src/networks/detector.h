#pragma once
/// What a detector's outputs mean: its anchors, for the losses and for the task file.

#include "data/anchor_grid.h"
#include "networks/networks.h"
#include "scaling/fine_tuner.h"

#include <array>
#include <string>
#include <vector>

namespace rtmdl {

/// The tensor of tiny-yolo that is trained, [N, anchors · (5 + classes), rows, columns]: for each anchor of a cell x,
/// y, w, h, objectness and classes, all raw.
inline constexpr const char* kYoloGrid = "grid";

/// Six grids of strides 16 to 512. Sizes by Liu et al. 2016, equation 4, from 0.2 to 0.95 of the shorter side, ratios
/// 1, 2, 1/2, 3, 1/3 and a second square; the first grid has three anchors only, as SSDLite has it.
[[nodiscard]] std::vector<AnchorGrid> ssd_grids(int rows, int columns);
/// One grid of stride 32. Without anchors: the five of YOLOv2 for VOC, which are in cells.
[[nodiscard]] AnchorGrid yolo_grid(int rows, int columns, const std::vector<float>& anchors);

/// Offsets of SSD are divided by these (Liu et al. 2016's implementation): centres, sizes.
inline constexpr float kSsdVariances[2] = {0.1F, 0.2F};

/// k sizes (width, height) that boxes of these sizes overlap most: k-means by 1 - IoU (Redmon & Farhadi 2017, section
/// 2), from quantiles of the area, the smallest first. Fewer if there are fewer different sizes.
[[nodiscard]] std::vector<float> cluster_sizes(std::vector<std::array<float, 2>> sizes, std::size_t k);

/// Of a detector; the anchors of its options.
[[nodiscard]] std::vector<AnchorGrid> anchor_grids(const NetworkInfo& info, const NetworkOptions& options);

/// What FineTuner is to teach its outputs.
[[nodiscard]] DetectorTarget detector_target(const NetworkInfo& info, const NetworkOptions& options);

/// The `post:` of a task that runs this network: "{kind: detections, decoder: yolo}".
[[nodiscard]] std::string post_settings(const NetworkInfo& info, const NetworkOptions& options);

}  // namespace rtmdl
