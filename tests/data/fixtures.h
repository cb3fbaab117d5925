#pragma once
/// What the tests of src/data share: a temporary folder, configuration from text, messages of errors, pictures to look
/// at.

#include "data/source.h"

#include <rtmdl/error.h>

#include <filesystem>
#include <fstream>
#include <string>

#include <stdlib.h>

#include <gtest/gtest.h>
#include <opencv2/imgcodecs.hpp>

namespace rtmdl::test {

class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "rtmdl-data-XXXXXX").string();
    path_ = mkdtemp(name.data());
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  [[nodiscard]] std::filesystem::path path(const std::string& name = "") const {
    return name.empty() ? path_ : path_ / name;
  }
  void write(const std::string& name, const std::string& bytes) const {
    std::filesystem::create_directories(path(name).parent_path());
    std::ofstream(path(name), std::ios::binary) << bytes;
  }
  void write(const std::string& name, const cv::Mat& picture) const {
    std::filesystem::create_directories(path(name).parent_path());
    cv::imwrite(path(name).string(), picture);
  }
  /// As if it stood in `tasks.yaml` of this folder.
  [[nodiscard]] ConfigNode config(const std::string& yaml) const { return ConfigNode::parse(yaml, path("tasks.yaml")); }

 private:
  std::filesystem::path path_;
};

inline ConfigNode config(const std::string& yaml) { return ConfigNode::parse(yaml, "tasks.yaml"); }

/// What the action complains about; "" if it does not.
template <typename Action>
std::string complaint(Action action) {
  try {
    action();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::bad_input);
    return e.what();
  }
  return "";
}

/// A picture in which every crop is different.
inline cv::Mat textured(int width, int height, std::uint64_t seed) {
  cv::Mat picture(height, width, CV_8UC3);
  cv::RNG rng(seed);
  rng.fill(picture, cv::RNG::UNIFORM, 0, 256);
  return picture;
}

inline bool same_picture(const cv::Mat& a, const cv::Mat& b) {
  return a.size() == b.size() && a.type() == b.type() && cv::norm(a, b, cv::NORM_INF) == 0;
}

}  // namespace rtmdl::test
