#include "scaling/inspect.h"

#include "model/cut_points.h"
#include "model/edit.h"
#include "model/tensor_data.h"
#include "scaling/prepare.h"
#include "scaling/prune.h"
#include "scaling/resolution.h"
#include "scaling/units.h"

#include <fmt/format.h>
#include <rtmdl/error.h>

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <set>
#include <unordered_map>
#include <utility>

namespace rtmdl {
namespace {

/// "1 block", "2 blocks"
std::string counted(std::size_t n, const char* what) { return fmt::format("{} {}{}", n, what, n == 1 ? "" : "s"); }

std::int64_t stored_bytes(const onnx::TensorProto& tensor) {
  const auto type = element_type(tensor.data_type());
  if (!type || !wrong_size(tensor).empty()) return static_cast<std::int64_t>(tensor.raw_data().size());
  return static_cast<std::int64_t>(element_count(dims(tensor)) * element_size(*type));
}

/// Weights rather than the constants of shape arithmetic.
bool is_parameter(const onnx::TensorProto& tensor) {
  return tensor.data_type() != onnx::TensorProto_DataType_INT64 &&
         tensor.data_type() != onnx::TensorProto_DataType_BOOL;
}

std::int64_t parameters_of(const onnx::TensorProto& tensor) {
  if (!is_parameter(tensor)) return 0;
  const auto type = element_type(tensor.data_type());
  return type ? stored_bytes(tensor) / static_cast<std::int64_t>(element_size(*type)) : 0;
}

/// Calls `visit` for the weights that lie inside a node: those of its subgraphs.
template <typename Visit>
void for_each_inner_weights(const onnx::NodeProto& node, const Visit& visit) {
  for (const auto& attribute : node.attribute()) {
    if (is_op(node, "Constant") && attribute.has_t()) visit(attribute.t());
    const auto inside = [&](const onnx::GraphProto& graph) {
      for (const auto& tensor : graph.initializer()) visit(tensor);
      for (const auto& inner : graph.node()) for_each_inner_weights(inner, visit);
    };
    if (attribute.has_g()) inside(attribute.g());
    for (const auto& graph : attribute.graphs()) inside(graph);
  }
}

double share(std::int64_t part, std::int64_t whole) {
  return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : 0;
}

class Describer {
 public:
  Describer(const Model& model, const TensorSpecs& specs, Inspection& into)
      : graph_(model.graph()), model_(model), specs_(specs), links_(model), into_(into) {}

  void sizes_and_layers() {
    for (const auto& tensor : graph_.initializer()) count(tensor);
    for (const auto& node : graph_.node()) {
      Layer layer;
      layer.name = !node.name().empty() || node.output().empty() ? node.name() : node.output(0);
      layer.op =
          node.domain().empty() || node.domain() == "ai.onnx" ? node.op_type() : node.domain() + "." + node.op_type();
      if (node.output_size() > 0) layer.shape = shape_of(node.output(0));
      layer.macs = node_cost(node, links_, specs_).macs;
      into_.macs += layer.macs;
      into_.control_flow = into_.control_flow || has_subgraph(node);
      for (const auto& name : reads(node)) {
        if (const auto* tensor = links_.constant(name)) add_weights(*tensor, layer);
      }
      for_each_inner_weights(node, [&](const onnx::TensorProto& tensor) {
        add_weights(tensor, layer);
        count(tensor);
      });
      into_.layers.push_back(std::move(layer));
    }
    into_.activation_bytes = peak_activation_bytes(model_, specs_);
  }

  void cuts() {
    const CutPoints found = find_cut_points(model_);
    std::vector<std::int64_t> macs(found.tensors.size() + 1, 0);
    for (int i = 0; i < graph_.node_size(); ++i) {
      macs[static_cast<std::size_t>(found.part[static_cast<std::size_t>(i)])] +=
          into_.layers[static_cast<std::size_t>(i)].macs;
    }
    std::int64_t before = 0;
    std::size_t best = 0;
    for (std::size_t k = 0; k < found.tensors.size(); ++k) {
      Cut cut;
      cut.tensor = found.tensors[k];
      cut.shape = shape_of(cut.tensor);
      if (const auto it = specs_.find(cut.tensor); it != specs_.end())
        cut.bytes = static_cast<std::int64_t>(element_count(it->second.shape) * element_size(it->second.type));
      before += macs[k];
      cut.macs_share = share(before, into_.macs);
      into_.cuts.push_back(std::move(cut));
      if (k == 0 || macs[k] > 0) best = k;
      else if (into_.cuts[k].bytes < into_.cuts[best].bytes) into_.cuts[std::exchange(best, k)].best = false;
      into_.cuts[best].best = true;
    }
  }

