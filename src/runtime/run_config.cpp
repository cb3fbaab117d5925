#include "runtime/run_config.h"

namespace rtmdl {

std::string place_name(const std::vector<ProcessorSpec>& processors, const RunMode& mode) {
  std::vector<std::string> names;
  for (const RunPlace& place : mode.places) names.push_back(processors[static_cast<std::size_t>(place.processor)].name);
  return names.size() == 1 ? names.front() : place_name(names, mode.request.cuts);
}

}  // namespace rtmdl
