#include "profiling/detection_counts.h"

#include "profiling/accuracy.h"

#include <algorithm>

#include <fmt/format.h>

namespace rtmdl {

std::vector<std::uint8_t> detection_counts(Engine& engine, const TaskSpec& task, Store& store, ContentHashes& hashes,
                                           std::uint64_t seed, const Context& context) {
  AccuracyEvaluator evaluator(engine, task, seed);
  const std::string key = ContentKey("detections")
                              .add("model", hashes.of(task.model))
                              .add("shape", task.shapes)
                              .add("state", task.state)
                              .add("constant", task.inputs)
                              .add("data", data_key(task, evaluator.source().fingerprint()))
                              .add("seed", fmt::format("{}", seed))
                              .add("engine", engine.version())
                              .digest();
  if (auto known = store.detections(key)) return std::move(*known);
  std::vector<std::uint8_t> counts;
  const std::size_t frames = std::min(evaluator.size(Split::stream), kCountedFrames);
  while (counts.size() < frames) {
    if (context.stopping()) return {};
    const std::size_t boxes = evaluator.reference(Split::stream, counts.size()).boxes.size();
    counts.push_back(static_cast<std::uint8_t>(std::min<std::size_t>(boxes, 255)));
    context.report(fmt::format("{}: what it finds", task.name),
                   static_cast<double>(counts.size()) / static_cast<double>(frames));
  }
  store.put_detections(key, task.name, counts);
  return counts;
}

}  // namespace rtmdl