 private:
  void count(const onnx::TensorProto& tensor) {
    into_.parameters += parameters_of(tensor);
    into_.weight_bytes += stored_bytes(tensor);
  }

  static void add_weights(const onnx::TensorProto& tensor, Layer& layer) {
    static const std::set<std::string> kParameters{"Resize", "Upsample", "Clip", "Pad"};  // not weights: how much
    layer.weights += stored_bytes(tensor);
    layer.carries_weights = layer.carries_weights || (parameters_of(tensor) > 1 && !kParameters.contains(layer.op));
  }

  std::vector<std::int64_t> shape_of(const std::string& tensor) const {
    const auto it = specs_.find(tensor);
    return it == specs_.end() ? std::vector<std::int64_t>() : it->second.shape;
  }

  const onnx::GraphProto& graph_;
  const Model& model_;
  const TensorSpecs& specs_;
  Links links_;
  Inspection& into_;
};

std::string percent(double part) { return fmt::format("{:.3g} %", 100 * part); }

Ability width(const Inspection& seen, double macs_share) {
  if (!seen.groups.empty()) {
    std::int64_t channels = 0;
    for (const auto& g : seen.groups) channels += g.channels;
    return {"width", true,
            fmt::format("{} of {} channels, in layers with {} of the multiply-accumulates",
                        counted(seen.groups.size(), "group"), channels, percent(macs_share))};
  }
  if (seen.whole.empty()) return {"width", false, "no layer with weights makes channels"};
  return {"width", false, fmt::format("every channel has to stay: '{}': {}", seen.whole[0].name, seen.whole[0].reason)};
}

Ability depth(const Inspection& seen) {
  if (seen.blocks.empty())
    return {"depth", false, "no part of it gives a tensor of the same shape as it takes, with weights between"};
  double macs_share = 0;
  for (const auto& b : seen.blocks) macs_share += b.macs_share;
  return {"depth", true,
          fmt::format("{} with {} of the multiply-accumulates can be left out", counted(seen.blocks.size(), "block"),
                      percent(macs_share))};
}

std::string plain_shape(const std::vector<std::int64_t>& shape) {
  std::string text;
  for (const std::int64_t d : shape) text += (text.empty() ? "" : "x") + (d < 0 ? "?" : std::to_string(d));
  return text;
}

/// Weights of the first layer that reads the input: what its channels or features must be.
std::optional<std::int64_t> features_read(const Model& model, const std::string& input, std::size_t rank) {
  const Links links(model);
  for (const int i : links.consumers(input)) {
    const auto& node = model.graph().node(i);
    const auto* w = node.input_size() > 1 ? links.constant(node.input(1)) : nullptr;
    if (w == nullptr || node.input(0) != input) continue;
    if (rank == 4 && is_op(node, "Conv") && w->dims_size() == 4)
      return w->dims(1) * std::max<std::int64_t>(1, attribute_or(node, "group", std::int64_t{1}));
    if (rank == 2 && is_op(node, "Gemm") && w->dims_size() == 2)
      return w->dims(attribute_or(node, "transB", std::int64_t{0}) != 0 ? 1 : 0);
    if (rank == 2 && is_op(node, "MatMul") && w->dims_size() == 2) return w->dims(0);
  }
  return std::nullopt;
}

bool declares_shape(const Model& model, const std::string& input) {
  const auto& inputs = model.graph().input();
  return std::any_of(inputs.begin(), inputs.end(),
                     [&](const auto& i) { return i.name() == input && i.type().tensor_type().has_shape(); });
}

/// A folder of this process's own, removed with it.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "rtmdl-inspect-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) bad_input(fmt::format("{}: cannot create", name));
    path_ = name;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

 private:
  std::filesystem::path path_;
};

class Inspecting {
 public:
  Inspecting(Engine& engine, const InspectRequest& request, const Context& context)
      : engine_(engine), request_(request), context_(context) {}

