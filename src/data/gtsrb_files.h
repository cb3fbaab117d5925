#pragma once
/// The German Traffic Sign Recognition Benchmark (Stallkamp et al. 2012) as its archives unpack.

#include "task/config_node.h"

#include <filesystem>
#include <vector>

#include <opencv2/core/types.hpp>

namespace rtmdl {

/// One picture and what its table says of it.
struct SignPicture {
  std::filesystem::path file;
  cv::Rect roi;  ///< of the sign, without the border around it; empty if the table does not say
  std::int32_t label = 0;
};

struct SignPictures {
  std::vector<SignPicture> training, test;
  std::vector<std::filesystem::path> tables;
};

constexpr int kSignClasses = 43;

/// Finds the tables and reads them: `Final_Training/Images/000NN/GT-000NN.csv` (or `Training/…`, as in the later
/// archive) and `GT-final_test.csv` for `Final_Test/Images`; or `Train.csv` and `Test.csv` with paths, as in the copy
/// with PNG files. `path` is the folder that holds them, or `GTSRB` in it. Throws Error(bad_input) with file and line.
[[nodiscard]] SignPictures list_gtsrb(const ConfigNode& path);

}  // namespace rtmdl
