#pragma once
/// Models whose weights are slices of tensors that other files hold, so that the levels of a family, and the source
/// that they come from, store what they have in common once.
///
/// Such a file is an ONNX graph as any other; a tensor of it that is kept elsewhere has `data_location = EXTERNAL` and
/// `external_data` with
///   location     name of a weights file: 16 digits of its SHA-256 and an ending
///   offset       where the stored tensor begins in it
///   length       bytes of the stored tensor, whole
///   digest       first 32 digits of the SHA-256 of *this* tensor's bytes
///   stored       shape of the stored tensor: "64,3,7,7"; left out where it is this tensor's own
///   taken.AXIS   positions along that axis of it: "0-47,64,70-99"; left out where all are taken in their order
///   initializer  name of the stored tensor, where it is one of the user's own model
/// and the model's metadata_props say which files those are:
///   rtmdl.slices         1, the version of this form
///   rtmdl.file LOCATION  "BYTES SHA256", then a space and the path (relative to the model's folder, or absolute) where
///                        the file is not beside the model under the name LOCATION
/// load_model() takes the slices in, checks their digests, and gives the model as if it had never been anything else.

#include "model/tensor_slice.h"

#include <onnx/onnx_pb.h>

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace rtmdl {

/// A file that weights are in.
struct WeightsFile {
  std::string location;        ///< its name in the graph file
  std::int64_t bytes = 0;      ///< of the file
  std::string sha256;          ///< of the file
  std::filesystem::path path;  ///< from the model's folder on; empty: `location`
};

/// Where a tensor's bytes are.
struct StoredSlice {
  std::string location;     ///< of one of the model's files
  std::int64_t offset = 0;  ///< of the stored tensor
  TensorSlice slice;
  std::string initializer;  ///< of the user's own model, for messages
};

/// The names of a weights file that is beside the models that use it, and of one that is elsewhere.
[[nodiscard]] std::string weights_location(const std::string& sha256);
[[nodiscard]] std::string source_location(const std::string& sha256);
/// What makes `digest`: first 32 digits of the SHA-256.
[[nodiscard]] std::string tensor_digest(std::string_view bytes);

/// Replaces the data of a tensor (raw, of a type with elements of whole bytes) by the reference to it. How long that
/// is in the file does not depend on the value of `offset`.
void refer_to_slice(onnx::TensorProto& tensor, const StoredSlice& stored, const std::string& digest);
/// Says which files the model's weights are in. `files` must have all locations that its tensors name. How long that is
/// in the file does not depend on the value of `bytes`.
void set_weights_files(onnx::ModelProto& model, const std::vector<WeightsFile>& files);

[[nodiscard]] bool is_sliced(const onnx::ModelProto& model);
/// What refer_to_slice() wrote. Throws Error(bad_input) for what load_model() would not accept either, as far as that
/// can be told without the file.
[[nodiscard]] StoredSlice stored_slice(const onnx::TensorProto& tensor);
/// Has a key that only this form knows.
[[nodiscard]] bool refers_to_slice(const onnx::TensorProto& tensor);
/// Looks at the file's outermost fields only. False for what cannot be read or is no model.
[[nodiscard]] bool is_sliced_file(const std::filesystem::path& path);
/// Paths are resolved against `folder`. Throws Error(bad_input).
[[nodiscard]] std::vector<WeightsFile> weights_files(const onnx::ModelProto& model, const std::string& name,
                                                     const std::filesystem::path& folder);
/// Takes in all slices and removes every trace of this form. Throws Error(bad_input), one line that begins with `name`:
/// a file that is missing, of another size or other content, a slice that is not within it, damaged.
void take_in_slices(onnx::ModelProto& model, const std::string& name, const std::filesystem::path& folder);

}  // namespace rtmdl
