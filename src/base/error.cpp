#include <rtmdl/error.h>

#include "base/excerpt.h"

namespace rtmdl {

Error::Error(ErrorCode code, const std::string& message) : std::runtime_error(one_line(message)), code_(code) {}

}  // namespace rtmdl
