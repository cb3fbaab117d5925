#include "data/picture_boxes.h"

#include "base/atomic_file.h"
#include "base/excerpt.h"
#include "data/input_files.h"

#include <rtmdl/error.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <map>
#include <optional>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace rtmdl {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr float kRounding = 0.01f;  // by which the box of a thing at the border may stand out, in shares of the picture

std::vector<std::string_view> words_of(std::string_view line) {
  constexpr std::string_view kBlanks = " \t\r";
  std::vector<std::string_view> words;
  for (std::size_t at = line.find_first_not_of(kBlanks); at != line.npos;) {
    const std::size_t end = std::min(line.find_first_of(kBlanks, at), line.size());
    words.push_back(line.substr(at, end - at));
    at = line.find_first_not_of(kBlanks, end);
  }
  return words;
}

std::optional<float> number(std::string_view word) {
  float value = 0;
  const auto [end, ec] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (ec != std::errc{} || end != word.data() + word.size() || !std::isfinite(value)) return std::nullopt;
  return value;
}

void cut_at_borders(LabelledBox& box) {
  for (float* v : {&box.x0, &box.y0, &box.x1, &box.y1}) *v = std::clamp(*v, 0.0f, 1.0f);
}

/// The file with the boxes of a picture; empty if there is none.
fs::path yolo_file(const fs::path& picture) {
  const fs::path folder = picture.parent_path();
  const fs::path name = picture.stem().string() + ".txt";
  for (const fs::path& candidate : {folder / name, folder / "labels" / name, folder.parent_path() / "labels" / name}) {
    std::error_code ec;
    if (fs::is_regular_file(candidate, ec)) return candidate;
  }
  return {};
}

std::vector<LabelledBox> read_yolo_file(const ConfigNode& labels, const fs::path& file, const ClassNames& names) {
  std::vector<LabelledBox> boxes;
  const std::vector<std::string> lines = read_lines(labels, file);
  for (std::size_t n = 0; n < lines.size(); ++n) {
    const auto words = words_of(lines[n]);
    if (words.empty()) continue;
    const auto fail = [&](const std::string& why) {
      labels.fail(fmt::format("{}:{}: '{}': {}", file.string(), n + 1, excerpt(lines[n]), why));
    };
    if (words.size() != 5)
      fail(fmt::format("has {} values; `class cx cy w h` is accepted, such as `0 0.5 0.5 0.2 0.1`", words.size()));
    const std::int32_t label = names.find(words[0]);
    if (label < 0)
      fail(fmt::format("'{}' is not a class; {} is accepted", excerpt(words[0]),
                       names.empty() ? "a number from 0 on" : "a name of `classes` or its number"));
    std::array<float, 4> v{};
    for (std::size_t k = 0; k < 4; ++k) {
      const auto value = number(words[k + 1]);
      if (!value || *value < 0 || *value > 1)
        fail(fmt::format("'{}' is not accepted: centre and size are shares of the picture's sides, 0 to 1",
                         excerpt(words[k + 1])));
      v[k] = *value;
    }
    if (v[2] <= 0 || v[3] <= 0) fail("the box has no area; widths and heights above 0 are accepted");
    LabelledBox box{v[0] - v[2] / 2, v[1] - v[3] / 2, v[0] + v[2] / 2, v[1] + v[3] / 2, label, false};
    cut_at_borders(box);
    boxes.push_back(box);
  }
  return boxes;
}

/// The JSON of COCO with what is said at the place of an error.
class Coco {
 public:
  Coco(const ConfigNode& where, const fs::path& file) : where_(where), file_(file) {
    // Outlines are most of such a file and of no use here.
    const auto wanted = [](int, json::parse_event_t event, json& parsed) {
      return event != json::parse_event_t::key || (parsed != "segmentation" && parsed != "keypoints");
    };
    try {
      root_ = json::parse(read_file(file), wanted);
    } catch (const json::exception& e) {
      const std::string said = e.what();
      const auto at = said.find("] ");
      fail(fmt::format("{}; COCO's JSON is accepted", excerpt(at == said.npos ? said : said.substr(at + 2), 160)));
    } catch (const Error& e) {
      where.fail(e.what());
    }
    if (!root_.is_object()) fail("is no JSON object; one with images, annotations and categories is accepted");
  }

