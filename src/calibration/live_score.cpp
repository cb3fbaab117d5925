#include "calibration/live_score.h"

#include <algorithm>

#include <fmt/format.h>

namespace rtmdl {

StreamReferences::StreamReferences(Engine& engine, const TaskSpec& task, std::uint64_t seed, std::size_t jobs,
                                   const Context& context)
    : evaluator_(engine, task, seed) {
  const std::size_t frames = std::min({evaluator_.size(Split::stream), kStreamFrames, std::max<std::size_t>(jobs, 1)});
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < frames && bytes < kReferenceBytes && !context.stopping(); ++i) {
    bytes += bytes_of(evaluator_.reference(Split::stream, i));
    size_ = static_cast<std::int64_t>(i) + 1;
    context.report(fmt::format("{}: what the source model says", task.name),
                   static_cast<double>(size_) / static_cast<double>(frames));
  }
}

LiveScore::LiveScore(StreamReferences& references)
    : references_(references), candidate_(references.evaluator().metric()), source_(references.evaluator().metric()) {}

void LiveScore::add(std::int64_t frame, const Result& result) {
  if (frame < 0 || frame >= references_.size()) return;
  AccuracyEvaluator& evaluator = references_.evaluator();
  const auto i = static_cast<std::size_t>(frame);
  const Result& reference = evaluator.reference(Split::stream, i);
  const Frame& input = evaluator.frame(Split::stream, i);
  candidate_->add(result, reference, input);
  source_->add(reference, reference, input);
}

std::pair<double, double> LiveScore::value() const { return {candidate_->value(), source_->value()}; }

}  // namespace rtmdl
