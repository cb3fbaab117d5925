#include "report/inspect_tables.h"

#include "base/units.h"
#include "report/describe.h"
#include "report/table.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <map>
#include <span>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace rtmdl {
namespace {

constexpr std::size_t kCuts = 12;  ///< rows of the table, unless all are asked for
constexpr std::size_t kNames = 3;  ///< of a list in a cell

/// "31.2 M": counts of operations and elements.
std::string count_text(std::int64_t n) {
  const auto x = static_cast<double>(n);
  if (n < 10'000) return grouped(n);
  if (x < 999.5e3) return fmt::format("{} k", short_number(x / 1e3));
  if (x < 999.5e6) return fmt::format("{} M", short_number(x / 1e6));
  return fmt::format("{} G", short_number(x / 1e9));
}

std::string shape_of(const std::vector<std::int64_t>& shape) {
  return shape.empty() ? "scalar" : fmt::format("{}", fmt::join(shape, "x"));
}

/// "a, b, c and 4 more"
std::string list_text(std::span<const std::string> names, std::size_t most = kNames) {
  if (names.size() <= most + 1) return fmt::format("{}", fmt::join(names, ", "));
  return fmt::format("{} and {} more", fmt::join(names.first(most), ", "), names.size() - most);
}

/// What exporters put before every name: up to the last separator that all names share; empty if that is not worth a
/// line.
std::string common_prefix(const std::vector<Layer>& layers) {
  constexpr std::size_t kWorthALine = 8;
  if (layers.size() < 2) return "";
  std::string prefix = layers[0].name;
  for (const Layer& l : layers) {
    const auto apart = std::mismatch(prefix.begin(), prefix.end(), l.name.begin(), l.name.end());
    prefix.erase(apart.first, prefix.end());
  }
  prefix.resize(prefix.find_last_of("/.") + 1);  // npos + 1 is 0
  return prefix.size() < kWorthALine ? "" : prefix;
}

class Text {
 public:
  Text(const Inspection& seen, bool all, bool colour)
      : seen_(seen), all_(all), colour_(colour), prefix_(common_prefix(seen.layers)) {}

  std::string write() {
    facts();
    layers();
    groups();
    whole();
    blocks();
    cuts();
    abilities();
    return std::move(out_);
  }

 private:
  void heading(const std::string& text) { out_ += "\n" + text + "\n"; }

  void tensors(const char* what, const std::vector<TensorSpec>& specs) {
    for (const TensorSpec& t : specs)
      out_ += fmt::format("  {} '{}' {} {}\n", what, t.name, element_name(t.type), shape_of(t.shape));
  }

  void facts() {
    out_ += seen_.model.string() + "\n";
    out_ += fmt::format("  operator set {} (IR version {}){}\n", seen_.opset, seen_.ir_version,
                        seen_.producer.empty() ? "" : ", written by " + seen_.producer);
    for (const auto& [domain, version] : seen_.domains)
      out_ += fmt::format("  imports operators of '{}' (version {})\n", domain, version);
    out_ += fmt::format("  {} on disk, {} parameters in {}\n", format_bytes(seen_.file_bytes),
                        count_text(seen_.parameters), format_bytes(seen_.weight_bytes));
    out_ += fmt::format("  {} multiply-accumulates{}, about {} of activations live at once\n", count_text(seen_.macs),
                        seen_.control_flow ? " (those inside If and Loop are not counted)" : "",
                        format_bytes(seen_.activation_bytes));
    tensors("input ", seen_.inputs);
    tensors("output", seen_.outputs);
    for (const std::string& a : seen_.assumed) out_ += "  " + a + "\n";
  }

  void layers() {
    Table table(
        {{"layer", Align::left}, {"operator", Align::left}, {"output", Align::left}, {"MACs"}, {"share"}, {"weights"}});
    std::size_t hidden = 0;
    for (const Layer& l : seen_.layers) {
      if (!all_ && l.macs == 0 && !l.carries_weights) {
        ++hidden;
        continue;
      }
      const double share = seen_.macs > 0 ? static_cast<double>(l.macs) / static_cast<double>(seen_.macs) : 0;
      table.row({brief(l.name),
                 {l.op, Tone::faint},
                 shape_of(l.shape),
                 l.macs > 0 ? Cell(count_text(l.macs)) : Cell("–", Tone::faint),
                 l.macs > 0 ? Cell(percent(share), share >= 0.1 ? Tone::strong : Tone::plain) : Cell(""),
                 l.weights > 0 ? Cell(format_bytes(l.weights)) : Cell("–", Tone::faint)});
    }
    heading(prefix_.empty() ? "layers" : fmt::format("layers (… stands for {})", prefix_));
    out_ += table.to_string(colour_);
    if (hidden > 0)
      out_ += fmt::format("and {} node{} without weights and multiply-accumulates; -v lists them\n", hidden,
                          hidden == 1 ? "" : "s");
  }

  void groups() {
    if (seen_.groups.empty()) return;
    heading("channels that can be removed, by group of those that go together");
    Table table(
        {{"group", Align::left}, {"channels"}, {"MACs touched"}, {"made by", Align::left}, {"read by", Align::left}});
    for (const GroupOfChannels& g : seen_.groups) {
      table.row({brief(g.name), g.multiple > 1 ? fmt::format("{} x {}", g.channels, g.multiple) : grouped(g.channels),
                 percent(g.macs_share), brief_list(g.makers), brief_list(g.readers)});
    }
    out_ += table.to_string(colour_);
  }

  /// One line a reason: a graph has few of them.
  void whole() {
    if (seen_.whole.empty()) return;
    heading("channels that have to stay");
    std::vector<std::string> reasons;
    std::map<std::string, std::vector<std::string>> by_reason;
    for (const WholeGroup& w : seen_.whole) {
      auto& names = by_reason[w.reason];
      if (names.empty()) reasons.push_back(w.reason);
      names.push_back(fmt::format("{} ({})", brief(w.name), w.channels));
    }
    for (const std::string& reason : reasons)
      out_ += fmt::format("  {}: {}\n", list_text(by_reason[reason], all_ ? seen_.whole.size() : kNames), reason);
  }

  void blocks() {
    if (seen_.blocks.empty()) return;
    heading("blocks that can be left out");
    Table table({{"block", Align::left}, {"kind", Align::left}, {"nodes"}, {"share of MACs"}, {"weights"}});
    for (const RemovableBlock& b : seen_.blocks) {
      table.row({brief(b.name), b.residual ? "residual" : "plain", grouped(static_cast<std::int64_t>(b.nodes)),
                 percent(b.macs_share), format_bytes(b.weights)});
    }
    out_ += table.to_string(colour_);
  }

  /// Indices of the rows: the best cuts, thinned to those nearest to equal shares.
  std::vector<std::size_t> chosen_cuts() const {
    std::vector<std::size_t> best;
    for (std::size_t k = 0; k < seen_.cuts.size(); ++k) {
      if (all_ || seen_.cuts[k].best) best.push_back(k);
    }
    if (all_ || best.size() <= kCuts) return best;
    std::vector<std::size_t> chosen;
    for (std::size_t i = 0; i < kCuts; ++i) {
      const double wanted = static_cast<double>(i + 1) / (kCuts + 1);
      const auto nearest = *std::min_element(best.begin(), best.end(), [&](std::size_t a, std::size_t b) {
        return std::abs(seen_.cuts[a].macs_share - wanted) < std::abs(seen_.cuts[b].macs_share - wanted);
      });
      if (chosen.empty() || chosen.back() != nearest) chosen.push_back(nearest);
    }
    return chosen;
  }

  void cuts() {
    heading("where a single tensor is live: the graph can be cut there");
    if (seen_.cuts.empty()) {
      out_ += "  nowhere\n";
      return;
    }
    Table table({{"behind", Align::left}, {"tensor", Align::left}, {"bytes"}, {"MACs before"}});
    const auto chosen = chosen_cuts();
    for (const std::size_t k : chosen) {
      const Cut& c = seen_.cuts[k];
      table.row({brief(c.tensor), shape_of(c.shape), format_bytes(c.bytes), percent(c.macs_share)});
    }
    out_ += table.to_string(colour_);
    if (chosen.size() < seen_.cuts.size())
      out_ += fmt::format("{} of {} places; -v lists all\n", chosen.size(), seen_.cuts.size());
  }

  void abilities() {
    heading("what can be scaled");
    Table table({{"dimension", Align::left}, {"", Align::left}, {"why", Align::left}});
    for (const Ability& a : seen_.abilities)
      table.row({a.dimension, {a.possible ? "yes" : "no", a.possible ? Tone::good : Tone::bad}, a.why});
    out_ += table.to_string(colour_);
  }

  /// Without the common prefix, as all names of nodes and of what is named after them.
  [[nodiscard]] std::string brief(const std::string& name) const {
    return !prefix_.empty() && name.starts_with(prefix_) ? "…" + name.substr(prefix_.size()) : name;
  }
  [[nodiscard]] std::string brief_list(const std::vector<std::string>& names) const {
    std::vector<std::string> all;
    for (const auto& n : names) all.push_back(brief(n));
    return list_text(all);
  }

  const Inspection& seen_;
  bool all_, colour_;
  std::string prefix_;
  std::string out_;
};

using Json = nlohmann::ordered_json;

Json share_json(double x) { return std::round(x * 1e6) / 1e6; }

Json specs_json(const std::vector<TensorSpec>& specs) {
  Json json = Json::array();
  for (const TensorSpec& s : specs)
    json.push_back({{"name", s.name}, {"type", element_name(s.type)}, {"shape", s.shape}});
  return json;
}

Json model_json(const std::string& name, const Inspection& seen) {
  Json json{{"name", name},
            {"path", seen.model.string()},
            {"opset", seen.opset},
            {"ir_version", seen.ir_version},
            {"domains", seen.domains},
            {"producer", seen.producer},
            {"file_bytes", seen.file_bytes},
            {"parameters", seen.parameters},
            {"weight_bytes", seen.weight_bytes},
            {"macs", seen.macs},
            {"control_flow", seen.control_flow},
            {"activation_bytes", seen.activation_bytes},
            {"inputs", specs_json(seen.inputs)},
            {"outputs", specs_json(seen.outputs)},
            {"assumed", seen.assumed}};
  const auto list = [&json](const char* key, const auto& items, const auto& to_json) {
    json[key] = Json::array();
    for (const auto& item : items) json[key].push_back(to_json(item));
  };
  list("layers", seen.layers, [](const Layer& l) -> Json {
    return {{"name", l.name}, {"operator", l.op}, {"shape", l.shape}, {"macs", l.macs}, {"weight_bytes", l.weights}};
  });
  list("groups", seen.groups, [](const GroupOfChannels& g) -> Json {
    return {{"name", g.name},         {"channels", g.channels},
            {"multiple", g.multiple}, {"macs_share", share_json(g.macs_share)},
            {"makers", g.makers},     {"readers", g.readers}};
  });
  list("whole", seen.whole, [](const WholeGroup& w) -> Json {
    return {{"name", w.name}, {"channels", w.channels}, {"reason", w.reason}};
  });
  list("blocks", seen.blocks, [](const RemovableBlock& b) -> Json {
    return {{"name", b.name},
            {"residual", b.residual},
            {"nodes", b.nodes},
            {"macs_share", share_json(b.macs_share)},
            {"weight_bytes", b.weights}};
  });
  list("cuts", seen.cuts, [](const Cut& c) -> Json {
    return {{"tensor", c.tensor}, {"shape", c.shape}, {"bytes", c.bytes}, {"macs_share", share_json(c.macs_share)}};
  });
  json["scaling"] = Json::object();
  for (const Ability& a : seen.abilities) json["scaling"][a.dimension] = {{"possible", a.possible}, {"why", a.why}};
  return json;
}

}  // namespace

std::string inspect_table(const Inspection& seen, bool all, bool colour) { return Text(seen, all, colour).write(); }

std::string inspect_json(const std::vector<std::pair<std::string, Inspection>>& models) {
  Json json{{"models", Json::array()}};
  for (const auto& [name, seen] : models) json["models"].push_back(model_json(name, seen));
  return json.dump(2, ' ', false, Json::error_handler_t::replace);
}

}  // namespace rtmdl
