// What the main command finds in librtmdl_training.so: see scaling/load_fine_tuner.h.
#include "scaling/load_fine_tuner.h"
#include "training/fine_tuner.h"

extern "C" {

__attribute__((visibility("default"))) const char* rtmdl_training_version() { return rtmdl::kTrainingVersion; }

__attribute__((visibility("default"))) rtmdl::FineTuner* rtmdl_make_fine_tuner() {
  return rtmdl::make_fine_tuner().release();
}
}
