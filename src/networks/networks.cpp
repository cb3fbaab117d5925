#include "networks/networks.h"

#include "networks/builders.h"

#include <rtmdl/error.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <iterator>
#include <map>
#include <unordered_set>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace rtmdl {
namespace networks {

int scaled(int channels, double width) {
  if (width == 1) return channels;
  constexpr int kMultiple = 8;
  const double exact = channels * width;
  const int nearest = std::max(kMultiple, static_cast<int>(exact + kMultiple / 2.0) / kMultiple * kMultiple);
  return nearest < 0.9 * exact ? nearest + kMultiple : nearest;
}

int repeated(int count, double depth) { return std::max(1, static_cast<int>(std::lround(count * depth))); }

}  // namespace networks

namespace {

constexpr const char* kVgg =
    "Simonyan & Zisserman 2015, \"Very deep convolutional networks for large-scale image recognition\"";
constexpr const char* kResnet = "He, Zhang, Ren & Sun 2016, \"Deep residual learning for image recognition\"";

constexpr NetworkInfo kCatalogue[] = {
    {.name = "alexnet",
     .purpose = "small pictures; nearly all its weights are in two wide layers",
     .paper =
         "Krizhevsky, Sutskever & Hinton 2012, \"ImageNet classification with deep convolutional neural networks\"",
     .learning_rate = 0.01},
    {.name = "vgg11", .purpose = "small pictures; the lightest of its family", .paper = kVgg},
    {.name = "vgg13", .purpose = "small pictures", .paper = kVgg},
    {.name = "vgg16", .purpose = "small pictures", .paper = kVgg},
    {.name = "vgg19", .purpose = "small pictures; the slowest of its family", .paper = kVgg},
    {.name = "resnet18",
     .purpose = "pictures of any size; the best accuracy for its time",
     .paper = kResnet,
     .learning_rate = 0.1},
    {.name = "resnet34", .purpose = "pictures of any size; twice as deep", .paper = kResnet, .learning_rate = 0.1},
    {.name = "mobilenetv2",
     .purpose = "pictures of any size on slow processors, such as signs of 32x32",
     .paper =
         "Sandler, Howard, Zhu, Zhmoginov & Chen 2018, \"MobileNetV2: inverted residuals and linear bottlenecks\""},
    {.name = "tiny-yolo",
     .purpose = "detecting a few kinds of things, such as traffic lights",
     .paper = "Redmon & Farhadi 2017, \"YOLO9000: better, faster, stronger\"",
     .kind = NetworkKind::yolo,
     .input = {3, 416, 416},
     .classes = 20,
     .learning_rate = 0.001,
     .adamw = true,
     .batch = 32},
    {.name = "ssdlite",
     .purpose = "detecting on slow processors, with MobileNetV2 inside",
     .paper = "Sandler et al. 2018; Liu et al. 2016, \"SSD: single shot multibox detector\"",
     .kind = NetworkKind::ssd,
     .input = {3, 300, 300},
     .classes = 20,
     .learning_rate = 0.001,
     .adamw = true,
     .batch = 32},
    {.name = "sbcnn",
     .purpose = "kinds of sound, from mel spectrograms",
     .paper =
         "Salamon & Bello 2017, \"Deep convolutional neural networks and data augmentation for environmental sound "
         "classification\"",
     .input = {1, 128, 128},
     .learning_rate = 0.01,
     .batch = 32,
     .sound = "rate: 44.1 kHz, window: 129792",
     .pre = "{mel: {bands: 128, window: 23 ms, hop: 23 ms, fft: 4096, order: frames_first}, mean: -6.9, std: 3.6}"},
    {.name = "lstm",
     .purpose = "emotions in speech, from cepstral coefficients (MFCC) step by step",
     .paper = "Hochreiter & Schmidhuber 1997, \"Long short-term memory\"",
     .input = {1, 128, 40},
     .classes = 8,
     .learning_rate = 0.002,
     .adamw = true,
     .batch = 32,
     .sound = "rate: 16 kHz, window: 51200",
     .pre = "{mfcc: {coefficients: 40, bands: 64, window: 25 ms, hop: 25 ms, order: frames_first}}"},
};

using Builder = std::function<Model(const NetworkOptions&, std::uint64_t)>;

Builder builder(std::string_view name) {
  using namespace networks;
  using namespace std::placeholders;
  static const std::map<std::string_view, Builder> kBuilders = {
      {"alexnet", alexnet},
      {"vgg11", std::bind(vgg, 11, _1, _2)},
      {"vgg13", std::bind(vgg, 13, _1, _2)},
      {"vgg16", std::bind(vgg, 16, _1, _2)},
      {"vgg19", std::bind(vgg, 19, _1, _2)},
      {"resnet18", std::bind(resnet, 18, _1, _2)},
      {"resnet34", std::bind(resnet, 34, _1, _2)},
      {"mobilenetv2", mobilenet_v2},
      {"tiny-yolo", tiny_yolo},
      {"ssdlite", ssdlite},
      {"sbcnn", sbcnn},
      {"lstm", emotion_lstm},
  };
  return kBuilders.at(name);
}

void check_multiplier(std::string_view network, const char* what, double value) {
  if (!(value > 0 && value <= 8)) bad_input(fmt::format("{} {} of {}, accepted: above 0 to 8", what, value, network));
}

void check_range(std::string_view network, const char* what, int value, int least, int most) {
  if (value < least || value > most)
    bad_input(fmt::format("{}: {} {}, accepted: {} to {}", network, value, what, least, most));
}

}  // namespace

