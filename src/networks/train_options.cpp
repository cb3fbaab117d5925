#include "networks/train_task.h"

#include <rtmdl/error.h>

#include <cmath>
#include <string_view>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace rtmdl {

void networks::check(const TrainOptions& o) {
  const auto require = [](bool good, const std::string& message) {
    if (!good) bad_input(message);
  };
  require(!o.output.empty(), "no output file given (--output)");
  require(o.epochs >= 1 && o.epochs <= 10000, fmt::format("{} epochs, accepted: 1 to 10000", o.epochs));
  if (o.batch) require(*o.batch >= 2 && *o.batch <= 65536, fmt::format("batch {}, accepted: 2 to 65536", *o.batch));
  if (o.learning_rate)
    require(*o.learning_rate > 0 && std::isfinite(*o.learning_rate),
            fmt::format("learning rate {}, accepted: above 0", *o.learning_rate));
  require(o.momentum >= 0 && o.momentum < 1, fmt::format("momentum {}, accepted: 0 to below 1", o.momentum));
  require(o.weight_decay >= 0 && o.weight_decay < 1,
          fmt::format("weight decay {}, accepted: 0 to below 1", o.weight_decay));
  require(o.label_smoothing >= 0 && o.label_smoothing < 1,
          fmt::format("label smoothing {}, accepted: 0 to below 1", o.label_smoothing));
  require(o.warm_up >= 0 && o.warm_up < 1, fmt::format("warm-up {}, accepted: 0 to below 1", o.warm_up));
  if (o.padding)
    require(*o.padding >= 0 && *o.padding <= 64, fmt::format("padding {}, accepted: 0 to 64 pixels", *o.padding));
  require(o.threads >= 0 && o.threads <= 1024, fmt::format("{} threads, accepted: 0 (all cores) to 1024", o.threads));
  require(!o.exits || network_info(o.network).kind == NetworkKind::classifier,
          fmt::format("--exits is for classifiers, which {} is not", o.network));
  require(o.input.empty() || o.input.size() == 3,
          fmt::format("input {}, accepted: channels,rows,columns", fmt::join(o.input, ",")));
}

namespace {

/// As a shell would have it.
std::string quoted(const std::string& word) {
  constexpr std::string_view kPlain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:,+=@%";
  if (!word.empty() && word.find_first_not_of(kPlain) == std::string::npos) return word;
  std::string result = "'";
  for (const char c : word) result += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return result + "'";
}

}  // namespace

std::string train_command(const TrainOptions& o, std::uint64_t seed) {
  const TrainOptions standard;
  std::string line = "rtmdl train";
  if (!o.data.empty()) line += " --data " + quoted(o.data);
  line += fmt::format(" --output {} --epochs {} --seed {}", quoted(o.output.string()), o.epochs, seed);
  const auto add = [&](const char* option, const auto& value, const auto& usual) {
    if (value != usual) line += fmt::format(" --{} {}", option, value);
  };
  add("network", o.network, standard.network);
  add("width", o.width, standard.width);
  add("depth", o.depth, standard.depth);
  if (!o.widths.empty()) line += fmt::format(" --widths {}", fmt::join(o.widths, ","));
  add("source", o.source, standard.source);
  add("labels", o.labels, standard.labels);
  if (!o.pre.empty()) line += fmt::format(" --pre {}", quoted(o.pre));
  if (!o.input.empty()) line += fmt::format(" --input {}", fmt::join(o.input, ","));
  if (o.batch) line += fmt::format(" --batch {}", *o.batch);
  if (o.learning_rate) line += fmt::format(" --learning-rate {}", *o.learning_rate);
  add("momentum", o.momentum, standard.momentum);
  add("weight-decay", o.weight_decay, standard.weight_decay);
  add("label-smoothing", o.label_smoothing, standard.label_smoothing);
  add("warm-up", o.warm_up, standard.warm_up);
  if (o.padding) line += fmt::format(" --padding {}", *o.padding);
  if (o.mirror) line += *o.mirror ? " --mirror" : " --no-mirror";
  if (o.exits) line += " --exits";
  if (o.mixed_precision) line += " --mixed-precision";
  return line;
}

}  // namespace rtmdl
