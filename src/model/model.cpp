#include "model/model.h"

#include "base/atomic_file.h"
#include "base/excerpt.h"
#include "model/sliced_weights.h"
#include "model/tensor_data.h"

#include <fmt/format.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <rtmdl/error.h>

#include <algorithm>
#include <fstream>
#include <functional>
#include <limits>
#include <optional>
#include <queue>

namespace rtmdl {
namespace {

/// A name from the file, for a message: a damaged one may be long and no text.
std::string shown(const std::string& name) { return excerpt(name, 160); }

using google::protobuf::io::ArrayInputStream;
using google::protobuf::io::CodedInputStream;

constexpr std::size_t kProtobufLimit = std::numeric_limits<int>::max();

[[noreturn]] void refuse_size(const std::string& name) {
  bad_input(
      fmt::format("{}: larger than 2 GB, which the format cannot hold: store its weights as external data", name));
}

/// What is wrong with bytes that protobuf refuses: walks the outermost fields, which are few.
std::string diagnose(std::string_view bytes) {
  ArrayInputStream raw(bytes.data(), static_cast<int>(bytes.size()));
  CodedInputStream in(&raw);
  bool first = true;
  while (true) {
    const std::uint32_t tag = in.ReadTag();
    if (tag == 0) break;
    const std::uint32_t field = tag >> 3;
    if (first && (field == 0 || field > 25)) break;
    first = false;
    const int at = in.CurrentPosition();
    std::uint64_t value = 0;
    std::uint32_t length = 0;
    switch (tag & 7U) {
      case 0:
        if (!in.ReadVarint64(&value)) return "truncated";
        break;
      case 2: {
        if (!in.ReadVarint32(&length)) return "truncated";
        const auto left = bytes.size() - static_cast<std::size_t>(in.CurrentPosition());
        if (length > left) {
          if (field == 7) {
            return fmt::format("truncated: its graph needs {} bytes from byte {} on, {} are there", length, at, left);
          }
          return field <= 25 && at > 2 ? "truncated" : "not an ONNX model";
        }
        in.Skip(static_cast<int>(length));
        break;
      }
      default: return "not an ONNX model";
    }
  }
  return "not an ONNX model";
}

std::optional<std::string> entry(const onnx::TensorProto& tensor, std::string_view key) {
  for (const auto& e : tensor.external_data()) {
    if (e.key() == key) return e.value();
  }
  return std::nullopt;
}

std::size_t number(const std::string& text, std::size_t otherwise) {
  if (text.empty() || text.size() > 18 || text.find_first_not_of("0123456789") != std::string::npos) return otherwise;
  return static_cast<std::size_t>(std::stoull(text));
}

void pull_in_external_data(onnx::TensorProto& tensor, const std::string& model, const std::filesystem::path& folder) {
  if (tensor.data_location() != onnx::TensorProto_DataLocation_EXTERNAL) return;
  if (refers_to_slice(tensor))
    bad_input(fmt::format("{}: weights '{}' are a slice, but the model does not say of which form", model,
                          shown(tensor.name())));
  const std::filesystem::path location = entry(tensor, "location").value_or("");
  const bool escapes = std::any_of(location.begin(), location.end(), [](const auto& part) { return part == ".."; });
  if (location.empty() || location.is_absolute() || escapes) {
    bad_input(fmt::format("{}: weights '{}' are in the file '{}'; a name relative to the model's folder is needed",
                          model, shown(tensor.name()), shown(location.string())));
  }
  const auto path = folder / location;
  if (!std::filesystem::is_regular_file(path)) {
    bad_input(fmt::format("{}: weights '{}' are in {}, which is not there", model, shown(tensor.name()),
                          shown(path.string())));
  }
  const std::size_t size = std::filesystem::file_size(path);
  const std::size_t offset = number(entry(tensor, "offset").value_or("0"), size + 1);
  const std::size_t rest = offset <= size ? size - offset : 0;
  const std::size_t length = number(entry(tensor, "length").value_or(std::to_string(rest)), rest + 1);
  if (offset > size || length > rest) {
    bad_input(fmt::format("{}: weights '{}' are bytes {} to {} of {}, which has {}", model, shown(tensor.name()),
                          offset, offset + length, path.string(), size));
  }
  std::ifstream file(path, std::ios::binary);  // all tensors may be in one large file: only this part of it
  auto& bytes = *tensor.mutable_raw_data();
  bytes.resize(length);
  file.seekg(static_cast<std::streamoff>(offset));
  if (!file.read(bytes.data(), static_cast<std::streamsize>(length))) {
    bad_input(fmt::format("{}: weights '{}' cannot be read from {}", model, shown(tensor.name()), path.string()));
  }
  tensor.clear_external_data();
  tensor.clear_data_location();
}

void collect_reads(const onnx::NodeProto& node, std::vector<std::string>& names) {
  for (const auto& input : node.input()) {
    if (!input.empty()) names.push_back(input);
  }
  const auto inside = [&names](const onnx::GraphProto& graph) {
    std::unordered_set<std::string> own;
    for (const auto& i : graph.input()) own.insert(i.name());
    for (const auto& i : graph.initializer()) own.insert(i.name());
    for (const auto& n : graph.node()) own.insert(n.output().begin(), n.output().end());
    std::vector<std::string> inner;
    for (const auto& n : graph.node()) collect_reads(n, inner);
    for (const auto& o : graph.output()) inner.push_back(o.name());
    for (auto& name : inner) {
      if (!own.contains(name)) names.push_back(std::move(name));
    }
  };
  for (const auto& attribute : node.attribute()) {
    if (attribute.has_g()) inside(attribute.g());
    for (const auto& graph : attribute.graphs()) inside(graph);
  }
}

/// Kahn's algorithm, smallest old index first, so that an ordered graph keeps its order.
void sort_nodes(Model& model) {
  auto& nodes = *model.graph().mutable_node();
  std::unordered_map<std::string, int> producer;
  for (int i = 0; i < nodes.size(); ++i) {
    for (const auto& output : nodes[i].output()) {
      if (!output.empty()) producer.emplace(output, i);
    }
  }
  std::vector<std::vector<int>> next(static_cast<std::size_t>(nodes.size()));
  std::vector<int> missing(next.size(), 0);
  for (int i = 0; i < nodes.size(); ++i) {
    for (const auto& name : reads(nodes[i])) {
      if (const auto it = producer.find(name); it != producer.end()) {
        next[static_cast<std::size_t>(it->second)].push_back(i);
        ++missing[static_cast<std::size_t>(i)];
      }
    }
  }
  std::priority_queue<int, std::vector<int>, std::greater<>> ready;
  for (int i = 0; i < nodes.size(); ++i) {
    if (missing[static_cast<std::size_t>(i)] == 0) ready.push(i);
  }
  std::vector<int> order;
  while (!ready.empty()) {
    const int i = ready.top();
    ready.pop();
    order.push_back(i);
    for (const int n : next[static_cast<std::size_t>(i)]) {
      if (--missing[static_cast<std::size_t>(n)] == 0) ready.push(n);
    }
  }
  if (order.size() < missing.size()) {
    const auto stuck = std::find_if(missing.begin(), missing.end(), [](int m) { return m > 0; }) - missing.begin();
    bad_input(fmt::format("{}: the graph has a cycle: node {} waits for its own output", model.name,
                          describe(nodes[static_cast<int>(stuck)])));
  }
  if (std::is_sorted(order.begin(), order.end())) return;
  google::protobuf::RepeatedPtrField<onnx::NodeProto> sorted;
  for (const int i : order) *sorted.Add() = std::move(nodes[i]);
  nodes.Swap(&sorted);
}

/// Without reading it: 2 GB and more would fill the memory for nothing.
void require_readable_size(const std::filesystem::path& path) {
  std::error_code error;
  const auto size = std::filesystem::file_size(path, error);
  if (!error && size > kProtobufLimit) refuse_size(path.string());
}

/// Of weights with the same name the last counts, as it does for ONNX Runtime.
void drop_overridden_weights(onnx::GraphProto& graph) {
  std::unordered_set<std::string> seen;
  auto& weights = *graph.mutable_initializer();
  std::vector<int> gone;
  for (int i = weights.size() - 1; i >= 0; --i) {
    if (!seen.insert(weights[i].name()).second) gone.push_back(i);
  }
  for (const int i : gone) weights.DeleteSubrange(i, 1);  // highest first
}

}  // namespace

std::int64_t Model::opset() const {
  for (const auto& import : proto.opset_import()) {
    if (import.domain().empty() || import.domain() == "ai.onnx") return import.version();
  }
  return 0;
}

void for_each_weights(onnx::GraphProto& graph, const std::function<void(onnx::TensorProto&)>& visit) {
  for (auto& tensor : *graph.mutable_initializer()) visit(tensor);
  for (auto& node : *graph.mutable_node()) {
    for (auto& attribute : *node.mutable_attribute()) {
      if (attribute.has_t()) visit(*attribute.mutable_t());
      if (attribute.has_g()) for_each_weights(*attribute.mutable_g(), visit);
      for (auto& inner : *attribute.mutable_graphs()) for_each_weights(inner, visit);
    }
  }
}

Model load_model(const std::filesystem::path& path) {
  require_readable_size(path);
  return parse_model(read_file(path), path.string(), path.parent_path());
}

Model parse_model(std::string_view bytes, const std::string& name, const std::filesystem::path& folder) {
  if (bytes.empty()) bad_input(fmt::format("{}: not an ONNX model: the file is empty", name));
  if (bytes.size() > kProtobufLimit) refuse_size(name);
  Model model;
  model.name = name;
  if (!model.proto.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    bad_input(fmt::format("{}: {}", name, diagnose(bytes)));
  }
  if (!model.proto.has_graph() || (model.graph().node().empty() && model.graph().output().empty())) {
    bad_input(fmt::format("{}: not an ONNX model: it holds no graph", name));
  }
  if (is_sliced(model.proto)) take_in_slices(model.proto, name, folder);
  for_each_weights(model.graph(), [&](onnx::TensorProto& tensor) { pull_in_external_data(tensor, name, folder); });
  check_model(model);
  return model;
}

std::vector<std::filesystem::path> model_files(const std::filesystem::path& path) {
  std::vector<std::filesystem::path> files{path};
  std::error_code error;
  if (const auto size = std::filesystem::file_size(path, error); !error && size > kProtobufLimit) return files;
  onnx::ModelProto proto;
  const std::string bytes = read_file(path);
  if (bytes.size() > kProtobufLimit || !proto.ParseFromString(bytes)) return files;
  if (is_sliced(proto)) {
    try {
      for (WeightsFile& file : weights_files(proto, path.string(), path.parent_path()))
        files.push_back(std::move(file.path));
    } catch (const Error&) {  // load_model() says what is wrong
    }
    return files;
  }
  for_each_weights(*proto.mutable_graph(), [&](const onnx::TensorProto& tensor) {
    if (tensor.data_location() != onnx::TensorProto_DataLocation_EXTERNAL) return;
    auto file = path.parent_path() / entry(tensor, "location").value_or("");
    if (std::find(files.begin(), files.end(), file) == files.end()) files.push_back(std::move(file));
  });
  return files;
}

std::int64_t model_bytes(const std::filesystem::path& path) {
  std::uintmax_t sum = 0;
  for (const auto& file : model_files(path)) {
    std::error_code error;
    const auto size = std::filesystem::file_size(file, error);
    if (error) bad_input(fmt::format("{}: cannot read {}: {}", path.string(), file.string(), error.message()));
    sum += size;
  }
  return static_cast<std::int64_t>(sum);
}

void check_model(Model& model) {
  if (model.opset() <= 0) bad_input(fmt::format("{}: imports no version of the ONNX operator set", model.name));
  std::unordered_set<std::string> known;
  for (const auto& input : model.graph().input()) {
    if (!known.insert(input.name()).second)
      bad_input(fmt::format("{}: two inputs named '{}'", model.name, shown(input.name())));
    const auto& dimensions = input.type().tensor_type().shape().dim();
    for (int d = 0; d < dimensions.size(); ++d) {
      if (dimensions[d].has_dim_value() && dimensions[d].dim_value() == 0)
        bad_input(fmt::format("{}: input '{}': dimension {} is 0, which leaves nothing to compute", model.name,
                              shown(input.name()), d));
    }
  }
  drop_overridden_weights(model.graph());
  for (const auto& tensor : model.graph().initializer()) {
    if (const auto wrong = wrong_size(tensor); !wrong.empty()) {
      bad_input(fmt::format("{}: weights '{}': {}", model.name, shown(tensor.name()), wrong));
    }
    known.insert(tensor.name());
  }
  for (const auto& tensor : model.graph().sparse_initializer()) known.insert(tensor.values().name());
  for (const auto& node : model.graph().node()) {
    for (const auto& output : node.output()) {
      if (!output.empty() && !known.insert(output).second) {
        bad_input(
            fmt::format("{}: node {} writes '{}', which is defined before", model.name, describe(node), shown(output)));
      }
    }
  }
  for (const auto& node : model.graph().node()) {
    for (const auto& name : reads(node)) {
      if (!known.contains(name)) {
        bad_input(
            fmt::format("{}: node {} reads '{}', which nothing defines", model.name, describe(node), shown(name)));
      }
    }
  }
  std::unordered_set<std::string> outputs;
  for (const auto& output : model.graph().output()) {
    if (!known.contains(output.name())) {
      bad_input(fmt::format("{}: output '{}' is made by no node", model.name, shown(output.name())));
    }
    if (!outputs.insert(output.name()).second) {
      bad_input(fmt::format("{}: two outputs named '{}'", model.name, shown(output.name())));
    }
  }
  if (outputs.empty()) bad_input(fmt::format("{}: has no output", model.name));
  sort_nodes(model);
}

std::string serialize(const Model& model) {
  std::string bytes;
  if (model.proto.ByteSizeLong() > kProtobufLimit) {
    bad_input(fmt::format("{}: larger than 2 GB, which the format cannot hold", model.name));
  }
  google::protobuf::io::StringOutputStream raw(&bytes);
  google::protobuf::io::CodedOutputStream out(&raw);
  out.SetSerializationDeterministic(true);
  if (!model.proto.SerializeToCodedStream(&out))
    throw Error(ErrorCode::internal, model.name + ": cannot be serialised");
  out.Trim();
  return bytes;
}

void save_model(const Model& model, const std::filesystem::path& path) {
  write_file_atomically(path, serialize(model));
}

Links::Links(const Model& model) {
  const auto& graph = model.graph();
  for (int i = 0; i < graph.node_size(); ++i) {
    for (const auto& output : graph.node(i).output()) {
      if (!output.empty()) producer_[output] = i;
    }
    for (auto& name : reads(graph.node(i))) consumers_[std::move(name)].push_back(i);
  }
  for (const auto& tensor : graph.initializer()) constants_[tensor.name()] = &tensor;
  for (const auto& output : graph.output()) outputs_.insert(output.name());
}

int Links::producer(const std::string& tensor) const {
  const auto it = producer_.find(tensor);
  return it == producer_.end() ? -1 : it->second;
}

const std::vector<int>& Links::consumers(const std::string& tensor) const {
  static const std::vector<int> kNone;
  const auto it = consumers_.find(tensor);
  return it == consumers_.end() ? kNone : it->second;
}

const onnx::TensorProto* Links::constant(const std::string& tensor) const {
  const auto it = constants_.find(tensor);
  return it == constants_.end() ? nullptr : it->second;
}

bool Links::private_to_one(const std::string& tensor) const {
  return consumers(tensor).size() == 1 && !is_output(tensor);
}

std::vector<std::string> reads(const onnx::NodeProto& node) {
  std::vector<std::string> names;
  collect_reads(node, names);
  return names;
}

bool has_subgraph(const onnx::NodeProto& node) {
  return std::any_of(node.attribute().begin(), node.attribute().end(),
                     [](const auto& a) { return a.has_g() || a.graphs_size() > 0; });
}

bool is_op(const onnx::NodeProto& node, std::string_view type) {
  return node.op_type() == type && (node.domain().empty() || node.domain() == "ai.onnx");
}

std::string describe(const onnx::NodeProto& node) {
  const std::string& name = !node.name().empty() || node.output().empty() ? node.name() : node.output(0);
  return fmt::format("'{}' ({})", shown(name), excerpt(node.op_type()));
}

}  // namespace rtmdl
