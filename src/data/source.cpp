#include "data/source.h"

#include "data/random.h"
#include "data/sources.h"

#include <algorithm>
#include <numeric>

namespace rtmdl {

std::unique_ptr<Source> open_source(const ConfigNode& data, std::uint64_t seed) {
  data.require_map("a map such as {source: images, path: pictures}");
  const std::string kind = data["source"].one_of({"images", "video", "audio", "idx", "cifar10", "cifar100", "gtsrb",
                                                  "signs", "traffic_lights", "raw", "synthetic"});
  if (kind == "images") return open_images(data, seed);
  if (kind == "video") return open_video(data, seed);
  if (kind == "audio") return open_audio(data, seed);
  if (kind == "idx") return open_idx(data, seed);
  if (kind == "cifar10") return open_cifar10(data, seed);
  if (kind == "cifar100") return open_cifar100(data, seed);
  if (kind == "gtsrb") return open_gtsrb(data, seed);
  if (kind == "signs") return open_signs(data, seed);
  if (kind == "traffic_lights") return open_traffic_lights(data, seed);
  if (kind == "raw") return open_raw(data, seed);
  return open_synthetic(data, seed);
}

std::uint64_t purpose::of(Split s) noexcept {
  switch (s) {
    case Split::calibration: return calibration;
    case Split::evaluation: return evaluation;
    case Split::stream: return stream;
    case Split::training: return training;
  }
  return 0;
}

std::vector<bool> choose_for_calibration(std::size_t count, std::uint64_t seed) {
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), std::size_t{0});
  Random random(seed, purpose::split, count);
  shuffle(order, random);
  std::vector<bool> chosen(count, false);
  for (std::size_t i = 0; i < std::max<std::size_t>(1, count / 3); ++i) chosen[order[i]] = true;
  return chosen;
}

void thin(std::vector<std::size_t>& things, std::size_t most) {
  if (things.size() <= most) return;
  for (std::size_t n = 0; n < most; ++n) things[n] = things[n * things.size() / most];
  things.resize(most);
}

}  // namespace rtmdl
