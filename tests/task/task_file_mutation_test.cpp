// The parser on broken task files, seeded: it accepts, or refuses with one short line that names the file.
// fuzz/task_file.cpp searches further.
#include "base/atomic_file.h"

#include <rtmdl/error.h>
#include <rtmdl/task_file.h>

#include <array>
#include <filesystem>
#include <random>
#include <string>

#include <gtest/gtest.h>

namespace rtmdl {
namespace {

constexpr std::array<const char*, 28> kPieces{"\n",   "\t",   "  ",  "- ",    ": ",  "{",     "}",
                                              "[",    "]",    "\"",  "'",     "#",   "&a ",   "*a",
                                              "<<: ", "~",    "|\n", "---\n", "nan", "-1 ms", "1e999 s",
                                              "inf",  "\xff", "µ",   "true",  "? ",  "!!x ",  "99999999999999999999"};

class Mutator {
 public:
  explicit Mutator(std::string text) : text_(std::move(text)) {}

  std::string next() {
    std::string t = text_;
    for (std::size_t edits = 1 + random(4); edits > 0 && !t.empty(); --edits) {
      const std::size_t at = random(t.size());
      const std::size_t length = std::min(t.size() - at, 1 + random(random(8) == 0 ? 200 : 8));
      switch (random(6)) {
        case 0: t[at] = static_cast<char>(random(256)); break;
        case 1: t.erase(at, length); break;
        case 2: t.insert(at, kPieces[random(kPieces.size())]); break;
        case 3: t.replace(at, length, kPieces[random(kPieces.size())]); break;
        case 4: t.insert(random(t.size()), t.substr(at, length)); break;
        default: t.resize(at); break;
      }
    }
    return t;
  }

 private:
  std::size_t random(std::size_t below) { return std::uniform_int_distribution<std::size_t>(0, below - 1)(random_); }

  std::string text_;
  std::mt19937_64 random_{1};
};

TEST(TaskFileMutation, IsAcceptedOrRefusedInOneShortLine) {
  const std::filesystem::path file = std::filesystem::path(RTMDL_SOURCE_DIR) / "examples/edge-box/tasks.yaml";
  Mutator mutator(read_file(file));
  int accepted = 0, refused = 0;
  for (int i = 0; i < 3000; ++i) {
    const std::string text = mutator.next();
    try {
      static_cast<void>(TaskFile::parse(text, "tasks.yaml"));
      ++accepted;
    } catch (const Error& e) {
      ++refused;
      const std::string message = e.what();
      ASSERT_EQ(e.code(), ErrorCode::bad_input) << message << "\n" << text;
      ASSERT_EQ(message.rfind("tasks.yaml:", 0), 0U) << message << "\n" << text;
      ASSERT_EQ(message.find('\n'), std::string::npos) << message << "\n" << text;
      ASSERT_LT(message.size(), 700U) << message << "\n" << text;
    }
  }
  EXPECT_GT(refused, 1000);
  EXPECT_EQ(accepted + refused, 3000);
}

}  // namespace
}  // namespace rtmdl
