#include "data/picture_file.h"

#include "base/atomic_file.h"

#include <cstdint>
#include <limits>
#include <string_view>

#include <opencv2/imgcodecs.hpp>

namespace rtmdl {

std::string without_colour_profile(std::string bytes) {
  constexpr std::string_view kSignature("\x89PNG\r\n\x1a\n", 8);
  constexpr std::size_t kAround = 12;  // length, type and checksum of a chunk
  if (bytes.compare(0, kSignature.size(), kSignature) != 0) return bytes;
  std::size_t at = kSignature.size();
  while (at + kAround <= bytes.size()) {
    std::uint32_t length = 0;
    for (std::size_t i = 0; i < 4; ++i) length = length << 8 | static_cast<std::uint8_t>(bytes[at + i]);
    const std::string_view type(bytes.data() + at + 4, 4);
    if (length > bytes.size() - at - kAround || type == "IDAT") break;
    if (type == "iCCP") bytes.erase(at, length + kAround);
    else at += length + kAround;
  }
  return bytes;
}

cv::Mat read_picture(const std::filesystem::path& path) {
  const std::string bytes = without_colour_profile(read_file(path));
  if (bytes.empty() || bytes.size() > std::numeric_limits<int>::max()) return {};
  const cv::Mat raw(1, static_cast<int>(bytes.size()), CV_8U, const_cast<char*>(bytes.data()));
  try {
    return cv::imdecode(raw, cv::IMREAD_COLOR);
  } catch (const cv::Exception&) {  // a header that promises more than 2^30 pixels
    return {};
  }
}

}  // namespace rtmdl
