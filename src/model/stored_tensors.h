#pragma once
/// Where on disk the weights of a model are, tensor by tensor, so that others can refer to them.

#include "model/tensor_slice.h"

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace rtmdl {

struct StoredTensor {
  std::string name;  ///< of an initializer, or of the output of a Constant node
  int type = 0;      ///< onnx::TensorProto::DataType
  std::vector<std::int64_t> shape;
  std::filesystem::path file;
  std::int64_t offset = 0;  ///< of the tensor that it is a slice of (most are whole)
  TensorSlice slice;
};

/// All weights, in subgraphs too, that lie in a file as they lie in memory; what is encoded otherwise (integers of
/// varying length) or of a type without whole bytes is left out. Throws Error(bad_input) if the file cannot be read;
/// what is no model has none. A model of slices (model/sliced_weights.h) must be one that load_model() accepts.
[[nodiscard]] std::vector<StoredTensor> stored_tensors(const std::filesystem::path& model);

/// The tensor's own bytes. Throws Error(bad_input) if they are not there.
[[nodiscard]] std::string read_tensor(const StoredTensor& tensor);

}  // namespace rtmdl
