#include "task/config_node.h"

#include "base/atomic_file.h"
#include "base/excerpt.h"
#include "base/units.h"

#include <rtmdl/error.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>
#include <sstream>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <yaml-cpp/eventhandler.h>

namespace rtmdl {
namespace {

constexpr int kMostValues = 100'000;

std::string shown(const YAML::Node& node) {
  if (!node.IsDefined() || node.IsNull()) return "nothing";
  if (node.IsMap()) return "a map";
  if (node.IsSequence()) return "a list";
  return fmt::format("'{}'", excerpt(node.Scalar()));
}

/// Remembers where a document begins, and nothing else.
class DocumentStart final : public YAML::EventHandler {
 public:
  void OnDocumentStart(const YAML::Mark& mark) override { line = mark.line + 1; }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t, const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {}
  void OnMapEnd() override {}

  int line = 0;
};

/// The line of what follows the first document, which YAML::Load passes over in silence; 0 if nothing does.
/// (YAML::LoadAll does not end on some texts.)
int line_after_document(const std::string& text) {
  std::istringstream stream(text);
  YAML::Parser parser(stream);
  DocumentStart document;
  if (!parser.HandleNextDocument(document)) return 0;
  return parser.HandleNextDocument(document) ? document.line : 0;
}

/// Aliases make a graph of a YAML text: one that grows without bound when it is walked, or has a cycle, is refused.
void bound_size(const YAML::Node& node, int depth, int& left, const std::filesystem::path& file) {
  constexpr int kDepth = 64;
  if (depth > kDepth) bad_input(fmt::format("{}: nested deeper than {} levels", file.string(), kDepth));
  if (--left < 0) bad_input(fmt::format("{}: more than {} values, aliases followed", file.string(), kMostValues));
  if (node.IsMap()) {
    for (const auto& member : node) {
      bound_size(member.first, depth + 1, left, file);
      bound_size(member.second, depth + 1, left, file);
    }
  } else if (node.IsSequence()) {
    for (const auto& item : node) bound_size(item, depth + 1, left, file);
  }
}

void emit_canonical(const YAML::Node& node, std::string& out) {
  if (node.IsMap()) {
    out += '{';
    for (const auto& member : node) {
      out += member.first.Scalar() + ':';
      emit_canonical(member.second, out);
      out += ',';
    }
    out += '}';
  } else if (node.IsSequence()) {
    out += '[';
    for (const auto& item : node) {
      emit_canonical(item, out);
      out += ',';
    }
    out += ']';
  } else if (node.IsScalar()) {
    out += node.Scalar();
  }
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t substitute = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substitute});
    }
  }
  return row.back();
}

}  // namespace

std::string nearest_word(std::string_view found, const std::vector<std::string_view>& accepted) {
  std::string best;
  // Near: two edits or a third of the word, but never all of it.
  std::size_t best_distance = std::min(std::max<std::size_t>(2, found.size() / 3) + 1, found.size());
  for (const auto word : accepted) {
    const std::size_t d = edit_distance(found, word);
    if (d < best_distance) {
      best_distance = d;
      best = word;
    }
  }
  return best;
}

ConfigNode::ConfigNode(YAML::Node node, std::filesystem::path file, std::string key)
    : node_(std::move(node)), file_(std::move(file)), key_(std::move(key)) {
  if (node_.IsDefined() && node_.Mark().line >= 0) line_ = node_.Mark().line + 1;
}

ConfigNode& ConfigNode::operator=(const ConfigNode& other) {
  node_.reset(other.node_);
  file_ = other.file_;
  key_ = other.key_;
  instead_ = other.instead_;
  origin_ = other.origin_;
  line_ = other.line_;
  places_ = other.places_;
  return *this;
}

ConfigNode ConfigNode::load(const std::filesystem::path& file) { return parse(read_file(file), file); }

ConfigNode ConfigNode::parse(const std::string& text, const std::filesystem::path& file) {
  if (text.find('\0') != std::string::npos)
    bad_input(fmt::format("{}: not a text file: it holds a zero byte", file.string()));
  // yaml-cpp parses nested lists and maps recursively; a bound on the depth keeps hostile files off the stack.
  constexpr int kDepth = 64;
  int depth = 0;
  for (const char c : text) {
    depth += (c == '[' || c == '{') ? 1 : (c == ']' || c == '}') ? -1 : 0;
    if (depth > kDepth) bad_input(fmt::format("{}: nested deeper than {} levels", file.string(), kDepth));
  }
  try {
    const YAML::Node root = YAML::Load(text);
    if (const int line = line_after_document(text); line > 0)
      bad_input(
          fmt::format("{}:{}: the YAML document ends before this line; one document is accepted", file.string(), line));
    int left = kMostValues;
    bound_size(root, 0, left, file);
    return {root, file, ""};
  } catch (const YAML::Exception& e) {
    bad_input(fmt::format("{}:{}: not valid YAML: {}", file.string(), e.mark.line + 1, e.msg));
  }
}

