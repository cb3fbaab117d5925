#include "model/sliced_weights.h"

#include "base/excerpt.h"
#include "base/hash.h"
#include "model/model.h"
#include "model/tensor_data.h"

#include <rtmdl/error.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <map>
#include <memory>
#include <optional>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace rtmdl {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kMark = "rtmdl.slices";
constexpr std::string_view kVersion = "1";
constexpr std::string_view kFile = "rtmdl.file ";
constexpr std::string_view kTaken = "taken.";
constexpr std::size_t kDigestDigits = 32;

std::optional<std::int64_t> number(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, bad] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || bad != std::errc{} || end != text.data() + text.size() || value < 0) return std::nullopt;
  return value;
}

/// An open file whose size is the one that was written down.
class OpenFile {
 public:
  explicit OpenFile(const WeightsFile& file)
      : file_(file), fd_(::open(file.path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {  // a pipe must not hold us up
    struct stat info {};
    if (fd_ < 0 || ::fstat(fd_, &info) != 0)
      throw_and_close(fmt::format("{}, which cannot be read: {}", file.path.string(), std::strerror(errno)));
    if (!S_ISREG(info.st_mode)) throw_and_close(fmt::format("{}, which is not a file", file.path.string()));
    if (info.st_size != file.bytes)
      throw_and_close(fmt::format("{}, which has {} bytes now instead of {}: it is another file", file.path.string(),
                                  info.st_size, file.bytes));
  }
  ~OpenFile() { ::close(fd_); }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;

  [[nodiscard]] const WeightsFile& file() const { return file_; }

  void read(std::int64_t offset, std::span<char> to) const {
    while (!to.empty()) {
      const ssize_t n = ::pread(fd_, to.data(), to.size(), offset);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0)
        bad_input(
            fmt::format("{} cannot be read: {}", file_.path.string(), n < 0 ? std::strerror(errno) : "cut short"));
      offset += n;
      to = to.subspan(static_cast<std::size_t>(n));
    }
  }

 private:
  [[noreturn]] void throw_and_close(const std::string& why) const {
    if (fd_ >= 0) ::close(fd_);
    bad_input("they are in " + why);
  }

  WeightsFile file_;
  int fd_;
};

/// The entries of one tensor, each known and there once.
struct Reference {
  std::string location, offset, length, digest, stored, initializer;
  std::map<std::string, std::string> taken;  ///< by axis
};

Reference parse_reference(const onnx::TensorProto& tensor) {
  Reference r;
  const std::map<std::string_view, std::string*> known{{"location", &r.location}, {"offset", &r.offset},
                                                       {"length", &r.length},     {"digest", &r.digest},
                                                       {"stored", &r.stored},     {"initializer", &r.initializer}};
  for (const auto& entry : tensor.external_data()) {
    const std::string& key = entry.key();
    const auto at = known.find(key);
    if (at == known.end() && !key.starts_with(kTaken))
      bad_input(fmt::format("'{}' is no key of a slice", excerpt(key, 40)));
    std::string& value = at == known.end() ? r.taken[key.substr(kTaken.size())] : *at->second;
    if (!value.empty()) bad_input(fmt::format("'{}' is there twice", excerpt(key, 40)));
    if (entry.value().empty()) bad_input(fmt::format("'{}' is empty", excerpt(key, 40)));
    value = entry.value();
  }
  return r;
}

std::vector<std::int64_t> parse_shape(std::string_view text) {
  std::vector<std::int64_t> shape;
  for (std::string_view rest = text;;) {
    const std::size_t comma = rest.find(',');
    const auto d = number(rest.substr(0, comma));
    if (!d) bad_input(fmt::format("'{}' is not a shape", excerpt(text, 80)));
    shape.push_back(*d);
    if (comma == std::string_view::npos) return shape;
    rest.remove_prefix(comma + 1);
  }
}

/// The stored tensor.
struct Extent {
  std::int64_t offset = 0, length = 0;
  std::size_t element = 0;
  std::vector<std::int64_t> shape;
};

Extent parse_extent(const Reference& r, const onnx::TensorProto& tensor) {
  const auto type = element_type(tensor.data_type());
  if (!type) bad_input(fmt::format("elements of the type {} are not stored elsewhere", tensor.data_type()));
  const auto offset = number(r.offset);
  const auto length = number(r.length);
  if (!offset || !length) bad_input("'offset' and 'length' must be numbers");
  Extent extent{*offset, *length, element_size(*type), r.stored.empty() ? dims(tensor) : parse_shape(r.stored)};
  if (const auto needed = tensor_bytes(extent.shape, extent.element); needed != *length)
    bad_input(fmt::format("the stored tensor has {} bytes where its shape needs {}", *length, needed));
  if (*length == 0) bad_input("nothing is stored of them");
  return extent;
}

/// `shape` is that of the stored tensor, whose bytes are known to be there.
TensorSlice parse_slice(const Reference& r, const onnx::TensorProto& tensor, std::vector<std::int64_t> shape) {
  TensorSlice slice{std::move(shape), {}};
  for (const auto& [axis, positions] : r.taken) {
    const auto a = number(axis);
    if (!a || *a >= static_cast<std::int64_t>(slice.stored.size()))
      bad_input(
          fmt::format("positions along axis '{}' of a tensor with {} axes", excerpt(axis, 40), slice.stored.size()));
    slice.taken.resize(slice.stored.size());
    auto& taken = slice.taken[static_cast<std::size_t>(*a)];
    if (!taken.empty()) bad_input(fmt::format("positions along axis {} are there twice", *a));
    taken = parse_positions(positions, slice.stored[static_cast<std::size_t>(*a)]);
  }
  const std::vector<std::int64_t> own = dims(tensor);
  if (const auto taken = shape_of(slice); taken != own)
    bad_input(fmt::format("the slice has the shape [{}], not [{}]", fmt::join(taken, ", "), fmt::join(own, ", ")));
  return slice;
}

class Reader {
 public:
  Reader(const std::string& name, std::vector<WeightsFile> files) : name_(name), files_(std::move(files)) {}

