#pragma once
/// Looks into what was printed or drawn.

#include <string>
#include <vector>

namespace rtmdl::sample {

/// Tags opened and not closed, or closed and not open; empty if the page is well-formed.
inline std::string unbalanced(const std::string& html) {
  std::vector<std::string> open;
  for (std::size_t i = html.find('<'); i != std::string::npos; i = html.find('<', i + 1)) {
    const std::size_t end = html.find('>', i);
    if (end == std::string::npos) return "unclosed tag";
    const std::string tag = html.substr(i + 1, end - i - 1);
    if (tag[0] == '!' || tag.back() == '/' || tag.rfind("meta", 0) == 0) continue;
    const std::string name = tag.substr(
        tag[0] == '/', tag.find_first_of(" \n") - (tag[0] == '/' && tag.find_first_of(" \n") != std::string::npos));
    if (tag[0] != '/') open.push_back(name);
    else if (open.empty() || open.back() != name)
      return "</" + name + "> closes <" + (open.empty() ? "" : open.back()) + ">";
    else open.pop_back();
  }
  return open.empty() ? "" : "<" + open.back() + "> is not closed";
}

/// The first line in which the word stands; empty if none does.
inline std::string line_with(const std::string& text, const std::string& word) {
  const auto at = text.find(word);
  if (at == std::string::npos) return "";
  const auto begin = text.rfind('\n', at) + 1;
  return text.substr(begin, text.find('\n', at) - begin);
}

inline int count(const std::string& text, const std::string& what) {
  int n = 0;
  for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += what.size()) ++n;
  return n;
}

}  // namespace rtmdl::sample
