#include "report/charts.h"
#include "report/describe.h"
#include "report/html.h"
#include "report/nesting.h"
#include "report/tracks.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <optional>
#include <tuple>

#include <fmt/format.h>

namespace rtmdl {
namespace {

constexpr double kWidth = 1160, kLabels = 130, kRight = 12, kPlot = kWidth - kLabels - kRight;
constexpr double kTrack = 24, kTrackGap = 6, kTask = 18, kTop = 6;
constexpr double kPixel = 0.6;             ///< pieces nearer than this are drawn as one
constexpr std::size_t kMostPieces = 7000;  ///< about 25 bytes each

struct Layer {
  std::size_t track = 0, depth = 0, task = 0;
  bool operator<(const Layer& o) const { return std::tie(track, depth, task) < std::tie(o.track, o.depth, o.task); }
};

/// Rectangles of one colour on one row as one path; neighbours that touch on the screen are merged.
class Boxes {
 public:
  /// By `from`, ascending.
  void add(double from, double to) {
    if (open_ && from <= open_->second + kPixel) {
      open_->second = std::max(open_->second, to);
      return;
    }
    flush();
    open_ = {from, to};
  }
  [[nodiscard]] std::string path(double y, double height) {
    flush();
    std::string d;
    for (const auto& [from, to] : pieces_)
      d += fmt::format("M{:.1f} {:.1f}h{:.1f}v{:.1f}h-{:.1f}z", from, y, to - from, height, to - from);
    return d;
  }
  [[nodiscard]] std::size_t size() const { return pieces_.size() + (open_ ? 1 : 0); }

 private:
  void flush() {
    if (open_) pieces_.emplace_back(open_->first, std::max(open_->second, open_->first + kPixel));
    open_.reset();
  }
  std::vector<std::pair<double, double>> pieces_;
  std::optional<std::pair<double, double>> open_;
};

class TimelineDrawing {
 public:
  TimelineDrawing(const RunOutcome& outcome, const std::vector<TaskInfo>& tasks, Duration length)
      : outcome_(outcome),
        tasks_(tasks),
        length_(length),
        tracks_(outcome),
        names_(std::max(tasks.size(), outcome.report.tasks.size())) {
    for (const JobRecord& r : outcome.records) names_ = std::max(names_, r.task + std::size_t{1});
    fill_processors();
    fill_tasks();
  }

  [[nodiscard]] std::size_t pieces() const { return pieces_; }

  std::string svg() {
    const double processors = static_cast<double>(tracks_.size()) * (kTrack + kTrackGap);
    const double tasks_top = kTop + processors + 14;
    const double bottom = tasks_top + static_cast<double>(names_) * kTask + 4;
    std::string out =
        fmt::format("<svg viewBox=\"0 0 {:.0f} {:.0f}\" role=\"img\" aria-label=\"{}\">\n", kWidth, bottom + 22,
                    escape_html(fmt::format("The first {} ms of {}: stages on processors, jobs of tasks, misses",
                                            to_ms(length_), outcome_.report.policy)));
    out += axis(bottom) + stalls(bottom);
    for (std::size_t t = 0; t < tracks_.size(); ++t) {
      const double y = kTop + static_cast<double>(t) * (kTrack + kTrackGap);
      out += label(y + kTrack / 2 + 4, tracks_.name(t)) +
             fmt::format("<rect x=\"{}\" y=\"{:.1f}\" width=\"{}\" height=\"{}\" class=\"lane\"/>\n", kLabels, y, kPlot,
                         kTrack);
    }
    for (auto& [layer, boxes] : stages_) {  // the displaced first, what displaced it over it
      const double inset = std::min(3.0, static_cast<double>(layer.depth)) * 2;
      const double y = kTop + static_cast<double>(layer.track) * (kTrack + kTrackGap);
      out += fmt::format("<path class=\"{}{}\" d=\"{}\"><title>{}</title></path>\n", task_class(layer.task),
                         layer.depth ? " over-other" : "", boxes.path(y + inset, kTrack - inset),
                         escape_html(task_name(tasks_, layer.task)));
    }
    for (std::size_t i = 0; i < names_; ++i) {
      const double y = tasks_top + static_cast<double>(i) * kTask;
      out += fmt::format("<rect x=\"{}\" y=\"{:.1f}\" width=\"9\" height=\"9\" rx=\"2\" class=\"{}\"/>\n", 2, y + 4,
                         task_class(i)) +
             label(y + 13, task_name(tasks_, i));
      out += fmt::format("<path class=\"job {}\" d=\"{}\"/>\n", task_class(i), jobs_[i].path(y + 6, 6));
      if (!misses_[i].empty())
        out += fmt::format("<path class=\"miss\" d=\"{}\"><title>misses of {}</title></path>\n",
                           crosses(misses_[i], y + 9), escape_html(task_name(tasks_, i)));
    }
    return out + "</svg>\n";
  }

 private:
  [[nodiscard]] double x_of(Time t) const {
    return kLabels + kPlot * std::clamp(to_seconds(t - outcome_.start) / to_seconds(length_), 0.0, 1.0);
  }
  [[nodiscard]] Time end() const { return outcome_.start + length_; }

