#include "profiling/layout_text.h"

#include <rtmdl/error.h>

#include <nlohmann/json.hpp>

#include <algorithm>

namespace rtmdl {
namespace {

using Json = nlohmann::json;

Json json_of(const Containment& c) {
  Json taken = Json::array();
  for (const Positions& axis : c.slice.taken) taken.push_back(positions_text(axis));
  return {c.source, c.container, c.reference, c.slice.stored, taken};
}

Containment containment(const Json& j) {
  Containment c;
  c.source = j.at(0);
  c.container = j.at(1);
  c.reference = j.at(2);
  c.slice.stored = j.at(3).get<std::vector<std::int64_t>>();
  for (const Json& axis : j.at(4)) {
    const auto& text = axis.get_ref<const std::string&>();
    const std::int64_t extent = c.slice.stored.at(c.slice.taken.size());
    c.slice.taken.push_back(text.empty() ? Positions{} : parse_positions(text, extent));
  }
  return c;
}

Json json_of(const FamilyFile& f) {
  Json uses = Json::array();
  for (const auto& use : f.uses) uses.push_back({use.initializer, use.piece, use.frame});
  return {{"content", f.content}, {"whole", f.whole}, {"bytes", f.bytes},
          {"rest", f.rest},       {"graph", f.graph}, {"uses", uses}};
}

FamilyFile family_file(const Json& j) {
  FamilyFile f;
  f.content = j.at("content");
  f.whole = j.at("whole");
  f.bytes = j.at("bytes");
  f.rest = j.at("rest");
  f.graph = j.at("graph");
  for (const Json& use : j.at("uses")) f.uses.push_back({use.at(0), use.at(1), use.at(2)});
  return f;
}

bool leads_somewhere(const FamilyLayout& l) {
  const auto in = [](int i, const auto& list) { return i >= 0 && static_cast<std::size_t>(i) < list.size(); };
  for (std::size_t p = 0; p < l.pieces.size(); ++p) {
    for (const Containment& c : l.pieces[p].in) {
      // A container is larger, so it comes before; place() relies on that.
      if (c.source ? !in(c.container, l.sources) : c.container < 0 || c.container >= static_cast<int>(p)) return false;
    }
  }
  const auto good = [&](const FamilyFile& f) {
    return std::all_of(f.uses.begin(), f.uses.end(),
                       [&](const auto& use) { return use.initializer >= 0 && in(use.piece, l.pieces); });
  };
  return std::all_of(l.files.begin(), l.files.end(), good) &&
         std::all_of(l.sources.begin(), l.sources.end(),
                     [&](const SourceTensor& s) { return in(s.file, l.source_files); });
}

}  // namespace

std::string layout_text(const FamilyLayout& layout) {
  Json j{{"files", Json::array()}, {"pieces", Json::array()}, {"sources", Json::array()}, {"of", Json::array()}};
  for (const FamilyFile& f : layout.files) j["files"].push_back(json_of(f));
  for (const Piece& p : layout.pieces) {
    Json in = Json::array();
    for (const Containment& c : p.in) in.push_back(json_of(c));
    j["pieces"].push_back({p.digest, p.bytes, p.reference, in, p.shape});
  }
  for (const SourceTensor& s : layout.sources) j["sources"].push_back({s.initializer, s.file, s.offset});
  for (const SourceFile& f : layout.source_files) j["of"].push_back({f.name, f.bytes, f.sha256});
  try {
    return j.dump();
  } catch (const Json::exception&) {  // a name that is no UTF-8
    return {};
  }
}

std::optional<FamilyLayout> parse_layout(const std::string& text) {
  try {
    const Json j = Json::parse(text);
    FamilyLayout layout;
    for (const Json& f : j.at("files")) layout.files.push_back(family_file(f));
    for (const Json& p : j.at("pieces")) {
      layout.pieces.push_back({p.at(0), p.at(4).get<std::vector<std::int64_t>>(), p.at(1), p.at(2), {}});
      for (const Json& c : p.at(3)) layout.pieces.back().in.push_back(containment(c));
    }
    for (const Json& s : j.at("sources")) layout.sources.push_back({s.at(0), s.at(1), s.at(2)});
    for (const Json& f : j.at("of")) layout.source_files.push_back({f.at(0), f.at(1), f.at(2)});
    if (leads_somewhere(layout)) return layout;
  } catch (const Json::exception&) {
  } catch (const Error&) {
  } catch (const std::out_of_range&) {
  }
  return std::nullopt;
}

}  // namespace rtmdl
