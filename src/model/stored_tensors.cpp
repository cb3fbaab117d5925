#include "model/stored_tensors.h"

#include "base/atomic_file.h"
#include "model/model.h"
#include "model/sliced_weights.h"
#include "model/tensor_data.h"

#include <rtmdl/error.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <map>

#include <fmt/format.h>

namespace rtmdl {
namespace {

namespace fs = std::filesystem;
using onnx::TensorProto;

/// A field of a protobuf message and where its value begins.
struct Field {
  std::uint64_t number = 0;
  std::size_t begin = 0, size = 0;  ///< of length-delimited ones
  bool delimited = false;
};

/// The fields of one message within the bytes of a file. Stops where they are not a message.
class Message {
 public:
  Message(std::string_view file, std::size_t begin, std::size_t size) : file_(file), at_(begin), end_(begin + size) {}

  bool next(Field& field) {
    std::uint64_t tag = 0, value = 0;
    if (at_ >= end_ || !varint(tag)) return false;
    field.number = tag >> 3;
    field.delimited = (tag & 7) == 2;
    switch (tag & 7) {
      case 0: return varint(value);
      case 1: return skip(8);
      case 2:
        if (!varint(value)) return false;
        field.begin = at_;
        field.size = static_cast<std::size_t>(value);
        return skip(value);
      case 5: return skip(4);
      default: return false;
    }
  }

 private:
  bool varint(std::uint64_t& value) {
    value = 0;
    for (unsigned shift = 0; shift < 64 && at_ < end_; shift += 7) {
      const auto byte = static_cast<unsigned char>(file_[at_++]);
      value |= static_cast<std::uint64_t>(byte & 127U) << shift;
      if (byte < 128) return true;
    }
    return false;
  }
  bool skip(std::uint64_t bytes) {
    if (bytes > end_ - at_) return false;
    at_ += static_cast<std::size_t>(bytes);
    return true;
  }

  std::string_view file_;
  std::size_t at_, end_;
};

class Finder {
 public:
  explicit Finder(const fs::path& path) : path_(path), bytes_(read_file(path)) {}

  std::vector<StoredTensor> run() {
    Message model(bytes_, 0, bytes_.size());
    Field graph;
    bool found = false;
    onnx::ModelProto rest;  // what tells of other files
    for (Field f; model.next(f);) {
      if (!f.delimited) continue;
      if (f.number == onnx::ModelProto::kGraphFieldNumber) {
        graph = f;
        found = true;
      } else if (f.number == onnx::ModelProto::kMetadataPropsFieldNumber) {
        (void)rest.add_metadata_props()->ParseFromString(text(f));
      }
    }
    sliced_ = is_sliced(rest);
    if (sliced_) {
      for (const WeightsFile& file : weights_files(rest, path_.string(), path_.parent_path()))
        files_[file.location] = file.path;
    }
    if (found) visit_graph(graph);
    return std::move(found_);
  }

 private:
  [[nodiscard]] std::string text(const Field& f) const { return bytes_.substr(f.begin, f.size); }

  void visit_graph(const Field& graph) {
    Message message(bytes_, graph.begin, graph.size);
    for (Field f; message.next(f);) {
      if (!f.delimited) continue;
      if (f.number == onnx::GraphProto::kInitializerFieldNumber) visit_tensor(f, {});
      if (f.number == onnx::GraphProto::kNodeFieldNumber) visit_node(f);
    }
  }

  void visit_node(const Field& node) {
    std::string output;
    std::vector<Field> attributes;
    Message message(bytes_, node.begin, node.size);
    for (Field f; message.next(f);) {
      if (!f.delimited) continue;
      if (f.number == onnx::NodeProto::kOutputFieldNumber && output.empty()) output = text(f);
      if (f.number == onnx::NodeProto::kAttributeFieldNumber) attributes.push_back(f);
    }
    for (const Field& attribute : attributes) {
      Message inner(bytes_, attribute.begin, attribute.size);
      for (Field f; inner.next(f);) {
        if (!f.delimited) continue;
        if (f.number == onnx::AttributeProto::kTFieldNumber) visit_tensor(f, output);
        if (f.number == onnx::AttributeProto::kGFieldNumber || f.number == onnx::AttributeProto::kGraphsFieldNumber)
          visit_graph(f);
      }
    }
  }

  void visit_tensor(const Field& field, const std::string& name) {
    TensorProto tensor;
    if (!tensor.ParseFromArray(bytes_.data() + field.begin, static_cast<int>(field.size))) return;
    const auto type = element_type(tensor.data_type());
    if (!type) return;
    StoredTensor stored{name.empty() ? tensor.name() : name, tensor.data_type(), dims(tensor), path_, 0, {}};
    stored.slice.stored = stored.shape;
    const std::int64_t bytes = tensor_bytes(stored.shape, element_size(*type));
    if (tensor.data_location() == onnx::TensorProto_DataLocation_EXTERNAL) {
      if (!find_elsewhere(tensor, bytes, stored)) return;
    } else {
      Message message(bytes_, field.begin, field.size);
      int parts = 0;
      for (Field f; message.next(f);) {
        const bool data =
            f.number == TensorProto::kRawDataFieldNumber ||
            (f.number == TensorProto::kFloatDataFieldNumber && tensor.data_type() == TensorProto::FLOAT) ||
            (f.number == TensorProto::kDoubleDataFieldNumber && tensor.data_type() == TensorProto::DOUBLE);
        if (!data) continue;
        ++parts;
        if (!f.delimited || static_cast<std::int64_t>(f.size) != bytes) return;
        stored.offset = static_cast<std::int64_t>(f.begin);
      }
      if (parts != 1) return;
    }
    found_.push_back(std::move(stored));
  }

  /// Ordinary external data, or a slice.
  [[nodiscard]] bool find_elsewhere(const TensorProto& tensor, std::int64_t bytes, StoredTensor& stored) const {
    if (sliced_) {
      const StoredSlice at = stored_slice(tensor);
      stored.file = files_.at(at.location);
      stored.offset = at.offset;
      stored.slice = at.slice;
      return true;
    }
    std::int64_t length = bytes;
    for (const auto& entry : tensor.external_data()) {
      const std::string& v = entry.value();
      if (entry.key() == "location") stored.file = path_.parent_path() / v;
      if (entry.key() == "offset") (void)std::from_chars(v.data(), v.data() + v.size(), stored.offset);
      if (entry.key() == "length") (void)std::from_chars(v.data(), v.data() + v.size(), length);
    }
    return length == bytes;
  }

  const fs::path& path_;
  const std::string bytes_;
  bool sliced_ = false;
  std::map<std::string, fs::path> files_;  ///< by location, of a model of slices
  std::vector<StoredTensor> found_;
};

}  // namespace

std::vector<StoredTensor> stored_tensors(const fs::path& model) { return Finder(model).run(); }

std::string read_tensor(const StoredTensor& tensor) {
  std::ifstream file(tensor.file, std::ios::binary);
  const auto element = element_size(element_type(tensor.type).value());
  return read_slice(tensor.slice, element, [&](std::int64_t offset, std::span<char> to) {
    file.seekg(tensor.offset + offset);
    if (!file.read(to.data(), static_cast<std::streamsize>(to.size())))
      bad_input(fmt::format("weights '{}' cannot be read from {}", tensor.name, tensor.file.string()));
  });
}

}  // namespace rtmdl
