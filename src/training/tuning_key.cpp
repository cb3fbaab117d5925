#include "training/tuning.h"

#include "base/hash.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace rtmdl::training {

std::string key_of(const FineTuneRequest& request) {
  const FineTuneOptions& o = request.options;
  std::string text = fmt::format("{} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {}\n", static_cast<int>(o.objective),
                                 o.epochs, o.steps_max, o.batch, o.learning_rate, o.warm_up, o.weight_decay, o.adamw,
                                 o.temperature, o.distillation, o.augment_shift, o.augment_mirror, o.patience,
                                 o.budget.count(), o.seed, o.mixed_precision);
  text += fmt::format("{} {}\n", o.momentum, o.label_smoothing);
  if (o.further_outputs > 0) text += fmt::format("further outputs {}\n", o.further_outputs);
  if (const auto& d = request.detector) {
    text += fmt::format("detector {} {} {} {} {}\n", static_cast<int>(d->loss), d->rows, d->columns, d->classes,
                        d->variances);
    for (const AnchorGrid& g : d->grids) text += fmt::format("{} {} {} {}\n", g.stride, g.rows, g.columns, g.sizes);
  }
  text += request.data->fingerprint() + "\n";
  text += request.teacher ? sha256(serialize(*request.teacher)) : "no teacher";
  for (const Student& s : request.students) {
    text += "\n" + sha256(serialize(*s.model)) + (s.frozen_shared ? " frozen" : "");
    for (const auto& [name, indices] : s.shared) text += fmt::format("\n{} {}", name, indices);
    for (const std::string& name : s.frozen) text += "\n" + name;
  }
  return sha256(text);
}

}  // namespace rtmdl::training
