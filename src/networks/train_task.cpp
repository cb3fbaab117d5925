#include "networks/train_task.h"

#include "data/source.h"
#include "networks/detector.h"

#include <rtmdl/error.h>

#include <algorithm>
#include <memory>

#include <fmt/format.h>

namespace rtmdl::networks {
namespace {

/// What a complaint about the made-up task file names as its file.
constexpr const char* kWhere = "rtmdl train";

/// A path as YAML.
std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    result += c;
  }
  return result + '"';
}

bool in_braces(const std::string& text) { return text.starts_with('{'); }

bool is_one_of(const std::string& word, std::initializer_list<const char*> words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

std::string data_text(const TrainOptions& o, const NetworkInfo& info) {
  if (in_braces(o.data)) return o.data;
  std::string text = "source: " + o.source;
  if (!o.data.empty()) text += ", path: " + quoted(o.data);
  if (o.source == "idx") text += ", batch: 1";  // so that every step draws its batch from all pictures
  if (!o.labels.empty()) text += ", labels: " + o.labels;
  else if (o.source == "images" && info.kind != NetworkKind::classifier) text += ", labels: yolo";
  else if (o.source == "images" || o.source == "audio") text += ", labels: folders";
  if (o.source == "audio" && !info.sound.empty()) text += fmt::format(", {}", info.sound);
  return "{" + text + "}";
}

/// Where things look the same from the left and from the right.
bool may_mirror(const std::string& source) {
  return is_one_of(source, {"idx", "cifar10", "cifar100", "images", "video"});
}

bool has_one_size(const std::string& source) {
  return is_one_of(source, {"idx", "cifar10", "cifar100", "signs", "traffic_lights"});
}

void fit_input(const TrainOptions& o, const std::string& source, const Frame& frame, NetworkOptions& n) {
  if (!o.input.empty()) {
    n.channels = o.input[0];
    n.rows = o.input[1];
    n.columns = o.input[2];
  } else if (!frame.image.empty()) {
    n.channels = frame.image.channels();
    if (has_one_size(source)) {
      n.rows = frame.image.rows / frame.batch;
      n.columns = frame.image.cols;
    }
  } else {
    std::vector<std::int64_t> shape = frame.tensor.shape;
    while (shape.size() > 3) shape.erase(shape.begin());
    while (shape.size() > 1 && shape[0] == 1) shape.erase(shape.begin());
    if (shape.size() < 2) return;  // samples, which `pre` turns into what the catalogue says
    n.columns = static_cast<int>(shape.back());
    n.rows = static_cast<int>(shape[shape.size() - 2]);
    n.channels = shape.size() == 3 ? static_cast<int>(shape[0]) : 1;
  }
}

}  // namespace

void set_post(TrainTask& t, const NetworkInfo& info) {
  const std::string post = post_settings(info, t.network);
  t.task.post = ConfigNode::parse("post: " + post, kWhere)["post"];
  t.task.post_kind = t.task.post["kind"].text();
  t.lines = (t.pre.empty() ? "" : "pre: " + t.pre + ", ") + "post: " + post;
}

TrainTask make_task(const TrainOptions& o, const NetworkInfo& info, std::uint64_t seed) {
  TrainTask t;
  t.task.name = o.network;
  t.task.model = o.output;
  t.task.where = ConfigNode::parse("data: " + data_text(o, info), kWhere);
  t.task.data = t.task.where["data"];
  const auto source = open_source(t.task.data, seed);
  const std::string kind = t.task.data["source"].text();
  const bool detector = info.kind != NetworkKind::classifier;
  if (detector ? !source->has_boxes() : !source->labelled())
    t.task.data.fail(fmt::format("no {}, from which {} could learn", detector ? "boxes" : "labels", info.name));

  t.network.width = o.width;
  t.network.depth = o.depth;
  t.network.widths = o.widths;
  t.network.classes = std::max(detector ? 1 : 2, source->classes());
  const Frame frame = source->read(Split::training, 0);
  const bool picture = !frame.image.empty();
  fit_input(o, kind, frame, t.network);
  t.network = complete(info, t.network);

  const bool sequence = info.name == "lstm";
  if (sequence) t.task.shapes["sequence"] = {frame.batch, t.network.rows, t.network.columns};
  else t.task.shapes["image"] = {frame.batch, t.network.channels, t.network.rows, t.network.columns};
  t.pre = !o.pre.empty() ? o.pre : picture ? "{scale: 1/255}" : std::string(kind == "audio" ? info.pre : "");
  if (!t.pre.empty()) t.task.pre = ConfigNode::parse("pre: " + t.pre, kWhere)["pre"];
  t.task.accuracy.metric = detector ? "map50" : "top1";
  set_post(t, info);

  // Boxes would have to move along, and a shifted spectrogram or sequence is another sound.
  const bool may_move = picture && !detector;
  const bool small = t.network.rows < kSmallImage && t.network.columns < kSmallImage;
  t.padding = !may_move ? 0 : o.padding.value_or(small ? 2 : 0);
  t.mirror = may_move && o.mirror.value_or(may_mirror(kind));
  if (!may_move && (o.padding.value_or(0) > 0 || o.mirror.value_or(false)))
    bad_input(fmt::format("--padding and --mirror are for classifiers of pictures; {} on these data takes neither",
                          info.name));
  t.synthetic = source->synthetic();
  return t;
}

}  // namespace rtmdl::networks
