#pragma once
/// The 43 signs of GTSRB, in its order, as we draw them.

#include <opencv2/core/mat.hpp>

namespace rtmdl {

class Canvas;

/// A sign seen from the front in even light: 256 × 256 pixels, 8-bit, blue, green, red and opacity. `label` as in
/// GTSRB: 0 is 20 km/h, 14 stop, 42 the end of no overtaking for lorries.
[[nodiscard]] cv::Mat draw_sign(int label);

/// What stands within the frame of a sign.
namespace pictogram {
void car(Canvas& canvas, cv::Point2d centre, double size, const cv::Scalar& colour);    ///< from behind
void lorry(Canvas& canvas, cv::Point2d centre, double size, const cv::Scalar& colour);  ///< from the side
void crossing_with_priority(Canvas& canvas);
void exclamation_mark(Canvas& canvas);
void bend(Canvas& canvas, bool right);
void double_bend(Canvas& canvas);
void bumps(Canvas& canvas);
void skidding_car(Canvas& canvas);
void narrowing_on_the_right(Canvas& canvas);
void worker(Canvas& canvas);
void traffic_light(Canvas& canvas);
void pedestrian(Canvas& canvas);
void children(Canvas& canvas);
void bicycle(Canvas& canvas);
void snowflake(Canvas& canvas);
void deer(Canvas& canvas);
}  // namespace pictogram

}  // namespace rtmdl
