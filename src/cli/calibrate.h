#pragma once
/// `rtmdl plan --calibrate`: the loop of src/calibration, played on the box.

#include "calibration/calibrate.h"
#include "cli/session.h"

namespace rtmdl {

/// Plays, corrects the session's problem and keeps what was learnt in the profile store after each round. Ctrl-C ends
/// it with what is there by then.
[[nodiscard]] Calibration calibrate_session(Session& session);

}  // namespace rtmdl
