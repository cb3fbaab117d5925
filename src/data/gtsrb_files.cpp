#include "data/gtsrb_files.h"

#include "base/excerpt.h"
#include "data/input_files.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <string_view>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace rtmdl {
namespace {

namespace fs = std::filesystem;

bool is_file(const fs::path& path) {
  std::error_code ec;
  return fs::is_regular_file(path, ec);
}

bool is_folder(const fs::path& path) {
  std::error_code ec;
  return fs::is_directory(path, ec);
}

std::vector<std::string_view> cells_of(std::string_view line, char separator) {
  std::vector<std::string_view> cells;
  for (std::size_t at = 0;;) {
    const std::size_t end = std::min(line.find(separator, at), line.size());
    std::string_view cell = line.substr(at, end - at);
    const auto first = cell.find_first_not_of(" \t");
    cell = first == cell.npos ? std::string_view() : cell.substr(first, cell.find_last_not_of(" \t") - first + 1);
    cells.push_back(cell);
    if (end == line.size()) return cells;
    at = end + 1;
  }
}

/// A table with a heading: `Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId`, in any order, with semicolons
/// or commas; `Path` may stand for `Filename`. File names are taken from `folder`.
class Table {
 public:
  Table(const ConfigNode& where, const fs::path& file, const fs::path& folder)
      : where_(where), file_(file), folder_(folder), lines_(read_lines(where, file)) {
    if (lines_.empty()) fail(1, "is empty; a heading with Filename (or Path), Roi.X1 … Roi.Y2 and ClassId is accepted");
    std::string_view heading = lines_[0];
    if (heading.starts_with("\xef\xbb\xbf")) heading.remove_prefix(3);
    separator_ = heading.find(';') != heading.npos ? ';' : ',';
    const auto columns = cells_of(heading, separator_);
    width_ = columns.size();
    const auto column = [&](std::string_view name) -> std::optional<std::size_t> {
      const auto found = std::find(columns.begin(), columns.end(), name);
      if (found == columns.end()) return std::nullopt;
      return static_cast<std::size_t>(found - columns.begin());
    };
    const auto required = [&](std::string_view name) {
      const auto found = column(name);
      if (!found)
        fail(1, fmt::format("has no column {} (found: {}); a heading with Filename (or Path), Roi.X1, Roi.Y1, Roi.X2, "
                            "Roi.Y2 and ClassId is accepted",
                            name, excerpt(heading)));
      return *found;
    };
    const auto path = column("Path");
    name_ = path ? *path : required("Filename");
    constexpr std::array<std::string_view, 4> kCorners{"Roi.X1", "Roi.Y1", "Roi.X2", "Roi.Y2"};
    for (std::size_t c = 0; c < 4; ++c) corners_[c] = required(kCorners[c]);
    class_ = required("ClassId");
  }

  void add_to(std::vector<SignPicture>& pictures) const {
    for (std::size_t n = 1; n < lines_.size(); ++n) {
      if (lines_[n].find_first_not_of(" \t") == std::string::npos) continue;
      const auto cells = cells_of(lines_[n], separator_);
      if (cells.size() != width_)
        fail(n + 1, fmt::format("has {} values where the heading has {}", cells.size(), width_));
      SignPicture picture;
      picture.file = folder_ / std::string(cells[name_]);
      if (cells[name_].empty() || !is_file(picture.file))
        fail(n + 1, fmt::format("the picture '{}' is not there", excerpt(picture.file.string(), 200)));
      std::array<std::int32_t, 4> corner{};
      for (std::size_t c = 0; c < 4; ++c) corner[c] = number(cells[corners_[c]], n + 1, 1 << 20);
      if (corner[2] <= corner[0] || corner[3] <= corner[1])
        fail(n + 1, fmt::format("the rectangle from {}, {} to {}, {} has no area", corner[0], corner[1], corner[2],
                                corner[3]));
      picture.roi = cv::Rect(corner[0], corner[1], corner[2] - corner[0], corner[3] - corner[1]);
      picture.label = number(cells[class_], n + 1, kSignClasses - 1);
      pictures.push_back(std::move(picture));
    }
  }

