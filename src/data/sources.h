#pragma once
/// One constructor per kind of source; open_source() chooses by the word after `source:`.

#include "data/source.h"

namespace rtmdl {

[[nodiscard]] std::unique_ptr<Source> open_images(const ConfigNode& data, std::uint64_t seed);
[[nodiscard]] std::unique_ptr<Source> open_video(const ConfigNode& data, std::uint64_t seed);
[[nodiscard]] std::unique_ptr<Source> open_audio(const ConfigNode& data, std::uint64_t seed);
[[nodiscard]] std::unique_ptr<Source> open_idx(const ConfigNode& data, std::uint64_t seed);
[[nodiscard]] std::unique_ptr<Source> open_cifar10(const ConfigNode& data, std::uint64_t seed);
[[nodiscard]] std::unique_ptr<Source> open_cifar100(const ConfigNode& data, std::uint64_t seed);
[[nodiscard]] std::unique_ptr<Source> open_gtsrb(const ConfigNode& data, std::uint64_t seed);
[[nodiscard]] std::unique_ptr<Source> open_signs(const ConfigNode& data, std::uint64_t seed);
[[nodiscard]] std::unique_ptr<Source> open_traffic_lights(const ConfigNode& data, std::uint64_t seed);
[[nodiscard]] std::unique_ptr<Source> open_raw(const ConfigNode& data, std::uint64_t seed);
[[nodiscard]] std::unique_ptr<Source> open_synthetic(const ConfigNode& data, std::uint64_t seed);

/// What the streams of random numbers are for: one number each, so that none of them repeats another.
namespace purpose {
constexpr std::uint64_t split = 1, calibration = 2, evaluation = 3, stream = 4, training = 5;
/// The purpose that bears the split's name.
[[nodiscard]] std::uint64_t of(Split s) noexcept;
}  // namespace purpose

/// Which of `count` things go to calibration: a seeded third, at least one, never all (count ≥ 2). In ascending order.
[[nodiscard]] std::vector<bool> choose_for_calibration(std::size_t count, std::uint64_t seed);

/// Keeps at most `most`, spread evenly: things of one kind often lie side by side.
void thin(std::vector<std::size_t>& things, std::size_t most);

}  // namespace rtmdl
