#include "scaling/exit_places.h"

#include "model/edit.h"
#include "model/split.h"

#include <algorithm>
#include <cmath>
#include <optional>

namespace rtmdl {
namespace {

constexpr std::int64_t kMostChannels = 4096;
constexpr double kFirstPlace = 0.08, kLastPlace = 0.9;

std::optional<ExitPlace> readable(const Model& model, const Links& links, const TensorSpecs& specs, const Seam& seam) {
  ExitPlace place;
  place.node = seam.node;
  place.tensor = seam.crossing.front();
  const auto spec = specs.find(place.tensor);
  if (spec == specs.end() || links.producer(place.tensor) < 0) return std::nullopt;
  place.shape = spec->second.shape;
  const auto output = specs.find(model.graph().output(0).name());
  if (place.shape.empty() || output == specs.end() || output->second.shape.empty() ||
      place.shape[0] != output->second.shape[0])
    return std::nullopt;  // its first dimension is not the batch: steps of a sequence, say
  if ((place.shape.size() != 2 && place.shape.size() != 4) || place.shape[1] > kMostChannels) return std::nullopt;
  if (spec->second.type == ElementType::f32) return place;
  for (const int reader : links.consumers(place.tensor)) {
    const auto& node = model.graph().node(reader);
    if (!is_op(node, "DequantizeLinear")) continue;
    place.dequantised_like = node.output(0);
    return place;
  }
  return std::nullopt;
}

}  // namespace

std::vector<ExitPlace> find_exit_places(const Model& model, const TensorSpecs& specs) {
  const auto& nodes = model.graph().node();
  int first = -1, last = -1;
  for (int i = 0; i < nodes.size(); ++i) {
    if (!is_heavy(nodes[i])) continue;
    if (first < 0) first = i;
    last = i;
  }
  const Links links(model);
  std::vector<ExitPlace> places;
  for (const Seam& seam : find_seams(model, 1)) {
    if (seam.node <= first || seam.node > last || parts_a_pair(model, links, seam)) continue;
    if (auto place = readable(model, links, specs, seam)) places.push_back(std::move(*place));
  }
  return places;
}

std::vector<double> work_before(const Model& model, const TensorSpecs& specs, const std::vector<ExitPlace>& places) {
  const Links links(model);
  std::vector<double> before;
  double work = 0;
  auto place = places.begin();
  for (int i = 0; i < model.graph().node_size(); ++i) {
    for (; place != places.end() && place->node == i; ++place) before.push_back(work);
    const NodeCost cost = node_cost(model.graph().node(i), links, specs);
    work += static_cast<double>(cost.macs) + static_cast<double>(cost.bytes);
  }
  for (double& share : before) share /= work;
  return before;
}

std::vector<ExitPlace> spread_places(const std::vector<ExitPlace>& places, const std::vector<double>& before,
                                     std::size_t most) {
  const std::size_t known = std::min(places.size(), before.size());
  std::vector<ExitPlace> kept;
  std::size_t last = known;
  for (std::size_t k = 0; k < most; ++k) {
    const double wanted =
        kFirstPlace + (kLastPlace - kFirstPlace) * (static_cast<double>(k) + 0.5) / static_cast<double>(most);
    std::size_t nearest = known;
    for (std::size_t p = 0; p < known; ++p) {
      if (before[p] < kFirstPlace || before[p] > kLastPlace) continue;
      if (nearest == known || std::abs(before[p] - wanted) < std::abs(before[nearest] - wanted)) nearest = p;
    }
    if (nearest == known || nearest == last) continue;
    last = nearest;
    kept.push_back(places[nearest]);
  }
  return kept;
}

}  // namespace rtmdl
