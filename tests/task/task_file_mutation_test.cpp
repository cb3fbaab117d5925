// The parser on broken task files, seeded: it accepts, or refuses with one short line that names the file.
// fuzz/task_file.cpp searches further.
#include "base/atomic_file.h"
#include "mutation.h"

#include <rtmdl/error.h>
#include "task/task_file.h"

#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace rtmdl {
namespace {

const std::vector<std::string> kPieces{"\n",   "\t",   "  ",  "- ",    ": ",  "{",     "}",
                                       "[",    "]",    "\"",  "'",     "#",   "&a ",   "*a",
                                       "<<: ", "~",    "|\n", "---\n", "nan", "-1 ms", "1e999 s",
                                       "inf",  "\xff", "µ",   "true",  "? ",  "!!x ",  "99999999999999999999"};

TEST(TaskFileMutation, IsAcceptedOrRefusedInOneShortLine) {
  const std::filesystem::path file = std::filesystem::path(RTMDL_SOURCE_DIR) / "examples/edge-box/tasks.yaml";
  test::Mutator mutator(read_file(file), kPieces);
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
