#include "task/setting.h"

#include "base/excerpt.h"

#include <rtmdl/error.h>

#include <algorithm>
#include <array>
#include <optional>
#include <sstream>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace rtmdl {
namespace {

constexpr std::array<std::string_view, 3> kTopLevel{"storage", "memory", "adapt"};
constexpr std::array<std::string_view, 15> kPlanning{
    "period", "deadline", "jitter",       "offset",          "late", "hard",       "miss_rate", "queue",
    "slots",  "kernel",   "accuracy.min", "accuracy.weight", "max",  "power.busy", "power.idle"};

[[noreturn]] void refuse(const Setting& setting, const std::string& message) {
  bad_input(fmt::format("{}: {}", setting.origin, message));
}

std::vector<std::string> words_of(const std::string& text, char separator) {
  std::vector<std::string> words;
  std::istringstream stream(text);
  for (std::string word; std::getline(stream, word, separator);) words.push_back(word);
  return words;
}

std::string trimmed(const std::string& text) {
  const auto first = text.find_first_not_of(" \t");
  return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

/// Names of tasks, in order; without a name, or with one that is no word: empty.
std::vector<std::string> task_names(const ConfigNode& root) {
  std::vector<std::string> names;
  if (!root["tasks"].is_list()) return names;
  for (const ConfigNode& task : root["tasks"].items())
    names.push_back(task.is_map() && task["name"].is_scalar() ? task["name"].text() : "");
  return names;
}

std::vector<std::string> processor_names(const ConfigNode& root) {
  if (!root["processors"].is_map()) return {"cpu"};
  std::vector<std::string> names;
  for (const auto& [name, value] : root["processors"].members()) names.push_back(name);
  return names;
}

/// Where in the tree the key leads: keys of maps, places in lists.
std::vector<std::string> path_of(const ConfigNode& root, const Setting& setting) {
  std::vector<std::string> words = words_of(setting.key, '.');
  const bool empty_word = std::any_of(words.begin(), words.end(), [](const std::string& w) { return w.empty(); });
  if (words.empty() || empty_word || setting.key.back() == '.')
    refuse(setting, "not a key; write for instance faces.period=20ms, gpu.slots=2 or storage=40MB");
  if (words.size() == 1 && std::find(kTopLevel.begin(), kTopLevel.end(), words[0]) != kTopLevel.end()) return words;
  const std::vector<std::string> tasks = task_names(root), processors = processor_names(root);
  const auto is_name = [&](const std::vector<std::string>& names) {
    return std::find(names.begin(), names.end(), words[0]) != names.end();
  };
  if (words[0] == "energy" && words.size() > 1 && !is_name(tasks) && !is_name(processors)) return words;
  const bool only_tasks = words[0] == "tasks" && words.size() > 1;
  const bool only_processors = words[0] == "processors" && words.size() > 1;
  if (only_tasks || only_processors) words.erase(words.begin());
  const auto task = only_processors ? tasks.end() : std::find(tasks.begin(), tasks.end(), words[0]);
  const bool processor = !only_tasks && std::find(processors.begin(), processors.end(), words[0]) != processors.end();
  if (task == tasks.end() && !processor) {
    std::vector<std::string_view> known(kTopLevel.begin(), kTopLevel.end());
    known.insert(known.end(), tasks.begin(), tasks.end());
    known.insert(known.end(), processors.begin(), processors.end());
    const std::string near = nearest_word(words[0], known);
    refuse(setting, fmt::format("no task or processor has the name '{}'; {}", excerpt(words[0]),
                                near.empty() ? fmt::format("there are {}", fmt::join(known, ", "))
                                             : fmt::format("did you mean '{}'?", near)));
  }
  const bool is_task = task != tasks.end();
  if (words.size() == 1)
    refuse(setting, fmt::format("'{0}' is a {1}; write which of its keys, such as {0}.{2}", excerpt(words[0]),
                                is_task ? "task" : "processor", is_task ? "period=20ms" : "slots=2"));
  if (is_task) {
    words[0] = std::to_string(task - tasks.begin());
    words.insert(words.begin(), "tasks");
  } else {
    words.insert(words.begin(), "processors");
  }
  return words;
}

/// The key must lead through maps to a value that is none.
void require_value(const ConfigNode& root, const std::vector<std::string>& path, const Setting& setting) {
  ConfigNode node = root;
  for (const std::string& word : path) {
    if (node.is_list()) {
      node = node.items()[std::stoul(word)];
      continue;
    }
    if (node.present() && !node.is_map())
      refuse(setting, fmt::format("{} is a value and has no key '{}'", node.key(), excerpt(word)));
    node = node.is_map() ? node[word] : ConfigNode();
  }
  if (node.is_map()) refuse(setting, fmt::format("{} is a map; set one of its keys", node.key()));
}

}  // namespace

Setting parse_setting(const std::string& text) {
  const auto equals = text.find('=');
  Setting setting;
  setting.origin = "--set " + excerpt(text);
  if (equals != std::string::npos) {
    setting.key = trimmed(text.substr(0, equals));
    setting.value = trimmed(text.substr(equals + 1));
  }
  if (setting.key.empty() || setting.value.empty())
    refuse(setting, "not of the form KEY=VALUE, such as faces.period=20ms, gpu.slots=2 or storage=40MB");
  return setting;
}

std::vector<Setting> parse_weights(const std::string& text) {
  std::vector<Setting> settings;
  for (const std::string& word : words_of(text, ',')) {
    const auto equals = word.find('=');
    Setting setting;
    setting.origin = "--weights " + excerpt(word);
    if (equals != std::string::npos) {
      setting.key = trimmed(word.substr(0, equals));
      setting.value = trimmed(word.substr(equals + 1));
    }
    if (setting.key.empty() || setting.value.empty() || setting.key.find('.') != std::string::npos)
      refuse(setting, "not of the form TASK=WEIGHT, such as faces=3,text=0.5");
    setting.key = "tasks." + setting.key + ".accuracy.weight";
    settings.push_back(std::move(setting));
  }
  if (settings.empty()) bad_input("--weights is empty; write for instance --weights faces=3,text=0.5");
  return settings;
}

ConfigNode with_settings(const ConfigNode& root, const std::vector<Setting>& settings) {
  ConfigNode result = root;
  for (const Setting& setting : settings) {
    const std::vector<std::string> path = path_of(result, setting);
    require_value(result, path, setting);
    result = result.replaced(path, setting.value, setting.origin);
  }
  return result;
}

bool only_planning(const Setting& setting) {
  if (std::find(kTopLevel.begin(), kTopLevel.end(), setting.key) != kTopLevel.end()) return true;
  if (setting.key.find(".arrivals.") != std::string::npos || setting.key.starts_with("energy.")) return true;
  return std::any_of(kPlanning.begin(), kPlanning.end(),
                     [&](std::string_view key) { return setting.key.ends_with("." + std::string(key)); });
}

}  // namespace rtmdl
