#include "model/edit.h"
#include "scaling/calibrate.h"
#include "scaling/prune.h"
#include "scaling/tensor_shapes.h"

#include <fmt/format.h>

#include <algorithm>

namespace rtmdl {
namespace {

constexpr std::size_t kBytesAtOnce = 96'000'000;  ///< of outputs bound by one load
constexpr std::size_t kOutputsAtOnce = 2000;

/// Tensors that nodes make and that have a shape: sequences and optional values have none.
std::vector<std::string> made_tensors(const Model& model) {
  std::vector<std::string> names;
  std::unordered_set<std::string> no_tensors;
  for (const auto& node : model.graph().node()) {
    const std::string& op = node.op_type();
    bool tensor = !op.starts_with("Sequence") && !op.starts_with("Optional") && op != "SplitToSequence";
    if (op == "SequenceAt" || op == "SequenceLength" || op == "OptionalGetElement" || op == "OptionalHasElement") {
      tensor = true;
    } else if (op == "Identity" || has_subgraph(node)) {
      for (const auto& name : reads(node)) tensor = tensor && !no_tensors.contains(name);
    }
    for (const auto& name : node.output()) {
      if (name.empty()) continue;
      if (tensor) names.push_back(name);
      else no_tensors.insert(name);
    }
  }
  return names;
}

}  // namespace

std::unordered_map<std::string, std::vector<std::int64_t>> shapes_of(Engine& engine, const Model& model,
                                                                     const LoadRequest& at,
                                                                     const std::filesystem::path& folder) {
  Model with_shapes = model;
  std::vector<std::string> shapes;
  const auto tensors = made_tensors(model);
  for (const auto& name : tensors) {
    shapes.push_back("~shape of " + name);
    auto& node = *with_shapes.graph().add_node();
    node.set_op_type("Shape");
    node.add_input(name);
    node.add_output(shapes.back());
  }
  const auto values = values_of(engine, with_shapes, at, shapes, folder);
  std::unordered_map<std::string, std::vector<std::int64_t>> result;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const auto shape = values.at(shapes[i]).as<std::int64_t>();
    result[tensors[i]] = {shape.begin(), shape.end()};
  }
  return result;
}

TensorSpecs specs_of(Engine& engine, const Model& model, const LoadRequest& at, const std::filesystem::path& folder) {
  const auto shapes = shapes_of(engine, model, at, folder);
  TensorSpecs specs;
  const auto tensors = made_tensors(model);
  std::size_t begin = 0;
  bool inputs_known = false;
  while (begin < tensors.size() || !inputs_known) {
    std::size_t bytes = 0;
    std::size_t end = begin;
    for (; end < tensors.size() && end < begin + kOutputsAtOnce; ++end) {
      const std::size_t more = 8 * element_count(shapes.at(tensors[end]));
      if (end > begin && bytes + more > kBytesAtOnce) break;
      bytes += more;
    }
    std::vector<std::string> part(tensors.begin() + static_cast<std::ptrdiff_t>(begin),
                                  tensors.begin() + static_cast<std::ptrdiff_t>(end));
    if (part.empty()) part.push_back(model.graph().output(0).name());
    for (const auto& [output, input] : at.state) {
      if (std::find(part.begin(), part.end(), output) == part.end()) part.push_back(output);
    }
    const ScratchModel file(with_outputs(model, part), folder);
    LoadRequest request = at;
    request.model = file.path();
    request.profile.clear();
    const auto executable = engine.load(request);
    for (const auto& spec : executable->outputs()) {
      const auto shape = shapes.find(spec.name);
      specs[spec.name] = {spec.name, spec.type, shape == shapes.end() ? spec.shape : shape->second};
    }
    for (const auto& spec : executable->inputs()) specs[spec.name] = spec;
    inputs_known = true;
    begin = end;
  }
  // State and constants are no inputs that a caller fills: their shape is what the model says, or what feeds them has.
  for (const auto& input : model_inputs(model)) {
    if (specs.contains(input.name)) continue;
    TensorSpec spec = input;
    for (const auto& [from, to] : at.state) {
      if (to == input.name && shapes.contains(from)) spec.shape = shapes.at(from);
    }
    if (std::none_of(spec.shape.begin(), spec.shape.end(), [](std::int64_t d) { return d < 0; }))
      specs[input.name] = spec;
  }
  return specs;
}

}  // namespace rtmdl