  static std::string label(double y, const std::string& text) {
    return fmt::format("<text x=\"16\" y=\"{:.1f}\">{}</text>\n", y, escape_html(shortened(text, 17)));
  }

  void fill_processors() {
    std::vector<std::vector<Span>> spans(tracks_.size());
    for (std::size_t j = 0; j < outcome_.records.size(); ++j) {
      const JobRecord& r = outcome_.records[j];
      for (int s = 0; s < recorded_stages(r); ++s) {
        const JobRecord::Stage& stage = r.stage[static_cast<std::size_t>(s)];
        if (stage.ran() && stage.start < end() && stage.end >= outcome_.start)
          spans[tracks_.of(stage)].push_back(
              {stage.start, stage.end, static_cast<std::uint32_t>(j), static_cast<std::uint8_t>(s), false});
      }
    }
    for (std::size_t track = 0; track < spans.size(); ++track) {
      make_nested(spans[track]);
      std::vector<Time> open;
      for (const Span& s : spans[track]) {
        while (!open.empty() && open.back() <= s.start) open.pop_back();
        stages_[{track, open.size(), outcome_.records[s.job].task}].add(x_of(s.start), x_of(s.end));
        open.push_back(s.end);
      }
    }
    for (const auto& [layer, boxes] : stages_) pieces_ += boxes.size();
  }

  void fill_tasks() {
    jobs_.resize(names_);
    misses_.resize(names_);
    std::vector<const JobRecord*> records;
    for (const JobRecord& r : outcome_.records)
      if (r.release < end()) records.push_back(&r);
    std::sort(records.begin(), records.end(),
              [](const JobRecord* a, const JobRecord* b) { return a->release < b->release; });
    for (const JobRecord* r : records) {
      jobs_[r->task].add(x_of(r->release), x_of(r->finish));
      if (r->missed() && r->finish < end()) misses_[r->task].push_back(x_of(r->finish));
    }
    for (std::size_t i = 0; i < names_; ++i) {
      std::sort(misses_[i].begin(), misses_[i].end());
      double last = -1;
      std::erase_if(misses_[i], [&](double x) { return x - last < 3 ? true : (last = x, false); });
      pieces_ += jobs_[i].size() + misses_[i].size();
    }
  }

  static std::string crosses(const std::vector<double>& xs, double y) {
    std::string d;
    for (const double x : xs) d += fmt::format("M{:.1f} {:.1f}l7 7m-7 0l7-7", x - 3.5, y - 3.5);
    return d;
  }

  [[nodiscard]] std::string axis(double bottom) const {
    const double ms = to_ms(length_);
    double step = std::pow(10, std::floor(std::log10(ms / 4)));
    for (const double factor : {2.5, 2.0})
      if (ms / (step * factor) >= 6) {
        step *= factor;
        break;
      }
    std::string out;
    const int ticks = static_cast<int>(ms / step * 1.0001);
    for (int i = 0; i <= ticks; ++i) {
      const double t = i * step;
      const double x = kLabels + kPlot * t / ms;
      out += fmt::format(
          "<line x1=\"{0:.1f}\" y1=\"{1}\" x2=\"{0:.1f}\" y2=\"{2:.1f}\" class=\"grid\"/><text x=\"{0:.1f}\" "
          "y=\"{3:.1f}\" class=\"axis\" text-anchor=\"{5}\">{4:g} ms</text>\n",
          x, kTop, bottom, bottom + 15, t, i == ticks ? "end" : "middle");
    }
    return out;
  }

  [[nodiscard]] std::string stalls(double bottom) const {
    std::string out;
    for (const Stall& s : outcome_.stalls)
      if (s.start < end() && s.end > outcome_.start)
        out += fmt::format(
            "<rect x=\"{:.1f}\" y=\"{}\" width=\"{:.1f}\" height=\"{:.1f}\" class=\"stall\"><title>core {} stood still "
            "for {} ms</title></rect>\n",
            x_of(s.start), kTop, std::max(1.0, x_of(s.end) - x_of(s.start)), bottom - kTop, s.core,
            short_number(to_ms(s.end - s.start)));
    return out;
  }

  const RunOutcome& outcome_;
  const std::vector<TaskInfo>& tasks_;
  Duration length_;
  ProcessorTracks tracks_;
  std::size_t names_ = 0;  ///< tasks
  std::size_t pieces_ = 0;
  std::map<Layer, Boxes> stages_;
  std::vector<Boxes> jobs_;                  ///< per task
  std::vector<std::vector<double>> misses_;  ///< per task
};

}  // namespace

std::string timeline_svg(const RunOutcome& outcome, const std::vector<TaskInfo>& tasks, Duration length) {
  length = std::max(length, Duration(std::chrono::milliseconds(1)));
  for (;;) {
    TimelineDrawing drawing(outcome, tasks, length);
    if (drawing.pieces() <= kMostPieces || length <= std::chrono::milliseconds(2)) return drawing.svg();
    length /= 2;
  }
}

}  // namespace rtmdl
