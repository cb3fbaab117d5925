#include "networks/builders.h"
#include "networks/graph_writer.h"

#include <rtmdl/error.h>

#include <algorithm>

#include <fmt/format.h>

namespace rtmdl::networks {

// Salamon & Bello 2017, "Deep convolutional neural networks and data augmentation for environmental sound
// classification". Rows are the axis that is pooled by 4, as the authors' first one is.
Model sbcnn(const NetworkOptions& o, std::uint64_t seed) {
  const auto relu = Activation::relu;
  GraphWriter g("sbcnn", seed);
  Map x = g.image(o.channels, o.rows, o.columns);
  const auto convolve = [&](int stage, int channels) {
    for (int i = 1; i <= repeated(1, o.depth); ++i) {
      const std::string name = fmt::format("stage{}.conv{}", stage, i);
      if (std::min(x.rows, x.columns) < 5)
        bad_input(fmt::format("sbcnn: an input of {} x {} is too small for its three 5x5 convolutions without padding",
                              o.rows, o.columns));
      if (i > 1) x = g.activate(name + ".before", x, relu);
      x = g.conv(name, x, {scaled(channels, o.width), 5, 1, i == 1 ? 0 : 2});  // only the paper's own shrink the map
    }
  };
  for (int stage = 1; stage <= 2; ++stage) {
    convolve(stage, stage == 1 ? 24 : 48);
    if (x.rows < 4 || x.columns < 2)
      bad_input(fmt::format("sbcnn: an input of {} x {} is too small to be pooled by 4x2 twice", o.rows, o.columns));
    x = g.max_pool(fmt::format("stage{}.pool", stage), x, {4, 2, 4, 2});
    x = g.activate(fmt::format("stage{}.relu", stage), x, relu);
  }
  convolve(3, 48);
  x = g.flatten("features", g.activate("stage3.relu", x, relu));
  x = g.dense("hidden", g.dropout("dropout1", x, 0.5F), scaled(64, o.width), 2);
  x = g.activate("hidden.relu", x, relu);
  g.dense("logits", g.dropout("dropout2", x, 0.5F), o.classes, 1);
  g.output("logits", {o.classes});
  return g.finish();
}

// Hochreiter & Schmidhuber 1997, with forget gates (Gers et al. 2000): two layers of 128 over the coefficients of each
// step, each put to mean 0 and deviation 1 first; the last state is classified. RT-mDL names its LSTM no closer than by
// its data.
Model emotion_lstm(const NetworkOptions& o, std::uint64_t seed) {
  GraphWriter g("lstm", seed);
  const Map x = g.lstm("lstm", g.sequence(o.rows, o.columns), scaled(128, o.width), repeated(2, o.depth));
  g.dense("logits", g.dropout("dropout", x, 0.3F), o.classes, 1);
  g.output("logits", {o.classes});
  return g.finish();
}

}  // namespace rtmdl::networks
