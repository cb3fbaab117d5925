#pragma once
/// How a strategy is written for pagmo: one random key per task for the order (Bean, Genetic algorithms and random keys
/// for sequencing and optimization, ORSA J. Computing 1994), then one integer per task for its option.
///
/// pagmo refuses a gene whose bounds are equal: a task with one option open has no integer, a lone task has no key.

#include "planning/evaluator.h"

#include <utility>
#include <vector>

namespace rtmdl {

class Genome {
 public:
  /// Open are the options that can keep their limit alone (Evaluator::possible); all of them where none can.
  explicit Genome(const Evaluator& evaluator);

  [[nodiscard]] std::size_t keys() const { return tasks_ > 1 ? tasks_ : 0; }
  [[nodiscard]] std::size_t integers() const { return genes_.size(); }
  [[nodiscard]] std::size_t size() const { return keys() + integers(); }  ///< 0: there is one strategy only
  /// Least and largest values: keys 0 to 1, integers 0 to the number of open options less 1.
  [[nodiscard]] std::pair<std::vector<double>, std::vector<double>> bounds() const;

  /// The smaller the key the more urgent; of equal keys the first task.
  [[nodiscard]] Choices decode(const std::vector<double>& genes) const;
  /// Keys at equal distances. An option that is not open becomes the first that is.
  [[nodiscard]] std::vector<double> encode(const Choices& choices) const;
  [[nodiscard]] const std::vector<int>& open(std::size_t task) const { return open_[task]; }

 private:
  std::size_t tasks_;
  std::vector<std::vector<int>> open_;
  std::vector<std::size_t> genes_;  ///< the task of each integer
};

}  // namespace rtmdl
