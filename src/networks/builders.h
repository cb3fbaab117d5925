#pragma once
/// One function a family, each in a file of its own. Options are complete() already.

#include "networks/networks.h"

namespace rtmdl::networks {

/// Channels times width, to the nearest multiple of 8 (halves go up), at least 8 and at least 9/10 of the exact
/// product, as MobileNetV2's authors round. Width 1 changes nothing.
[[nodiscard]] int scaled(int channels, double width);
/// Repetitions times depth, rounded, at least 1.
[[nodiscard]] int repeated(int count, double depth);
[[nodiscard]] inline bool is_small(const NetworkOptions& o) { return o.rows < kSmallImage && o.columns < kSmallImage; }

[[nodiscard]] Model alexnet(const NetworkOptions& o, std::uint64_t seed);
[[nodiscard]] Model vgg(int layers, const NetworkOptions& o, std::uint64_t seed);
[[nodiscard]] Model resnet(int layers, const NetworkOptions& o, std::uint64_t seed);
[[nodiscard]] Model mobilenet_v2(const NetworkOptions& o, std::uint64_t seed);
[[nodiscard]] Model ssdlite(const NetworkOptions& o, std::uint64_t seed);
[[nodiscard]] Model tiny_yolo(const NetworkOptions& o, std::uint64_t seed);
[[nodiscard]] Model sbcnn(const NetworkOptions& o, std::uint64_t seed);
[[nodiscard]] Model emotion_lstm(const NetworkOptions& o, std::uint64_t seed);

}  // namespace rtmdl::networks
