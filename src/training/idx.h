#pragma once
/// IDX files (the format of MNIST and its successors): unsigned bytes, plain or gzip.

#include <cstdint>
#include <filesystem>
#include <vector>

namespace rtmdl::training {

/// Labelled grey images. Pixel (row r, column c) of image i is pixels[(i * rows + r) * columns + c].
struct LabelledImages {
  int count = 0;
  int rows = 0;
  int columns = 0;
  std::vector<std::uint8_t> pixels;
  std::vector<std::uint8_t> labels;  ///< one per image, below the number of classes
};

struct Dataset {
  LabelledImages train;
  LabelledImages test;
};

/// Reads `{train,t10k}-{images-idx3,labels-idx1}-ubyte`, each with or without ".gz", from one folder.
/// Error(bad_input) names the file and what is wrong: missing, magic number, length, label out of range, sizes that
/// differ.
[[nodiscard]] Dataset read_idx_folder(const std::filesystem::path& folder, int classes);

}  // namespace rtmdl::training
