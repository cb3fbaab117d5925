#pragma once
/// The energy of a variant's stages, from a meter of the whole box.

#include "base/context.h"
#include "data/pipeline.h"
#include "energy/energy_meter.h"
#include "profiling/measure.h"
#include "profiling/store.h"

#include <functional>
#include <span>

namespace rtmdl {

struct MeterLimits {
  Duration window{};  ///< of a stretch; longer where the meter is slow
  int least = 5, most = 12;
  double error = 0.05;  ///< that is good enough: the middle half of the stretches, over the root of their number
};

/// Does nothing and then `once` over and over, by turns, each for a window, until it is known what `once` draws beyond
/// idle. Without joules if the meter does not tell well enough.
[[nodiscard]] StageEnergy meter_runs(EnergyMeter& meter, const std::function<void()>& once, const MeterLimits& limits,
                                     const Context& context);

struct JobEnergy {
  StageEnergy pre, infer, post;
};
/// Of each stage, where `bench` says. Nothing else of ours may run meanwhile. Throws as Pipeline::run(). Incomplete
/// when the context was stopped.
[[nodiscard]] JobEnergy meter_stages(Pipeline& pipeline, std::span<const Frame> frames, const Bench& bench,
                                     EnergyMeter& meter, const MeterLimits& limits, const Context& context);

}  // namespace rtmdl
