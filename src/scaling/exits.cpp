#include "scaling/exits.h"

#include "base/thread_placement.h"
#include "data/random.h"
#include "model/tensor_data.h"
#include "scaling/calibrate.h"
#include "scaling/exit_heads.h"
#include "scaling/exit_thresholds.h"
#include "scaling/measure.h"
#include "scaling/prune.h"
#include "scaling/softmax_regression.h"

#include <rtmdl/error.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <numeric>
#include <thread>
#include <utility>

#include <fmt/format.h>

namespace rtmdl {
namespace {

constexpr std::size_t kTriedPlaces = 6, kTimedPlaces = 14;
constexpr double kFirstPlace = 0.08, kLastPlace = 0.9;           // of the time
constexpr std::size_t kMostFeatures = 1024, kFewFeatures = 512;  // the latter for many classes
constexpr std::size_t kManyClasses = 200;
constexpr std::size_t kMostFitted = 14000, kMostCalibrated = 12000, kFewest = 300;  // elements
constexpr std::size_t kFeatureBytes = 320u << 20;
constexpr double kMostProducts = 6e9;  // of a step of a fit
constexpr float kLabelShare = 0.5F;    // of the targets, the rest is the network's own answer
constexpr std::int64_t kLeastOpset = 9;

std::size_t argmax(std::span<const float> values) {
  return static_cast<std::size_t>(std::max_element(values.begin(), values.end()) - values.begin());
}

class Attaching {
 public:
  Attaching(Engine& engine, const ExitsRequest& request, const Context& context)
      : engine_(engine), request_(request), context_(context) {}

  ExitsOutcome run() {
    model_ = load_model(request_.at.model);
    context_.report("where exits can be", 0);
    std::string why_not = prepare();
    if (why_not.empty() && !context_.stopping()) why_not = make();
    if (!why_not.empty()) outcome_.refused.push_back(std::move(why_not));
    outcome_.finished = !context_.stopping();
    if (!outcome_.finished) outcome_ = {{}, {}, false};
    return std::move(outcome_);
  }

 private:
  /// Why there can be no exits; empty: there can.
  std::string prepare() {
    if (model_.graph().output_size() != 1)
      return fmt::format("exits are of classifiers, and the model has {} outputs", model_.graph().output_size());
    if (model_.opset() < kLeastOpset)
      return fmt::format("its operator set {} is too old for exits: {} or newer", model_.opset(), kLeastOpset);
    if (!request_.at.state.empty()) return "a model that keeps state between jobs has to run to its end";
    const auto executable = engine_.load(request_.at);
    const TensorSpec& output = executable->outputs().front();
    if (output.type != ElementType::f32 || output.shape.size() != 2 || output.shape[0] < 1 || output.shape[1] < 2)
      return fmt::format("exits are of classifiers, whose output is f32 [N, classes]; '{}' is not", output.name);
    batch_ = static_cast<std::size_t>(output.shape[0]);
    classes_ = static_cast<std::size_t>(output.shape[1]);
    specs_ = specs_of(engine_, model_, request_.at, request_.folder);
    places_ = find_exit_places(model_, specs_);
    if (places_.empty()) return "there is no place for an exit: nowhere is what goes on one tensor of a picture's kind";
    if (request_.data->size() * batch_ < kFewest)
      return fmt::format("there are {} examples to learn from; exits need {}", request_.data->size() * batch_, kFewest);
    most_features_ = classes_ >= kManyClasses ? kFewFeatures : kMostFeatures;
    return {};
  }

  std::string make() {
    sample_ = request_.data->at(0);
    choose_places();
    if (places_.empty()) return "there is no place for an exit where some of the time has passed and some is left";
    draw_examples();
    fit_heads();
    if (context_.stopping()) return {};
    try_heads();
    if (context_.stopping()) return {};
    for (const double loss : request_.losses) add_level(loss);
    return {};
  }

  /// Medians, by request and segment.
  [[nodiscard]] std::vector<std::vector<double>> seconds_of(const std::vector<LoadRequest>& requests) const {
    std::vector<std::vector<double>> seconds;
    if (request_.segment_times) {
      for (const LoadRequest& request : requests) {
        auto& all = seconds.emplace_back();
        for (const Duration time : request_.segment_times(request)) all.push_back(to_seconds(time));
      }
      return seconds;
    }
    for (const auto& segments : measure_segments(engine_, requests, sample_.inputs, {}, context_)) {
      auto& all = seconds.emplace_back();
      for (const auto& times : segments) all.push_back(to_seconds(quantile(times, 0.5)));
    }
    return seconds;
  }