  void operator()(onnx::TensorProto& tensor) {
    if (tensor.data_location() != onnx::TensorProto_DataLocation_EXTERNAL) return;
    try {
      take_in(tensor);
    } catch (const Error& e) {
      bad_input(fmt::format("{}: weights '{}': {}", name_, excerpt(tensor.name()), e.what()));
    }
  }

 private:
  void take_in(onnx::TensorProto& tensor) {
    const Reference r = parse_reference(tensor);
    const Extent extent = parse_extent(r, tensor);
    const OpenFile& file = open(r.location);
    if (extent.offset > file.file().bytes || extent.length > file.file().bytes - extent.offset)
      bad_input(fmt::format("{} bytes from byte {} on of {}, which has {}", extent.length, extent.offset,
                            file.file().path.string(), file.file().bytes));
    const TensorSlice slice = parse_slice(r, tensor, extent.shape);
    std::string bytes = read_slice(slice, extent.element,
                                   [&](std::int64_t at, std::span<char> to) { file.read(extent.offset + at, to); });
    if (tensor_digest(bytes) != r.digest) explain(file.file(), r);
    tensor.set_raw_data(std::move(bytes));
    tensor.clear_external_data();
    tensor.clear_data_location();
  }

  const OpenFile& open(const std::string& location) {
    auto& file = open_[location];
    if (file) return *file;
    const auto it = std::find_if(files_.begin(), files_.end(), [&](const auto& f) { return f.location == location; });
    if (it == files_.end()) bad_input(fmt::format("no weights file is named '{}'", excerpt(location, 80)));
    file = std::make_unique<OpenFile>(*it);
    return *file;
  }

  /// The whole file is hashed only now, to tell which of the two is not as it was.
  [[noreturn]] static void explain(const WeightsFile& file, const Reference& r) {
    const std::string what = r.initializer.empty() ? "" : fmt::format(" ('{}')", excerpt(r.initializer));
    if (sha256_of_file(file.path) != file.sha256)
      bad_input(fmt::format("they are in {}{}, whose content is another now", file.path.string(), what));
    bad_input(fmt::format("the slice of {}{} gives other values than were stored: the model is damaged",
                          file.path.string(), what));
  }

