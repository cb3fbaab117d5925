#include "networks/detector.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace rtmdl {
namespace {

constexpr int kYoloStride = 32;
constexpr float kVocAnchors[] = {1.08F, 1.19F, 3.42F, 4.41F, 6.63F, 11.38F, 9.42F, 5.11F, 16.62F, 10.52F};

constexpr int kSsdGrids = 6;
constexpr int kFirstSsdStride = 16;
constexpr double kLeastScale = 0.2, kMostScale = 0.95;

int cells(int pixels, int stride) { return (pixels + stride - 1) / stride; }

/// Tenths of a pixel are exact enough, and the same when they are printed.
float rounded(double pixels) { return static_cast<float>(std::round(pixels * 10) / 10); }

}  // namespace

std::vector<AnchorGrid> ssd_grids(int rows, int columns) {
  const double side = std::min(rows, columns);
  const auto scale = [](int k) { return kLeastScale + (kMostScale - kLeastScale) * k / (kSsdGrids - 1); };
  std::vector<AnchorGrid> grids;
  for (int k = 0; k < kSsdGrids; ++k) {
    const int stride = kFirstSsdStride << k;
    AnchorGrid grid{stride, cells(rows, stride), cells(columns, stride), {}};
    const auto add = [&](double s, double ratio) {
      grid.sizes.push_back(rounded(side * s * std::sqrt(ratio)));
      grid.sizes.push_back(rounded(side * s / std::sqrt(ratio)));
    };
    if (k == 0) {
      add(kLeastScale / 2, 1);
      add(scale(0), 2);
      add(scale(0), 0.5);
    } else {
      for (const double ratio : {1.0, 2.0, 0.5, 3.0, 1.0 / 3}) add(scale(k), ratio);
      add(std::sqrt(scale(k) * (k + 1 < kSsdGrids ? scale(k + 1) : 1.0)), 1);
    }
    grids.push_back(std::move(grid));
  }
  return grids;
}

AnchorGrid yolo_grid(int rows, int columns, const std::vector<float>& anchors) {
  AnchorGrid grid{kYoloStride, cells(rows, kYoloStride), cells(columns, kYoloStride), anchors};
  if (anchors.empty()) {
    // The sizes were found for 13 x 13 cells; as shares of the image they hold for others.
    constexpr double kCells = 13;
    const double unit[2] = {columns / kCells, rows / kCells};
    for (std::size_t i = 0; i < std::size(kVocAnchors); ++i)
      grid.sizes.push_back(rounded(kVocAnchors[i] * unit[i % 2]));
  }
  return grid;
}

std::vector<float> cluster_sizes(std::vector<std::array<float, 2>> sizes, std::size_t k) {
  constexpr int kMostRounds = 100;
  const auto area = [](const std::array<float, 2>& s) { return s[0] * s[1]; };
  const auto overlap = [&](const std::array<float, 2>& a, const std::array<float, 2>& b) {
    const float common = std::min(a[0], b[0]) * std::min(a[1], b[1]);
    return common / (area(a) + area(b) - common);
  };
  std::sort(sizes.begin(), sizes.end(),
            [&](const auto& a, const auto& b) { return area(a) != area(b) ? area(a) < area(b) : a < b; });
  std::vector<std::array<float, 2>> means;
  for (std::size_t i = 0; i < k && !sizes.empty(); ++i) {
    const auto& quantile = sizes[(2 * i + 1) * sizes.size() / (2 * k)];
    if (std::find(means.begin(), means.end(), quantile) == means.end()) means.push_back(quantile);
  }
  for (int round = 0; round < kMostRounds; ++round) {
    std::vector<std::array<double, 3>> sums(means.size(), {0, 0, 0});
    for (const auto& size : sizes) {
      std::size_t best = 0;
      for (std::size_t m = 1; m < means.size(); ++m)
        if (overlap(size, means[m]) > overlap(size, means[best])) best = m;
      sums[best][0] += size[0];
      sums[best][1] += size[1];
      sums[best][2] += 1;
    }
    const auto before = means;
    for (std::size_t m = 0; m < means.size(); ++m)
      if (sums[m][2] > 0)
        means[m] = {static_cast<float>(sums[m][0] / sums[m][2]), static_cast<float>(sums[m][1] / sums[m][2])};
    if (means == before) break;
  }
  std::vector<float> flat;
  for (const auto& mean : means) flat.insert(flat.end(), {rounded(mean[0]), rounded(mean[1])});
  return flat;
}

std::vector<AnchorGrid> anchor_grids(const NetworkInfo& info, const NetworkOptions& options) {
  const NetworkOptions o = complete(info, options);
  if (info.kind == NetworkKind::ssd) return ssd_grids(o.rows, o.columns);
  if (info.kind == NetworkKind::yolo) return {yolo_grid(o.rows, o.columns, o.anchors)};
  return {};
}

DetectorTarget detector_target(const NetworkInfo& info, const NetworkOptions& options) {
  const NetworkOptions o = complete(info, options);
  DetectorTarget target;
  target.loss = info.kind == NetworkKind::yolo ? DetectorTarget::Loss::yolo : DetectorTarget::Loss::ssd;
  target.grids = anchor_grids(info, o);
  target.rows = o.rows;
  target.columns = o.columns;
  target.classes = o.classes;
  std::copy(std::begin(kSsdVariances), std::end(kSsdVariances), std::begin(target.variances));
  return target;
}

std::string post_settings(const NetworkInfo& info, const NetworkOptions& options) {
  const NetworkOptions o = complete(info, options);
  if (info.kind == NetworkKind::classifier) return "{kind: classes}";
  if (info.kind == NetworkKind::yolo) return "{kind: detections, decoder: yolo, objectness: true}";
  std::vector<int> strides;
  std::vector<std::string> sizes;
  for (const AnchorGrid& grid : ssd_grids(o.rows, o.columns)) {
    strides.push_back(grid.stride);
    sizes.push_back(fmt::format("[{}]", fmt::join(grid.sizes, ", ")));
  }
  return fmt::format(
      "{{kind: detections, decoder: ssd, background: {}, variances: [{}, {}], anchors: {{strides: [{}], sizes: "
      "[{}]}}}}",
      o.classes, kSsdVariances[0], kSsdVariances[1], fmt::join(strides, ", "), fmt::join(sizes, ", "));
}

}  // namespace rtmdl
