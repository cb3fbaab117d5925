#include "scaling/source_indices.h"

#include <rtmdl/error.h>

#include <algorithm>
#include <charconv>
#include <string_view>

#include <fmt/format.h>

namespace rtmdl {
namespace {

constexpr const char* kKey = "rtmdl.source_indices";

/// "0-3,7": runs of consecutive positions.
std::string runs(const std::vector<std::int64_t>& positions) {
  std::string text;
  for (std::size_t i = 0; i < positions.size();) {
    std::size_t end = i + 1;
    while (end < positions.size() && positions[end] == positions[end - 1] + 1) ++end;
    if (!text.empty()) text += ',';
    text += fmt::format("{}", positions[i]);
    if (end - i > 1) text += fmt::format("-{}", positions[end - 1]);
    i = end;
  }
  return text;
}

/// Cuts off the text up to the next `end`.
std::string_view take(std::string_view& text, char end) {
  const std::size_t at = text.find(end);
  const std::string_view part = text.substr(0, at);
  text.remove_prefix(at == std::string_view::npos ? text.size() : at + 1);
  return part;
}

std::int64_t number(std::string_view text, const std::string& model) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0 || value > (std::int64_t{1} << 31))
    bad_input(fmt::format("{}: damaged note on the origin of its weights: '{}' is no position", model, text));
  return value;
}

std::vector<std::int64_t> positions(std::string_view text, const std::string& model) {
  std::vector<std::int64_t> all;
  while (!text.empty()) {
    std::string_view run = take(text, ',');
    const std::int64_t first = number(take(run, '-'), model);
    const std::int64_t last = run.empty() ? first : number(run, model);
    for (std::int64_t i = first; i <= last && all.size() < (1U << 24); ++i) all.push_back(i);
  }
  return all;
}

}  // namespace

SourceIndices compose(const SourceIndices& first, const SourceIndices& second) {
  SourceIndices both = first;
  for (const auto& [name, axes] : second) {
    auto& into = both[name];
    into.resize(std::max(into.size(), axes.size()));
    for (std::size_t a = 0; a < axes.size(); ++a) {
      if (axes[a].empty()) continue;
      std::vector<std::int64_t> composed;
      composed.reserve(axes[a].size());
      for (const std::int64_t i : axes[a])
        composed.push_back(into[a].empty() ? i : into[a].at(static_cast<std::size_t>(i)));
      into[a] = std::move(composed);
    }
  }
  return both;
}

void write_indices(Model& model, const SourceIndices& indices) {
  auto& notes = *model.proto.mutable_metadata_props();
  for (int i = notes.size() - 1; i >= 0; --i)
    if (notes[i].key() == kKey) notes.DeleteSubrange(i, 1);
  if (indices.empty()) return;
  std::string text;  // names may hold anything but a newline: "axis0;axis1 name"
  for (const auto& [name, axes] : indices) {
    for (std::size_t a = 0; a < axes.size(); ++a) text += (a > 0 ? ";" : "") + runs(axes[a]);
    text += ' ' + name + '\n';
  }
  auto& note = *notes.Add();
  note.set_key(kKey);
  note.set_value(text);
}

SourceIndices read_indices(const Model& model) {
  SourceIndices indices;
  for (const auto& note : model.proto.metadata_props()) {
    if (note.key() != kKey) continue;
    std::string_view text = note.value();
    while (!text.empty()) {
      std::string_view line = take(text, '\n');
      std::string_view axes = take(line, ' ');
      auto& into = indices[std::string(line)];
      for (std::ptrdiff_t more = std::count(axes.begin(), axes.end(), ';'); more >= 0; --more)
        into.push_back(positions(take(axes, ';'), model.name));
    }
  }
  return indices;
}

}  // namespace rtmdl