  Inspection run() {
    const Model source = load_model(request_.model);
    facts(source);
    at_.model = request_.model;
    at_.shapes = assumed_shapes(source, request_.shapes, seen_.assumed);
    at_.state = request_.state;
    at_.constants = request_.constants;
    run_once();
    Model model = source;
    normalise(model);
    const TensorSpecs specs = shapes_of_run(model);
    describe_model(model, specs, seen_);
    if (context_.stopping()) return std::move(seen_);
    describe_scaling(verified_channel_groups(engine_, model, at_, folder_.path()), find_blocks(model, specs), seen_);
    if (context_.stopping()) return std::move(seen_);
    seen_.abilities.push_back(resolution(source));
    seen_.abilities.push_back(precision(source, specs));
    if (request_.tuner != nullptr) {
      const auto refused = request_.tuner->refuses(model);
      seen_.abilities.push_back({"training", !refused, refused.value_or("every operator has a gradient")});
    }
    return std::move(seen_);
  }

 private:
  void facts(const Model& source) {
    seen_.model = request_.model;
    seen_.file_bytes = model_bytes(request_.model);
    seen_.opset = source.opset();
    seen_.ir_version = source.proto.ir_version();
    seen_.producer = source.proto.producer_name();
    if (!source.proto.producer_version().empty())
      seen_.producer += (seen_.producer.empty() ? "" : " ") + source.proto.producer_version();
    for (const auto& import : source.proto.opset_import()) {
      if (!import.domain().empty() && import.domain() != "ai.onnx") seen_.domains[import.domain()] = import.version();
    }
  }

  /// Under its own name, so that what the back-end refuses is said of the user's file.
  void run_once() {
    const auto executable = engine_.load(at_);
    if (!executable->run()) bad_input(fmt::format("{}: {}", request_.model.string(), executable->last_error()));
    seen_.outputs.assign(executable->outputs().begin(), executable->outputs().end());
  }

  TensorSpecs shapes_of_run(const Model& model) {
    TensorSpecs specs = specs_of(engine_, model, at_, folder_.path());
    for (TensorSpec input : model_inputs(model)) {
      input.shape = at_.shapes.at(input.name);
      specs[input.name] = input;
      seen_.inputs.push_back(std::move(input));
    }
    return specs;
  }

  Ability resolution(const Model& source) {
    const char* name = "resolution";
    const auto spatial = spatial_input(source);
    if (!spatial) return {name, false, "no input, or more than one, looks like an image"};
    const std::vector<std::int64_t>& full = at_.shapes.at(spatial->name);
    if (!spatial->free) return {name, false, fmt::format("input '{}' is fixed at {}", spatial->name, shape_text(full))};
    const auto half = scaled_shape(full, *spatial, 0.5);
    if (element_count(half) >= element_count(full))
      return {name, false,
              fmt::format("input '{}' at {} is as small as it gets in steps of 32", spatial->name, shape_text(full))};
    LoadRequest smaller = at_;
    smaller.shapes[spatial->name] = half;
    try {
      static_cast<void>(engine_.load(smaller));
    } catch (const Error& e) {
      if (e.code() != ErrorCode::bad_input) throw;
      return {name, false,
              fmt::format("height and width of input '{}' are free, but it does not run at {}: {}", spatial->name,
                          shape_text(half), e.what())};
    }
    return {name, true,
            fmt::format("height and width of input '{}' are free; it runs at {}", spatial->name, shape_text(half))};
  }

  Ability precision(const Model& source, const TensorSpecs& specs) {
    const char* name = "precision";
    Prepared prepared;
    try {
      prepared = prepare(engine_, source, at_, folder_.path());
    } catch (const Error& e) {
      if (e.code() != ErrorCode::bad_input) throw;
      return {name, false, e.what()};
    }
    if (prepared.not_upgraded) return {name, false, *prepared.not_upgraded};
    const Links links(prepared.model);
    std::int64_t macs = 0, integer_macs = 0;
    int all = 0, integer = 0;
    for (const Unit& unit : find_units(prepared.model)) {
      const auto& node = prepared.model.graph().node(unit.node);
      const std::int64_t cost = node_cost(node, links, specs).macs;
      macs += cost;
      if (cost > 0 || unit.kind == UnitKind::linear) ++all;
      if (unit.kind != UnitKind::linear) continue;
      ++integer;
      integer_macs += cost;
    }
    if (integer == 0)
      return {name, false, "no convolution or matrix product with constant float weights outside of control flow"};
    return {name, true,
            fmt::format("{} of {} convolutions and matrix products have an integer form ({} of the "
                        "multiply-accumulates); `rtmdl scale` measures where it pays",
                        integer, all, percent(share(integer_macs, macs)))};
  }

