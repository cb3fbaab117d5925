#include "calibration/correction_store.h"

#include "profiling/content_key.h"

#include <rtmdl/error.h>

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace rtmdl {
namespace {

constexpr std::string_view kRevision = "1";  // raise when observe() would give other times

std::string layout(const TaskFile& file) {
  std::string text;
  for (const ProcessorSpec& p : file.processors)
    text += fmt::format("{},{},{},{},{};", p.name, p.device, fmt::join(p.cores, "+"), p.slots, p.preemptive);
  return text;
}

class Keys {
 public:
  Keys(const CalibratedBox& box, const TaskFile& file) : box_(box), layout_(layout(file)) {}

  [[nodiscard]] std::string of(const VariantProfile& variant, bool alone) const {
    ContentKey key = base("run times").add("option", variant.key);
    if (alone) key.add("slots", "all");
    return key.digest();
  }
  [[nodiscard]] std::string of_stalls() const { return base("stalls").digest(); }
  [[nodiscard]] std::string of(const ProcessorSpec& processor) const {
    return base("speed").add("processor", processor.name).digest();
  }

 private:
  [[nodiscard]] ContentKey base(std::string_view kind) const {
    ContentKey key(kind);
    key.add("revision", kRevision).add("layout", layout_).add("machine", box_.machine).add("engine", box_.engine);
    return key;
  }

  const CalibratedBox& box_;
  std::string layout_;
};

/// The value, or nothing after a warning.
template <typename Read>
auto read_or_warn(const Context& context, const Read& read) -> decltype(read()) {
  try {
    return read();
  } catch (const Error& error) {
    context.warn(fmt::format("{}: ignored; `rtmdl plan --calibrate` measures it anew", error.what()));
    return std::nullopt;
  }
}

}  // namespace

ModelCorrection load_correction(Store& store, const CalibratedBox& box, const TaskFile& file,
                                const std::vector<TaskProfile>& profile, const Context& context) {
  const Keys keys(box, file);
  ModelCorrection correction;
  for (const TaskProfile& task : profile)
    for (const VariantProfile& variant : task.variants)
      for (const bool alone : {false, true}) {
        auto times = read_or_warn(context, [&] { return store.run_times(keys.of(variant, alone)); });
        if (times)
          correction.options.push_back(
              {task.name, variant.id, variant.processor, variant.threads, std::move(times->stages), alone});
      }
  for (const ProcessorSpec& p : file.processors) {
    const auto speed = read_or_warn(context, [&] { return store.speed(keys.of(p)); });
    if (speed)
      correction.processors.push_back({p.name,
                                       speed->factor,
                                       static_cast<int>(speed->stages),
                                       speed->dispatch,
                                       speed->dispatch_p90,
                                       static_cast<int>(speed->dispatches),
                                       {speed->moment_products, speed->moment_weights, speed->moment_pairs}});
  }
  if (auto stalls = read_or_warn(context, [&] { return store.stalls(keys.of_stalls()); }))
    correction.stalls = {stalls->seconds, stalls->count, std::move(stalls->lasting)};
  return correction;
}

void save_correction(Store& store, const CalibratedBox& box, const TaskFile& file,
                     const std::vector<TaskProfile>& profile, const ModelCorrection& correction) {
  const Keys keys(box, file);
  std::vector<StoredRunTimes> times;
  std::vector<StoredSpeed> speeds;
  for (const OptionTimes& option : correction.options)
    for (const TaskProfile& task : profile) {
      if (task.name != option.task) continue;
      for (const VariantProfile& v : task.variants)
        if (v.id == option.variant && v.processor == option.processor && v.threads == option.threads &&
            v.cuts.size() + 3 == option.stages.size())
          times.push_back({keys.of(v, option.alone),
                           fmt::format("{} {} on {}, {} threads{}", task.name, v.id, v.processor, v.threads,
                                       v.cuts.empty() ? "" : fmt::format(", {} segments", segments_of(v))),
                           option.stages});
    }
  for (const ProcessorCorrection& c : correction.processors)
    for (const ProcessorSpec& p : file.processors)
      if (p.name == c.name)
        speeds.push_back({keys.of(p), p.name, c.factor, c.stages, c.dispatch, c.dispatch_p90, c.dispatches,
                          c.moments.products, c.moments.weights, c.moments.pairs});
  std::vector<StoredStalls> stalls;
  if (correction.stalls.seconds > 0)
    stalls.push_back({keys.of_stalls(), "stalls of the machine", correction.stalls.seconds, correction.stalls.count,
                      correction.stalls.lasting});
  store.put_corrections(times, speeds, stalls);
}

}  // namespace rtmdl
