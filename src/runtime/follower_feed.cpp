#include "runtime/follower_feed.h"

#include <algorithm>
#include <cmath>
#include <mutex>
#include <utility>

namespace rtmdl {
namespace {

bool same_size(const Frame& a, const Frame& b) { return a.image.size() == b.image.size() && a.batch == b.batch; }

/// The pixels that the box touches, within the picture.
cv::Rect pixels_of(const Box& box, const cv::Mat& picture) noexcept {
  const auto cut = [](float at, int most) { return static_cast<int>(std::clamp(at, 0.0F, static_cast<float>(most))); };
  const int x0 = cut(std::floor(box.x0), picture.cols), y0 = cut(std::floor(box.y0), picture.rows);
  return {x0, y0, cut(std::ceil(box.x1), picture.cols) - x0, cut(std::ceil(box.y1), picture.rows) - y0};
}

}  // namespace

FollowerFeed::FollowerFeed(Frame own, std::span<const Frame> before) {
  samples_.push_back(std::move(own));
  for (const Frame& frame : before) {
    const bool seen = std::any_of(samples_.begin() + 1, samples_.end(),
                                  [&](const Frame& sample) { return same_size(sample, frame); });
    if (!seen) samples_.push_back(frame);
  }
}

FollowerFeed::Place* FollowerFeed::find(std::uint64_t job) noexcept {
  for (Place& place : places_)
    if (place.holders > 0 && place.job == job) return &place;
  return nullptr;
}

bool FollowerFeed::hand_over(std::uint64_t job, const Frame& frame, const Box* part) noexcept {
  // A step of one's own may give anything.
  if (part &&
      !(std::isfinite(part->x0) && std::isfinite(part->y0) && std::isfinite(part->x1) && std::isfinite(part->y1)))
    return false;
  const cv::Rect pixels = part ? pixels_of(*part, frame.image) : cv::Rect();
  if (part && (pixels.width <= 0 || pixels.height <= 0)) return false;
  const std::lock_guard<PriorityMutex> guard(lock_);
  const auto free = std::find_if(places_.begin(), places_.end(), [](const Place& place) { return place.holders == 0; });
  if (free == places_.end()) return false;
  free->job = job;
  free->holders = 1;
  free->frame.image = part ? frame.image(pixels) : frame.image;
  free->frame.borrowed = part ? TensorView{} : frame.values();
  free->frame.batch = part ? 1 : frame.batch;
  free->frame.index = frame.index;
  free->frame.restart = !part && frame.restart;
  return true;
}

void FollowerFeed::job_over(std::uint64_t job) noexcept { leave(job); }

const Frame* FollowerFeed::take(std::uint64_t job) noexcept {
  const std::lock_guard<PriorityMutex> guard(lock_);
  Place* place = find(job);
  if (!place) return nullptr;
  ++place->holders;
  return &place->frame;
}

void FollowerFeed::give_back(std::uint64_t job) noexcept { leave(job); }

void FollowerFeed::leave(std::uint64_t job) noexcept {
  const std::lock_guard<PriorityMutex> guard(lock_);
  if (Place* place = find(job)) --place->holders;
}

}  // namespace rtmdl
