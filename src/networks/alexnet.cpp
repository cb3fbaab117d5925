// Krizhevsky, Sutskever, Hinton 2012, "ImageNet classification with deep convolutional neural networks", in the
// one-tower form of Krizhevsky 2014, "One weird trick for parallelizing convolutional neural networks", without its
// local response normalisation.
#include "networks/builders.h"
#include "networks/graph_writer.h"

#include <fmt/format.h>

namespace rtmdl::networks {

Model alexnet(const NetworkOptions& o, std::uint64_t seed) {
  const bool small = is_small(o);
  const PoolSpec pool = small ? PoolSpec{} : PoolSpec{3, 3, 2, 2};
  const auto relu = Activation::relu;
  GraphWriter g("alexnet", seed);
  Map x = g.image(o.channels, o.rows, o.columns);
  x = g.conv("stage1.conv1", x,
             small ? ConvSpec{scaled(64, o.width), 3, 2, 1} : ConvSpec{scaled(64, o.width), 11, 4, 2});
  x = g.max_pool("stage1.pool", g.activate("stage1.relu1", x, relu), pool);
  x = g.conv("stage2.conv1", x, {scaled(192, o.width), small ? 3 : 5});
  x = g.max_pool("stage2.pool", g.activate("stage2.relu1", x, relu), pool);
  x = g.conv("stage3.conv1", x, {scaled(384, o.width)});
  x = g.activate("stage3.relu1", x, relu);
  for (int i = 0; i < repeated(2, o.depth); ++i) {
    x = g.conv(fmt::format("stage3.conv{}", i + 2), x, {scaled(256, o.width)});
    x = g.activate(fmt::format("stage3.relu{}", i + 2), x, relu);
  }
  x = g.flatten("features", g.max_pool("stage3.pool", x, pool));
  for (int i = 1; i <= repeated(2, o.depth); ++i) {
    x = g.dropout(fmt::format("dropout{}", i), x, 0.5F);
    x = g.dense(fmt::format("hidden{}", i), x, scaled(4096, o.width), 2);
    x = g.activate(fmt::format("hidden{}.relu", i), x, relu);
  }
  g.dense("logits", x, o.classes, 1);
  g.output("logits", {o.classes});
  return g.finish();
}

}  // namespace rtmdl::networks
