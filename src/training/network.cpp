#include "training/network.h"

#include <rtmdl/error.h>

#include <functional>
#include <numeric>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace rtmdl::training {

std::int64_t ParameterSpec::size() const {
  return std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
}

Network resnet18(const std::vector<int>& widths, int channels, int classes) {
  constexpr std::size_t kStages = 4;
  bool accepted = widths.size() == kStages;
  for (const int width : widths) accepted = accepted && width >= 1 && width <= 1024;
  if (!accepted) bad_input(fmt::format("widths {}: resnet18 takes four, each from 1 to 1024", fmt::join(widths, ",")));

  Network network;
  network.stem = {"stem", channels, widths[0], 3, 1};
  int in = widths[0];
  for (std::size_t s = 0; s < kStages; ++s) {
    for (int b = 0; b < 2; ++b) {
      const std::string name = fmt::format("stage{}.block{}", s + 1, b + 1);
      const int stride = s > 0 && b == 0 ? 2 : 1;
      ResidualBlock block{
          {name + ".first", in, widths[s], 3, stride}, {name + ".second", widths[s], widths[s], 3, 1}, {}};
      if (stride != 1 || in != widths[s]) block.shortcut = ConvUnit{name + ".shortcut", in, widths[s], 1, stride};
      network.blocks.push_back(std::move(block));
      in = widths[s];
    }
  }
  network.features = in;
  network.classes = classes;
  return network;
}

std::vector<ParameterSpec> parameters(const Network& network) {
  std::vector<ParameterSpec> specs;
  const auto add = [&](const ConvUnit& unit) {
    specs.push_back({unit.name + ".weight", {unit.out, unit.in, unit.kernel, unit.kernel}, true});
    specs.push_back({unit.name + ".scale", {unit.out}, true});
    specs.push_back({unit.name + ".shift", {unit.out}, true});
    specs.push_back({unit.name + ".mean", {unit.out}, false});
    specs.push_back({unit.name + ".variance", {unit.out}, false});
  };
  add(network.stem);
  for (const ResidualBlock& block : network.blocks) {
    add(block.first);
    add(block.second);
    if (block.shortcut) add(*block.shortcut);
  }
  specs.push_back({"classifier.weight", {network.classes, network.features}, true});
  specs.push_back({"classifier.bias", {network.classes}, true});
  return specs;
}

}  // namespace rtmdl::training