  Engine& engine_;
  const InspectRequest& request_;
  const Context& context_;
  const TemporaryFolder folder_;
  LoadRequest at_;
  Inspection seen_;
};

}  // namespace

void describe_model(const Model& model, const TensorSpecs& specs, Inspection& into) {
  Describer describer(model, specs, into);
  describer.sizes_and_layers();
  describer.cuts();
}

void describe_scaling(const ChannelGroups& groups, const std::vector<Block>& blocks, Inspection& into) {
  std::unordered_map<std::string, std::int64_t> macs_of;
  for (const Layer& layer : into.layers) macs_of[layer.name] = layer.macs;
  std::set<std::string> all;
  for (const ChannelGroup& g : groups.groups) {
    std::set<std::string> touched(g.makers.begin(), g.makers.end());
    touched.insert(g.readers.begin(), g.readers.end());
    std::int64_t macs = 0;
    for (const auto& name : touched) macs += macs_of[name];
    into.groups.push_back({g.name, static_cast<std::int64_t>(g.channels.size()), g.multiple, share(macs, into.macs),
                           g.makers, g.readers});
    all.merge(touched);
  }
  std::int64_t macs = 0;
  for (const auto& name : all) macs += macs_of[name];
  into.whole = groups.whole;
  for (const Block& b : blocks)
    into.blocks.push_back({b.name, b.residual, b.nodes.size(), share(b.macs, into.macs), b.weights});
  into.abilities.push_back(width(into, share(macs, into.macs)));
  into.abilities.push_back(depth(into));
}

Shapes assumed_shapes(const Model& model, const Shapes& given, std::vector<std::string>& assumed) {
  Model fixed = model;  // says what does not fit
  for (const auto& [name, shape] : given) set_input_shape(fixed, name, shape);
  Shapes shapes;
  for (const TensorSpec& input : model_inputs(fixed)) {
    if (!declares_shape(model, input.name))
      bad_input(
          fmt::format("{}: input '{}' declares no shape, not even how many dimensions it has", model.name, input.name));
    auto& shape = shapes[input.name] = input.shape;
    if (std::none_of(shape.begin(), shape.end(), [](std::int64_t d) { return d < 0; })) continue;
    if (shape[0] < 0) shape[0] = 1;
    if (shape.size() == 4) {
      if (shape[1] < 0 && shape[3] < 0) {
        if (const auto channels = features_read(model, input.name, 4)) shape[1] = *channels;
      }
      if (shape[1] > 0 || shape[3] > 0) {
        for (const std::size_t d : shape[1] > 0 ? std::array<std::size_t, 2>{2, 3} : std::array<std::size_t, 2>{1, 2}) {
          if (shape[d] < 0) shape[d] = kImageSide;
        }
      }
    } else if (shape.size() == 2 && shape[1] < 0) {
      shape[1] = features_read(model, input.name, 2).value_or(-1);
    }
    const auto free = std::find_if(shape.begin(), shape.end(), [](std::int64_t d) { return d <= 0; });
    if (free != shape.end()) {
      bad_input(fmt::format(
          "{}: dimension {} of input '{}' ({}) is free, and nothing tells what it should be: give "
          "--shape {}={}",
          model.name, free - shape.begin(), input.name, plain_shape(input.shape), input.name, plain_shape(shape)));
    }
    assumed.push_back(fmt::format("input '{}' ({}) was taken at {}; --shape says otherwise", input.name,
                                  plain_shape(input.shape), shape_text(shape)));
  }
  return shapes;
}

Inspection inspect(Engine& engine, const InspectRequest& request, const Context& context) {
  return Inspecting(engine, request, context).run();
}

}  // namespace rtmdl