  [[noreturn]] void fail(const std::string& what) const { where_.fail(fmt::format("{}: {}", file_.string(), what)); }

  const json& list(const char* name) const {
    const auto found = root_.find(name);
    if (found == root_.end() || !found->is_array()) fail(fmt::format("has no list '{}'", name));
    return *found;
  }

  /// A member of element i of a list; `is_it` says whether it is of the right kind.
  template <typename IsIt>
  const json& member(const char* name, std::size_t i, const char* key, const char* accepted, IsIt is_it) const {
    const json& element = list(name)[i];
    static const json kNothing;
    const json& value = element.is_object() && element.contains(key) ? element[key] : kNothing;
    if (!is_it(value))
      fail(fmt::format("{}[{}].{} is {}; {} is accepted", name, i, key,
                       value.is_null() ? "not there" : excerpt(value.dump()), accepted));
    return value;
  }
  std::int64_t id(const char* name, std::size_t i, const char* key) const {
    return member(name, i, key, "a whole number", [](const json& v) { return v.is_number_integer(); })
        .get<std::int64_t>();
  }

 private:
  ConfigNode where_;
  fs::path file_;
  json root_;
};

std::map<std::int64_t, std::int32_t> coco_classes(const Coco& coco, const ConfigNode& labels, const ClassNames& names) {
  const bool original = labels["ids"].present() && labels["ids"].one_of({"consecutive", "original"}) == "original";
  if (original && !names.empty()) labels["ids"].fail("either `ids: original` or `classes` is accepted, not both");
  const std::size_t count = coco.list("categories").size();
  std::map<std::int64_t, std::int32_t> classes;
  for (std::size_t i = 0; i < count; ++i) {
    const std::int64_t id = coco.id("categories", i, "id");
    if (id < 0 || id >= 1 << 20)
      coco.fail(fmt::format("categories[{}].id is {}; 0 to {} is accepted", i, id, (1 << 20) - 1));
    std::int32_t label = static_cast<std::int32_t>(id);
    if (!names.empty()) {
      const auto name = coco.member("categories", i, "name", "a text", [](const json& v) { return v.is_string(); })
                            .get<std::string>();
      label = names.find(name);
      if (label < 0) coco.fail(fmt::format("categories[{}]: `classes` does not name '{}'", i, excerpt(name)));
    }
    if (!classes.emplace(id, label).second) coco.fail(fmt::format("categories[{}].id is {} a second time", i, id));
  }
  if (names.empty() && !original) {
    std::int32_t next = 0;
    for (auto& [id, label] : classes) label = next++;
  }
  return classes;
}

struct CocoPicture {
  std::size_t place = 0;  ///< among the pictures; beyond them if it is none of them
  double width = 0, height = 0;
};

/// By id; `pictures` must all be there.
std::map<std::int64_t, CocoPicture> coco_pictures(const Coco& coco, std::span<const fs::path> pictures) {
  std::map<std::string, std::size_t> places;
  for (std::size_t p = 0; p < pictures.size(); ++p) places.emplace(pictures[p].filename().string(), p);
  std::vector<bool> found(pictures.size(), false);
  std::map<std::int64_t, CocoPicture> by_id;
  const std::size_t count = coco.list("images").size();
  const auto is_side = [](const json& v) { return v.is_number_integer() && v >= 1 && v <= 1 << 20; };
  for (std::size_t i = 0; i < count; ++i) {
    CocoPicture picture;
    const auto name =
        coco.member("images", i, "file_name", "a file's name", [](const json& v) { return v.is_string(); })
            .get<std::string>();
    const auto place = places.find(fs::path(name).filename().string());
    picture.place = place == places.end() ? pictures.size() : place->second;
    if (place != places.end()) {
      if (found[picture.place]) coco.fail(fmt::format("images[{}]: '{}' is there a second time", i, excerpt(name)));
      found[picture.place] = true;
      picture.width = coco.member("images", i, "width", "a width in pixels", is_side).get<double>();
      picture.height = coco.member("images", i, "height", "a height in pixels", is_side).get<double>();
    }
    if (!by_id.emplace(coco.id("images", i, "id"), picture).second)
      coco.fail(fmt::format("images[{}].id is there a second time", i));
  }
  for (std::size_t p = 0; p < pictures.size(); ++p)
    if (!found[p])
      coco.fail(fmt::format("has no entry in `images` for the picture '{}'", pictures[p].filename().string()));
  return by_id;
}

}  // namespace