  [[nodiscard]] LoadRequest cut_at(const std::filesystem::path& model, std::vector<int> cuts) const {
    LoadRequest request = request_.at;
    request.model = model;
    request.cuts = std::move(cuts);
    return request;
  }

  /// Spread over the work that there is to do, timed, then spread over the time.
  void choose_places() {
    const Links links(model_);
    std::vector<double> before;  // work, by place
    double work = 0;
    auto place = places_.begin();
    for (int i = 0; i < model_.graph().node_size(); ++i) {
      for (; place != places_.end() && place->node == i; ++place) before.push_back(work);
      const NodeCost cost = node_cost(model_.graph().node(i), links, specs_);
      work += static_cast<double>(cost.macs) + static_cast<double>(cost.bytes);
    }
    for (double& share : before) share /= work;
    spread(before, kTimedPlaces);
    std::vector<int> cuts;
    for (const ExitPlace& p : places_) cuts.push_back(p.node);
    const std::vector<double> times = seconds_of({cut_at(request_.at.model, cuts)}).front();
    const double whole = std::accumulate(times.begin(), times.end(), 0.0);
    std::vector<double> passed;
    double sum = 0;
    for (std::size_t k = 0; k + 1 < times.size(); ++k) passed.push_back((sum += times[k]) / whole);
    spread(passed, kTriedPlaces);
  }

  /// Keeps about `most` of the places, as evenly spread as `passed` (share of all that lies before each) allows.
  void spread(const std::vector<double>& passed, std::size_t most) {
    std::vector<ExitPlace> kept;
    std::size_t last = places_.size();
    for (std::size_t k = 0; k < most; ++k) {
      const double wanted =
          kFirstPlace + (kLastPlace - kFirstPlace) * (static_cast<double>(k) + 0.5) / static_cast<double>(most);
      std::size_t nearest = places_.size();
      for (std::size_t p = 0; p < places_.size() && p < passed.size(); ++p) {
        if (passed[p] < kFirstPlace || passed[p] > kLastPlace) continue;
        if (nearest == places_.size() || std::abs(passed[p] - wanted) < std::abs(passed[nearest] - wanted)) nearest = p;
      }
      if (nearest == places_.size() || nearest == last) continue;
      last = nearest;
      kept.push_back(places_[nearest]);
    }
    places_ = std::move(kept);
  }

  /// Which examples are fitted to, and which tell the thresholds: in an order of their own, since files are sorted.
  void draw_examples() {
    const auto executable = engine_.load(on_all_cores(request_.at.model));
    feed(*executable, sample_.inputs);
    const Time begin = MonotonicClock::now();
    constexpr int kRuns = 4;
    for (int i = 0; i < kRuns; ++i) run(*executable);
    const double each = to_seconds(MonotonicClock::now() - begin) / kRuns;
    const auto affordable = static_cast<std::size_t>(to_seconds(request_.pass) / std::max(each, 1e-6));
    std::size_t features = 0;
    for (const ExitPlace& place : places_) features += head_features(place, most_features_);
    const double widest = kMostProducts / static_cast<double>(most_features_ * classes_);
    std::size_t fitted = std::min({kMostFitted, kFeatureBytes / (features * sizeof(float)),
                                   static_cast<std::size_t>(widest), affordable * batch_}) /
                         batch_;
    std::size_t calibrated = std::min(kMostCalibrated / batch_, affordable);
    fitted = std::max(fitted, kFewest / 2 / batch_ + 1);
    calibrated = std::max(calibrated, kFewest / 2 / batch_);
    order_.resize(request_.data->size());
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    constexpr std::uint64_t kPurpose = 0x65786974;
    Random random(request_.seed, kPurpose, 0);
    for (std::size_t k = order_.size(); k > 1; --k)
      std::swap(order_[k - 1], order_[random.below(static_cast<std::uint32_t>(k))]);
    fitted_ = std::min(fitted, order_.size() * 3 / 5);
    calibrated_ = std::min(calibrated, order_.size() - fitted_);
  }

  /// Nobody times these runs: let them have the machine.
  [[nodiscard]] LoadRequest on_all_cores(const std::filesystem::path& model) const {
    LoadRequest request = cut_at(model, {});
    if (request.device == "cpu") request.threads = static_cast<int>(available_cores().size());
    return request;
  }

  void run(Executable& executable) const {
    if (!executable.run()) bad_input(fmt::format("{}: {}", model_.name, executable.last_error()));
  }

