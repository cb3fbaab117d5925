#pragma once
/// Small IDX data sets in a temporary folder.

#include <gtest/gtest.h>
#include <rtmdl/error.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <initializer_list>
#include <string>

namespace rtmdl::test {

/// Emptied at construction and removed at destruction.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    path_ = std::filesystem::path(testing::TempDir()) /
            (std::string("rtmdl.") + info->test_suite_name() + "." + info->name());
    std::filesystem::remove_all(path_);
    std::filesystem::create_directories(path_);
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

inline std::string idx_bytes(std::uint32_t magic, std::initializer_list<std::uint32_t> shape,
                             const std::string& values) {
  std::string bytes;
  const auto add = [&](std::uint32_t number) {
    for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(number >> shift & 0xff);
  };
  add(magic);
  for (const std::uint32_t extent : shape) add(extent);
  return bytes + values;
}

inline void write(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

/// Images of `side` pixels whose class is the place of a bright bar, with noise; 10 classes in turn.
inline void write_idx_set(const std::filesystem::path& folder, const std::string& prefix, std::uint32_t count,
                          std::uint32_t side = 12) {
  std::string pixels;
  std::string labels;
  std::uint32_t noise = 12345;
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::uint32_t label = i % 10;
    labels += static_cast<char>(label);
    for (std::uint32_t r = 0; r < side; ++r) {
      for (std::uint32_t c = 0; c < side; ++c) {
        noise = noise * 1664525 + 1013904223;
        const std::uint32_t place = label < 5 ? r : c;
        pixels += static_cast<char>((place / 2 == label % 5 ? 180 : 0) + (noise >> 27));
      }
    }
  }
  write(folder / (prefix + "-images-idx3-ubyte"), idx_bytes(0x803, {count, side, side}, pixels));
  write(folder / (prefix + "-labels-idx1-ubyte"), idx_bytes(0x801, {count}, labels));
}

inline void write_idx_folder(const std::filesystem::path& folder, std::uint32_t train_images,
                             std::uint32_t test_images) {
  write_idx_set(folder, "train", train_images);
  write_idx_set(folder, "t10k", test_images);
}

/// The text of the Error(bad_input) that the call ends with, or "" if it does not.
inline std::string refusal(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::bad_input);
    return e.what();
  }
  return "";
}

}  // namespace rtmdl::test
