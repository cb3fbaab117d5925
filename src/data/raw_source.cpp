#include "data/input_files.h"
#include "data/sources.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <fstream>
#include <optional>

#include <fmt/format.h>

namespace rtmdl {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 3> kRawExtensions{".npy", ".bin", ".raw"};
constexpr std::int64_t kMostElements = std::int64_t{1} << 40;  // of a file
constexpr std::size_t kMostHeader = 10 + 65535;                // bytes of an .npy file's header

std::optional<ElementType> npy_type(std::string_view descr) {
  constexpr std::array<std::pair<std::string_view, ElementType>, 9> known{{{"<f4", ElementType::f32},
                                                                           {"<f2", ElementType::f16},
                                                                           {"<f8", ElementType::f64},
                                                                           {"|u1", ElementType::u8},
                                                                           {"|i1", ElementType::i8},
                                                                           {"<i4", ElementType::i32},
                                                                           {"<i8", ElementType::i64},
                                                                           {"<u4", ElementType::u32},
                                                                           {"|b1", ElementType::boolean}}};
  for (const auto& [name, type] : known)
    if (name == descr) return type;
  return std::nullopt;
}

/// What comes before the numbers of a file, and how they lie.
struct Layout {
  ElementType type = ElementType::f32;
  std::vector<std::int64_t> shape;  ///< of the whole file
  std::size_t offset = 0;           ///< bytes
};

/// The header of an .npy file of version 1 (NumPy enhancement proposal 1): a Python dictionary as text. `fail` is told
/// why a file is not accepted.
template <typename Fail>
Layout parse_npy(std::string_view bytes, Fail fail) {
  if (bytes.size() < 10 || bytes.substr(0, 6) != "\x93NUMPY") fail("it is no .npy file");
  if (bytes[6] != 1) fail(fmt::format("it is of version {}; version 1 is", static_cast<int>(bytes[6])));
  const std::size_t length =
      static_cast<unsigned char>(bytes[8]) | static_cast<std::size_t>(static_cast<unsigned char>(bytes[9])) << 8;
  if (bytes.size() < 10 + length) fail("it ends within the header");
  const std::string_view header = bytes.substr(10, length);
  const auto after = [&](std::string_view key) {
    const auto at = header.find(key);
    return at == header.npos ? header.npos : at + key.size();
  };
  const auto descr = after("'descr': '"), shape = after("'shape': (");
  if (descr == header.npos || shape == header.npos) fail("its header is damaged");
  if (after("'fortran_order': False") == header.npos) fail("it is in Fortran order; C order is");
  const std::string_view name = header.substr(descr, 3);
  const auto type = npy_type(name);
  if (!type) fail(fmt::format("its type is '{}'; little-endian f4, f2, f8, u1, i1, i4, i8, u4 and b1 are", name));
  Layout layout{*type, {}, 10 + length};
  std::int64_t count = 1;
  std::size_t at = shape;
  while (at < header.size() && header[at] != ')') {
    std::int64_t d = 0;
    const auto [end, ec] = std::from_chars(header.data() + at, header.data() + header.size(), d);
    if (ec != std::errc{} || d < 1 || d > kMostElements / count) fail("it is empty, or its shape is damaged");
    count *= d;
    layout.shape.push_back(d);
    at = static_cast<std::size_t>(end - header.data());
    while (at < header.size() && (header[at] == ',' || header[at] == ' ')) ++at;
  }
  return layout;
}

class RawSource final : public Source {
 public:
  RawSource(const ConfigNode& data, std::uint64_t seed) : node_(data["path"]) {
    data.allow({"source", "path", "shape", "type"});
    if (const auto shape = data["shape"]; shape.present()) {
      shape_ = shape.integers();
      for (const std::int64_t d : shape_)
        if (d < 1 || d > 1 << 28) shape.fail(fmt::format("{} is out of range: each dimension is 1 to 2^28", d));
      if (shape_.empty() || shape_.size() > 8 || element_count(shape_) > 1u << 28)
        shape.fail("expected 1 to 8 dimensions, at most 2^28 elements in all");
    }
    if (const auto type = data["type"]; type.present()) {
      const std::string name = type.one_of({"f32", "f16", "f64", "u8", "i8", "i32", "i64"});
      for (const auto t : {ElementType::f32, ElementType::f16, ElementType::f64, ElementType::u8, ElementType::i8,
                           ElementType::i32, ElementType::i64})
        if (name == element_name(t)) type_ = t;
    }
    files_ = list_files(node_, kRawExtensions, "tensors");
    fingerprint_ = fingerprint_of(data, seed, files_);
    for (std::size_t f = 0; f < files_.size(); ++f) find_items(data, f);
    if (items_.size() < 2)
      node_.fail(fmt::format("'{}' holds 1 tensor: at least 2 are needed, one to calibrate and one to evaluate",
                             node_.path().string()));
    const std::vector<bool> to_calibration = choose_for_calibration(items_.size(), seed);
    for (std::size_t i = 0; i < items_.size(); ++i) (to_calibration[i] ? calibration_ : evaluation_).push_back(i);
  }

