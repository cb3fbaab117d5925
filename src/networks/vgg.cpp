// Simonyan & Zisserman 2015, "Very deep convolutional networks for large-scale image recognition", with batch
// normalisation (Ioffe & Szegedy 2015) and, as RT-mDL's file sizes say, one layer instead of three as the classifier.
#include "networks/builders.h"
#include "networks/graph_writer.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

namespace rtmdl::networks {
namespace {

/// Table 1: convolutions in each of the five stages.
std::array<int, 5> convolutions(int layers) {
  switch (layers) {
    case 11: return {1, 1, 2, 2, 2};
    case 13: return {2, 2, 2, 2, 2};
    case 16: return {2, 2, 3, 3, 3};
    default: return {2, 2, 4, 4, 4};
  }
}

}  // namespace

Model vgg(int layers, const NetworkOptions& o, std::uint64_t seed) {
  constexpr std::array<int, 5> kChannels = {64, 128, 256, 512, 512};
  const std::array<int, 5> count = convolutions(layers);
  GraphWriter g(fmt::format("vgg{}", layers), seed);
  Map x = g.image(o.channels, o.rows, o.columns);
  for (std::size_t s = 0; s < count.size(); ++s) {
    for (int i = 1; i <= repeated(count[s], o.depth); ++i)
      x = g.unit(fmt::format("stage{}.conv{}", s + 1, i), x, {scaled(kChannels[s], o.width)}, Activation::relu);
    // An image of less than 32 pixels has nothing left to halve at the end.
    if (std::min(x.rows, x.columns) > 1) x = g.max_pool(fmt::format("stage{}.pool", s + 1), x, {});
  }
  x = g.flatten("features", g.global_average("pool", x));
  g.dense("logits", g.dropout("dropout", x, 0.5F), o.classes, 1);
  g.output("logits", {o.classes});
  return g.finish();
}

}  // namespace rtmdl::networks
