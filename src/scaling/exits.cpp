#include "scaling/exits.h"

#include "base/thread_placement.h"
#include "data/random.h"
#include "model/tensor_data.h"
#include "scaling/calibrate.h"
#include "scaling/exit_fits.h"
#include "scaling/exit_heads.h"
#include "scaling/exit_thresholds.h"
#include "scaling/measure.h"
#include "scaling/prune.h"

#include <rtmdl/error.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include <fmt/format.h>

namespace rtmdl {
namespace {

constexpr std::size_t kTriedPlaces = 6, kTimedPlaces = 14;
constexpr std::size_t kMostFeatures = 1024, kFewFeatures = 512;  // the latter for many classes
constexpr std::size_t kManyClasses = 200;
constexpr std::size_t kMostFitted = 20000, kMostCalibrated = 12000, kFewest = 300;  // elements
constexpr std::size_t kFeatureBytes = 480u << 20;
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
    places_ = spread_places(places_, work_before(model_, specs_, places_), kTimedPlaces);
    std::vector<int> cuts;
    for (const ExitPlace& p : places_) cuts.push_back(p.node);
    const std::vector<double> times = seconds_of({cut_at(request_.at.model, cuts)}).front();
    const double whole = std::accumulate(times.begin(), times.end(), 0.0);
    std::vector<double> passed;
    double sum = 0;
    for (std::size_t k = 0; k + 1 < times.size(); ++k) passed.push_back((sum += times[k]) / whole);
    places_ = spread_places(places_, passed, kTriedPlaces);
  }

  /// Which examples are fitted to, and which tell the thresholds.
  void draw_examples() {
    const auto executable = engine_.load(on_all_cores(request_.at.model));
    feed(*executable, sample_.inputs);
    const Time begin = MonotonicClock::now();
    constexpr int kRuns = 4;
    for (int i = 0; i < kRuns; ++i) run(*executable);
    const double each = to_seconds(MonotonicClock::now() - begin) / kRuns;
    const auto affordable = static_cast<std::size_t>(to_seconds(request_.pass) / std::max(each, 1e-6));
    const std::size_t bytes = ExitFits::bytes_each(places_, most_features_);
    const double widest = kMostProducts / static_cast<double>(most_features_ * classes_);
    std::size_t fitted =
        std::min({kMostFitted, kFeatureBytes / bytes, static_cast<std::size_t>(widest), affordable * batch_}) / batch_;
    std::size_t calibrated = std::min(kMostCalibrated / batch_, affordable);
    fitted = std::max(fitted, kFewest / 2 / batch_ + 1);
    calibrated = std::max(calibrated, kFewest / 2 / batch_);
    const std::size_t size = request_.data->size();
    std::vector<std::size_t> order = shuffled(size);
    fitted = std::min(fitted, request_.unseen ? size : size * 3 / 5);
    fitted_ = {request_.data, {order.begin(), order.begin() + static_cast<std::ptrdiff_t>(fitted)}};
    order.erase(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(fitted));
    if (request_.unseen) order = shuffled(request_.unseen->size());
    order.resize(std::min(calibrated, order.size()));
    calibrated_ = {request_.unseen ? request_.unseen : request_.data, std::move(order)};
  }

