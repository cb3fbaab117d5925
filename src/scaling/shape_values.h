#pragma once
/// Small tensors that hold shapes (Reshape targets, Slice bounds …): their values when tensors have given shapes, and
/// where each comes from. Exporters compute many of them in the graph. Internal to pruning.

#include "model/model.h"

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace rtmdl {

/// Element of a constant, as one input of one node reads it. Or an input of a Concat that is one computed number: a
/// constant can be put there.
struct ConstantPlace {
  int node = -1, input = -1;
  std::int64_t element = 0;
  auto operator<=>(const ConstantPlace&) const = default;
};

struct ShapeValue {
  double value = 0;                    ///< integers of any size that shapes have, and the fractions that scales are
  std::optional<ConstantPlace> place;  ///< it is what stands there, unchanged: editing that edits this value alone
};

struct ShapeTensor {
  std::vector<std::int64_t> shape;  ///< rank 0 or 1
  std::vector<ShapeValue> values;
  bool integer = true;  ///< divisions are those of integers
};

/// Shape of a tensor by name; nothing if unknown.
using ShapeLookup = std::function<const std::vector<std::int64_t>*(const std::string&)>;
/// New values for what stands in these places.
using ShapeEdits = std::map<ConstantPlace, std::int64_t>;

class ShapeValues {
 public:
  /// Evaluates what can be evaluated from shapes and constants alone, with these edits made.
  ShapeValues(const Model& model, const Links& links, const ShapeLookup& shape, ShapeEdits edits = {});
  /// As input `input` of node `node` sees it; nothing if it is not known.
  [[nodiscard]] std::optional<ShapeTensor> at(int node, int input) const;

 private:
  [[nodiscard]] std::optional<ShapeTensor> constant(int node, int input) const;
  [[nodiscard]] std::optional<ShapeTensor> evaluate(int node, const ShapeLookup& shape) const;

  const Model& model_;
  const Links& links_;
  ShapeEdits edits_;
  std::unordered_map<std::string, ShapeTensor> known_;
};

}  // namespace rtmdl
