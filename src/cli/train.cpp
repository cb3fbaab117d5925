#include "cli/train.h"

#include "base/units.h"
#include "cli/console.h"
#include "cli/session.h"
#include "networks/networks.h"
#include "networks/train.h"
#include "scaling/load_fine_tuner.h"

#include <rtmdl/error.h>

#include <cstdint>
#include <memory>

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

namespace rtmdl {
namespace {

struct TrainCommand {
  TrainOptions options;
  std::uint64_t seed = 1;
  bool json = false, verbose = false;
};

int train_verb(const TrainCommand& command) {
  Console console(command.verbose);
  const LoadedFineTuner loaded = load_fine_tuner();
  if (!loaded.tuner) throw Error(ErrorCode::missing_device, "training needs libtorch: " + loaded.reason);
  const auto engine = make_onnxruntime_engine();
  const TrainResult r = train(command.options, *loaded.tuner, *engine, console.context(command.seed));
  if (!r.finished)
    throw Interrupted("training was interrupted; its checkpoint is kept, and the same command goes on from there");
  if (command.json) {
    const nlohmann::ordered_json result = {{"output", command.options.output.filename().string()},
                                           {"test_accuracy", r.test_accuracy},
                                           {"synthetic", r.synthetic},
                                           {"parameters", r.parameters},
                                           {"bytes", r.bytes},
                                           {"seconds", r.seconds},
                                           {"task", r.task}};
    using Json = nlohmann::ordered_json;
    fmt::print("{}\n", result.dump(2, ' ', false, Json::error_handler_t::replace));
    return 0;
  }
  fmt::print("{}: {} of the test data{}, {} parameters, {}, {} of training\nIn a task file: {}\n",
             command.options.output.string(), format_percent(r.test_accuracy, 2), r.synthetic ? " (synthetic)" : "",
             r.parameters, format_bytes(r.bytes), format_duration(from_seconds(r.seconds)), r.task);
  return 0;
}

std::string networks_help() {
  std::string text = "Networks, with their standard input (channels x rows x columns):\n";
  std::string_view paper;
  for (const NetworkInfo& n : network_catalogue()) {
    if (n.paper != paper) text += fmt::format("  {}\n", paper = n.paper);
    const std::string input = fmt::format("{}x{}x{}", n.input[0], n.input[1], n.input[2]);
    text += fmt::format("    {:<12} {:<10} {}\n", n.name, input, n.purpose);
  }
  return text;
}

constexpr const char* kExamples =
    "Examples:\n"
    "  rtmdl train --source idx --data assets/data/fashion-mnist --widths 64,64,48,48 --epochs 6 --output r.onnx\n"
    "  rtmdl train --network vgg11 --width 0.5 --source cifar10 --data cifar-10-batches-bin --epochs 30 --output "
    "v.onnx\n"
    "  rtmdl train --network mobilenetv2 --source gtsrb --data GTSRB --output signs.onnx\n"
    "  rtmdl train --network tiny-yolo --width 0.5 --source traffic_lights --output lights.onnx    drawn scenes\n"
    "  rtmdl train --network ssdlite --source images --data lights --labels yolo --output lights.onnx\n"
    "  rtmdl train --network sbcnn --source audio --data UrbanSound8K --labels urbansound8k --output sounds.onnx\n"
    "  rtmdl train --network lstm --source audio --data RAVDESS --labels ravdess --output emotions.onnx\n"
    "It prints the lines with which a task file uses the model. docs/training.md says which network is for which "
    "data.\n";

}  // namespace

void add_train_verb(CLI::App& app, std::function<int()>& chosen, const std::string& exit_help) {
  auto command = std::make_shared<TrainCommand>();
  TrainOptions& o = command->options;
  CLI::App* sub = app.add_subcommand("train", "Train a network from its initial weights and write it as ONNX");
  sub->footer(fmt::format("{}\n{}\n{}", networks_help(), kExamples, exit_help));
  sub->add_option("--data", o.data, "Folder of the data, or in braces what a task file says in `data:`");
  sub->add_option("--output", o.output, "The ONNX file to write")->required();
  sub->add_option("--source", o.source,
                  "As in a task file: idx, cifar10, gtsrb, images, audio; signs and traffic_lights are drawn")
      ->capture_default_str();
  sub->add_option("--labels", o.labels, "Of images and audio [folders; of detectors yolo]");
  sub->add_option("--pre", o.pre,
                  "As a task file's `pre:`, in braces [pixel/255; sounds: mel or MFCC as the network has it]");
  sub->add_option("--network", o.network, "Which, see below")->capture_default_str();
  sub->add_option("--width", o.width, "Multiplies channels, rounded to multiples of 8")->capture_default_str();
  sub->add_option("--depth", o.depth, "Multiplies the repetitions in each stage")->capture_default_str();
  sub->add_option("--widths", o.widths, "Channels of a ResNet's four stages [the paper's times --width]")
      ->delimiter(',');
  sub->add_option("--input", o.input, "channels,rows,columns [the data's if they all have one size, else as below]")
      ->delimiter(',');
  sub->add_option("--epochs", o.epochs, "Passes over the training data")->capture_default_str();
  sub->add_option("--batch", o.batch, "Examples a step [128; detectors and sounds 32]");
  sub->add_option("--learning-rate", o.learning_rate, "At the top of the cycle [as the network likes it]");
  sub->add_option("--momentum", o.momentum, "Of SGD")->capture_default_str();
  sub->add_option("--weight-decay", o.weight_decay, "Of the weights of convolutions and layers")->capture_default_str();
  sub->add_option("--label-smoothing", o.label_smoothing, "Share of the other classes")->capture_default_str();
  sub->add_option("--warm-up", o.warm_up, "Share of the steps over which the rate rises")->capture_default_str();
  sub->add_option("--padding", o.padding, "Random shift in pixels [2 for pictures of less than 128]");
  sub->add_flag_callback(
      "--mirror", [command] { command->options.mirror = true; },
      "Random horizontal flips [where things have no left and right]");
  sub->add_flag_callback(
      "--no-mirror", [command] { command->options.mirror = false; }, "None");
  sub->add_flag("--exits", o.exits, "Layers on the way learn to answer too: for early exits (docs/exits.md)");
  sub->add_flag("--mixed-precision", o.mixed_precision,
                "Activations in bfloat16: twice as fast with AVX512_BF16, but slower with depthwise convolutions");
  sub->add_option("--threads", o.threads, "0: as many as cores. The weights' last bits depend on it")
      ->capture_default_str();
  sub->add_option("--checkpoint", o.checkpoint, "Where to keep the state meanwhile [OUTPUT.checkpoint]");
  add_seed(*sub, command->seed, "Of initial weights, shuffling and shifts");
  sub->add_flag("--json", command->json, "Print one JSON object on stdout and nothing else");
  sub->add_flag("-v,--verbose", command->verbose, "Say more");
  sub->callback([command, &chosen] { chosen = [command] { return train_verb(*command); }; });
}

}  // namespace rtmdl
