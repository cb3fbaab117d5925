#pragma once
/// What is given to a task: a picture or a tensor, in memory that its owner keeps until the job is over. Nothing is
/// copied.

#include <rtmdl/tensor.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>

namespace rtmdl {

struct Input {
  static constexpr std::size_t kMaxRank = 8;

  /// A picture: 8 bits a channel, interleaved, rows `stride` bytes apart; 1 channel (grey) or 3 (blue, green, red).
  const std::uint8_t* pixels = nullptr;
  int width = 0, height = 0, channels = 3;
  std::size_t stride = 0;
  int batch = 1;  ///< pictures of one size, one below the other: `height` is that of all

  /// Or a tensor: an audio window (f32, [1, samples]) or the model's input itself.
  const void* values = nullptr;
  ElementType type = ElementType::f32;
  std::array<std::int64_t, kMaxRank> shape{};
  std::size_t rank = 0;

  /// Held until the job is over; may be empty if the caller knows by itself how long the memory stays.
  std::shared_ptr<const void> owner;
  std::int64_t tag = 0;  ///< the caller's own; comes back with the result
  bool restart = false;  ///< the first of a sequence: a stateful model starts afresh

  /// `stride` 0: rows follow each other.
  [[nodiscard]] static Input picture(const std::uint8_t* pixels, int width, int height, int channels = 3,
                                     std::size_t stride = 0, std::shared_ptr<const void> owner = {}) {
    Input in;
    in.pixels = pixels;
    in.width = width;
    in.height = height;
    in.channels = channels;
    in.stride = stride != 0 ? stride : static_cast<std::size_t>(width) * static_cast<std::size_t>(channels);
    in.owner = std::move(owner);
    return in;
  }
  /// At most kMaxRank dimensions; more make an input that is refused.
  [[nodiscard]] static Input tensor(const void* values, ElementType type, std::span<const std::int64_t> shape,
                                    std::shared_ptr<const void> owner = {}) {
    Input in;
    in.values = values;
    in.type = type;
    in.rank = shape.size();
    for (std::size_t i = 0; i < shape.size() && i < kMaxRank; ++i) in.shape[i] = shape[i];
    in.owner = std::move(owner);
    return in;
  }
};

}  // namespace rtmdl
