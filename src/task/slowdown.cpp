#include "task/slowdown.h"

#include "base/excerpt.h"
#include "base/units.h"

#include <rtmdl/error.h>

#include <charconv>

#include <fmt/format.h>

namespace rtmdl {
namespace {

constexpr double kMostSlowdown = 100;

/// "1.5x@10s-20s"
Slowdown parse_one(std::string_view text) {
  const std::size_t at = text.find('@');
  const std::size_t to = at == text.npos ? at : text.find('-', at);
  if (to == text.npos || at < 2 || text[at - 1] != 'x')
    bad_input(fmt::format("'{}' is not accepted: write for instance 1.5x@10s-20s", excerpt(text)));
  Slowdown s;
  const char* const end = text.data() + at - 1;
  const auto [last, ec] = std::from_chars(text.data(), end, s.factor);
  if (ec != std::errc{} || last != end || !(s.factor >= 1 && s.factor <= kMostSlowdown))
    bad_input(fmt::format("'{}' is out of range: 1x to {}x is accepted", excerpt(text.substr(0, at)), kMostSlowdown));
  s.from = parse_duration(text.substr(at + 1, to - at - 1));
  s.until = parse_duration(text.substr(to + 1));
  if (s.from < Duration{} || s.until <= s.from)
    bad_input(fmt::format("'{}' ends before it begins", excerpt(text.substr(at + 1))));
  return s;
}

}  // namespace

std::vector<Slowdown> parse_slowdowns(std::string_view text) {
  std::vector<Slowdown> all;
  while (true) {
    const std::size_t comma = text.find(',');
    all.push_back(parse_one(text.substr(0, comma)));
    if (comma == text.npos) return all;
    text.remove_prefix(comma + 1);
  }
}

}  // namespace rtmdl