  /// Runs a model with the outputs `names` on examples from `first` on.
  template <typename Visit>
  void visit_examples(const Model& model, std::size_t first, std::size_t count, const std::string& what, double from,
                      double to, const Visit& visit) const {
    const ScratchModel file(model, request_.folder);
    const auto executable = engine_.load(on_all_cores(file.path()));
    for (std::size_t k = 0; k < count && !context_.stopping(); ++k) {
      const Example example = request_.data->at(order_[first + k]);
      feed(*executable, example.inputs);
      run(*executable);
      visit(k, example, *executable);
      context_.report(what, from + (to - from) * static_cast<double>(k) / static_cast<double>(count));
    }
  }

  void fit_heads() {
    std::vector<std::string> names;
    const Model model = with_features(model_, places_, most_features_, names);
    std::vector<std::vector<float>> features(places_.size());
    for (std::size_t p = 0; p < places_.size(); ++p)
      features[p].reserve(fitted_ * batch_ * head_features(places_[p], most_features_));
    std::vector<float> targets;
    visit_examples(model, 0, fitted_, "what exits read", 0.05, 0.35,
                   [&](std::size_t k, const Example& example, Executable& executable) {
                     for (std::size_t p = 0; p < places_.size(); ++p) {
                       const auto values = executable.output(p).as<float>();
                       features[p].insert(features[p].end(), values.begin(), values.end());
                     }
                     const auto answers = executable.output(places_.size()).as<float>();
                     if (k == 0) probabilities_ = are_probabilities(answers);
                     for (std::size_t b = 0; b < batch_; ++b)
                       add_target(answers.subspan(b * classes_, classes_), label_of(example, b), targets);
                   });
    if (context_.stopping()) return;
    context_.report("fitting exits", 0.35);
    heads_.resize(places_.size());
    std::atomic<std::size_t> next{0};
    std::vector<std::jthread> workers;
    const auto work = [&] {
      for (std::size_t p = next++; p < places_.size() && !context_.stopping(); p = next++) {
        const std::size_t width = head_features(places_[p], most_features_);
        heads_[p] = {places_[p], fit_softmax_regression(features[p], targets, width, classes_,
                                                        [this] { return context_.stopping(); })};
        std::vector<float>().swap(features[p]);
      }
    };
    for (std::size_t t = 0; t < std::min(available_cores().size(), places_.size()); ++t) workers.emplace_back(work);
  }

  [[nodiscard]] bool are_probabilities(std::span<const float> answers) const {
    for (std::size_t b = 0; b < batch_; ++b) {
      const auto row = answers.subspan(b * classes_, classes_);
      const bool positive = std::all_of(row.begin(), row.end(), [](float v) { return v >= 0; });
      if (!positive || std::abs(std::accumulate(row.begin(), row.end(), 0.0) - 1) > 1e-3) return false;
    }
    return true;
  }

  /// −1: none, or not to be looked at.
  [[nodiscard]] int label_of(const Example& example, std::size_t b) const {
    if (!request_.labels || b >= example.labels.size()) return -1;
    const int label = example.labels[b];
    return label >= 0 && static_cast<std::size_t>(label) < classes_ ? label : -1;
  }

  void add_target(std::span<const float> answer, int label, std::vector<float>& targets) const {
    const std::size_t at = targets.size();
    targets.insert(targets.end(), answer.begin(), answer.end());
    const std::span<float> row(targets.data() + at, classes_);
    if (!probabilities_) {
      const float most = *std::max_element(row.begin(), row.end());
      for (float& v : row) v = std::exp(v - most);
    }
    const float sum = std::accumulate(row.begin(), row.end(), 0.0F);
    const float share = label < 0 ? 0 : kLabelShare;
    for (float& v : row) v *= (1 - share) / sum;
    if (label >= 0) row[static_cast<std::size_t>(label)] += share;
  }

  /// What all heads say of other examples, and what each of them costs.
  void try_heads() {
    std::vector<HeadSpan> spans;
    const Model model = with_heads(model_, heads_, most_features_, probabilities_, spans);
    trials_.resize(heads_.size());
    visit_examples(model, fitted_, calibrated_, "how sure exits are", 0.6, 0.85,
                   [&](std::size_t, const Example& example, Executable& executable) {
                     const TensorView own = executable.output(0);
                     for (std::size_t e = 0; e < trials_.size(); ++e)
                       note(example, own, executable.output(e + 1), trials_[e]);
                   });
    if (context_.stopping()) return;
    context_.report("timing exits", 0.85);
    std::vector<int> cuts;
    for (const HeadSpan& span : spans) cuts.insert(cuts.end(), {span.begin, span.end});
    const ScratchModel file(model, request_.folder);
    const std::vector<double> seconds = seconds_of({cut_at(file.path(), cuts)}).front();
    for (std::size_t e = 0; e < trials_.size(); ++e) {
      trials_[e].trunk_seconds = seconds[2 * e];
      trials_[e].head_seconds = seconds[2 * e + 1];
    }
    rest_seconds_ = seconds.back();
  }