  /// Files are sorted.
  [[nodiscard]] std::vector<std::size_t> shuffled(std::size_t size) const {
    std::vector<std::size_t> order(size);
    std::iota(order.begin(), order.end(), std::size_t{0});
    constexpr std::uint64_t kPurpose = 0x65786974;
    Random random(request_.seed, kPurpose, 0);
    shuffle(order, random);
    return order;
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

  struct Drawn {
    TrainingData* data = nullptr;
    std::vector<std::size_t> examples;
  };

  template <typename Visit>
  void visit_examples(const Model& model, const Drawn& drawn, const std::string& what, double from, double to,
                      const Visit& visit) const {
    const ScratchModel file(model, request_.folder);
    const auto executable = engine_.load(on_all_cores(file.path()));
    const std::size_t count = drawn.examples.size();
    for (std::size_t k = 0; k < count && !context_.stopping(); ++k) {
      const Example example = drawn.data->at(drawn.examples[k]);
      feed(*executable, example.inputs);
      run(*executable);
      visit(k, example, *executable);
      context_.report(what, from + (to - from) * static_cast<double>(k) / static_cast<double>(count));
    }
  }

  void fit_heads() {
    ExitFits fits(places_, most_features_, classes_);
    const std::size_t readings = fits.readings().size();
    std::vector<std::string> names;
    const Model model = with_readings(model_, fits.readings(), names);
    visit_examples(model, fitted_, "what exits read", 0.05, 0.25,
                   [&](std::size_t k, const Example& example, Executable& executable) {
                     for (std::size_t r = 0; r < readings; ++r) fits.add(r, executable.output(r).as<float>());
                     const auto answers = executable.output(readings).as<float>();
                     if (k == 0) probabilities_ = are_probabilities(answers);
                     for (std::size_t b = 0; b < batch_; ++b)
                       fits.add_target(target(answers.subspan(b * classes_, classes_), label_of(example, b)));
                   });
    context_.report("fitting exits", 0.25);
    candidates_ = fits.fit(request_.seed, [this] { return context_.stopping(); });
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

  [[nodiscard]] std::vector<float> target(std::span<const float> answer, int label) const {
    std::vector<float> row(answer.begin(), answer.end());
    if (!probabilities_) {
      const float most = *std::max_element(row.begin(), row.end());
      for (float& v : row) v = std::exp(v - most);
    }
    const float sum = std::accumulate(row.begin(), row.end(), 0.0F);
    const float share = label < 0 ? 0 : kLabelShare;
    for (float& v : row) v *= (1 - share) / sum;
    if (label >= 0) row[static_cast<std::size_t>(label)] += share;
    return row;
  }

  /// What all heads say of other examples, what each of them costs, and which is the best at each place.
  void try_heads() {
    std::vector<ExitHead> heads;
    for (const FittedHead& candidate : candidates_) heads.push_back(candidate.head);
    std::vector<HeadSpan> spans;
    const Model model = with_heads(model_, heads, probabilities_, spans);
    std::vector<ExitTrial> trials(heads.size());
    visit_examples(model, calibrated_, "how sure exits are", 0.6, 0.8,
                   [&](std::size_t, const Example& example, Executable& executable) {
                     const TensorView own = executable.output(0);
                     for (std::size_t e = 0; e < trials.size(); ++e)
                       note(example, own, executable.output(e + 1), candidates_[e].centroids, trials[e]);
                   });
    if (context_.stopping()) return;
    context_.report("timing exits", 0.8);
    time_heads(model, spans, trials);
    context_.report("choosing exits", 0.85);
    choose_heads(trials);
  }

  /// A segment of its own for each head and what lies between places. The first head of a place has the way there.
  void time_heads(const Model& model, const std::vector<HeadSpan>& spans, std::vector<ExitTrial>& trials) {
    std::vector<int> cuts;
    for (const HeadSpan& span : spans) {
      if (cuts.empty() || cuts.back() < span.begin) cuts.push_back(span.begin);
      cuts.push_back(span.end);
    }
    const ScratchModel file(model, request_.folder);
    const auto seconds = seconds_of({cut_at(file.path(), cuts), cut_at(file.path(), {})});
    const std::vector<double>& parts = seconds[0];
    // Beginning a segment takes time too. A unit begins behind an exit, so heads pay for it.
    const double more = std::accumulate(parts.begin(), parts.end(), 0.0) - seconds[1][0];
    const double beginning = std::max(0.0, more / static_cast<double>(cuts.size()));
    std::size_t part = 0;
    int end = 0;
    for (std::size_t e = 0; e < spans.size(); end = spans[e++].end) {
      if (spans[e].begin > end) trials[e].trunk_seconds = std::max(0.0, parts[part] - (part > 0 ? beginning : 0));
      part += spans[e].begin > end ? 1 : 0;
      trials[e].head_seconds = parts[part++];
    }
    rest_seconds_ = std::max(0.0, parts.back() - beginning);
  }

  /// At each place the head by which that exit alone would save most.
  void choose_heads(std::vector<ExitTrial>& trials) {
    double passed = 0, whole = rest_seconds_;
    for (const ExitTrial& trial : trials) whole += trial.trunk_seconds;
    for (std::size_t first = 0, next = 0; first < trials.size(); first = next) {
      const double way = trials[first].trunk_seconds;
      passed += way;
      std::size_t best = first;
      double least = std::numeric_limits<double>::infinity();
      for (next = first; next < trials.size() && candidates_[next].place == candidates_[first].place; ++next) {
        trials[next].trunk_seconds = passed;
        const double seconds = choose_exits({trials[next]}, whole - passed, request_.losses.front(), 1).seconds;
        if (seconds < least) least = seconds, best = next;
      }
      context_.debug(fmt::format("exit after {:.0f} % of the time: {} head, alone {:.0f} % of the time",
                                 100 * passed / whole, kind_of(candidates_[best]), 100 * least / whole));
      trials[best].trunk_seconds = way;
      trials_.push_back(std::move(trials[best]));
      heads_.push_back(std::move(candidates_[best].head));
    }
    candidates_.clear();
  }

  static const char* kind_of(const FittedHead& head) {
    return head.centroids ? "centroid" : head.head.convolution ? "convolutional" : "linear";
  }

  void note(const Example& example, const TensorView& own, const TensorView& answer, bool centroids,
            ExitTrial& trial) const {
    for (std::size_t m = 0; m < kSureMeasures; ++m) {
      const auto measure = static_cast<SureMeasure>(m);
      if (measure == SureMeasure::centroid && !centroids) continue;
      const double sure = confidence({{}, measure, 1, probabilities_}, answer);
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
    level.model = with_heads(model_, heads, probabilities_, spans);
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
  Drawn fitted_, calibrated_;
  bool probabilities_ = false;
  std::vector<FittedHead> candidates_;
  std::vector<ExitHead> heads_;  ///< the best of each place
  std::vector<ExitTrial> trials_;
  double rest_seconds_ = 0;
  ExitsOutcome outcome_;
};

}  // namespace

ExitsOutcome attach_exits(Engine& engine, const ExitsRequest& request, const Context& context) {
  return Attaching(engine, request, context).run();
}

}  // namespace rtmdl
