#pragma once
/// A tensor as a part of a larger one that is stored somewhere: which positions along which axis, in which order.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace rtmdl {

/// Positions along one axis, in the order in which they are taken, none twice. Empty: the whole axis as it is.
using Positions = std::vector<std::int64_t>;

struct TensorSlice {
  std::vector<std::int64_t> stored;  ///< shape of the tensor that it is taken from
  std::vector<Positions> taken;      ///< by axis of `stored`; axes that are missing at the end are whole
  bool operator==(const TensorSlice&) const = default;
};

/// Ascending runs are written as ranges: "0-47,64,70-99".
[[nodiscard]] std::string positions_text(std::span<const std::int64_t> positions);
/// Throws Error(bad_input), naming what is wrong: not such a list, a position outside of 0 to `extent` − 1, one twice.
[[nodiscard]] Positions parse_positions(std::string_view text, std::int64_t extent);

/// Bytes of a tensor of that shape, `element` bytes an element. Throws Error(bad_input): a negative dimension, more
/// than 63 bits.
[[nodiscard]] std::int64_t tensor_bytes(std::span<const std::int64_t> shape, std::size_t element);
[[nodiscard]] std::vector<std::int64_t> shape_of(const TensorSlice& slice);
/// All positions of all axes.
[[nodiscard]] bool is_whole(const TensorSlice& slice);

/// Fills `to` with the bytes from `offset` on of the stored tensor.
using ReadBytes = std::function<void(std::int64_t offset, std::span<char> to)>;
/// The slice's bytes, row-major. Reads only the rows (positions of the first axis) that are needed. `slice` must be
/// valid: as many axes as `stored` at most, positions within it.
[[nodiscard]] std::string read_slice(const TensorSlice& slice, std::size_t element, const ReadBytes& read);
/// The same from memory.
[[nodiscard]] std::string cut_slice(const TensorSlice& slice, std::size_t element, std::string_view stored);

}  // namespace rtmdl
