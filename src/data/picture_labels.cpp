#include "data/picture_labels.h"

#include "data/input_files.h"

#include <charconv>
#include <map>

#include <fmt/format.h>

namespace rtmdl {
namespace {

constexpr std::string_view kBlanks = " \t\r";
constexpr std::int32_t kMostPictureClasses = 1 << 20;

std::string_view trimmed(std::string_view text) noexcept {
  const auto first = text.find_first_not_of(kBlanks);
  return first == text.npos ? "" : text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

}  // namespace

ClassNames::ClassNames(const ConfigNode& classes) {
  if (!classes.present()) return;
  lines_ = read_lines(classes);
  for (std::string& line : lines_) line = trimmed(line);
  if (empty()) classes.fail(fmt::format("'{}' is empty; the name of one class a line is accepted", classes.text()));
}

std::int32_t ClassNames::find(std::string_view name) const noexcept {
  const auto as_class = [&](auto is_it) {
    for (std::size_t c = 0; c < lines_.size(); ++c)
      if (is_it(lines_[c])) return static_cast<std::int32_t>(c);
    return -1;
  };
  if (const auto c = as_class([&](std::string_view line) { return line == name; }); c >= 0) return c;
  if (const auto c =
          as_class([&](std::string_view line) { return line.substr(0, line.find_first_of(" \t,")) == name; });
      c >= 0)
    return c;
  std::int32_t number = -1;
  const auto [end, ec] = std::from_chars(name.data(), name.data() + name.size(), number);
  const auto most = empty() ? kMostPictureClasses : static_cast<std::int32_t>(lines_.size());
  return ec == std::errc{} && end == name.data() + name.size() && number >= 0 && number < most ? number : -1;
}

std::vector<std::int32_t> read_labels(const ConfigNode& labels, const ClassNames& names,
                                      std::span<const std::filesystem::path> pictures) {
  const std::filesystem::path file = labels.path();
  std::map<std::string, std::size_t, std::less<>> places;
  for (std::size_t p = 0; p < pictures.size(); ++p) places.emplace(pictures[p].filename().string(), p);

  std::vector<std::int32_t> found(pictures.size(), -1);
  const std::vector<std::string> lines = read_lines(labels);
  for (std::size_t n = 0; n < lines.size(); ++n) {
    const std::string_view line = trimmed(lines[n]);
    if (line.empty() || line.front() == '#') continue;
    const auto fail = [&](const std::string& why) {
      labels.fail(fmt::format("{}:{}: '{}': {}", file.string(), n + 1, line, why));
    };
    // A comma or tab parts a name from a class that may hold blanks; blanks alone part at the last.
    auto parting = line.find_first_of(",\t");
    if (parting == line.npos) parting = line.find_last_of(kBlanks);
    if (parting == line.npos) fail("expected the name of a picture and its class, such as `street.jpg 3`");
    const auto place = places.find(std::filesystem::path(trimmed(line.substr(0, parting))).filename().string());
    if (place == places.end()) continue;
    const std::string_view what = trimmed(line.substr(parting + 1));
    const std::int32_t label = names.find(what);
    if (label < 0)
      fail(fmt::format("'{}' is not a class; {} is accepted", what,
                       names.empty() ? "a number from 0 on" : "a name of `classes` or its number"));
    if (found[place->second] >= 0 && found[place->second] != label) fail("the picture has another class already");
    found[place->second] = label;
  }
  for (std::size_t p = 0; p < pictures.size(); ++p)
    if (found[p] < 0)
      labels.fail(fmt::format("'{}' has no line for the picture '{}'", file.string(), pictures[p].filename().string()));
  return found;
}

}  // namespace rtmdl
