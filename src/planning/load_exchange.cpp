#include "planning/load_exchange.h"

#include "base/plug_in.h"

#include <rtmdl/error.h>

namespace rtmdl {

std::unique_ptr<Exchange> load_mpi_exchange() {
  static PlugIn library({.file = "librtmdl_mpi.so",
                         .variable = "RTMDL_MPI_LIBRARY",
                         .version_function = "rtmdl_mpi_version",
                         .version = kMpiVersion,
                         .remedy =
                             "install Open MPI (scripts/setup, or apt-get install libopenmpi-dev openmpi-bin) and "
                             "build again",
                         .global = true});  // Open MPI's components look for its symbols
  std::string reason;
  const auto make = reinterpret_cast<Exchange* (*)()>(library.symbol("rtmdl_make_exchange", reason));
  if (!make) throw Error(ErrorCode::missing_device, "--mpi: " + reason);
  return std::unique_ptr<Exchange>(make());
}

}  // namespace rtmdl
