#include "api/submitted_feed.h"

#include <algorithm>
#include <cstddef>
#include <utility>

namespace rtmdl {
namespace {

constexpr int kLargestSide = 1 << 16;
constexpr std::int64_t kMostElements = std::int64_t{1} << 32;

bool usable_picture(const Input& in) noexcept {
  return in.width > 0 && in.width <= kLargestSide && in.height > 0 && (in.channels == 1 || in.channels == 3) &&
         in.batch > 0 && in.height % in.batch == 0 && in.height / in.batch <= kLargestSide &&
         in.stride >= static_cast<std::size_t>(in.width) * static_cast<std::size_t>(in.channels);
}

bool usable_tensor(const Input& in) noexcept {
  if (in.rank > Input::kMaxRank) return false;
  std::int64_t elements = 1;
  for (std::size_t i = 0; i < in.rank; ++i) {
    if (in.shape[i] < 1 || in.shape[i] > kMostElements / elements) return false;
    elements *= in.shape[i];
  }
  return true;
}

}  // namespace

bool SubmittedFeed::usable(const Input& input) noexcept {
  if ((input.pixels == nullptr) == (input.values == nullptr)) return false;
  return input.pixels ? usable_picture(input) : usable_tensor(input);
}

bool SubmittedFeed::put(std::uint64_t job, const Input& input, std::promise<JobOutput>* answer) noexcept {
  Place& to = place(job);
  if (to.taken.load(std::memory_order_acquire)) return false;
  to.input = input;
  to.answer.reset(answer);
  const Input& in = to.input;
  Frame& frame = to.frame;
  frame.index = static_cast<std::int64_t>(job);
  frame.restart = in.restart;
  frame.batch = in.batch;
  if (in.pixels) {
    frame.image = cv::Mat(in.height, in.width, in.channels == 1 ? CV_8UC1 : CV_8UC3,
                          const_cast<std::uint8_t*>(in.pixels), in.stride);
    frame.borrowed = {};
  } else {
    const std::span<const std::int64_t> shape(in.shape.data(), in.rank);
    auto* bytes = static_cast<std::byte*>(const_cast<void*>(in.values));
    frame.image = cv::Mat();
    frame.borrowed = {in.type, shape, {bytes, element_count(shape) * element_size(in.type)}};
  }
  to.taken.store(true, std::memory_order_release);
  return true;
}

std::unique_ptr<std::promise<JobOutput>> SubmittedFeed::take_answer(std::uint64_t job) noexcept {
  return std::move(place(job).answer);
}

void SubmittedFeed::release(std::uint64_t job) noexcept {
  Place& from = place(job);
  from.input.owner.reset();
  from.taken.store(false, std::memory_order_release);
}

}  // namespace rtmdl
