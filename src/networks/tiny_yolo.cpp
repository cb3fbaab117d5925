// Redmon & Farhadi 2017, "YOLO9000: better, faster, stronger": the small network of YOLOv2, with the decoding of its
// section 2 ("direct location prediction") as nodes behind the grid.
#include "networks/builders.h"
#include "networks/detector.h"
#include "networks/graph_writer.h"

#include <array>
#include <vector>

#include <fmt/format.h>

namespace rtmdl::networks {
namespace {

/// centre = (cell + σ(txy)) · stride, size = anchor · exp(twh), objectness = σ(to), classes = softmax: rows of
/// [x, y, w, h, objectness, classes…] in pixels of the input, cell by cell, a cell's anchors together.
void decode(GraphWriter& g, const AnchorGrid& grid, int classes) {
  const std::int64_t values = 5 + classes;
  const std::int64_t per_cell = grid.per_cell();
  const std::int64_t cells = std::int64_t{grid.rows} * grid.columns;
  const std::int64_t places = cells * per_cell;
  g.constant("decode.cells.shape", {0, per_cell, values, cells});
  g.node("Reshape", "decode.cells", {kYoloGrid, "decode.cells.shape"});
  set_attribute(g.node("Transpose", "decode.last", {"decode.cells"}), "perm", std::vector<std::int64_t>{0, 3, 1, 2});
  g.constant("decode.rows.shape", {0, places, values});
  g.node("Reshape", "decode.rows", {"decode.last", "decode.rows.shape"});
  g.constant("decode.parts.sizes", {2, 2, 1, classes});
  auto& split = g.node("Split", "decode.centre", {"decode.rows", "decode.parts.sizes"});
  for (const char* part : {"decode.size", "decode.objectness", "decode.classes"}) split.add_output(part);
  set_attribute(split, "axis", std::int64_t{-1});

  std::vector<float> corners, anchors;
  for (int y = 0; y < grid.rows; ++y)
    for (int x = 0; x < grid.columns; ++x)
      for (std::size_t a = 0; a < grid.sizes.size(); a += 2) {
        corners.insert(corners.end(), {static_cast<float>(x * grid.stride), static_cast<float>(y * grid.stride)});
        anchors.insert(anchors.end(), {grid.sizes[a], grid.sizes[a + 1]});
      }
  const std::array<std::int64_t, 3> shape = {1, places, 2};
  const auto stride = static_cast<float>(grid.stride);
  g.constant("decode.stride", {}, {&stride, 1});
  g.constant("decode.corners", shape, corners);
  g.constant("decode.anchors", shape, anchors);
  g.node("Sigmoid", "decode.centre.sigmoid", {"decode.centre"});
  g.node("Mul", "decode.centre.offset", {"decode.centre.sigmoid", "decode.stride"});
  g.node("Add", "decode.centre.pixels", {"decode.centre.offset", "decode.corners"});
  g.node("Exp", "decode.size.exp", {"decode.size"});
  g.node("Mul", "decode.size.pixels", {"decode.size.exp", "decode.anchors"});
  g.node("Sigmoid", "decode.objectness.sigmoid", {"decode.objectness"});
  set_attribute(g.node("Softmax", "decode.classes.softmax", {"decode.classes"}), "axis", std::int64_t{-1});
  set_attribute(
      g.node("Concat", "detections",
             {"decode.centre.pixels", "decode.size.pixels", "decode.objectness.sigmoid", "decode.classes.softmax"}),
      "axis", std::int64_t{-1});
  g.output("detections", {places, values});
}

}  // namespace

Model tiny_yolo(const NetworkOptions& o, std::uint64_t seed) {
  constexpr auto kLeaky = Activation::leaky_relu;
  constexpr std::array<int, 6> kChannels = {16, 32, 64, 128, 256, 512};
  GraphWriter g("tiny-yolo", seed);
  Map x = g.image(o.channels, o.rows, o.columns);
  for (std::size_t s = 0; s < kChannels.size(); ++s) {
    for (int i = 1; i <= repeated(1, o.depth); ++i)
      x = g.unit(fmt::format("stage{}.conv{}", s + 1, i), x, {scaled(kChannels[s], o.width)}, kLeaky);
    const bool last = s + 1 == kChannels.size();  // it smooths the map without halving it
    x = g.max_pool(fmt::format("stage{}.pool", s + 1), x, last ? PoolSpec{2, 2, 1, 1, 0, true} : PoolSpec{});
  }
  for (int i = 1; i <= repeated(2, o.depth); ++i)
    x = g.unit(fmt::format("stage7.conv{}", i), x, {scaled(1024, o.width)}, kLeaky);
  const AnchorGrid grid = yolo_grid(o.rows, o.columns, o.anchors);
  g.conv(kYoloGrid, x, {grid.per_cell() * (5 + o.classes), 1});
  decode(g, grid, o.classes);
  return g.finish();
}

}  // namespace rtmdl::networks
