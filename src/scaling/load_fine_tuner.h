#pragma once
/// Training is a plug-in, librtmdl_training.so: libtorch is large, slow to load, and not on every box.

#include "scaling/fine_tuner.h"

#include <memory>
#include <string>

namespace rtmdl {

/// What the main program and its plug-in have to agree on: the release, and the revision of the interface between them
/// (scaling/fine_tuner.h and whatever it includes), which every change of it raises.
inline constexpr const char* kTrainingVersion = RTMDL_VERSION ", interface 3";

/// A function of the plug-in by its C name; the library is loaded at the first call and stays. It is looked for at
/// $RTMDL_TRAINING_LIBRARY, beside the executable, and in ../lib/rtmdl from there. Nullptr, with the reason in `reason`
/// as one line that says what to do, if there is no such library, or one of another version. Thread-safe.
[[nodiscard]] void* training_symbol(const char* name, std::string& reason);

struct LoadedFineTuner {
  std::unique_ptr<FineTuner> tuner;  ///< null if there is none
  std::string reason;                ///< then why
};

/// Objects and exceptions cross as they are: both sides are built from one source by one compiler.
[[nodiscard]] LoadedFineTuner load_fine_tuner();

}  // namespace rtmdl
