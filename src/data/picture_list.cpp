#include "data/picture_list.h"

#include "data/input_files.h"
#include "data/picture_boxes.h"
#include "data/picture_labels.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <opencv2/imgcodecs.hpp>

namespace rtmdl {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 10> kPictureExtensions{".jpg", ".jpeg", ".png", ".bmp",  ".ppm",
                                                              ".pgm", ".pnm",  ".tif", ".tiff", ".webp"};

/// Sub-folders are classes.
void list_folders_of_classes(const ConfigNode& path, const ConfigNode& classes, const ClassNames& names,
                             PictureList& list) {
  std::int32_t next = 0;
  for (const fs::path& folder : list_folders(path)) {
    const std::int32_t label = names.empty() ? next++ : names.find(folder.filename().string());
    if (label < 0)
      classes.fail(fmt::format("'{}' does not name the folder '{}'", classes.text(), folder.filename().string()));
    for (const fs::path& file : files_in(path, folder, kPictureExtensions)) {
      list.files.push_back(file);
      list.labels.push_back(label);
    }
  }
  if (list.files.empty()) path.fail(fmt::format("the sub-folders of '{}' hold no pictures", path.path().string()));
}

void read_what_is_known(const ConfigNode& data, const ClassNames& names, PictureList& list) {
  const ConfigNode labels = data["labels"];
  if (labels.is_map()) {
    list.boxes = read_coco_boxes(labels, names, list.files);
    list.texts.push_back(labels["coco"].path());
    return;
  }
  const std::string how = labels.present() ? labels.text() : "none";
  if (how == "none") {
    if (data["classes"].present()) data["classes"].fail("is for pictures with `labels`");
  } else if (how == "yolo") {
    list.boxes = read_yolo_boxes(labels, data["path"], names, list.files, list.texts);
  } else {
    if (std::error_code ec; !fs::is_regular_file(labels.path(), ec))
      labels.fail(
          fmt::format("'{}' is not accepted; accepted are none, folders, and a text file with a picture and its "
                      "class on each line; and for boxes yolo, and {{coco: FILE}}",
                      how));
    list.labels = read_labels(labels, names, list.files);
    list.texts.push_back(labels.path());
  }
}

}  // namespace

PictureList list_pictures(const ConfigNode& data) {
  const ConfigNode path = data["path"], labels = data["labels"], classes = data["classes"];
  PictureList list;
  const ClassNames names(classes);
  if (classes.present()) list.texts.push_back(classes.path());
  if (labels.is_scalar() && labels.text() == "folders") {
    list_folders_of_classes(path, classes, names, list);
  } else {
    list.files = list_files(path, kPictureExtensions, "pictures");
    read_what_is_known(data, names, list);
  }
  for (const fs::path& file : list.files)
    if (!cv::haveImageReader(file.string()))
      path.fail(fmt::format("'{}' is not a picture that OpenCV reads", file.string()));
  for (const std::int32_t label : list.labels) list.classes = std::max(list.classes, label + 1);
  for (const auto& boxes : list.boxes)
    for (const LabelledBox& box : boxes) list.classes = std::max(list.classes, box.label + 1);
  return list;
}

}  // namespace rtmdl
