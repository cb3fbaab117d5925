#pragma once
/// Sources whose pictures all have one size and lie in a few large files, parted into training and test by whoever made
/// them (MNIST, CIFAR and their kin).

#include "data/source.h"

#include <functional>
#include <string>
#include <vector>

namespace rtmdl {

/// Pictures one after another, each as OpenCV keeps it (rows of interleaved channels, BGR), and their labels.
struct PictureSet {
  int width = 0, height = 0, channels = 1;
  std::size_t there = 0;  ///< in the files; `labels.size()` of them are here
  std::vector<std::uint8_t> pixels;
  std::vector<std::uint8_t> labels;

  [[nodiscard]] std::size_t count() const noexcept { return labels.size(); }
  [[nodiscard]] std::size_t bytes_each() const noexcept {
    return static_cast<std::size_t>(width) * static_cast<std::size_t>(height) * static_cast<std::size_t>(channels);
  }
};

struct StoredPictures {
  /// Reads at most `most` pictures, spread evenly over the files. Called when they are first needed.
  std::function<PictureSet(std::size_t most)> train, test;
  std::size_t train_count = 0;  ///< in the files
  int classes = 0;
  std::string fingerprint;
};

/// `batch` pictures a frame. 64 frames, spread over the training pictures, calibrate; all training pictures may be
/// learnt from, but for copies of test pictures, which give way to the next that is none; all test pictures evaluate
/// and are played. Throws Error(bad_input): fewer pictures than a batch.
[[nodiscard]] std::unique_ptr<Source> open_stored_pictures(const ConfigNode& data, int batch, StoredPictures pictures);

}  // namespace rtmdl
