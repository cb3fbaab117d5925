#include "profiling/check_tasks.h"

#include "data/pipeline.h"
#include "model/model.h"
#include "profiling/accuracy.h"

#include <rtmdl/error.h>

#include <optional>
#include <string>
#include <string_view>

namespace rtmdl {
namespace {

/// Our own reading says better what is wrong with a file, if that is what is wrong.
std::optional<std::string> better_reason(const std::filesystem::path& model) {
  try {
    static_cast<void>(load_model(model));
    return std::nullopt;
  } catch (const Error& e) {
    return e.what();
  }
}

/// Puts the place in the task file before what the engine says of a model.
void try_model(Engine& engine, const TaskSpec& task, const std::filesystem::path& model, const ConfigNode& where,
               AccuracyEvaluator& evaluator) {
  try {
    Pipeline pipeline(engine, task, load_request(task, model));
    evaluator.require_fitting_labels(pipeline);
    Result result;
    pipeline.run(evaluator.frame(Split::evaluation, 0), result);
  } catch (const Error& e) {
    const bool placed = std::string_view(e.what()).starts_with(where.file().string() + ':');
    if (placed || e.code() != ErrorCode::bad_input) throw;
    where.fail(better_reason(model).value_or(e.what()));
  }
}

}  // namespace

void check_tasks(Engine& engine, const TaskFile& file, std::uint64_t seed) {
  for (const TaskSpec& task : file.tasks) {
    AccuracyEvaluator evaluator(engine, task, seed);
    const ConfigNode model = task.where["model"], variants = task.where["variants"];
    try_model(engine, task, task.model, model.present() ? model : variants, evaluator);
    for (const std::filesystem::path& brought : task.variants) try_model(engine, task, brought, variants, evaluator);
  }
  for (const ProcessorSpec& processor : file.processors) {
    if (processor.device == "cpu") continue;
    LoadRequest request = load_request(file.tasks.front(), file.tasks.front().model);
    request.device = processor.device;
    request.provider_options = processor.options;
    try {
      static_cast<void>(engine.load(request));
    } catch (const Error& e) {
      if (e.code() == ErrorCode::missing_device) throw;  // a model that it refuses is the profiler's matter
    }
  }
}

}  // namespace rtmdl