  std::size_t size(Split s) const override { return chosen(s).size(); }

  Frame read(Split s, std::size_t i) override {
    const Item& item = items_[chosen(s)[i]];
    Frame frame;
    frame.index = static_cast<std::int64_t>(i);
    frame.restart = i == 0;
    frame.tensor = Tensor(item.type, item.shape);
    const std::size_t size = frame.tensor.bytes.size();
    if (read_part(item.file, item.offset, reinterpret_cast<char*>(frame.tensor.bytes.data()), size) < size)
      node_.fail(fmt::format("'{}' has become shorter", files_[item.file].string()));
    return frame;
  }

  std::string fingerprint() const override { return fingerprint_; }

 private:
  const std::vector<std::size_t>& chosen(Split s) const {
    return s == Split::calibration || s == Split::training ? calibration_ : evaluation_;
  }

  struct Item {
    std::size_t file;
    std::size_t offset;
    ElementType type;
    std::vector<std::int64_t> shape;
  };

  /// Up to `size` bytes from `offset` on; how many there were.
  std::size_t read_part(std::size_t f, std::size_t offset, char* to, std::size_t size) const {
    std::ifstream file(files_[f], std::ios::binary);
    if (!file.seekg(static_cast<std::streamoff>(offset)))
      node_.fail(fmt::format("'{}' cannot be read", files_[f].string()));
    file.read(to, static_cast<std::streamsize>(size));
    return static_cast<std::size_t>(file.gcount());
  }

  /// A file holds one tensor of `shape`, or several one after another; an .npy file without `shape` holds one.
  void find_items(const ConfigNode& data, std::size_t f) {
    const std::string name = files_[f].string();
    const std::size_t bytes = fs::file_size(files_[f]);
    Layout layout{type_, {}, 0};
    std::vector<std::int64_t> shape = shape_;
    if (has_extension(files_[f], std::array<std::string_view, 1>{".npy"})) {
      std::string header(std::min(bytes, kMostHeader), '\0');
      header.resize(read_part(f, 0, header.data(), header.size()));
      layout = parse_npy(
          header, [&](const std::string& why) { node_.fail(fmt::format("'{}' is not accepted: {}", name, why)); });
      if (shape.empty()) shape = layout.shape;
    } else if (shape.empty()) {
      data["shape"].fail(fmt::format("is missing: '{}' does not say its own", name));
    }
    const std::size_t size = element_count(shape) * element_size(layout.type);
    const std::size_t there = bytes - std::min(bytes, layout.offset);
    if (there == 0 || there % size != 0)
      node_.fail(fmt::format("'{}' holds {} bytes of numbers, which is not a multiple of the {} that the shape needs",
                             name, there, size));
    for (std::size_t at = 0; at < there; at += size) items_.push_back({f, layout.offset + at, layout.type, shape});
  }

  ConfigNode node_;
  std::vector<std::int64_t> shape_;
  ElementType type_ = ElementType::f32;
  std::vector<fs::path> files_;
  std::vector<Item> items_;
  std::vector<std::size_t> calibration_, evaluation_;
  std::string fingerprint_;
};

}  // namespace

std::unique_ptr<Source> open_raw(const ConfigNode& data, std::uint64_t seed) {
  return std::make_unique<RawSource>(data, seed);
}

}  // namespace rtmdl
