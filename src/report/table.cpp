#include "report/table.h"

#include "report/describe.h"
#include "report/utf8.h"

#include <algorithm>
#include <stdexcept>

#include <fmt/format.h>

namespace rtmdl {
namespace {

constexpr std::string_view kColumnGap = "  ";

struct WideRange {
  char32_t first, last;
};
constexpr WideRange kWide[] = {{0x1100, 0x115F},   {0x2E80, 0x303E},  {0x3041, 0xA4CF}, {0xAC00, 0xD7A3},
                               {0xF900, 0xFAFF},   {0xFE30, 0xFE6F},  {0xFF00, 0xFF60}, {0xFFE0, 0xFFE6},
                               {0x1F300, 0x1FAFF}, {0x20000, 0x3FFFD}};
constexpr WideRange kZero[] = {{0x0, 0x1F},      {0x7F, 0x9F},     {0x300, 0x36F},  {0x200B, 0x200F},
                               {0x2060, 0x2064}, {0xFE00, 0xFE0F}, {0xFEFF, 0xFEFF}};

template <std::size_t N>
bool within(const WideRange (&ranges)[N], char32_t c) {
  return std::any_of(std::begin(ranges), std::end(ranges),
                     [c](const WideRange& r) { return c >= r.first && c <= r.last; });
}

std::string_view ansi(Tone tone) {
  switch (tone) {
    case Tone::good: return "\033[32m";
    case Tone::bad: return "\033[1;31m";
    case Tone::faint: return "\033[2m";
    case Tone::strong: return "\033[1m";
    case Tone::plain: break;
  }
  return "";
}

/// A cell is one line: a name with an escape sequence must not drive the terminal.
std::string one_line(const std::string& text) {
  std::string line;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t from = i;
    const char32_t c = next_code_point(text, i);
    if (c < 0x20 || (c >= 0x7F && c < 0xA0)) line += ' ';
    else if (c == kReplacement) line += "\uFFFD";
    else line.append(text, from, i - from);
  }
  return line;
}

}  // namespace

Cell loss_cell(double loss) { return {percent(loss), loss == 0 ? Tone::faint : Tone::plain}; }

std::size_t display_width(std::string_view utf8) {
  std::size_t width = 0;
  for (std::size_t i = 0; i < utf8.size();) {
    const char32_t c = next_code_point(utf8, i);
    width += within(kZero, c) ? 0 : within(kWide, c) ? 2 : 1;
  }
  return width;
}

Table::Table(std::vector<Column> columns) : columns_(std::move(columns)) {
  for (Column& c : columns_) c.title = one_line(c.title);
}

Table& Table::row(std::vector<Cell> cells) {
  if (cells.size() > columns_.size())
    throw std::invalid_argument(
        fmt::format("a row of {} cells in a table of {} columns", cells.size(), columns_.size()));
  for (Cell& c : cells) c.text = one_line(c.text);
  cells.resize(columns_.size(), Cell(""));
  rows_.push_back(std::move(cells));
  return *this;
}

Table& Table::rule() {
  rows_.emplace_back();
  return *this;
}

std::string Table::to_string(bool colour) const {
  std::vector<std::size_t> widths;
  for (std::size_t c = 0; c < columns_.size(); ++c) {
    std::size_t width = display_width(columns_[c].title);
    for (const auto& row : rows_)
      if (!row.empty()) width = std::max(width, display_width(row[c].text));
    widths.push_back(width);
  }
  std::size_t total = columns_.empty() ? 0 : kColumnGap.size() * (columns_.size() - 1);
  for (const std::size_t w : widths) total += w;
  std::string rule;
  for (std::size_t i = 0; i < total; ++i) rule += "─";

  std::string out;
  const auto line = [&](const std::vector<Cell>& cells) {
    std::string text;      // without what would trail
    std::size_t owed = 0;  // spaces to write before the next visible text
    for (std::size_t c = 0; c < cells.size(); ++c) {
      if (c > 0) owed += kColumnGap.size();
      std::string_view visible = cells[c].text;
      std::size_t after = 0;
      const std::size_t pad = widths[c] - display_width(visible);
      (columns_[c].align == Align::right ? owed : after) += pad;
      while (!visible.empty() && visible.back() == ' ') visible.remove_suffix(1), ++after;
      if (!visible.empty()) {
        text.append(owed, ' ');
        owed = 0;
        const std::string_view paint = colour ? ansi(cells[c].tone) : "";
        text.append(paint).append(visible).append(paint.empty() ? "" : "\033[0m");
      }
      owed += after;
    }
    out += text + "\n";
  };
  std::vector<Cell> titles;
  for (const Column& c : columns_) titles.emplace_back(c.title, Tone::strong);
  line(titles);
  out += rule + "\n";
  for (const auto& row : rows_) {
    if (row.empty()) out += rule + "\n";
    else line(row);
  }
  return out;
}

}  // namespace rtmdl