ConfigNode ConfigNode::child(const YAML::Node& node, std::string key) const {
  ConfigNode result(node, file_, std::move(key));
  result.places_ = places_;
  for (const Place& place : places_ ? *places_ : std::vector<Place>{}) {
    if (!place.node.is(node)) continue;
    result.line_ = place.line;
    result.origin_ = place.origin;
  }
  return result;
}

ConfigNode ConfigNode::replaced(const std::vector<std::string>& path, const std::string& value,
                                const std::string& origin) const {
  // What is on the path is copied, since other places of the document may be aliases of it.
  auto places = std::make_shared<std::vector<Place>>(places_ ? *places_ : std::vector<Place>{});
  const auto copy = [&](const auto& self, const ConfigNode& old, std::size_t depth) -> YAML::Node {
    if (depth == path.size()) {
      const YAML::Node made(value);
      places->push_back({made, 0, origin});
      return made;
    }
    if (old.is_list()) {
      const std::vector<ConfigNode> items = old.items();
      YAML::Node made(YAML::NodeType::Sequence);
      for (std::size_t i = 0; i < items.size(); ++i)
        made.push_back(std::to_string(i) == path[depth] ? self(self, items[i], depth + 1) : items[i].node_);
      places->push_back({made, old.line_, old.origin_});
      return made;
    }
    YAML::Node made(YAML::NodeType::Map);
    bool found = false;
    if (old.is_map()) {
      for (const auto& entry : old.node_) {
        const bool here = entry.first.IsScalar() && entry.first.Scalar() == path[depth];
        found |= here;
        if (here) made.force_insert(entry.first, self(self, old.child(entry.second, ""), depth + 1));
        else made.force_insert(entry.first, entry.second);
      }
    }
    if (!found) made.force_insert(path[depth], self(self, ConfigNode(), depth + 1));
    places->push_back({made, old.line_, old.present() ? old.origin_ : origin});
    return made;
  };
  ConfigNode result = *this;
  result.node_.reset(copy(copy, *this, 0));
  result.places_ = std::move(places);
  return result;
}

bool ConfigNode::present() const { return node_.IsDefined() && !node_.IsNull(); }

ConfigNode ConfigNode::operator[](std::string_view member) const {
  const std::string key = key_.empty() ? std::string(member) : fmt::format("{}.{}", key_, member);
  ConfigNode result;
  if (node_.IsDefined() && node_.IsMap()) {
    for (const auto& entry : node_) {
      if (!entry.first.IsScalar()) continue;
      const std::string& name = entry.first.Scalar();
      if (name == member) return child(entry.second, key);
      if (!nearest_word(name, {member}).empty()) result.instead_ = excerpt(name);
    }
  }
  result.file_ = file_;
  result.key_ = key;
  result.line_ = line_;
  result.origin_ = origin_;
  return result;
}

std::vector<ConfigNode> ConfigNode::items() const {
  if (!is_list()) fail(fmt::format("expected a list, found {}", shown(node_)));
  std::vector<ConfigNode> result;
  for (std::size_t i = 0; i < node_.size(); ++i) result.push_back(child(node_[i], fmt::format("{}[{}]", key_, i)));
  return result;
}

std::vector<std::pair<std::string, ConfigNode>> ConfigNode::members() const {
  require_map("a map");
  std::vector<std::pair<std::string, ConfigNode>> result;
  std::set<std::string> seen;
  for (const auto& entry : node_) {
    if (!entry.first.IsScalar()) fail("keys must be plain words");
    const std::string& name = entry.first.Scalar();
    if (!seen.insert(name).second)
      child(entry.second, key_).fail(fmt::format("the key '{}' appears twice", excerpt(name)));
    const std::string key = excerpt(name);
    result.emplace_back(name, child(entry.second, key_.empty() ? key : key_ + '.' + key));
  }
  return result;
}

void ConfigNode::require_map(std::string_view what) const {
  if (!is_map()) fail(fmt::format("expected {}, found {}", what, shown(node_)));
}

void ConfigNode::allow(std::initializer_list<std::string_view> accepted) const {
  for (const auto& [name, value] : members()) {
    if (std::find(accepted.begin(), accepted.end(), name) != accepted.end()) continue;
    const std::string near = nearest_word(name, accepted);
    if (!near.empty()) value.fail(fmt::format("unknown key '{}'; did you mean '{}'?", excerpt(name), near));
    value.fail(fmt::format("unknown key '{}'; accepted are {}", excerpt(name), fmt::join(accepted, ", ")));
  }
}

