#pragma once
/// Values from the command line that stand for ones of the task file: `--set faces.period=20ms`, `--weights faces=3`.
/// They are put into the parsed YAML tree before it is checked, so that every check and every message of the task file
/// is theirs as well; such messages name the option instead of a line.

#include "task/config_node.h"

#include <string>
#include <vector>

namespace rtmdl {

struct Setting {
  std::string key;     ///< "faces.period", "gpu.slots", "storage", "tasks.faces.accuracy.min"
  std::string value;   ///< "20ms", as in the file
  std::string origin;  ///< what messages call it: "--set faces.period=20ms"
};

/// Of "KEY=VALUE". Throws Error(bad_input).
[[nodiscard]] Setting parse_setting(const std::string& text);
/// Of "faces=3,text=0.5": `accuracy.weight` of those tasks. Throws Error(bad_input).
[[nodiscard]] std::vector<Setting> parse_weights(const std::string& text);

/// The document with the settings in it, later ones over earlier ones. `root` is a task file. Throws Error(bad_input)
/// on a name that is no task's and no processor's (with the nearest), or a key whose value is a map.
[[nodiscard]] ConfigNode with_settings(const ConfigNode& root, const std::vector<Setting>& settings);

/// Whether it changes only what is planned: not the variants and their measured times (a task's timing, limits and
/// weights, a processor's slots and what its kernel goes by, storage and memory).
[[nodiscard]] bool only_planning(const Setting& setting);

}  // namespace rtmdl
