#include "scaling/load_fine_tuner.h"

#include "base/plug_in.h"

#include <mutex>

namespace rtmdl {

void* training_symbol(const char* name, std::string& reason) {
  static std::mutex mutex;
  static PlugIn library({.file = "librtmdl_training.so",
                         .variable = "RTMDL_TRAINING_LIBRARY",
                         .version_function = "rtmdl_training_version",
                         .version = kTrainingVersion,
                         .remedy = "install libtorch (scripts/setup --training) and build again"});
  const std::scoped_lock lock(mutex);
  return library.symbol(name, reason);
}

LoadedFineTuner load_fine_tuner() {
  LoadedFineTuner loaded;
  const auto make = reinterpret_cast<FineTuner* (*)()>(training_symbol("rtmdl_make_fine_tuner", loaded.reason));
  if (make) loaded.tuner.reset(make());
  return loaded;
}

}  // namespace rtmdl
