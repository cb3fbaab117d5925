#include "training/train_options.h"

#include "base/hash.h"

#include <rtmdl/error.h>

#include <cmath>
#include <numbers>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace rtmdl::training {

void check(const TrainOptions& o) {
  const auto require = [](bool good, const std::string& message) {
    if (!good) bad_input(message);
  };
  require(o.network == "resnet18", fmt::format("network '{}' is unknown, accepted: resnet18", o.network));
  require(!o.data.empty(), "no data folder given (--data)");
  require(!o.output.empty(), "no output file given (--output)");
  require(o.epochs >= 1 && o.epochs <= 10000, fmt::format("{} epochs, accepted: 1 to 10000", o.epochs));
  require(o.batch >= 2 && o.batch <= 65536, fmt::format("batch {}, accepted: 2 to 65536", o.batch));
  require(o.learning_rate > 0 && std::isfinite(o.learning_rate),
          fmt::format("learning rate {}, accepted: above 0", o.learning_rate));
  require(o.momentum >= 0 && o.momentum < 1, fmt::format("momentum {}, accepted: 0 to below 1", o.momentum));
  require(o.weight_decay >= 0 && o.weight_decay < 1,
          fmt::format("weight decay {}, accepted: 0 to below 1", o.weight_decay));
  require(o.label_smoothing >= 0 && o.label_smoothing < 1,
          fmt::format("label smoothing {}, accepted: 0 to below 1", o.label_smoothing));
  require(o.warm_up >= 0 && o.warm_up < 1, fmt::format("warm-up {}, accepted: 0 to below 1", o.warm_up));
  require(o.padding >= 0 && o.padding <= 7, fmt::format("padding {}, accepted: 0 to 7 pixels", o.padding));
  require(o.threads >= 0 && o.threads <= 1024, fmt::format("{} threads, accepted: 0 (all cores) to 1024", o.threads));
}

std::string hash_of(const TrainOptions& o, const Dataset& data, std::uint64_t seed) {
  const auto digest = [](const std::vector<std::uint8_t>& bytes) {
    return sha256({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  };
  return sha256(fmt::format("{} {} {} {} {:a} {:a} {:a} {:a} {:a} {} {} {} {} {} {} {} {}", o.network,
                            fmt::join(o.widths, ","), o.epochs, o.batch, o.learning_rate, o.momentum, o.weight_decay,
                            o.label_smoothing, o.warm_up, o.padding, o.mirror, o.mixed_precision, seed,
                            digest(data.train.pixels), digest(data.train.labels), digest(data.test.pixels),
                            digest(data.test.labels)));
}

double rate_at(const TrainOptions& o, double progress) {
  if (progress < o.warm_up) return o.learning_rate * progress / o.warm_up;
  return o.learning_rate * 0.5 * (1 + std::cos(std::numbers::pi * (progress - o.warm_up) / (1 - o.warm_up)));
}

}  // namespace rtmdl::training

namespace rtmdl {

std::string train_command(const TrainOptions& o, std::uint64_t seed) {
  const TrainOptions standard;
  std::string line = fmt::format("rtmdl train --data {} --output {} --epochs {} --seed {}", o.data.string(),
                                 o.output.string(), o.epochs, seed);
  const auto add = [&](const char* option, const auto& value, const auto& usual) {
    if (value != usual) line += fmt::format(" --{} {}", option, value);
  };
  if (o.widths != standard.widths) line += fmt::format(" --widths {}", fmt::join(o.widths, ","));
  add("network", o.network, standard.network);
  add("batch", o.batch, standard.batch);
  add("learning-rate", o.learning_rate, standard.learning_rate);
  add("momentum", o.momentum, standard.momentum);
  add("weight-decay", o.weight_decay, standard.weight_decay);
  add("label-smoothing", o.label_smoothing, standard.label_smoothing);
  add("warm-up", o.warm_up, standard.warm_up);
  add("padding", o.padding, standard.padding);
  if (!o.mirror) line += " --no-mirror";
  if (o.mixed_precision) line += " --mixed-precision";
  return line;
}

}  // namespace rtmdl
