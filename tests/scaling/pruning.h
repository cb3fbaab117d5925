#pragma once
/// What every pruned model is held to.

#include "model/edit.h"
#include "run_model.h"
#include "scaling/blocks.h"
#include "scaling/prune.h"

#include <numeric>
#include <random>
#include <string>
#include <vector>

namespace rtmdl::test {

/// A model with its shapes, ready to be pruned.
struct Subject {
  Model model;
  TensorSpecs specs;
  LoadRequest at;

  Subject(Model m, const std::filesystem::path& folder, const LoadRequest& how = {}) : model(std::move(m)), at(how) {
    normalise(model);
    specs = specs_of(engine(), model, at, folder);
  }
};

/// It loads and runs, and every tensor has the type and shape that were predicted.
inline void expect_predicted(const Model& model, const TensorSpecs& predicted, const LoadRequest& at,
                             const std::filesystem::path& folder) {
  const TensorSpecs run = specs_of(engine(), model, at, folder);
  for (const auto& [name, spec] : run) {
    ASSERT_TRUE(predicted.contains(name)) << name;
    EXPECT_EQ(predicted.at(name).shape, spec.shape) << name;
    EXPECT_EQ(predicted.at(name).type, spec.type) << name;
  }
  EXPECT_EQ(predicted.size(), run.size());
  EXPECT_EQ(model_cost(model, predicted).macs, model_cost(model, run).macs);
}

/// All groups whole, in random order.
inline Kept shuffled(const ChannelGroups& groups, std::uint32_t seed) {
  std::mt19937 random(seed);
  Kept kept = keep_all(groups);
  for (auto& list : kept) std::shuffle(list.begin(), list.end(), random);
  return kept;
}

/// Random parts of the groups in random order.
inline Kept random_part(const ChannelGroups& groups, std::uint32_t seed) {
  std::mt19937 random(seed);
  Kept kept = shuffled(groups, seed);
  for (auto& list : kept) list.resize(1 + random() % list.size());
  return kept;
}

/// Outputs of one run on seeded inputs.
inline std::vector<std::vector<float>> answers(const Model& model, LoadRequest at, const Folder& folder, float low = -1,
                                               float high = 1) {
  at.model = folder.save(model, "answers.onnx");
  const InputSet set = random_inputs(*engine().load(at), 7, low, high);
  return outputs(at, set);
}

/// Zeroes what belongs to these channels (one of each group), in the weights of the model.
inline void silence(Model& model, const ChannelGroups& groups, const std::vector<std::size_t>& which,
                    std::size_t channel) {
  for (const std::size_t g : which) {
    for (const auto& slice : groups.groups[g].channels[channel].weights) {
      for (auto& tensor : *model.graph().mutable_initializer()) {
        if (tensor.name() != slice.tensor) continue;
        auto values = floats(tensor).value();
        const auto shape = dims(tensor);
        std::size_t inner = 1;
        for (auto k = static_cast<std::size_t>(slice.axis) + 1; k < shape.size(); ++k)
          inner *= static_cast<std::size_t>(shape[k]);
        const auto size = static_cast<std::size_t>(shape[static_cast<std::size_t>(slice.axis)]);
        for (std::size_t i = 0; i < values.size(); ++i) {
          const auto at = static_cast<std::int64_t>(i / inner % size);
          if (std::binary_search(slice.indices.begin(), slice.indices.end(), at)) values[i] = 0;
        }
        tensor = make_tensor(tensor.name(), shape, std::span<const float>(values));
      }
    }
  }
}

inline std::vector<std::string> names(const std::vector<WholeGroup>& whole) {
  std::vector<std::string> all;
  for (const auto& group : whole) all.push_back(group.name);
  return all;
}

}  // namespace rtmdl::test
