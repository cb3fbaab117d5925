#include "planning/measured_pairs.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <tuple>

namespace rtmdl {
namespace {

constexpr double kClear = 1.1;  ///< times as slow, or the medians of a few jobs say nothing

using PairName = std::tuple<std::string, std::string, std::string>;  ///< task, variant, processor

class Pairs {
 public:
  Pairs(PlanProblem& problem, const std::vector<TaskProfile>& profile) : problem_(problem), profile_(profile) {}

  void take() {
    list_kinds();
    if (kinds_.empty()) return;
    for (std::size_t t = 0; t < problem_.tasks.size(); ++t)
      for (std::vector<TaskOption>* options : {&problem_.tasks[t].options, &problem_.tasks[t].refused})
        for (TaskOption& o : *options) o.kind = kind_of(problem_.tasks[t].name, o);
    for (std::size_t t = 0; t < problem_.tasks.size(); ++t)
      for (std::vector<TaskOption>* options : {&problem_.tasks[t].options, &problem_.tasks[t].refused})
        for (TaskOption& o : *options) stretch(o, worst_beside(t, o));
  }

 private:
  void list_kinds() {
    std::vector<const VariantProfile*> measured;
    for (const TaskProfile& task : profile_)
      for (const VariantProfile& v : task.variants) {
        if (v.threads == 1 && v.cuts.empty()) representatives_[{task.name, v.id, v.processor}] = v.representative;
        if (v.slow_downs.empty()) continue;
        kinds_.emplace(PairName{task.name, v.id, v.processor}, static_cast<int>(measured.size()));
        measured.push_back(&v);
      }
    SlowDowns& pairs = problem_.slow_downs;
    pairs.factor.assign(measured.size() * measured.size(), 0);
    for (std::size_t row = 0; row < measured.size(); ++row) {
      pairs.demand.push_back(measured[row]->demand);
      for (const SlowDown& s : measured[row]->slow_downs)
        if (const auto by = kinds_.find({s.task, s.variant, s.processor}); by != kinds_.end())
          pairs.factor[row * measured.size() + index(by->second)] = s.factor;
    }
  }

  [[nodiscard]] int kind_of(const std::string& task, const TaskOption& o) const {
    const auto representative = representatives_.find({task, o.variant, o.processor});
    if (representative == representatives_.end()) return -1;
    const auto kind = kinds_.find({task, representative->second, o.processor});
    return kind == kinds_.end() ? -1 : kind->second;
  }

  [[nodiscard]] bool may_be_beside(const TaskOption& a, const TaskOption& b) const {
    if (a.processor != b.processor) return true;
    const auto on = std::find_if(problem_.processors.begin(), problem_.processors.end(),
                                 [&](const PlanProcessor& p) { return p.name == a.processor; });
    return on != problem_.processors.end() && slots_of(a) + slots_of(b) <= on->slots;
  }

  [[nodiscard]] double worst_beside(std::size_t task, const TaskOption& o) const {
    double worst = 1;
    for (std::size_t t = 0; t < problem_.tasks.size(); ++t) {
      if (t == task) continue;
      for (const std::vector<TaskOption>* options : {&problem_.tasks[t].options, &problem_.tasks[t].refused})
        for (const TaskOption& by : *options)
          if (may_be_beside(o, by)) worst = std::max(worst, slow_down(problem_, o, by).value_or(1));
    }
    return worst;
  }

  static void stretch(TaskOption& o, double worst) {
    const double longer = worst / o.slow_down;
    if (longer <= kClear) return;
    o.slow_down = worst;
    for (std::size_t s = 1; s + 1 < o.stages.size(); ++s) {
      StageOption& stage = o.stages[s];
      if (stage.alone.sorted.empty()) stage.alone = stage.times;
      for (Duration& d : stage.times.sorted) d = Duration(std::llround(static_cast<double>(d.count()) * longer));
    }
  }

  PlanProblem& problem_;
  const std::vector<TaskProfile>& profile_;
  std::map<PairName, int> kinds_;
  std::map<PairName, std::string> representatives_;
};

}  // namespace

void take_pairs(PlanProblem& problem, const std::vector<TaskProfile>& profile) { Pairs(problem, profile).take(); }

}  // namespace rtmdl
