#include "scaling/exit_thresholds.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

namespace rtmdl {
namespace {

constexpr int kPrices = 24, kMostTurns = 12;
constexpr double kLeastGain = 1e-4;                 // of the whole network's time
constexpr double kCheapest = 1e-3, kDearest = 1e4;  // seconds of the whole network for one input's loss of all

/// The first `count` inputs in the order of a measure are sure: those of at least so much confidence.
struct Threshold {
  SureMeasure measure = SureMeasure::margin;
  std::uint32_t count = 0;
  double least = 1;
  bool operator==(const Threshold&) const = default;
};

/// Inputs of a place, the surest first.
struct Surest {
  std::vector<std::uint32_t> inputs;
  std::vector<std::uint32_t> rank;  ///< by input

  Surest(const std::vector<float>& confidence) : inputs(confidence.size()), rank(confidence.size()) {
    std::iota(inputs.begin(), inputs.end(), 0U);
    std::stable_sort(inputs.begin(), inputs.end(), [&](auto a, auto b) { return confidence[a] > confidence[b]; });
    for (std::uint32_t k = 0; k < inputs.size(); ++k) rank[inputs[k]] = k;
  }
};

struct Trade {
  double seconds = 0, loss = 0, error = 0;
  [[nodiscard]] double bound() const { return loss + kLossErrors * error; }
};

class Thresholds {
 public:
  Thresholds(const std::vector<ExitTrial>& trials, double rest, double most_loss)
      : trials_(trials), rest_(rest), most_loss_(most_loss), inputs_(trials.front().loss.size()) {
    whole_ = rest;
    for (const ExitTrial& trial : trials) {
      whole_ += trial.trunk_seconds;
      auto& orders = orders_.emplace_back();
      for (const auto& confidence : trial.confidence) orders.emplace_back(confidence);
    }
  }

  void search(const std::vector<std::size_t>& places) {
    places_ = places;
    times();
    double low = std::log(kCheapest * whole_), high = std::log(kDearest * whole_);
    std::vector<Threshold> cuts(places.size());
    for (int k = 0; k < kPrices; ++k) {
      const double middle = (low + high) / 2;
      settle(cuts, std::exp(middle));
      const Trade outcome = played(cuts);
      (outcome.bound() > most_loss_ ? low : high) = middle;
      consider(cuts, outcome);
    }
  }

  /// A price gives only what lies on the hull of all trades. From the best set's: the more room one exit gives back,
  /// the more inputs may leave at the others.
  void polish() {
    places_ = best_places_;
    times();
    use_up(best_cuts_);
    for (int turn = 0; turn < kMostTurns; ++turn) {
      const double before = best_.seconds;
      for (std::size_t exit = 0; exit < places_.size(); ++exit)
        for (const double back : {0.01, 0.03, 0.1, 0.3}) {
          std::vector<Threshold> cuts = best_cuts_;
          cuts[exit] = moved(exit, cuts[exit], (1 - back) * cuts[exit].count);
          use_up(cuts);
        }
      if (best_.seconds > before - kLeastGain * whole_) return;
    }
  }

  [[nodiscard]] ExitChoice choice() const {
    ExitChoice choice;
    choice.seconds = best_.seconds;
    choice.loss = best_.loss;
    choice.loss_error = best_.error;
    for (std::size_t k = 0; k < best_places_.size(); ++k)
      choice.exits.push_back({best_places_[k], best_cuts_[k].measure, best_cuts_[k].least, best_shares_[k]});
    return choice;
  }

  void start_with_none() { best_ = {whole_, 0, 0}; }

 private:
  /// By exit, then all the way: what a job takes that leaves there.
  void times() {
    leaving_.clear();
    double spent = 0;
    std::size_t next = 0;
    for (std::size_t place = 0; place < trials_.size(); ++place) {
      spent += trials_[place].trunk_seconds;
      if (next == places_.size() || places_[next] != place) continue;
      spent += trials_[place].head_seconds;
      leaving_.push_back(spent);
      ++next;
    }
    leaving_.push_back(spent + rest_);
  }

  [[nodiscard]] const Surest& order(std::size_t exit, SureMeasure measure) const {
    return orders_[places_[exit]][static_cast<std::size_t>(measure)];
  }
  [[nodiscard]] bool sure(std::size_t exit, const Threshold& cut, std::size_t input) const {
    return order(exit, cut.measure).rank[input] < cut.count;
  }
  /// places_.size(): all the way.
  [[nodiscard]] std::size_t leaves_at(const std::vector<Threshold>& cuts, std::size_t input, std::size_t from) const {
    for (; from < cuts.size(); ++from)
      if (sure(from, cuts[from], input)) break;
    return from;
  }
  [[nodiscard]] double loss_at(std::size_t exit, std::size_t input) const {
    return exit == places_.size() ? 0 : static_cast<double>(trials_[places_[exit]].loss[input]);
  }

  [[nodiscard]] Trade played(const std::vector<Threshold>& cuts) const {
    Trade out;
    double squares = 0;
    for (std::size_t i = 0; i < inputs_; ++i) {
      const std::size_t at = leaves_at(cuts, i, 0);
      const double loss = loss_at(at, i);
      out.seconds += leaving_[at];
      out.loss += loss;
      squares += loss * loss;
    }
    const auto n = static_cast<double>(inputs_);
    out.seconds /= n, out.loss /= n;
    out.error = std::sqrt(std::max(0.0, squares / n - out.loss * out.loss) / n);
    return out;
  }

  void settle(std::vector<Threshold>& cuts, double price) const {
    for (int turn = 0; turn < kMostTurns; ++turn) {
      const std::vector<Threshold> before = cuts;
      for (std::size_t exit = cuts.size(); exit-- > 0;) cuts[exit] = best_cut(cuts, exit, price);
      if (cuts == before) return;
    }
  }

