#include "model/exits.h"

#include "base/excerpt.h"

#include <rtmdl/error.h>

#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace rtmdl {
namespace {

using nlohmann::json;

constexpr const char* kExitsKey = "rtmdl.exits";

[[noreturn]] void damaged(const Model& model, const std::string& what) {
  bad_input(fmt::format("{}: its note on early exits ({}) is damaged: {}", model.name, kExitsKey, what));
}

bool gives_floats(const Model& model, const std::string& output) {
  const auto& outputs = model.graph().output();
  return std::any_of(outputs.begin(), outputs.end(), [&](const onnx::ValueInfoProto& o) {
    return o.name() == output && o.type().tensor_type().elem_type() == onnx::TensorProto_DataType_FLOAT;
  });
}

const json& field(const Model& model, const json& rule, const char* key, json::value_t type) {
  const auto at = rule.find(key);
  if (at == rule.end()) damaged(model, fmt::format("an exit has no '{}'", key));
  const bool number = type == json::value_t::number_float && at->is_number();
  if (!number && at->type() != type) damaged(model, fmt::format("'{}' is {}", key, excerpt(at->dump())));
  return *at;
}

ExitRule read_rule(const Model& model, const json& from) {
  if (!from.is_object()) damaged(model, fmt::format("{} is no exit", excerpt(from.dump())));
  ExitRule rule;
  rule.output = field(model, from, "output", json::value_t::string).get<std::string>();
  if (!gives_floats(model, rule.output))
    damaged(model, fmt::format("'{}' is no output of the model that holds floats", excerpt(rule.output)));
  const auto name = field(model, from, "measure", json::value_t::string).get<std::string>();
  const auto measure = sure_measure(name);
  if (!measure)
    damaged(model, fmt::format("'{}' is no measure; accepted are margin, entropy, max, centroid", excerpt(name)));
  rule.measure = *measure;
  rule.threshold = field(model, from, "threshold", json::value_t::number_float).get<double>();
  if (!(rule.threshold >= 0 && rule.threshold <= 1))
    damaged(model, fmt::format("the threshold {} is not within 0 and 1", rule.threshold));
  if (from.contains("probabilities"))
    rule.probabilities = field(model, from, "probabilities", json::value_t::boolean).get<bool>();
  return rule;
}

}  // namespace

std::vector<ExitRule> read_exits(const Model& model) {
  const auto& notes = model.proto.metadata_props();
  const auto note = std::find_if(notes.begin(), notes.end(), [](const auto& n) { return n.key() == kExitsKey; });
  if (note == notes.end()) return {};
  const json list = json::parse(note->value(), nullptr, false);
  if (!list.is_array() || list.empty() || list.size() > kMostExits)
    damaged(model, fmt::format("it is no list of 1 to {} exits", kMostExits));
  std::vector<ExitRule> exits;
  for (const json& rule : list) exits.push_back(read_rule(model, rule));
  static_cast<void>(exit_cuts(model, exits));
  return exits;
}

void write_exits(Model& model, const std::vector<ExitRule>& exits) {
  auto& notes = *model.proto.mutable_metadata_props();
  for (int i = notes.size() - 1; i >= 0; --i)
    if (notes[i].key() == kExitsKey) notes.DeleteSubrange(i, 1);
  if (exits.empty()) return;
  json list = json::array();
  for (const ExitRule& exit : exits) {
    list.push_back(
        {{"output", exit.output}, {"measure", sure_measure_name(exit.measure)}, {"threshold", exit.threshold}});
    if (exit.probabilities) list.back()["probabilities"] = true;
  }
  auto& note = *notes.Add();
  note.set_key(kExitsKey);
  note.set_value(list.dump());
}

std::vector<int> exit_cuts(const Model& model, const std::vector<ExitRule>& exits) {
  const Links links(model);
  std::vector<int> cuts;
  for (const ExitRule& exit : exits) {
    const int made_by = links.producer(exit.output);
    const int cut = made_by + 1;
    if (made_by < 0 || cut >= model.graph().node_size() || (!cuts.empty() && cut <= cuts.back()))
      damaged(model, fmt::format("no unit of the model ends with '{}'", excerpt(exit.output)));
    cuts.push_back(cut);
  }
  return cuts;
}

}  // namespace rtmdl