 private:
  [[noreturn]] void fail(std::size_t line, const std::string& what) const {
    where_.fail(fmt::format("{}:{}: {}", file_.string(), line, what));
  }

  std::int32_t number(std::string_view cell, std::size_t line, std::int32_t most) const {
    std::int32_t value = -1;
    const auto [end, ec] = std::from_chars(cell.data(), cell.data() + cell.size(), value);
    if (ec != std::errc{} || end != cell.data() + cell.size() || value < 0 || value > most)
      fail(line, fmt::format("'{}' is not accepted: a whole number from 0 to {} is", excerpt(cell), most));
    return value;
  }

  ConfigNode where_;
  fs::path file_, folder_;
  std::vector<std::string> lines_;
  char separator_ = ';';
  std::size_t width_ = 0, name_ = 0, class_ = 0;
  std::array<std::size_t, 4> corners_{};
};

void read_table(const ConfigNode& path, const fs::path& file, const fs::path& folder, SignPictures& all,
                std::vector<SignPicture>& pictures) {
  Table(path, file, folder).add_to(pictures);
  all.tables.push_back(file);
}

/// One folder a class, each with its table.
void read_class_folders(const ConfigNode& path, const fs::path& folder, SignPictures& all) {
  std::vector<fs::path> classes;
  std::error_code ec;
  for (fs::directory_iterator it(folder, ec); !ec && it != fs::directory_iterator(); it.increment(ec))
    if (is_folder(it->path())) classes.push_back(it->path());
  if (ec) path.fail(fmt::format("'{}' cannot be read: {}", folder.string(), ec.message()));
  std::sort(classes.begin(), classes.end());
  for (const fs::path& one : classes) {
    const fs::path table = one / fmt::format("GT-{}.csv", one.filename().string());
    if (!is_file(table))
      path.fail(fmt::format("'{}' is not there: each folder of a class holds its table", table.string()));
    read_table(path, table, one, all, all.training);
  }
  if (classes.empty()) path.fail(fmt::format("'{}' holds no folders of classes such as 00000", folder.string()));
}

/// The first of the candidates that is there.
template <typename Is>
fs::path first_of(std::initializer_list<fs::path> candidates, Is is) {
  for (const fs::path& candidate : candidates)
    if (is(candidate)) return candidate;
  return {};
}

}  // namespace

SignPictures list_gtsrb(const ConfigNode& path) {
  const fs::path given = path.path();
  const fs::path root = is_folder(given / "GTSRB") ? given / "GTSRB" : given;
  if (!is_folder(root))
    path.fail(fmt::format("'{}' is not a folder: the unpacked archives of GTSRB are accepted", root.string()));
  SignPictures all;
  if (is_file(root / "Train.csv") && is_file(root / "Test.csv")) {
    read_table(path, root / "Train.csv", root, all, all.training);
    read_table(path, root / "Test.csv", root, all, all.test);
  } else {
    const fs::path training = first_of({root / "Final_Training" / "Images", root / "Training"}, is_folder);
    const fs::path test = first_of({root / "Final_Test" / "Images", root / "Test"}, is_folder);
    if (training.empty() || test.empty())
      path.fail(
          fmt::format("'{}' holds no {}: Final_Training/Images (or Training) and Final_Test/Images (or Test) are "
                      "accepted",
                      root.string(), training.empty() ? "training pictures" : "test pictures"));
    // The table with the classes comes in an archive of its own, and people unpack it in several places.
    constexpr const char* kTable = "GT-final_test.csv";
    const fs::path table = first_of(
        {test / kTable, test.parent_path() / kTable, root / kTable, given / kTable, given.parent_path() / kTable},
        is_file);
    if (table.empty())
      path.fail(
          fmt::format("'{}' is not there: the classes of the test pictures come in an archive of their own "
                      "(GT-final_test.test.csv does not hold them)",
                      (test / kTable).string()));
    read_class_folders(path, training, all);
    read_table(path, table, test, all, all.test);
  }
  for (const auto& [list, name] : {std::pair{&all.training, "training"}, std::pair{&all.test, "test"}})
    if (list->empty()) path.fail(fmt::format("the tables in '{}' name no {} pictures", root.string(), name));
  return all;
}

}  // namespace rtmdl