  const std::string& name_;
  std::vector<WeightsFile> files_;
  std::map<std::string, std::unique_ptr<OpenFile>> open_;
};

void add_entry(onnx::TensorProto& tensor, std::string_view key, const std::string& value) {
  auto& entry = *tensor.add_external_data();
  entry.set_key(std::string(key));
  entry.set_value(value);
}

bool is_ours(const std::string& key) { return key == kMark || key.starts_with(kFile); }

WeightsFile parse_file(const std::string& location, std::string_view text) {
  WeightsFile file;
  file.location = location;
  const std::size_t space = text.find(' ');
  const auto bytes = number(text.substr(0, space));
  if (!bytes || space == std::string_view::npos) bad_input(fmt::format("'{}' is no weights file", excerpt(text, 80)));
  file.bytes = *bytes;
  text.remove_prefix(space + 1);
  file.sha256 = std::string(text.substr(0, text.find(' ')));
  if (file.sha256.size() < text.size()) file.path = std::string(text.substr(file.sha256.size() + 1));
  if (file.location.find('/') != std::string::npos)
    bad_input(fmt::format("the weights file '{}' is not beside the model", excerpt(file.location, 80)));
  return file;
}

/// The outermost fields of a protobuf message in a file: their headers only, except where a value is asked for.
class Fields {
 public:
  explicit Fields(const fs::path& path) : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {}
  ~Fields() {
    if (fd_ >= 0) ::close(fd_);
  }
  Fields(const Fields&) = delete;
  Fields& operator=(const Fields&) = delete;

  /// Goes to the next field. False at the end and where the file is no such message.
  bool next() {
    at_ += static_cast<off_t>(length_);
    const auto tag = varint();
    if (!tag || *tag == 0) return false;
    field_ = *tag >> 3;
    length_ = 0;
    const auto value = (*tag & 7) == 0 || (*tag & 7) == 2 ? varint() : std::nullopt;
    if (!value || *value > std::uint64_t{1} << 40) return (*tag & 7) == 0 && value;
    if ((*tag & 7) == 2) length_ = *value;
    return true;
  }
  [[nodiscard]] std::uint64_t field() const { return field_; }
  [[nodiscard]] std::string value() const {
    std::string bytes(std::min<std::uint64_t>(length_, 1U << 20), '\0');
    const ssize_t n = ::pread(fd_, bytes.data(), bytes.size(), at_);
    bytes.resize(n < 0 ? 0 : static_cast<std::size_t>(n));
    return bytes;
  }

 private:
  std::optional<std::uint64_t> varint() {
    unsigned char bytes[10];
    const ssize_t n = ::pread(fd_, bytes, sizeof bytes, at_);
    std::uint64_t value = 0;
    for (ssize_t i = 0; i < n; ++i) {
      value |= static_cast<std::uint64_t>(bytes[i] & 127U) << (7 * i);
      if (bytes[i] < 128) {
        at_ += i + 1;
        return value;
      }
    }
    return std::nullopt;
  }

  int fd_;
  off_t at_ = 0;
  std::uint64_t field_ = 0, length_ = 0;
};

}  // namespace

std::string weights_location(const std::string& sha256) { return sha256.substr(0, 16) + ".weights"; }
std::string source_location(const std::string& sha256) { return sha256.substr(0, 16) + ".source"; }

std::string tensor_digest(std::string_view bytes) { return sha256(bytes).substr(0, kDigestDigits); }

