#include "data/input_files.h"
#include "data/sources.h"

#include "base/atomic_file.h"

#include <array>
#include <charconv>
#include <cstring>
#include <optional>

#include <fmt/format.h>

namespace rtmdl {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 3> kExtensions{".npy", ".bin", ".raw"};

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

/// The header of an .npy file of version 1 (NumPy enhancement proposal 1): a Python dictionary as text.
std::optional<Layout> parse_npy(std::string_view bytes) {
  if (bytes.size() < 10 || bytes.substr(0, 6) != "\x93NUMPY" || bytes[6] != 1) return std::nullopt;
  const std::size_t length =
      static_cast<unsigned char>(bytes[8]) | static_cast<std::size_t>(static_cast<unsigned char>(bytes[9])) << 8;
  if (bytes.size() < 10 + length) return std::nullopt;
  const std::string_view header = bytes.substr(10, length);
  const auto after = [&](std::string_view key) {
    const auto at = header.find(key);
    return at == header.npos ? header.npos : at + key.size();
  };
  const auto descr = after("'descr': '"), shape = after("'shape': (");
  if (descr == header.npos || shape == header.npos || after("'fortran_order': False") == header.npos)
    return std::nullopt;
  const auto type = npy_type(header.substr(descr, 3));
  if (!type) return std::nullopt;
  Layout layout{*type, {}, 10 + length};
  std::size_t at = shape;
  while (at < header.size() && header[at] != ')') {
    std::int64_t d = 0;
    const auto [end, ec] = std::from_chars(header.data() + at, header.data() + header.size(), d);
    if (ec != std::errc{} || d < 1 || d > (std::int64_t{1} << 40)) return std::nullopt;
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
    files_ = list_files(node_, kExtensions, "tensors");
    fingerprint_ = fingerprint_of(data, seed, files_);
    for (std::size_t f = 0; f < files_.size(); ++f) find_items(data, f);
    if (items_.size() < 2)
      node_.fail(fmt::format("'{}' holds 1 tensor: at least 2 are needed, one to calibrate and one to evaluate",
                             node_.path().string()));
    const std::vector<bool> to_calibration = choose_for_calibration(items_.size(), seed);
    for (std::size_t i = 0; i < items_.size(); ++i) (to_calibration[i] ? calibration_ : evaluation_).push_back(i);
  }

  std::size_t size(Split s) const override {
    return s == Split::calibration ? calibration_.size() : evaluation_.size();
  }

  Frame read(Split s, std::size_t i) override {
    const Item& item = items_[(s == Split::calibration ? calibration_ : evaluation_)[i]];
    const std::string bytes = read_file(files_[item.file]);
    Frame frame;
    frame.index = static_cast<std::int64_t>(i);
    frame.restart = i == 0;
    frame.tensor = Tensor(item.type, item.shape);
    if (bytes.size() < item.offset + frame.tensor.bytes.size())
      node_.fail(fmt::format("'{}' has become shorter", files_[item.file].string()));
    std::memcpy(frame.tensor.bytes.data(), bytes.data() + item.offset, frame.tensor.bytes.size());
    return frame;
  }

  std::string fingerprint() const override { return fingerprint_; }

 private:
  struct Item {
    std::size_t file;
    std::size_t offset;
    ElementType type;
    std::vector<std::int64_t> shape;
  };

  /// A file holds one tensor of `shape`, or several one after another; an .npy file without `shape` holds one.
  void find_items(const ConfigNode& data, std::size_t f) {
    const std::string name = files_[f].string();
    const std::string bytes = read_file(files_[f]);
    Layout layout{type_, {}, 0};
    std::vector<std::int64_t> shape = shape_;
    if (files_[f].extension() == ".npy") {
      const auto found = parse_npy(bytes);
      if (!found)
        node_.fail(fmt::format("'{}' is not accepted: an .npy file of version 1, little-endian, in C order is", name));
      layout = *found;
      if (shape.empty()) shape = layout.shape;
    } else if (shape.empty()) {
      data["shape"].fail(fmt::format("is missing: '{}' does not say its own", name));
    }
    const std::size_t size = element_count(shape) * element_size(layout.type);
    const std::size_t there = bytes.size() - layout.offset;
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