  void note(const Example& example, const TensorView& own, const TensorView& answer, ExitTrial& trial) const {
    for (std::size_t m = 0; m < kSureMeasures; ++m) {
      const double sure = confidence({{}, static_cast<SureMeasure>(m), 1, probabilities_}, answer);
      trial.confidence[m].push_back(std::isnan(sure) ? 0.0F : static_cast<float>(sure));
    }
    double loss = 0;
    for (std::size_t b = 0; b < batch_; ++b) {
      const std::size_t here = argmax(answer.as<float>().subspan(b * classes_, classes_));
      const std::size_t whole = argmax(own.as<float>().subspan(b * classes_, classes_));
      const int label = label_of(example, b);
      const auto right = label < 0 ? whole : static_cast<std::size_t>(label);
      loss += (whole == right ? 1 : 0) - (here == right ? 1 : 0);
    }
    trial.loss.push_back(static_cast<float>(loss / static_cast<double>(batch_)));
  }

  void add_level(double most_loss) {
    context_.report("choosing thresholds", 0.9);
    const ExitChoice choice = choose_exits(trials_, rest_seconds_, most_loss, request_.exits_max);
    const std::string name = fmt::format("at most {:.3g} points of loss", 100 * most_loss);
    if (choice.exits.empty()) {
      outcome_.refused.push_back(fmt::format("{}: no exit is both fast and sure enough", name));
      return;
    }
    ExitsLevel level = written(choice);
    if (std::any_of(outcome_.levels.begin(), outcome_.levels.end(),
                    [&](const ExitsLevel& other) { return other.rules == level.rules && other.cuts == level.cuts; }))
      return;
    const double mean = time(level, choice);
    if (level.whole_seconds < request_.speedup_min * mean) {
      outcome_.refused.push_back(fmt::format("{}: {:.2f}x as fast as without exits", name, level.whole_seconds / mean));
      return;
    }
    outcome_.levels.push_back(std::move(level));
  }

  ExitsLevel written(const ExitChoice& choice) const {
    std::vector<ExitHead> heads;
    for (const ChosenExit& exit : choice.exits) heads.push_back(heads_[exit.place]);
    std::vector<HeadSpan> spans;
    ExitsLevel level;
    level.model = with_heads(model_, heads, most_features_, probabilities_, spans);
    for (std::size_t e = 0; e < spans.size(); ++e) {
      const ChosenExit& exit = choice.exits[e];
      level.rules.push_back({spans[e].output, exit.measure, exit.threshold, probabilities_});
      level.cuts.push_back(spans[e].end);
    }
    write_exits(level.model, level.rules);
    return level;
  }

  /// As it will run: a unit up to each exit, beside the network without exits. Gives the mean.
  double time(ExitsLevel& level, const ExitChoice& choice) const {
    const ScratchModel file(level.model, request_.folder);
    const auto seconds = seconds_of({cut_at(request_.at.model, {}), cut_at(file.path(), level.cuts)});
    level.whole_seconds = seconds[0][0];
    level.unit_seconds = seconds[1];
    double mean = 0, comes_by = 1;
    for (std::size_t k = 0; k < level.unit_seconds.size(); ++k) {
      mean += comes_by * level.unit_seconds[k];
      if (k < choice.exits.size()) comes_by -= choice.exits[k].leaves;
    }
    return mean;
  }

  Engine& engine_;
  const ExitsRequest& request_;
  const Context& context_;
  Model model_;
  TensorSpecs specs_;
  std::size_t batch_ = 1, classes_ = 0, most_features_ = 0;
  std::vector<ExitPlace> places_;
  Example sample_;
  std::vector<std::size_t> order_;
  std::size_t fitted_ = 0, calibrated_ = 0;
  bool probabilities_ = false;
  std::vector<ExitHead> heads_;
  std::vector<ExitTrial> trials_;
  double rest_seconds_ = 0;
  ExitsOutcome outcome_;
};

}  // namespace

ExitsOutcome attach_exits(Engine& engine, const ExitsRequest& request, const Context& context) {
  return Attaching(engine, request, context).run();
}

}  // namespace rtmdl