  /// Given the others: what each input gains by leaving here, summed from the surest on, is largest at the best cut.
  [[nodiscard]] Threshold best_cut(const std::vector<Threshold>& cuts, std::size_t exit, double price) const {
    const auto cost = [&](std::size_t at, std::size_t i) { return leaving_[at] + price * loss_at(at, i); };
    std::vector<double> gain(inputs_, 0);
    for (std::size_t i = 0; i < inputs_; ++i)
      if (!left_before(cuts, exit, i)) gain[i] = cost(leaves_at(cuts, i, exit + 1), i) - cost(exit, i);
    Threshold best;
    double most = 0;
    for (std::size_t m = 0; m < kSureMeasures; ++m) {
      double sum = 0;
      const auto measure = static_cast<SureMeasure>(m);
      const auto& inputs = order(exit, measure).inputs;
      for (std::uint32_t k = 0; k < inputs.size(); ++k) {
        sum += gain[inputs[k]];
        if (sum > most && may_cut_behind(exit, measure, k)) most = sum, best = cut_behind(exit, measure, k);
      }
    }
    return best;
  }

  [[nodiscard]] bool left_before(const std::vector<Threshold>& cuts, std::size_t exit, std::size_t input) const {
    return leaves_at(cuts, input, 0) < exit;
  }

  [[nodiscard]] float confidence(std::size_t exit, SureMeasure measure, std::size_t input) const {
    return trials_[places_[exit]].confidence[static_cast<std::size_t>(measure)][input];
  }
  /// Equal confidences go together.
  [[nodiscard]] bool may_cut_behind(std::size_t exit, SureMeasure measure, std::uint32_t k) const {
    const auto& inputs = order(exit, measure).inputs;
    return k + 1 == inputs.size() || confidence(exit, measure, inputs[k + 1]) < confidence(exit, measure, inputs[k]);
  }
  /// Half-way to the next, so that rounding does not matter.
  [[nodiscard]] Threshold cut_behind(std::size_t exit, SureMeasure measure, std::uint32_t k) const {
    const auto& inputs = order(exit, measure).inputs;
    const double here = confidence(exit, measure, inputs[k]);
    const double next = k + 1 == inputs.size() ? 0.0 : confidence(exit, measure, inputs[k + 1]);
    return {measure, k + 1, (here + next) / 2};
  }

  void consider(const std::vector<Threshold>& cuts, const Trade& outcome) {
    if (outcome.bound() > most_loss_ || outcome.seconds >= best_.seconds) return;
    best_ = outcome;
    best_cuts_ = cuts;
    best_places_ = places_;
    best_shares_.assign(places_.size(), 0);
    for (std::size_t i = 0; i < inputs_; ++i)
      if (const std::size_t at = leaves_at(cuts, i, 0); at < cuts.size()) best_shares_[at] += 1;
    for (double& share : best_shares_) share /= static_cast<double>(inputs_);
  }

  /// As many inputs leave at one exit after the other, from the first or from the last on, as the bound has room for.
  void use_up(const std::vector<Threshold>& cuts) {
    std::vector<std::size_t> exits(places_.size());
    std::iota(exits.begin(), exits.end(), std::size_t{0});
    use_up(cuts, exits);
    std::reverse(exits.begin(), exits.end());
    use_up(cuts, exits);
  }

  void use_up(std::vector<Threshold> cuts, const std::vector<std::size_t>& exits) {
    for (const std::size_t exit : exits) {
      std::uint32_t low = cuts[exit].count;
      auto high = static_cast<std::uint32_t>(inputs_) + 1;
      while (high - low > 1) {
        const std::uint32_t middle = low + (high - low) / 2;
        std::vector<Threshold> more = cuts;
        more[exit] = moved(exit, cuts[exit], middle);
        if (played(more).bound() > most_loss_) {
          high = middle;
        } else {
          low = middle;
          cuts = std::move(more);
        }
      }
    }
    consider(cuts, played(cuts));
  }

  /// The same exit where about so many inputs are sure.
  [[nodiscard]] Threshold moved(std::size_t exit, const Threshold& from, double count) const {
    if (count < 1) return {from.measure, 0, 1};
    auto k = static_cast<std::uint32_t>(count) - 1;
    while (!may_cut_behind(exit, from.measure, k)) ++k;
    return cut_behind(exit, from.measure, k);
  }

  const std::vector<ExitTrial>& trials_;
  double rest_, most_loss_, whole_ = 0;
  std::size_t inputs_;
  std::vector<std::vector<Surest>> orders_;  ///< by place, then measure
  std::vector<std::size_t> places_;          ///< of the set that is being searched
  std::vector<double> leaving_;
  Trade best_;
  std::vector<Threshold> best_cuts_;
  std::vector<std::size_t> best_places_;
  std::vector<double> best_shares_;
};

}  // namespace

ExitChoice choose_exits(const std::vector<ExitTrial>& trials, double rest_seconds, double most_loss,
                        std::size_t most_exits) {
  if (trials.empty() || trials.front().loss.empty()) return {};
  Thresholds thresholds(trials, rest_seconds, most_loss);
  thresholds.start_with_none();
  for (std::uint32_t set = 1; set < (1U << trials.size()); ++set) {
    std::vector<std::size_t> places;
    for (std::size_t p = 0; p < trials.size(); ++p)
      if ((set >> p & 1U) != 0) places.push_back(p);
    if (places.size() <= most_exits) thresholds.search(places);
  }
  thresholds.polish();
  return thresholds.choice();
}

}  // namespace rtmdl
