#pragma once
/// Where the rows of a detector's outputs are in the picture: shared by networks, losses and what describes them.

#include <vector>

namespace rtmdl {

/// One anchor a size and cell. Places are counted row by row, the anchors of a cell together; centres are those of the
/// cells, spread evenly over the input (what the decoder ssd of `post: {kind: detections}` lays).
struct AnchorGrid {
  int stride = 0;  ///< pixels of the input a cell
  int rows = 0, columns = 0;
  std::vector<float> sizes;  ///< width, height of each anchor of a cell, pixels of the input
  [[nodiscard]] int per_cell() const { return static_cast<int>(sizes.size() / 2); }
  [[nodiscard]] int count() const { return rows * columns * per_cell(); }
};

}  // namespace rtmdl
