#include "api/submitted_feed.h"

#include <algorithm>
#include <cstddef>
#include <mutex>
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

SubmittedFeed::Place* SubmittedFeed::find(std::uint64_t job) noexcept {
  for (Place& place : places_)
    if (place.holders > 0 && place.job == job) return &place;
  return nullptr;
}

bool SubmittedFeed::put(std::uint64_t job, const Input& input, std::promise<JobOutput>* answer) noexcept {
  const std::lock_guard<PriorityMutex> guard(lock_);
  const auto free = std::find_if(places_.begin(), places_.end(), [](const Place& place) { return place.holders == 0; });
  if (free == places_.end()) return false;
  free->job = job;
  free->holders = 1;
  free->input = input;
  free->answer.reset(answer);
  const Input& in = free->input;
  Frame& frame = free->frame;
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
  return true;
}

std::int64_t SubmittedFeed::tag(std::uint64_t job) noexcept {
  const std::lock_guard<PriorityMutex> guard(lock_);
  const Place* place = find(job);
  return place ? place->input.tag : 0;
}

std::unique_ptr<std::promise<JobOutput>> SubmittedFeed::take_answer(std::uint64_t job) noexcept {
  const std::lock_guard<PriorityMutex> guard(lock_);
  Place* place = find(job);
  return place ? std::move(place->answer) : nullptr;
}

void SubmittedFeed::release(std::uint64_t job) noexcept { leave(job); }

const Frame* SubmittedFeed::take(std::uint64_t job) noexcept {
  const std::lock_guard<PriorityMutex> guard(lock_);
  Place* place = find(job);
  if (!place) return nullptr;
  ++place->holders;
  return &place->frame;
}

void SubmittedFeed::give_back(std::uint64_t job) noexcept { leave(job); }

void SubmittedFeed::leave(std::uint64_t job) noexcept {
  std::shared_ptr<const void> owner;  // let go without the lock
  const std::lock_guard<PriorityMutex> guard(lock_);
  Place* place = find(job);
  if (!place || --place->holders > 0) return;
  owner = std::move(place->input.owner);
}

}  // namespace rtmdl
