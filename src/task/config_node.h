#pragma once
/// A YAML node that knows where it stands, so that every complaint names file, line and key, what was found and what is
/// accepted. All getters throw Error(bad_input). Not thread-safe (yaml-cpp nodes share state).

#include <rtmdl/time.h>

#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <yaml-cpp/yaml.h>

namespace rtmdl {

class ConfigNode {
 public:
  ConfigNode() = default;
  ConfigNode(const ConfigNode&) = default;
  ConfigNode(ConfigNode&&) = default;
  ConfigNode& operator=(const ConfigNode& other);  ///< leaves the document alone, which YAML::Node's does not
  ~ConfigNode() = default;
  /// `file` is named in errors; relative paths in the document are taken from its folder.
  ConfigNode(YAML::Node node, std::filesystem::path file, std::string key);
  /// Parses a whole document. A broken YAML file is one line as well.
  static ConfigNode load(const std::filesystem::path& file);
  static ConfigNode parse(const std::string& text, const std::filesystem::path& file = "<text>");

  [[nodiscard]] bool present() const;  ///< defined and not null
  [[nodiscard]] bool is_map() const { return present() && node_.IsMap(); }
  [[nodiscard]] bool is_list() const { return present() && node_.IsSequence(); }
  [[nodiscard]] bool is_scalar() const { return present() && node_.IsScalar(); }
  [[nodiscard]] const std::string& key() const { return key_; }  ///< "tasks[2].pre.resize"
  [[nodiscard]] const std::filesystem::path& file() const { return file_; }

  /// A member of a map; absent members give a node with present() == false that still knows its key.
  [[nodiscard]] ConfigNode operator[](std::string_view member) const;
  [[nodiscard]] std::vector<ConfigNode> items() const;                            ///< elements of a list
  [[nodiscard]] std::vector<std::pair<std::string, ConfigNode>> members() const;  ///< of a map, in the order written
  /// Refuses members that are not listed; the message names the nearest accepted key.
  void allow(std::initializer_list<std::string_view> members) const;
  void require_map(std::string_view what) const;

  [[nodiscard]] std::string text() const;  ///< any scalar, as written
  [[nodiscard]] std::string one_of(std::initializer_list<std::string_view> accepted) const;
  [[nodiscard]] bool boolean() const;
  [[nodiscard]] std::int64_t integer(std::int64_t least = std::numeric_limits<std::int64_t>::min(),
                                     std::int64_t most = std::numeric_limits<std::int64_t>::max()) const;
  [[nodiscard]] double number(double least = -1e300, double most = 1e300) const;  ///< finite; no unit
  [[nodiscard]] std::vector<double> numbers() const;  ///< a list, or one number as a list of one
  [[nodiscard]] std::vector<std::int64_t> integers() const;
  [[nodiscard]] Duration duration() const;               ///< "33.3 ms"
  [[nodiscard]] std::int64_t bytes() const;              ///< "60 MB"
  [[nodiscard]] double fraction(double most = 1) const;  ///< "95 %" -> 0.95, within 0 % .. 100 % (or more)
  [[nodiscard]] double hertz() const;                    ///< "16 kHz" -> 16000
  [[nodiscard]] double watts() const;                    ///< "250 mW" -> 0.25
  [[nodiscard]] double joules() const;                   ///< "20 Wh" -> 72000
  [[nodiscard]] std::filesystem::path path() const;      ///< relative to the file's folder

  /// A copy of the document in which `value` stands at `path` (keys of maps, places in lists; maps that are missing are
  /// made). What is said about it names `origin` instead of a line. This document stays as it is, aliases included.
  [[nodiscard]] ConfigNode replaced(const std::vector<std::string>& path, const std::string& value,
                                    const std::string& origin) const;

  /// file:line: key: message
  [[noreturn]] void fail(const std::string& message) const;
  /// The node as YAML text in a canonical form: what content keys are made of.
  [[nodiscard]] std::string canonical() const;

 private:
  /// Of a node that does not come from the text as it is: where it stands for messages.
  struct Place {
    YAML::Node node;
    int line = 0;
    std::string origin;
  };
  [[nodiscard]] ConfigNode child(const YAML::Node& node, std::string key) const;

  YAML::Node node_{YAML::NodeType::Undefined};
  std::filesystem::path file_;
  std::string key_;
  std::string instead_;  ///< of an absent member: a key beside it whose name is near
  std::string origin_;   ///< stands for the line
  int line_ = 0;
  std::shared_ptr<const std::vector<Place>> places_;  ///< of replaced nodes; mostly none
};

/// The accepted word nearest to `found` (edit distance), or empty if none is near.
[[nodiscard]] std::string nearest_word(std::string_view found, const std::vector<std::string_view>& accepted);

}  // namespace rtmdl
