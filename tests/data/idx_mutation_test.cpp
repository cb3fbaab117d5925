// Broken IDX files, seeded, plain and gzipped: they are refused with one line that names the file, or read.
#include "base/atomic_file.h"
#include "data/idx_file.h"
#include "mutation.h"

#include <gtest/gtest.h>
#include <rtmdl/error.h>
#include <unistd.h>
#include <zlib.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace rtmdl {
namespace {

std::string idx(std::uint8_t items) {
  std::string bytes{0, 0, 8, 3, 0, 0, 0, static_cast<char>(items), 0, 0, 0, 4, 0, 0, 0, 5};
  for (int i = 0; i < items * 20; ++i) bytes += static_cast<char>(i * 7);
  return bytes;
}

std::string gzipped(const std::string& bytes, const std::filesystem::path& scratch) {
  gzFile file = gzopen(scratch.c_str(), "wb");
  gzwrite(file, bytes.data(), static_cast<unsigned>(bytes.size()));
  gzclose(file);
  return read_file(scratch);
}

TEST(IdxMutation, IsReadOrRefusedInOneShortLine) {
  const auto folder = std::filesystem::temp_directory_path() / ("rtmdl_idx_mutation_" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  const auto path = folder / "broken-ubyte";
  for (const std::string& whole : {idx(10), gzipped(idx(10), path)}) {
    test::Mutator mutator(whole, {std::string(1, '\0'), "\xff\xff", "\x08", "\x1f\x8b\x08", "\x7f\xff\xff\xff"});
    int read = 0, refused = 0;
    for (int i = 0; i < 700; ++i) {
      std::ofstream(path, std::ios::binary) << mutator.next();
      try {
        IdxReader reader(path);
        const bool small = reader.item_bytes() < 100'000;
        std::vector<std::uint8_t> item(small ? reader.item_bytes() : 0);
        for (std::size_t k = 0; k < std::min<std::size_t>(reader.dimensions()[0], 30); ++k) {
          if (k % 3 == 1 || !small) reader.skip();
          else reader.read(item.data());
        }
        ++read;
      } catch (const Error& e) {
        ++refused;
        const std::string message = e.what();
        ASSERT_EQ(e.code(), ErrorCode::bad_input) << message;
        ASSERT_TRUE(message.starts_with(path.string() + ": ")) << message;
        ASSERT_EQ(message.find('\n'), std::string::npos) << message;
      }
    }
    EXPECT_GT(refused, 100);
    EXPECT_GT(read, 20);
  }
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace rtmdl
