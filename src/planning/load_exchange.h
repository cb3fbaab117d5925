#pragma once
/// Open MPI is behind a plug-in, librtmdl_mpi.so (src/mpi): boxes that run need no MPI, and starting it takes time.

#include "planning/exchange.h"

#include <memory>

namespace rtmdl {

/// What the main program and its plug-in have to agree on: the release, and the revision of exchange.h.
inline constexpr const char* kMpiVersion = RTMDL_VERSION ", interface 1";

/// The ranks that mpirun started, or this process alone if it did not. Starts MPI; its destructor ends it, for which it
/// waits for the other ranks. Once per process. Throws Error(missing_device) that says what to install if the plug-in
/// is not there (looked for at $RTMDL_MPI_LIBRARY, else beside the executable and in ../lib/rtmdl).
[[nodiscard]] std::unique_ptr<Exchange> load_mpi_exchange();

}  // namespace rtmdl
