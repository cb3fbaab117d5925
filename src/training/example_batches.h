#pragma once
/// Batches of examples as torch tensors: read, stacked, shifted and mirrored by a second thread while the last one is
/// trained on. Examples are kept in memory as far as that goes.

#include "scaling/fine_tuner.h"

#include <ATen/ATen.h>

#include <cstdint>
#include <functional>
#include <future>
#include <optional>
#include <span>
#include <vector>

namespace rtmdl::training {

struct Batch {
  std::vector<at::Tensor> inputs;  ///< in the data's order, examples one behind the other along the first axis
  std::vector<std::vector<LabelledBox>> boxes;  ///< by example; all empty where the data have none
  at::Tensor labels;                            ///< i64, one per element of that axis; undefined without labels
  std::int64_t elements = 0;
};

/// Random shifts of up to `shift` pixels each way (borders are repeated) and mirror images, of 4-D f32 inputs with 1,
/// 3 or 4 channels. All inputs of an element are moved alike.
struct Movement {
  int shift = 0;
  bool mirror = false;
  std::uint64_t seed = 1;
};

class ExampleBatches {
 public:
  explicit ExampleBatches(TrainingData& data) : data_(data), kept_(data.size()) {}
  ExampleBatches(const ExampleBatches&) = delete;
  ExampleBatches& operator=(const ExampleBatches&) = delete;
  ~ExampleBatches();

  /// Whether these examples have equal shapes, so that they can be stacked.
  [[nodiscard]] bool equal_shapes(std::span<const std::size_t> examples);
  /// Unmoved. Throws Error(bad_input) if the examples do not go together.
  [[nodiscard]] Batch read(std::span<const std::size_t> examples);
  /// Moved by what follows from (movement.seed, key, position in the batch). Reads ahead what `next` gives: the key
  /// and the examples of the batch that will be asked for then.
  struct Order {
    std::uint64_t key = 0;
    std::vector<std::size_t> examples;
  };
  [[nodiscard]] Batch read(const Order& order, const Movement& movement, const std::optional<Order>& next);

 private:
  const Example& example(std::size_t i);
  Batch stack(std::span<const std::size_t> examples, const Movement* movement, std::uint64_t key);
  void wait();

  TrainingData& data_;
  std::vector<std::optional<Example>> kept_;
  std::size_t kept_bytes_ = 0;
  Example passing_;  ///< the last one that was not kept
  std::future<Batch> ahead_;
  std::uint64_t ahead_key_ = 0;
};

}  // namespace rtmdl::training