std::span<const NetworkInfo> network_catalogue() { return kCatalogue; }

const NetworkInfo& network_info(std::string_view name) {
  const auto* found = std::find_if(std::begin(kCatalogue), std::end(kCatalogue),
                                   [&](const NetworkInfo& info) { return info.name == name; });
  if (found == std::end(kCatalogue)) {
    std::vector<std::string_view> names;
    for (const NetworkInfo& info : kCatalogue) names.push_back(info.name);
    bad_input(fmt::format("network '{}' is unknown, accepted: {}", name, fmt::join(names, ", ")));
  }
  return *found;
}

NetworkOptions complete(const NetworkInfo& info, NetworkOptions o) {
  const std::string_view name = info.name;
  check_multiplier(name, "width", o.width);
  check_multiplier(name, "depth", o.depth);
  if (o.classes == 0) o.classes = info.classes;
  if (o.channels == 0) o.channels = info.input[0];
  if (o.rows == 0) o.rows = info.input[1];
  if (o.columns == 0) o.columns = info.input[2];
  check_range(name, "classes", o.classes, info.kind == NetworkKind::classifier ? 2 : 1, 65536);
  check_range(name, "channels", o.channels, 1, 1024);
  if (name == "lstm") check_range(name, "channels", o.channels, 1, 1);
  const int least = name == "lstm" ? 1 : info.kind == NetworkKind::classifier ? 8 : 64;
  check_range(name, "rows", o.rows, least, 8192);
  check_range(name, "columns", o.columns, least, 8192);

  if (!o.widths.empty()) {
    if (!name.starts_with("resnet"))
      bad_input(fmt::format("widths {}: they are for the ResNets; {} takes a width multiplier",
                            fmt::join(o.widths, ","), name));
    const bool fits = o.widths.size() == 4 &&
                      std::all_of(o.widths.begin(), o.widths.end(), [](int w) { return w >= 1 && w <= 1024; });
    if (!fits) bad_input(fmt::format("widths {}: {} takes four, each from 1 to 1024", fmt::join(o.widths, ","), name));
    if (o.width != 1)
      bad_input(fmt::format("width {} and widths {}: one of them is accepted", o.width, fmt::join(o.widths, ",")));
  }
  if (!o.anchors.empty()) {
    const bool fits = info.kind == NetworkKind::yolo && o.anchors.size() % 2 == 0 &&
                      std::all_of(o.anchors.begin(), o.anchors.end(), [](float v) { return v > 0 && v < 1e5F; });
    if (!fits)
      bad_input(
          fmt::format("anchors {}: tiny-yolo takes width and height in pixels of each", fmt::join(o.anchors, ",")));
  }
  if (info.kind == NetworkKind::yolo) {
    constexpr int kStride = 32;
    if (o.rows % kStride != 0 || o.columns % kStride != 0)
      bad_input(fmt::format("{}: input of {} x {}, accepted: multiples of {}", name, o.rows, o.columns, kStride));
    const auto per_cell = o.anchors.empty() ? std::size_t{5} : o.anchors.size() / 2;
    const auto places = static_cast<std::size_t>(o.rows / kStride * (o.columns / kStride)) * per_cell;
    if (places <= static_cast<std::size_t>(5 + o.classes))
      bad_input(fmt::format("{}: input of {} x {} has {} places, too few to tell them from the {} values of each", name,
                            o.rows, o.columns, places, 5 + o.classes));
  }
  return o;
}

Model network(std::string_view name, const NetworkOptions& options, std::uint64_t seed) {
  return builder(network_info(name).name)(complete(network_info(name), options), seed);
}

std::int64_t parameter_count(const Model& model) {
  std::unordered_set<std::string> trained;
  for (const auto& node : model.graph().node()) {
    const bool norm = is_op(node, "BatchNormalization");
    if (!norm && !is_op(node, "Conv") && !is_op(node, "Gemm") && !is_op(node, "LSTM")) continue;
    for (int i = 1; i < (norm ? 3 : node.input_size()); ++i) trained.insert(node.input(i));
  }
  std::int64_t count = 0;
  for (const auto& tensor : model.graph().initializer()) {
    if (!trained.contains(tensor.name())) continue;
    std::int64_t size = 1;
    for (const std::int64_t d : tensor.dims()) size *= d;
    count += size;
  }
  return count;
}

}  // namespace rtmdl