void refer_to_slice(onnx::TensorProto& tensor, const StoredSlice& stored, const std::string& digest) {
  const auto type = element_type(tensor.data_type());
  if (!type || tensor.data_location() == onnx::TensorProto_DataLocation_EXTERNAL)
    throw Error(ErrorCode::internal, fmt::format("weights '{}' cannot be stored elsewhere", tensor.name()));
  tensor.clear_raw_data();
  tensor.set_data_location(onnx::TensorProto_DataLocation_EXTERNAL);
  add_entry(tensor, "location", stored.location);
  add_entry(tensor, "offset", fmt::format("{:012}", stored.offset));
  add_entry(tensor, "length", std::to_string(tensor_bytes(stored.slice.stored, element_size(*type))));
  add_entry(tensor, "digest", digest);
  if (!stored.initializer.empty()) add_entry(tensor, "initializer", stored.initializer);
  if (stored.slice.stored != dims(tensor))
    add_entry(tensor, "stored", fmt::format("{}", fmt::join(stored.slice.stored, ",")));
  for (std::size_t i = 0; i < stored.slice.taken.size(); ++i) {
    if (!stored.slice.taken[i].empty())
      add_entry(tensor, fmt::format("{}{}", kTaken, i), positions_text(stored.slice.taken[i]));
  }
}

void set_weights_files(onnx::ModelProto& model, const std::vector<WeightsFile>& files) {
  const auto add = [&](const std::string& key, const std::string& value) {
    auto& entry = *model.add_metadata_props();
    entry.set_key(key);
    entry.set_value(value);
  };
  add(std::string(kMark), std::string(kVersion));
  for (const WeightsFile& f : files)
    add(std::string(kFile) + f.location,
        fmt::format("{:012} {}{}{}", f.bytes, f.sha256, f.path.empty() ? "" : " ", f.path.string()));
}

bool is_sliced(const onnx::ModelProto& model) {
  return std::any_of(model.metadata_props().begin(), model.metadata_props().end(),
                     [](const auto& entry) { return entry.key() == kMark; });
}

StoredSlice stored_slice(const onnx::TensorProto& tensor) {
  const Reference r = parse_reference(tensor);
  const Extent extent = parse_extent(r, tensor);
  return {r.location, extent.offset, parse_slice(r, tensor, extent.shape), r.initializer};
}

bool refers_to_slice(const onnx::TensorProto& tensor) {
  return std::any_of(tensor.external_data().begin(), tensor.external_data().end(), [](const auto& entry) {
    const std::string& key = entry.key();
    return key == "digest" || key == "stored" || key == "initializer" || key.starts_with(kTaken);
  });
}

bool is_sliced_file(const fs::path& path) {
  Fields fields(path);
  while (fields.next()) {
    if (fields.field() != onnx::ModelProto::kMetadataPropsFieldNumber) continue;
    onnx::StringStringEntryProto entry;
    if (entry.ParseFromString(fields.value()) && entry.key() == kMark) return true;
  }
  return false;
}

std::vector<WeightsFile> weights_files(const onnx::ModelProto& model, const std::string& name, const fs::path& folder) {
  std::vector<WeightsFile> files;
  for (const auto& entry : model.metadata_props()) {
    if (entry.key() == kMark && entry.value() != kVersion)
      bad_input(fmt::format("{}: its weights are stored in the form '{}', this rtmdl reads {}; update it", name,
                            excerpt(entry.value(), 40), kVersion));
    if (!entry.key().starts_with(kFile)) continue;
    try {
      files.push_back(parse_file(entry.key().substr(kFile.size()), entry.value()));
    } catch (const Error& e) {
      bad_input(fmt::format("{}: {}", name, e.what()));
    }
    WeightsFile& file = files.back();
    // Physically: `folder` may lead through symbolic links, behind which ".." is another folder than it reads.
    file.path = file.path.empty() ? folder / file.location : fs::weakly_canonical(folder / file.path);
  }
  return files;
}

void take_in_slices(onnx::ModelProto& model, const std::string& name, const fs::path& folder) {
  Reader read(name, weights_files(model, name, folder));
  for_each_weights(*model.mutable_graph(), [&](onnx::TensorProto& tensor) { read(tensor); });
  auto& entries = *model.mutable_metadata_props();
  for (int i = entries.size() - 1; i >= 0; --i) {
    if (is_ours(entries[i].key())) entries.DeleteSubrange(i, 1);
  }
}

}  // namespace rtmdl
