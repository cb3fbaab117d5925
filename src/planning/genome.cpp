#include "planning/genome.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace rtmdl {

Genome::Genome(const Evaluator& evaluator) : tasks_(evaluator.tasks()), open_(tasks_) {
  for (std::size_t i = 0; i < tasks_; ++i) {
    for (std::size_t o = 0; o < evaluator.options_of(i); ++o) {
      if (evaluator.possible(i, o)) open_[i].push_back(static_cast<int>(o));
    }
    if (open_[i].empty()) {
      open_[i].resize(evaluator.options_of(i));
      std::iota(open_[i].begin(), open_[i].end(), 0);
    }
    if (open_[i].size() > 1) genes_.push_back(i);
  }
}

std::pair<std::vector<double>, std::vector<double>> Genome::bounds() const {
  std::vector<double> least(size(), 0.0), most(size(), 1.0);
  for (std::size_t g = 0; g < genes_.size(); ++g) most[keys() + g] = static_cast<double>(open_[genes_[g]].size() - 1);
  return {least, most};
}

Choices Genome::decode(const std::vector<double>& genes) const {
  Choices choices(tasks_);
  for (std::size_t i = 0; i < tasks_; ++i) choices[i].option = open_[i].front();
  for (std::size_t g = 0; g < genes_.size(); ++g) {
    const std::vector<int>& open = open_[genes_[g]];
    const double value = std::clamp(std::round(genes[keys() + g]), 0.0, static_cast<double>(open.size() - 1));
    choices[genes_[g]].option = open[static_cast<std::size_t>(value)];
  }
  std::vector<int> order(tasks_);
  std::iota(order.begin(), order.end(), 0);
  if (keys() > 0) {
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
      return genes[static_cast<std::size_t>(a)] < genes[static_cast<std::size_t>(b)];
    });
  }
  set_priorities(choices, order);
  return choices;
}

std::vector<double> Genome::encode(const Choices& choices) const {
  std::vector<double> genes;
  for (std::size_t i = 0; i < keys(); ++i) genes.push_back((choices[i].priority - 0.5) / static_cast<double>(tasks_));
  for (const std::size_t task : genes_) {
    const std::vector<int>& open = open_[task];
    const auto found = std::find(open.begin(), open.end(), choices[task].option);
    genes.push_back(found == open.end() ? 0.0 : static_cast<double>(found - open.begin()));
  }
  return genes;
}

}  // namespace rtmdl