BoxLists read_yolo_boxes(const ConfigNode& labels, const ConfigNode& path, const ClassNames& names,
                         std::span<const fs::path> pictures, std::vector<fs::path>& texts) {
  BoxLists lists(pictures.size());
  bool any = false;
  for (std::size_t p = 0; p < pictures.size(); ++p) {
    const fs::path file = yolo_file(pictures[p]);
    if (file.empty()) continue;
    any = true;
    texts.push_back(file);
    lists[p] = read_yolo_file(labels, file, names);
  }
  if (!any)
    labels.fail(
        fmt::format("no picture of '{}' has a text file with its boxes: {}.txt is looked for beside it, in a "
                    "folder labels there, and in one beside that folder",
                    path.path().string(), pictures.front().stem().string()));
  return lists;
}

BoxLists read_coco_boxes(const ConfigNode& labels, const ClassNames& names, std::span<const fs::path> pictures) {
  labels.allow({"coco", "ids"});
  if (!labels["coco"].present()) labels.fail("names no file: {coco: annotations.json} is accepted");
  const Coco coco(labels["coco"], labels["coco"].path());
  const auto classes = coco_classes(coco, labels, names);
  const auto known = coco_pictures(coco, pictures);
  BoxLists lists(pictures.size());
  const std::size_t count = coco.list("annotations").size();
  for (std::size_t i = 0; i < count; ++i) {
    const auto picture = known.find(coco.id("annotations", i, "image_id"));
    if (picture == known.end()) coco.fail(fmt::format("annotations[{}].image_id is not among the images", i));
    const CocoPicture& shown = picture->second;
    if (shown.place >= pictures.size()) continue;
    const auto label = classes.find(coco.id("annotations", i, "category_id"));
    if (label == classes.end()) coco.fail(fmt::format("annotations[{}].category_id is not among the categories", i));
    const json& bbox = coco.member("annotations", i, "bbox", "[x, y, width, height] in pixels", [](const json& v) {
      return v.is_array() && v.size() == 4 &&
             std::all_of(v.begin(), v.end(), [](const json& n) { return n.is_number(); });
    });
    const double x = bbox[0].get<double>(), y = bbox[1].get<double>(), w = bbox[2].get<double>(),
                 h = bbox[3].get<double>();
    LabelledBox box{static_cast<float>(x / shown.width),
                    static_cast<float>(y / shown.height),
                    static_cast<float>((x + w) / shown.width),
                    static_cast<float>((y + h) / shown.height),
                    label->second,
                    false};
    if (!(w >= 0) || !(h >= 0) || box.x0 < -kRounding || box.y0 < -kRounding || !(box.x1 <= 1 + kRounding) ||
        !(box.y1 <= 1 + kRounding))
      coco.fail(fmt::format("annotations[{}].bbox is {}, which is not within the picture of {} x {} pixels", i,
                            excerpt(bbox.dump()), shown.width, shown.height));
    cut_at_borders(box);
    const json& element = coco.list("annotations")[i];
    if (const auto crowd = element.find("iscrowd"); crowd != element.end())
      box.ignore = (crowd->is_boolean() && crowd->get<bool>()) || (crowd->is_number() && *crowd != 0);
    if (box.x1 > box.x0 && box.y1 > box.y0) lists[shown.place].push_back(box);
  }
  return lists;
}

}  // namespace rtmdl
