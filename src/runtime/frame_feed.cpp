#include "runtime/frame_feed.h"

#include <algorithm>

namespace rtmdl {
namespace {
constexpr std::size_t kMostFrameBytes = 256u << 20;  // 512 frames of 4K would need 12 GB, locked in memory
}  // namespace

StreamFeed::StreamFeed(const ConfigNode& where, Source& source, std::size_t frame_limit) {
  const std::size_t count = std::min(source.size(Split::stream), frame_limit);
  if (count == 0) where.fail("the source has no frames to play");
  frames_.reserve(count);
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < count && bytes < kMostFrameBytes; ++i) {
    frames_.push_back(source.read(Split::stream, i));
    bytes += frames_.back().image.total() * frames_.back().image.elemSize() + frames_.back().tensor.bytes.size();
  }
}

}  // namespace rtmdl
