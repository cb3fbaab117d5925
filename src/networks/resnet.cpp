// He, Zhang, Ren, Sun 2016, "Deep residual learning for image recognition": basic blocks of table 1; for small images
// a 3x3 stem without pooling, as section 4.2 has it for CIFAR-10.
#include "networks/builders.h"
#include "networks/graph_writer.h"

#include <array>

#include <fmt/format.h>

namespace rtmdl::networks {
namespace {

constexpr std::size_t kStages = 4;

Map basic_block(GraphWriter& g, const std::string& name, const Map& x, int out, int stride) {
  const Map inner = g.unit(name + ".first", x, {out, 3, stride}, Activation::relu);
  const Map second = g.unit(name + ".second", inner, {out}, Activation::none);
  const bool same = stride == 1 && x.channels == out;
  const Map shortcut = same ? x : g.unit(name + ".shortcut", x, {out, 1, stride}, Activation::none);
  return g.activate(name + ".relu", g.add(name + ".add", second, shortcut), Activation::relu);
}

}  // namespace

Model resnet(int layers, const NetworkOptions& o, std::uint64_t seed) {
  constexpr std::array<int, kStages> kChannels = {64, 128, 256, 512};
  const std::array<int, kStages> blocks =
      layers == 18 ? std::array<int, kStages>{2, 2, 2, 2} : std::array<int, kStages>{3, 4, 6, 3};
  const auto channels = [&](std::size_t stage) {
    return o.widths.empty() ? scaled(kChannels[stage], o.width) : o.widths[stage];
  };
  GraphWriter g(fmt::format("resnet{}", layers), seed);
  Map x = g.image(o.channels, o.rows, o.columns);
  if (is_small(o)) {
    x = g.unit("stem", x, {channels(0)}, Activation::relu);
  } else {
    x = g.unit("stem", x, {channels(0), 7, 2}, Activation::relu);
    x = g.max_pool("stem.pool", x, {3, 3, 2, 2, 1});
  }
  for (std::size_t s = 0; s < kStages; ++s)
    for (int b = 1; b <= repeated(blocks[s], o.depth); ++b)
      x = basic_block(g, fmt::format("stage{}.block{}", s + 1, b), x, channels(s), s > 0 && b == 1 ? 2 : 1);
  x = g.flatten("features", g.global_average("pool", x));
  g.dense("logits", x, o.classes, 1);
  g.output("logits", {o.classes});
  return g.finish();
}

}  // namespace rtmdl::networks
