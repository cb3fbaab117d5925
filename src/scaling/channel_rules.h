#pragma once
/// What each operator makes of the channels that go in: one rule each, which joins and locks atoms. Internal to the
/// analysis of channels. An operator without a rule locks what it touches.

#include "scaling/channel_atoms.h"
#include "scaling/shape_values.h"

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

namespace rtmdl {

/// A node whose weights make the channels of an axis.
struct ChannelMaker {
  int node = 0;
  int axis = 0;              ///< of its output
  std::vector<int> weights;  ///< axes of its weights along which they make them
};

/// A node whose weights consume the channels of an axis.
struct ChannelReader {
  int node = 0;
  int axis = 0;  ///< of its weights
};

/// An axis of which a Reshape makes several, or which it makes of several: it shrinks along one of these factors.
struct FactorChoice {
  int node = 0;
  int axis = 0;
  bool split = false;        ///< else merged
  bool last = false;         ///< of what is split
  std::vector<int> factors;  ///< axes, the outermost first
  std::vector<std::int64_t> sizes;
};

class ChannelRules {
 public:
  /// `specs` fill `atoms`; `values` are those of the shapes that specs gives.
  ChannelRules(const Model& model, ChannelAtoms& atoms, const ShapeValues& values);
  /// Everything that the graph says.
  void apply();

  [[nodiscard]] const std::vector<ChannelMaker>& makers() const { return makers_; }
  [[nodiscard]] const std::vector<ChannelReader>& readers() const { return readers_; }

  // ---- for the rules of the operators
  [[nodiscard]] const onnx::NodeProto& node(int n) const { return model_.graph().node(n); }
  [[nodiscard]] ChannelAtoms& atoms() { return atoms_; }
  [[nodiscard]] int in(int n, int i) const { return atoms_.input(n, i); }
  [[nodiscard]] int out(int n, int i = 0) const { return atoms_.output(n, i); }
  [[nodiscard]] std::int64_t opset() const { return opset_; }
  /// Depends on weights alone.
  [[nodiscard]] bool constant(int n, int i) const;
  /// Integers that an input, or the attribute of the same purpose, holds. Nothing if they are not known.
  [[nodiscard]] std::optional<std::vector<std::int64_t>> values(int n, int i) const;
  [[nodiscard]] std::optional<std::vector<std::int64_t>> values(int n, int i, std::string_view attribute) const;
  /// Integers that are the elements of an initializer of any length.
  [[nodiscard]] std::optional<std::vector<std::int64_t>> indices(int n, int i) const;
  /// The first `inputs` and the first output have known shapes; else all that the node touches is locked.
  [[nodiscard]] bool known(int n, int inputs);
  void lock_node(int n, const std::string& reason);
  /// Axis k of one tensor is axis l of another.
  void same(int n, int tensor_a, std::size_t k, int tensor_b, std::size_t l);
  void lock(int tensor, std::size_t k, const std::string& reason) { atoms_.lock_axis(atoms_.axis(tensor, k), reason); }
  /// All operands against the first output, aligned at their last axes.
  void broadcast(int n, const std::vector<int>& operands);
  /// "'conv1' (Conv) …".
  [[nodiscard]] std::string says(int n, std::string_view what) const;
  void makes(ChannelMaker maker) { makers_.push_back(std::move(maker)); }
  void consumes(ChannelReader reader) { readers_.push_back(reader); }
  /// The shapes of a node's first input and output hold the same elements in the same order. Done last, when what
  /// the other operators lock is known: it decides which factor of an axis may shrink.
  void reshaped(int n) { reshapes_.push_back(n); }

 private:
  // channel_rules_reshape.cpp
  void split_and_merge(int n);
  void choose_factors();
  bool choose(const FactorChoice& choice, bool only_if_clear);
  [[nodiscard]] std::size_t preferred(const FactorChoice& choice, std::vector<std::size_t> able) const;

  const Model& model_;
  ChannelAtoms& atoms_;
  const ShapeValues& values_;
  std::int64_t opset_;
  std::unordered_set<std::string> constants_;
  std::vector<ChannelMaker> makers_;
  std::vector<ChannelReader> readers_;
  std::vector<int> reshapes_;
  std::vector<FactorChoice> choices_;
  std::vector<int> chosen_;  ///< an atom of every factor that was chosen
};

using ChannelRule = void (*)(ChannelRules&, int node);
using ChannelRuleTable = std::map<std::string, ChannelRule, std::less<>>;
[[nodiscard]] const ChannelRuleTable& elementwise_rules();  ///< element by element, and along an axis (Softmax …)
[[nodiscard]] const ChannelRuleTable& layer_rules();        ///< with weights, pooling, normalisations
[[nodiscard]] const ChannelRuleTable& layout_rules();       ///< that move elements

}  // namespace rtmdl
