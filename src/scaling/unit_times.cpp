#include "scaling/unit_times.h"

#include "base/atomic_file.h"
#include "scaling/quantize.h"

#include <rtmdl/error.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <map>
#include <optional>

namespace rtmdl {
namespace {

struct NodeTime {
  std::string name, op;
  double first_seen = 0;
  double least = 0;
};

/// The unit whose mark the name carries; the text behind the mark goes to `rest`.
std::optional<std::size_t> unit_of(const std::string& name, std::size_t units, std::string& rest) {
  const std::size_t begin = name.find('~');
  const std::size_t end = begin == std::string::npos ? begin : name.find('~', begin + 1);
  if (end == std::string::npos || end == begin + 1 || end - begin > 9) return std::nullopt;
  const std::string digits = name.substr(begin + 1, end - begin - 1);
  if (digits.find_first_not_of("0123456789") != std::string::npos) return std::nullopt;
  const std::size_t unit = std::stoul(digits);
  if (unit >= units) return std::nullopt;
  rest = name.substr(end + 1);
  return unit;
}

std::string without(std::string name, std::string_view suffix) {
  if (name.ends_with(suffix)) name.resize(name.size() - suffix.size());
  return name;
}

/// ONNX Runtime writes one event a line, and names into it as they are: quotes and backslashes get theirs here.
std::string with_names_escaped(std::string_view text) {
  constexpr std::string_view kBefore = "\"name\" :\"";
  constexpr std::string_view kBehind = "\",\"args\"";
  std::string out;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, std::min(text.find('\n'), text.size() - 1) + 1);
    text.remove_prefix(line.size());
    const std::size_t name = line.find(kBefore);
    const std::size_t end = name == line.npos ? line.npos : line.find(kBehind, name + kBefore.size());
    for (std::size_t i = 0; i < line.size(); ++i) {
      const bool inside = end != line.npos && i >= name + kBefore.size() && i < end;
      if (inside && (line[i] == '"' || line[i] == '\\')) out += '\\';
      out += line[i];
    }
  }
  return out;
}

std::vector<NodeTime> nodes_in_order(const nlohmann::json& events) {
  constexpr std::string_view kSuffix = "_kernel_time";
  std::map<std::string, NodeTime> nodes;
  for (const auto& event : events) {
    if (!event.is_object() || event.value("cat", "") != "Node") continue;
    std::string name = event.value("name", "");
    if (name.size() <= kSuffix.size() || !name.ends_with(kSuffix)) continue;
    name.resize(name.size() - kSuffix.size());
    const auto args = event.value("args", nlohmann::json::object());
    const double time = event.value("dur", 0.0);
    const auto [it, fresh] = nodes.try_emplace(args.value("node_index", "") + ' ' + name);
    NodeTime& node = it->second;
    if (fresh) node = {name, args.value("op_name", ""), event.value("ts", 0.0), time};
    node.least = std::min(node.least, time);
  }
  std::vector<NodeTime> ordered;
  for (auto& [key, node] : nodes) ordered.push_back(std::move(node));
  std::sort(ordered.begin(), ordered.end(), [](const auto& a, const auto& b) { return a.first_seen < b.first_seen; });
  return ordered;
}

}  // namespace

UnitTimes read_profile(std::string_view text, const Model& model, std::size_t units) {
  const auto events = nlohmann::json::parse(with_names_escaped(text), nullptr, false);
  if (!events.is_array()) throw Error(ErrorCode::internal, "the profile is not a JSON array");
  UnitTimes times;
  times.unit.assign(units, 0);
  std::unordered_map<std::string, std::string> writer;  // name of the node that writes a tensor
  for (const auto& node : model.graph().node()) {
    for (const auto& output : node.output()) writer[output] = node.name();
  }
  std::optional<std::size_t> last;
  double waiting = 0;  // layout changes in front of the node that they serve
  for (const NodeTime& node : nodes_in_order(events)) {
    times.total += node.least;
    std::string rest;
    auto unit = unit_of(node.name, units, rest);
    if (!unit) {
      const auto it = writer.find(without(node.name, "_nchwc"));
      if (it != writer.end()) unit = unit_of(it->second, units, rest);
    }
    if (unit && rest.starts_with(kConversionMark)) {
      times.conversion[rest.substr(std::string_view(kConversionMark).size())] += node.least + waiting;
      waiting = 0;
    } else if (unit) {
      times.unit[*unit] += node.least + waiting;
      waiting = 0;
      last = unit;
    } else if (node.op == "ReorderOutput" && last) {
      times.unit[*last] += node.least;
    } else if (node.op == "ReorderInput" || node.op == "Transpose") {
      waiting += node.least;
    } else {
      times.unknown += node.least;
    }
  }
  times.unknown += waiting;
  return times;
}

UnitTimes profile_units(Engine& engine, const Model& model, LoadRequest at, std::size_t units, const InputSet& input,
                        int runs, const std::filesystem::path& folder, const Context& context) {
  const ScratchModel file(model, folder);
  at.model = file.path();
  at.profile = file.path().string() + ".profile";
  const auto executable = engine.load(at);
  if (!input.empty()) feed(*executable, input);
  for (int r = 0; r < runs && (r == 0 || !context.stopping()); ++r) {
    if (!executable->run()) bad_input(model.name + ": " + executable->last_error());
  }
  const auto path = executable->finish_profile();
  const std::string text = read_file(path);
  std::error_code ignored;
  std::filesystem::remove(path, ignored);
  return read_profile(text, model, units);
}

}  // namespace rtmdl
