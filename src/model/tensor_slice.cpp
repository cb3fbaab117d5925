#include "model/tensor_slice.h"

#include "base/excerpt.h"

#include <rtmdl/error.h>

#include <charconv>
#include <cstring>

#include <fmt/format.h>

namespace rtmdl {
namespace {

constexpr std::size_t kNumberDigits = 18;  // fits into 63 bits

std::int64_t parse_position(std::string_view text, std::string_view whole) {
  std::int64_t value = 0;
  const auto [end, bad] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || text.size() > kNumberDigits || bad != std::errc{} || end != text.data() + text.size() ||
      value < 0) {
    bad_input(fmt::format("'{}' in the positions '{}' is not a number", excerpt(text, 40), excerpt(whole, 80)));
  }
  return value;
}

/// Appends what is taken below `axis` from the stored bytes at `from`.
class Gather {
 public:
  Gather(const TensorSlice& slice, std::size_t element, std::string& out) : slice_(slice), out_(out) {
    const std::size_t rank = slice.stored.size();
    strides_.assign(rank + 1, static_cast<std::int64_t>(element));
    for (std::size_t i = rank; i-- > 0;) strides_[i] = strides_[i + 1] * slice.stored[i];
    for (std::size_t i = 0; i < slice.taken.size(); ++i) {
      if (!slice.taken[i].empty()) sliced_axes_ = i + 1;
    }
  }

  /// Bytes of one position along `axis` of the stored tensor.
  [[nodiscard]] std::int64_t stride(std::size_t axis) const { return strides_[axis + 1]; }
  /// Nothing from `axis` on is sliced: the bytes are as stored.
  [[nodiscard]] bool contiguous(std::size_t axis) const { return axis >= sliced_axes_; }

  void operator()(const char* from, std::size_t axis) {
    if (contiguous(axis)) {
      out_.append(from, static_cast<std::size_t>(strides_[axis]));
      return;
    }
    const Positions& taken = slice_.taken[axis];
    const std::int64_t step = stride(axis);
    if (taken.empty()) {
      for (std::int64_t i = 0; i < slice_.stored[axis]; ++i) (*this)(from + i * step, axis + 1);
    } else {
      for (const std::int64_t i : taken) (*this)(from + i * step, axis + 1);
    }
  }

 private:
  const TensorSlice& slice_;
  std::string& out_;
  std::vector<std::int64_t> strides_;  ///< of one position along the axis before; the last: an element
  std::size_t sliced_axes_ = 0;
};

}  // namespace

std::string positions_text(std::span<const std::int64_t> positions) {
  std::string text;
  for (std::size_t i = 0; i < positions.size();) {
    std::size_t last = i;
    while (last + 1 < positions.size() && positions[last + 1] == positions[last] + 1) ++last;
    text += (text.empty() ? "" : ",") + std::to_string(positions[i]);
    if (last > i) text += '-' + std::to_string(positions[last]);
    i = last + 1;
  }
  return text;
}

Positions parse_positions(std::string_view text, std::int64_t extent) {
  Positions positions;
  std::vector<bool> taken;
  for (std::string_view rest = text;;) {
    const std::size_t comma = rest.find(',');
    const std::string_view range = rest.substr(0, comma);
    const std::size_t dash = range.find('-');
    const std::int64_t first = parse_position(range.substr(0, dash), text);
    const std::int64_t last = dash == std::string_view::npos ? first : parse_position(range.substr(dash + 1), text);
    if (last < first) bad_input(fmt::format("the range '{}' in the positions goes down", excerpt(range, 40)));
    if (last >= extent) bad_input(fmt::format("position {} is taken, but the stored axis has {}", last, extent));
    if (taken.empty()) taken.resize(static_cast<std::size_t>(extent));
    for (std::int64_t i = first; i <= last; ++i) {
      if (taken[static_cast<std::size_t>(i)]) bad_input(fmt::format("position {} is taken twice", i));
      taken[static_cast<std::size_t>(i)] = true;
      positions.push_back(i);
    }
    if (comma == std::string_view::npos) return positions;
    rest.remove_prefix(comma + 1);
  }
}

std::int64_t tensor_bytes(std::span<const std::int64_t> shape, std::size_t element) {
  auto bytes = static_cast<std::int64_t>(element);
  bool fits = true;
  bool empty = false;
  for (const std::int64_t d : shape) {
    if (d < 0) bad_input(fmt::format("a dimension is {}", d));
    empty = empty || d == 0;
    fits = fits && (d == 0 || !__builtin_mul_overflow(bytes, d, &bytes));
  }
  if (!fits) bad_input("the shape stands for more bytes than there can be");
  return empty ? 0 : bytes;
}

std::vector<std::int64_t> shape_of(const TensorSlice& slice) {
  std::vector<std::int64_t> shape = slice.stored;
  for (std::size_t i = 0; i < slice.taken.size(); ++i) {
    if (!slice.taken[i].empty()) shape[i] = static_cast<std::int64_t>(slice.taken[i].size());
  }
  return shape;
}

bool is_whole(const TensorSlice& slice) {
  for (std::size_t i = 0; i < slice.taken.size(); ++i) {
    const Positions& taken = slice.taken[i];
    if (taken.empty()) continue;
    if (static_cast<std::int64_t>(taken.size()) != slice.stored[i]) return false;
    for (std::size_t k = 0; k < taken.size(); ++k) {
      if (taken[k] != static_cast<std::int64_t>(k)) return false;
    }
  }
  return true;
}

std::string read_slice(const TensorSlice& slice, std::size_t element, const ReadBytes& read) {
  std::string out;
  const auto size = static_cast<std::size_t>(tensor_bytes(shape_of(slice), element));
  if (size == 0) return out;
  Gather gather(slice, element, out);
  if (slice.stored.empty() || gather.contiguous(0)) {
    out.resize(size);
    read(0, out);
    return out;
  }
  out.reserve(size);
  const std::int64_t row = gather.stride(0);
  const Positions& rows = slice.taken.front();
  const bool whole_rows = gather.contiguous(1);
  std::string block;
  const auto rows_of = [&](std::int64_t first, std::int64_t count) {
    const auto bytes = static_cast<std::size_t>(count * row);
    if (whole_rows) {
      out.resize(out.size() + bytes);
      return read(first * row, std::span(out).last(bytes));
    }
    block.resize(bytes);
    read(first * row, block);
    for (std::int64_t i = 0; i < count; ++i) gather(block.data() + i * row, 1);
  };
  if (rows.empty()) rows_of(0, slice.stored.front());
  for (std::size_t i = 0; i < rows.size();) {
    std::size_t last = i;
    while (last + 1 < rows.size() && rows[last + 1] == rows[last] + 1) ++last;
    rows_of(rows[i], static_cast<std::int64_t>(last - i + 1));
    i = last + 1;
  }
  return out;
}

std::string cut_slice(const TensorSlice& slice, std::size_t element, std::string_view stored) {
  return read_slice(slice, element, [&](std::int64_t offset, std::span<char> to) {
    std::memcpy(to.data(), stored.data() + offset, to.size());
  });
}

}  // namespace rtmdl
