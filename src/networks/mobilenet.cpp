// Sandler, Howard, Zhu, Zhmoginov, Chen 2018, "MobileNetV2: inverted residuals and linear bottlenecks": table 2, and
// SSDLite of section 6.2 on it (Liu et al. 2016, "SSD: single shot multibox detector", with separable predictors).
#include "networks/builders.h"
#include "networks/detector.h"
#include "networks/graph_writer.h"

#include <algorithm>
#include <string>
#include <vector>

#include <fmt/format.h>

namespace rtmdl::networks {
namespace {

constexpr auto kRelu6 = Activation::relu6;

struct Stage {
  int expansion, channels, repetitions, stride;
};
constexpr Stage kTable2[] = {{1, 16, 1, 1}, {6, 24, 2, 2},  {6, 32, 3, 2}, {6, 64, 4, 2},
                             {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}};
constexpr int kStageOfStride32 = 5;  // the sixth: its first expansion is the last map of stride 16

struct Backbone {
  Map stride16;  ///< after the expansion that opens the stage of stride 32
  Map last;      ///< 1280 channels
};

Map inverted_residual(GraphWriter& g, const std::string& name, const Map& x, int out, int expansion, int stride,
                      Map* expanded) {
  Map y = x;
  if (expansion > 1) y = g.unit(name + ".expand", y, {x.channels * expansion, 1}, kRelu6);
  if (expanded) *expanded = y;
  y = g.unit(name + ".depthwise", y, {0, 3, stride}, kRelu6);
  y = g.unit(name + ".project", y, {out, 1}, Activation::none);
  return stride == 1 && x.channels == out ? g.add(name + ".add", x, y) : y;
}

Backbone backbone(GraphWriter& g, const NetworkOptions& o, bool small) {
  Backbone b;
  Map x = g.image(o.channels, o.rows, o.columns);
  x = g.unit("stem", x, {scaled(32, o.width), 3, small ? 1 : 2}, kRelu6);
  int s = 0;
  for (const Stage& stage : kTable2) {
    for (int r = 1; r <= repeated(stage.repetitions, o.depth); ++r) {
      const bool halves = r == 1 && stage.stride == 2 && !(small && s == 1);
      x = inverted_residual(g, fmt::format("stage{}.block{}", s + 1, r), x, scaled(stage.channels, o.width),
                            stage.expansion, halves ? 2 : 1, s == kStageOfStride32 && r == 1 ? &b.stride16 : nullptr);
    }
    ++s;
  }
  // "for multipliers less than one, we apply width multiplier to all layers except the very last"
  b.last = g.unit("head", x, {scaled(1280, std::max(1.0, o.width)), 1}, kRelu6);
  return b;
}

Map separable(GraphWriter& g, const std::string& name, const Map& x, int out) {
  return g.conv(name + ".pointwise", g.unit(name + ".depthwise", x, {0}, kRelu6), {out, 1});
}

/// [N, anchors · values, h, w] to rows of anchors [N, h · w · anchors, values].
std::string in_rows(GraphWriter& g, const Map& x, int values) {
  set_attribute(g.node("Transpose", x.name + ".last", {x.name}), "perm", std::vector<std::int64_t>{0, 2, 3, 1});
  const std::string shape = g.constant(x.name + ".shape", {0, -1, values});
  g.node("Reshape", x.name + ".rows", {x.name + ".last", shape});
  return x.name + ".rows";
}

}  // namespace

Model mobilenet_v2(const NetworkOptions& o, std::uint64_t seed) {
  GraphWriter g("mobilenetv2", seed);
  const Map x = g.flatten("features", g.global_average("pool", backbone(g, o, is_small(o)).last));
  g.dense("logits", g.dropout("dropout", x, 0.2F), o.classes, 1);
  g.output("logits", {o.classes});
  return g.finish();
}

Model ssdlite(const NetworkOptions& o, std::uint64_t seed) {
  GraphWriter g("ssdlite", seed);
  const Backbone b = backbone(g, o, false);
  std::vector<Map> maps = {b.stride16, b.last};
  for (const int channels : {512, 256, 256, 128}) {
    const std::string name = fmt::format("extra{}", maps.size() - 1);
    Map x = g.unit(name + ".reduce", maps.back(), {scaled(channels / 2, o.width), 1}, kRelu6);
    x = g.unit(name + ".depthwise", x, {0, 3, 2}, kRelu6);
    maps.push_back(g.unit(name + ".expand", x, {scaled(channels, o.width), 1}, kRelu6));
  }
  const std::vector<AnchorGrid> grids = ssd_grids(o.rows, o.columns);
  std::vector<std::string> boxes, scores;
  std::int64_t anchors = 0;
  for (std::size_t m = 0; m < maps.size(); ++m) {
    const int per_cell = grids[m].per_cell();
    anchors += grids[m].count();
    const std::string name = fmt::format("predictor{}", m + 1);
    boxes.push_back(in_rows(g, separable(g, name + ".boxes", maps[m], per_cell * 4), 4));
    scores.push_back(in_rows(g, separable(g, name + ".scores", maps[m], per_cell * (o.classes + 1)), o.classes + 1));
  }
  for (const auto& [name, parts] : {std::pair{"boxes", &boxes}, std::pair{"scores", &scores}}) {
    auto& all = g.node("Concat", name, {});
    for (const std::string& part : *parts) all.add_input(part);
    set_attribute(all, "axis", std::int64_t{1});
  }
  g.output("boxes", {anchors, 4});
  g.output("scores", {anchors, o.classes + 1});
  return g.finish();
}

}  // namespace rtmdl::networks
