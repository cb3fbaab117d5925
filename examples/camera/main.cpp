// A camera or a video through a task of a planned task file; what it finds is drawn and written to a video.
//
//   camera TASKS.yaml TASK SOURCE OUT.avi      SOURCE: a camera's number, or a video (frames/%03d.png will do)

#include <rtmdl/error.h>
#include <rtmdl/runtime.h>

#include <opencv2/imgproc.hpp>
#include <opencv2/videoio.hpp>

#include <cstdio>
#include <cstdlib>
#include <deque>
#include <memory>
#include <string>
#include <utility>

namespace {

void draw(cv::Mat& picture, const rtmdl::Result& result) {
  const cv::Scalar colour(0, 200, 0);
  for (const rtmdl::Box& box : result.boxes)
    cv::rectangle(picture, cv::Point2f(box.x0, box.y0), cv::Point2f(box.x1, box.y1), colour, 2);
  for (const rtmdl::LineSegment& line : result.lines)
    cv::line(picture, cv::Point2f(line.x0, line.y0), cv::Point2f(line.x1, line.y1), colour, 2);
}

cv::VideoCapture open(const std::string& source) {
  const bool number = !source.empty() && source.find_first_not_of("0123456789") == std::string::npos;
  return number ? cv::VideoCapture(std::atoi(source.c_str())) : cv::VideoCapture(source);
}

int play(const std::string& tasks, const std::string& name, const std::string& source, const std::string& out) {
  cv::VideoCapture video = open(source);
  if (!video.isOpened()) {
    std::fprintf(stderr, "camera: cannot open %s\n", source.c_str());
    return 2;
  }
  rtmdl::Runtime box(tasks);
  const int task = box.find(name);

  // A few frames are under way at a time, so that reading, inference and drawing overlap.
  constexpr std::size_t kUnderWay = 3;
  std::deque<std::pair<std::shared_ptr<cv::Mat>, std::future<rtmdl::JobOutput>>> pending;
  cv::VideoWriter writer;
  int frames = 0, found = 0;
  const auto finish_one = [&] {
    auto [frame, answer] = std::move(pending.front());
    pending.pop_front();
    const rtmdl::JobOutput job = answer.get();
    draw(*frame, job.result);
    found += static_cast<int>(job.result.boxes.size() + job.result.lines.size());
    if (!writer.isOpened()) writer.open(out, cv::VideoWriter::fourcc('M', 'J', 'P', 'G'), 25, frame->size());
    writer.write(*frame);
    ++frames;
  };
  while (true) {
    auto frame = std::make_shared<cv::Mat>();
    if (!video.read(*frame) || frame->empty()) break;
    // Nothing is copied: the picture stays until the job is over, and until it is drawn here.
    const auto input =
        rtmdl::Input::picture(frame->data, frame->cols, frame->rows, frame->channels(), frame->step[0], frame);
    if (pending.size() == kUnderWay) finish_one();
    pending.emplace_back(frame, box.request(task, input));
  }
  while (!pending.empty()) finish_one();
  const rtmdl::Statistics all = box.statistics();
  const rtmdl::TaskStatistics& s = all.tasks[static_cast<std::size_t>(task)];
  std::printf("%d frames, %d things found; %lld late, %lld dropped, %lld failed\n", frames, found,
              static_cast<long long>(s.late), static_cast<long long>(s.dropped), static_cast<long long>(s.failed));
  if (!all.energy.meter.empty())  // the processors' power, or a meter, is in the task file
    std::printf("%.3g W on average, %.3g J by the task\n", all.energy.watts, s.joules);
  return frames > 0 ? 0 : 2;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: camera TASKS.yaml TASK SOURCE OUT.avi\n");
    return 2;
  }
  try {
    return play(argv[1], argv[2], argv[3], argv[4]);
  } catch (const rtmdl::Error& e) {
    std::fprintf(stderr, "camera: %s\n", e.what());
    return static_cast<int>(e.code());
  }
}