std::string ConfigNode::text() const {
  if (!node_.IsDefined())
    fail(instead_.empty() ? "is missing" : fmt::format("is missing; did you mean it by the key '{}'?", instead_));
  if (!is_scalar()) fail(fmt::format("expected a word or a number, found {}", shown(node_)));
  return node_.Scalar();
}

std::string ConfigNode::one_of(std::initializer_list<std::string_view> accepted) const {
  if (!node_.IsDefined() && instead_.empty())
    fail(fmt::format("is missing; accepted are {}", fmt::join(accepted, ", ")));
  const std::string found = text();
  if (std::find(accepted.begin(), accepted.end(), found) != accepted.end()) return found;
  const std::string near = nearest_word(found, accepted);
  fail(fmt::format("'{}' is not accepted{}; accepted are {}", excerpt(found),
                   near.empty() ? "" : fmt::format(" (did you mean '{}'?)", near), fmt::join(accepted, ", ")));
}

bool ConfigNode::boolean() const {
  const std::string found = text();
  if (found == "true" || found == "yes") return true;
  if (found == "false" || found == "no") return false;
  fail(fmt::format("'{}' is not accepted; accepted are true, false", excerpt(found)));
}

std::int64_t ConfigNode::integer(std::int64_t least, std::int64_t most) const {
  const std::string found = text();
  std::int64_t value = 0;
  const auto [end, ec] = std::from_chars(found.data(), found.data() + found.size(), value);
  if (ec != std::errc{} || end != found.data() + found.size())
    fail(fmt::format("'{}' is not a whole number", excerpt(found)));
  if (value < least || value > most) {
    if (most == std::numeric_limits<std::int64_t>::max())
      fail(fmt::format("{} is out of range: at least {} is accepted", value, least));
    fail(fmt::format("{} is out of range: {} to {} is accepted", value, least, most));
  }
  return value;
}

double ConfigNode::number(double least, double most) const {
  const std::string found = text();
  double value = 0;
  const auto [end, ec] = std::from_chars(found.data(), found.data() + found.size(), value);
  if (ec != std::errc{} || end != found.data() + found.size() || !std::isfinite(value))
    fail(fmt::format("'{}' is not a finite number", excerpt(found)));
  if (value < least || value > most)
    fail(fmt::format("{} is out of range: {} to {} is accepted", excerpt(found), least, most));
  return value;
}

std::vector<double> ConfigNode::numbers() const {
  if (is_scalar()) return {number()};
  std::vector<double> result;
  for (const auto& item : items()) result.push_back(item.number());
  return result;
}

std::vector<std::int64_t> ConfigNode::integers() const {
  if (is_scalar()) return {integer()};
  std::vector<std::int64_t> result;
  for (const auto& item : items()) result.push_back(item.integer());
  return result;
}

namespace {
/// Runs a units parser and puts file, line and key before its message.
template <typename Parse>
auto with_place(const ConfigNode& node, Parse parse) {
  const std::string found = node.text();
  try {
    return parse(found);
  } catch (const Error& e) {
    node.fail(e.what());
  }
}
}  // namespace

Duration ConfigNode::duration() const {
  return with_place(*this, [](const std::string& s) { return parse_duration(s); });
}
std::int64_t ConfigNode::bytes() const {
  return with_place(*this, [](const std::string& s) { return parse_bytes(s); });
}

double ConfigNode::fraction(double most) const {
  const double value = with_place(*this, [](const std::string& s) { return parse_fraction(s); });
  if (value < 0 || value > most)
    fail(fmt::format("{} is out of range: 0 % to {:.0f} % is accepted", excerpt(text()), most * 100));
  return value;
}

double ConfigNode::hertz() const {
  return with_place(*this, [](const std::string& s) { return parse_hertz(s); });
}

double ConfigNode::watts() const {
  return with_place(*this, [](const std::string& s) { return parse_watts(s); });
}
double ConfigNode::joules() const {
  return with_place(*this, [](const std::string& s) { return parse_joules(s); });
}

std::filesystem::path ConfigNode::path() const {
  const std::filesystem::path found = text();
  return found.is_absolute() ? found : (file_.parent_path() / found).lexically_normal();
}

void ConfigNode::fail(const std::string& message) const {
  if (!origin_.empty()) bad_input(fmt::format("{}: {}", origin_, message));
  const std::string place = line_ > 0 ? fmt::format("{}:{}", file_.string(), line_) : file_.string();
  if (key_.empty()) bad_input(fmt::format("{}: {}", place, message));
  bad_input(fmt::format("{}: {}: {}", place, key_, message));
}

std::string ConfigNode::canonical() const {
  std::string out;
  if (present()) emit_canonical(node_, out);
  return out;
}

}  // namespace rtmdl
