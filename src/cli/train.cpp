#include "cli/train.h"

#ifdef RTMDL_WITH_TRAINING

#include "base/units.h"
#include "cli/console.h"
#include "cli/session.h"
#include "training/train.h"

#include <cstdint>
#include <cstdio>
#include <memory>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

namespace rtmdl {
namespace {

struct TrainCommand {
  TrainOptions options;
  std::uint64_t seed = 1;
  bool json = false, verbose = false;
};

int train_verb(const TrainCommand& command) {
  Console console(command.verbose);
  const TrainResult result = train(command.options, console.context(command.seed));
  if (!result.finished)
    throw Interrupted("training was interrupted; its checkpoint is kept, and the same command goes on from there");
  if (command.json)
    std::printf(
        "{\"output\": \"%s\", \"test_accuracy\": %.6g, \"parameters\": %lld, \"bytes\": %lld, \"seconds\": %.6g}\n",
        command.options.output.filename().c_str(), result.test_accuracy, static_cast<long long>(result.parameters),
        static_cast<long long>(result.bytes), result.seconds);
  else
    fmt::print("{}: {} right on the test images, {} parameters, {}, {} of training\n", command.options.output.string(),
               format_percent(result.test_accuracy, 2), result.parameters, format_bytes(result.bytes),
               format_duration(from_seconds(result.seconds)));
  return 0;
}

}  // namespace

void add_train_verb(CLI::App& app, std::function<int()>& chosen) {
  auto command = std::make_shared<TrainCommand>();
  TrainOptions& o = command->options;
  CLI::App* sub = app.add_subcommand("train", "Train a small classifier on an IDX data set and write it as ONNX");
  sub->add_option("--data", o.data, "Folder of train- and t10k-{images,labels}-idx*-ubyte files, plain or .gz")
      ->required();
  sub->add_option("--output", o.output, "The ONNX file to write")->required();
  sub->add_option("--network", o.network, "Layout")->capture_default_str();
  sub->add_option("--widths", o.widths, "Channels of the stages")->delimiter(',')->capture_default_str();
  sub->add_option("--epochs", o.epochs)->capture_default_str();
  sub->add_option("--batch", o.batch)->capture_default_str();
  sub->add_option("--learning-rate", o.learning_rate, "At the top of the cycle")->capture_default_str();
  sub->add_option("--momentum", o.momentum)->capture_default_str();
  sub->add_option("--weight-decay", o.weight_decay)->capture_default_str();
  sub->add_option("--label-smoothing", o.label_smoothing)->capture_default_str();
  sub->add_option("--warm-up", o.warm_up, "Share of the steps over which the rate rises")->capture_default_str();
  sub->add_option("--padding", o.padding, "Random shift in pixels")->capture_default_str();
  sub->add_flag("--no-mirror{false}", o.mirror, "No random horizontal flips");
  sub->add_flag("--mixed-precision", o.mixed_precision, "Activations in bfloat16: twice as fast with AVX512_BF16");
  sub->add_option("--threads", o.threads, "0: as many as cores. The weights' last bits depend on it")
      ->capture_default_str();
  sub->add_option("--checkpoint", o.checkpoint, "Where to keep the state between epochs [OUTPUT.checkpoint]");
  add_seed(*sub, command->seed, "Of initial weights, shuffling and shifts");
  sub->add_flag("--json", command->json, "Print one JSON object on stdout and nothing else");
  sub->add_flag("-v,--verbose", command->verbose, "Say more");
  sub->callback([command, &chosen] { chosen = [command] { return train_verb(*command); }; });
}

}  // namespace rtmdl

#endif
