#include "scaling/scale.h"

#include "base/atomic_file.h"
#include "base/hash.h"
#include "base/units.h"
#include "model/edit.h"
#include "scaling/calibrate.h"
#include "scaling/half.h"
#include "scaling/int8_search.h"
#include "scaling/measure.h"
#include "scaling/prepare.h"
#include "scaling/resolution.h"
#include "scaling/shared_grid.h"

#include <fmt/format.h>
#include <rtmdl/error.h>

#include <algorithm>
#include <limits>
#include <set>
#include <utility>

namespace rtmdl {
namespace {

constexpr std::size_t kCalibrationSets = 32;
constexpr std::int64_t kScaleErrorSets = 4;  ///< fewer where one run takes long
constexpr Duration kErrorTime = std::chrono::milliseconds(60);
constexpr std::size_t kMeasuredCandidates = 10;
constexpr int kAccuracyCalls = 5;  ///< on int8 candidates of one model: each runs all evaluation inputs

/// A candidate level: a file, where it is bound, its time beside the level that it must beat.
struct Level {
  Variant variant;
  double error = 0;
  Duration low{};       ///< low quantile of its own times
  Duration base_low{};  ///< of the base's, in the same rounds

  [[nodiscard]] double faster() const {
    return static_cast<double>(base_low.count()) / static_cast<double>(std::max<std::int64_t>(low.count(), 1));
  }
};

class Scaling {
 public:
  Scaling(Engine& engine, const ScaleRequest& request, const Context& context)
      : engine_(engine), request_(request), context_(context) {
    const auto n = std::min(kCalibrationSets, request.calibration.size());
    sets_.assign(request.calibration.begin(), request.calibration.begin() + static_cast<std::ptrdiff_t>(n));
  }

  ScaleOutcome run() {
    try {
      make();
    } catch (const Stopped&) {
    } catch (...) {
      outcome_.variants.clear();
      settle();
      throw;
    }
    settle();
    outcome_.finished = !context_.stopping();
    context_.report("done", 1);
    return std::move(outcome_);
  }

 private:
  void make() {
    source_ = request_.form != nullptr ? request_.form->model : load_model(request_.model);
    context_.report("source", 0);
    add_source();
    if (request_.form != nullptr && !add_form()) return;
    if ((request_.wants("fp32") || request_.wants("int8") || request_.wants("fp16")) && !context_.stopping()) {
      attempt(request_.wants("int8") ? "int8" : "fp32", [&] {
        context_.report("folding", 0.05);
        prepared_ = prepare(engine_, source_, at(request_.model, request_.shapes), request_.folder);
        attempt("fp32", [&] { add_fp32(); });
        if (request_.wants("int8") && !context_.stopping()) add_int8();
        if (request_.wants("fp16") && !context_.stopping()) attempt(named("fp16"), [&] { add_fp16(); });
      });
    }
    if (!context_.stopping()) add_resolutions();
    if (!context_.stopping() && outcome_.variants.size() > 1) confirm();
    if (request_.form != nullptr && !request_.wants("fp32"))
      std::erase_if(outcome_.variants, [](const Variant& v) { return v.id != "source" && v.precision == "fp32"; });
  }

  /// What a level uses gets its name for good; the rest of what this call wrote goes.
  void settle() {
    for (const auto& path : written_) {
      const std::string name = path.filename().string();
      const auto settled = request_.folder / name.substr(name.rfind('-') + 1);
      bool kept = false;
      for (Variant& v : outcome_.variants) {
        if (v.path != path) continue;
        v.path = settled;
        kept = true;
      }
      std::error_code ignored;
      if (kept) std::filesystem::rename(path, settled);
      else std::filesystem::remove(path, ignored);
    }
  }

  /// A candidate that ONNX Runtime refuses is a level less, not the end: the source model runs all the same.
  template <typename Make>
  void attempt(const std::string& what, Make make) {
    try {
      make();
    } catch (const Error& e) {
      if (e.code() != ErrorCode::bad_input) throw;
      outcome_.refused.push_back(fmt::format("{}: {}", what, e.what()));
    }
  }

  LoadRequest at(const std::filesystem::path& path, const Shapes& shapes) const {
    LoadRequest r;
    r.model = path;
    r.shapes = shapes;
    r.state = request_.state;
    r.constants = request_.constants;
    return r;
  }

  double accuracy(const Variant& v) const { return request_.accuracy ? request_.accuracy(at(v.path, v.shapes)) : 1; }

  void add_source() {
    Variant& v = base_;
    v.id = "source";
    v.path = request_.model;
    v.shapes = request_.shapes;
    v.bytes = model_bytes(request_.model);
    v.accuracy = accuracy(v);
    v.note = "as given";
    std::vector<Level> alone;
    measure(v, alone);
    outcome_.variants.push_back(v);
  }

  /// Times all levels and the base in one loop; fills in medians.
  void measure(Variant& base, std::vector<Level>& levels) const {
    std::vector<LoadRequest> requests{at(base.path, base.shapes)};
    for (const Level& level : levels) requests.push_back(at(level.variant.path, level.variant.shapes));
    std::vector<InputSet> inputs(requests.size());
    for (std::size_t i = 0; i < inputs.size() && !sets_.empty(); ++i) {
      if (i == 0 || levels[i - 1].variant.shapes == request_.shapes) inputs[i] = sets_.front();
    }
    const auto times =
        request_.measure ? request_.measure(requests) : measure_times(engine_, requests, inputs, {}, context_);
    base.median = quantile(times[0], 0.5);
    for (std::size_t i = 0; i < levels.size(); ++i) {
      levels[i].base_low = quantile(times[0], 0.2);
      levels[i].low = quantile(times[i + 1], 0.2);
      levels[i].variant.median = quantile(times[i + 1], 0.5);
    }
  }

  Level write(const std::string& id, const std::string& precision, const Model& model, const std::string& note) {
    Level level;
    const std::string bytes = serialize(model);
    Variant& v = level.variant;
    v.id = id;
    v.precision = precision;
    v.note = note;
    if (request_.form != nullptr) {
      v.width = request_.form->width;
      v.depth = request_.form->depth;
    }
    v.shapes = request_.shapes;
    v.bytes = static_cast<std::int64_t>(bytes.size());
    v.path = scratch_path(request_.folder, sha256(bytes).substr(0, 16) + ".onnx");
    if (written_.insert(v.path).second) write_file_atomically(v.path, bytes);
    return level;
  }

  void refuse(const Level& level, const std::string& reason) {
    outcome_.refused.push_back(level.variant.id + ": " + reason);
  }

  bool fast_enough(const Level& level) const { return level.faster() >= request_.speedup_min; }

  std::string too_slow(const Level& level) const {
    const double faster = level.faster();
    const std::string times =
        fmt::format("{} ({} -> {})", base_.id, format_duration(level.base_low), format_duration(level.low));
    if (faster < 0.995) return fmt::format("{:.2f}x slower than {}", 1 / faster, times);
    return faster < 1.005 ? "as fast as " + times : fmt::format("only {:.2f}x faster than {}", faster, times);
  }

  /// Scores; keeps what reaches the floor.
  bool score(Level& level) {
    Variant& v = level.variant;
    v.accuracy = accuracy(v);
    const double source = outcome_.variants.front().accuracy;
    v.accuracy_loss = source > 0 ? std::max(0.0, (source - v.accuracy) / source) : 0;
    const bool good = v.accuracy >= request_.accuracy_min;
    auto& nearest = outcome_.nearest;
    if (!good && (!nearest || v.accuracy > nearest->accuracy)) nearest = {v.id, v.accuracy};
    return good;
  }

  std::string too_inaccurate(const Level& level) const {
    return fmt::format("accuracy {} is below the {} asked for ({})", format_percent(level.variant.accuracy, 2),
                       format_percent(request_.accuracy_min, 2), level.variant.note);
  }

  /// The float form itself. False if it is no level: then nothing that is made of it will be.
  bool add_form() {
    const SlimForm& form = *request_.form;
    std::vector<Level> one{write(form.id, "fp32", form.model, form.note)};
    measure(base_, one);
    Level& level = one.front();
    if (!fast_enough(level)) {
      refuse(level, too_slow(level));
      return false;
    }
    if (!score(level)) {
      refuse(level, too_inaccurate(level));
      return false;
    }
    outcome_.variants.push_back(level.variant);
    base_ = level.variant;
    return true;
  }

  void add_fp32() {
    if (!request_.wants("fp32") || (prepared_.folded == 0 && prepared_.widened == 0 && prepared_.cut == 0)) return;
    std::string folded = fmt::format("{} operators folded", prepared_.folded);
    if (prepared_.cut > 0) folded += fmt::format(", unused taps of {} convolutions cut off", prepared_.cut);
    if (prepared_.widened > 0) folded += fmt::format(", {} weights widened from 16 bits", prepared_.widened);
    std::vector<Level> one{request_.form == nullptr ? write("fp32", "fp32", prepared_.model, folded)
                                                    : write(request_.form->id, "fp32", prepared_.model,
                                                            fmt::format("{}, {}", request_.form->note, folded))};
    measure(base_, one);
    Level& level = one.front();
    if (request_.form != nullptr) {  // another file of the same level: the faster one stays
      if (!fast_enough(level) || !score(level)) return;
      outcome_.variants.pop_back();
    } else {
      if (!fast_enough(level)) return refuse(level, too_slow(level));
      if (!score(level)) return refuse(level, too_inaccurate(level));
    }
    outcome_.variants.push_back(level.variant);
    base_ = level.variant;
  }

  /// "int8", of a form "w0.5-int8".
  std::string named(const std::string& id) const {
    return request_.form == nullptr ? id : request_.form->id + "-" + id;
  }

  void refuse_int8(const std::string& reason) { outcome_.refused.push_back(named("int8") + ": " + reason); }

  /// What a wider form's weights say; the prepared model's note of where its weights came from then follows them.
  Int8Options int8_options() {
    Int8Options options;
    if (request_.form == nullptr || request_.form->weight_scales.empty()) return options;
    options.weight_scales = follow_folding(source_, request_.form->weight_scales, prepared_.model);
    options.edit_weights = false;
    return options;
  }

  void add_int8() {
    if (prepared_.not_upgraded) return refuse_int8(*prepared_.not_upgraded);
    if (sets_.empty()) return refuse_int8("there are no inputs to calibrate with");
    if (!any_linear(find_units(prepared_.model))) {
      return refuse_int8("no convolution or matrix product with constant weights outside of control flow");
    }
    context_.report("calibrating", 0.1);
    const LoadRequest here = at(request_.model, request_.shapes);
    Int8Options options = int8_options();
    Int8Builder builder(engine_, prepared_.model, here, sets_, request_.folder, context_, std::move(options));
    if (builder.count_linear(builder.possible()) == 0)
      return refuse_int8("activations are not finite on the task's data");
    const auto affordable =
        std::clamp<std::int64_t>(kErrorTime / std::max(base_.median, Duration(1)), 2, kScaleErrorSets);
    const auto n = std::min<std::int64_t>(affordable, static_cast<std::int64_t>(sets_.size()));
    const OutputError error = builder.judge({sets_.begin(), sets_.begin() + n});
    builder.choose_calibration(error, context_);
    context_.report("choosing integer regions", 0.3);
    std::vector<Int8Candidate> candidates;
    try {
      candidates = find_candidates(engine_, builder, here, sets_.front(), error, request_.folder, context_);
    } catch (const Error& e) {
      return refuse_int8(fmt::format("cannot be profiled: {}", e.what()));
    }
    if (context_.stopping()) return;
    if (candidates.empty())
      return refuse_int8("no integer form of it runs and gives finite outputs on the task's data");
    keep_int8(builder, std::move(candidates));
  }

  /// For accelerators: whether it is faster there, the profile tells. Here it is only scored.
  void add_fp16() {
    if (sets_.empty()) {
      outcome_.refused.push_back(named("fp16") + ": there are no inputs to observe activations with");
      return;
    }
    context_.report("half precision", 0.85);
    const HalfModel half =
        to_half(engine_, prepared_.model, at(request_.model, request_.shapes), sets_, request_.folder, context_);
    if (half.half == 0) {
      outcome_.refused.push_back(fmt::format("{}: no operator can compute in f16{}", named("fp16"),
                                             half.kept.empty() ? "" : ": " + half.kept.front()));
      return;
    }
    std::string note = fmt::format("{} operators in f16, {} kept in f32", half.half, half.kept.size());
    if (request_.form != nullptr) note = request_.form->note + ", " + note;
    std::vector<Level> one{write(named("fp16"), "fp16", half.model, note)};
    measure(base_, one);
    if (!score(one.front())) return refuse(one.front(), too_inaccurate(one.front()));
    outcome_.variants.push_back(one.front().variant);
  }

  static bool any_linear(const std::vector<Unit>& units) {
    return std::any_of(units.begin(), units.end(), [](const Unit& u) { return u.kind == UnitKind::linear; });
  }

  void keep_int8(const Int8Builder& builder, std::vector<Int8Candidate> candidates) {
    context_.report("measuring int8", 0.6);
    std::vector<Level> levels;
    for (const Int8Candidate& c : worth_measuring(std::move(candidates), kMeasuredCandidates)) {
      const int whole = builder.count_linear(builder.possible());
      std::string note = fmt::format("{} of {} convolutions and matrix products integer, {}",
                                     builder.count_linear(c.integer), whole, builder.calibration());
      if (request_.form != nullptr) note = request_.form->note + ", " + note;
      levels.push_back(write(named("int8"), "int8", builder.build(c.integer), note));
      levels.back().error = c.error;
    }
    measure(base_, levels);
    std::stable_sort(levels.begin(), levels.end(), [](const Level& a, const Level& b) { return a.low < b.low; });
    for (const Level& l : levels) {
      context_.debug(fmt::format("{}: {}: {} against {}, output error {:.5f}", source_.name, l.variant.note,
                                 format_duration(l.low), format_duration(l.base_low), l.error));
    }
    if (!fast_enough(levels.front())) return refuse_int8(too_slow(levels.front()));
    select(levels);
  }

  /// Levels that are fast enough, without those that a smaller one of the same time makes superfluous.
  std::vector<Level*> candidates_of(std::vector<Level>& levels) const {
    std::vector<Level*> fast;
    std::vector<MeasuredForm> forms;
    for (Level& level : levels) {
      if (!fast_enough(level)) continue;
      fast.push_back(&level);
      forms.push_back({level.low, level.error, level.variant.bytes});
    }
    const std::vector<bool> large = needlessly_large(forms);
    std::vector<Level*> left;
    for (std::size_t i = 0; i < fast.size(); ++i)
      if (!large[i]) left.push_back(fast[i]);
    return left;
  }

  /// Levels in the order of time, none with more error than a faster one. Accuracy is taken to rise along them, so that
  /// a few calls of the (slow) scoring find the fastest that reaches the floor; then one that is clearly more accurate.
  void select(std::vector<Level>& levels) {
    std::vector<Level*> front;
    for (Level* level : candidates_of(levels))
      if (front.empty() || level->error < 0.8 * front.back()->error) front.push_back(level);
    std::vector<char> known(front.size(), 0);
    std::vector<char> good(front.size(), 0);
    int calls = 0;
    const auto passes = [&](std::size_t i) {
      if (known[i] != 0) return good[i] != 0;
      context_.report("scoring int8", 0.7 + 0.04 * calls++);
      known[i] = 1;
      good[i] = score(*front[i]) ? 1 : 0;
      if (good[i] == 0) refuse_int8(too_inaccurate(*front[i]));
      return good[i] != 0;
    };
    std::size_t low = !front.empty() && !passes(0) ? 1 : 0;  // most often the fastest will do
    std::size_t high = low == 0 ? 0 : front.size();
    while (low < high && !context_.stopping()) {
      const std::size_t middle = low + (high - low) / 2;
      if (passes(middle)) high = middle;
      else low = middle + 1;
    }
    std::vector<std::size_t> kept;
    for (std::size_t i = high; i < front.size() && static_cast<int>(kept.size()) < request_.levels_max; ++i) {
      if (context_.stopping()) break;
      const bool more = kept.empty() || (front[kept.back()]->variant.accuracy_loss > 0.002 &&
                                         front[i]->error < 0.5 * front[kept.back()]->error &&
                                         (known[i] != 0 || calls < kAccuracyCalls));
      if (!more || !passes(i)) continue;
      if (!kept.empty() && front[i]->variant.accuracy <= front[kept.back()]->variant.accuracy) continue;
      Variant& v = front[i]->variant;
      if (!kept.empty() && front[i]->low < kSameTime * front[kept.back()]->low) {  // as fast, more accurate
        kept.pop_back();
        outcome_.variants.pop_back();
      }
      v.id = named(kept.empty() ? "int8" : kept.size() == 1 ? "int8-mixed" : fmt::format("int8-mixed{}", kept.size()));
      kept.push_back(i);
      outcome_.variants.push_back(v);
    }
  }

  /// All kept levels once more, by themselves in one loop: the medians that are reported are comparable, and a level
  /// that was fast by chance goes.
  void confirm() {
    context_.report("confirming", 0.97);
    auto& kept = outcome_.variants;
    std::vector<Level> levels;
    for (std::size_t i = 1; i < kept.size(); ++i) levels.push_back({.variant = kept[i]});
    measure(kept.front(), levels);
    std::vector<Variant> confirmed{kept.front()};
    std::vector<Duration> lows{levels.front().base_low};
    for (Level& level : levels) {
      level.base_low = Duration::max();  // of the fastest float level that runs at the same shape
      for (std::size_t k = 0; k < confirmed.size(); ++k) {
        if (confirmed[k].precision != "fp32" || confirmed[k].shapes != level.variant.shapes || lows[k] > level.base_low)
          continue;
        level.base_low = lows[k];
        base_ = confirmed[k];
      }
      if (level.base_low == Duration::max() || level.variant.precision == "fp16" || fast_enough(level)) {
        confirmed.push_back(level.variant);
        lows.push_back(level.low);
      } else {
        outcome_.refused.push_back(level.variant.id + ": " + too_slow(level));
      }
    }
    kept.swap(confirmed);
  }

  void add_resolutions() {
    const auto spatial = spatial_input(source_);
    const bool asked =
        std::any_of(request_.resolutions.begin(), request_.resolutions.end(), [](double r) { return r < 1; });
    if (!asked) return;
    if (!spatial || !spatial->free || !request_.shapes.contains(spatial->name)) {
      outcome_.refused.push_back("resolution: the model's spatial input is not free");
      return;
    }
    std::vector<Variant> whole = outcome_.variants;
    if (request_.form != nullptr) whole.erase(whole.begin());  // smaller inputs of the source are levels of the source
    const std::vector<std::int64_t>& full = request_.shapes.at(spatial->name);
    for (const double fraction : request_.resolutions) {
      if (fraction == 1) continue;
      const std::string what = fmt::format("resolution {:g}", fraction);
      const auto shape = scaled_shape(full, *spatial, fraction);
      if (element_count(shape) >= element_count(full)) {
        outcome_.refused.push_back(fmt::format("{}: the nearest in steps of 32 is {}, no less than {}", what,
                                               shape_text(shape), shape_text(full)));
        continue;
      }
      attempt(what, [&] { add_resolution(whole, spatial->name, shape, fraction); });
    }
  }

  void add_resolution(const std::vector<Variant>& whole, const std::string& input,
                      const std::vector<std::int64_t>& shape, double fraction) {
    bool folded = whole.size() > 1 && whole[1].id == "fp32";
    for (const Variant& of : whole) {
      if (context_.stopping()) return;
      if (std::exchange(folded, false)) continue;  // the source, where its folded form is faster
      if (!add_resolution(of, input, shape, fraction) && of.precision == "fp32") return;  // int8 will not be better
    }
  }

  /// The same file bound at another shape: no byte more on disk.
  bool add_resolution(const Variant& of, const std::string& input, const std::vector<std::int64_t>& shape,
                      double fraction) {
    Level level;
    level.variant = of;
    Variant& v = level.variant;
    v.id = fmt::format("{}-r{:g}", of.id == "source" ? "fp32" : of.id, fraction);
    v.resolution = fraction;
    v.shapes[input] = shape;
    v.shared_bytes = v.bytes;
    v.note = fmt::format("{} at {}", of.id, shape_text(shape));
    context_.report("resolution " + v.id, 0.9);
    std::vector<Level> one{level};
    Variant full = of;
    measure(full, one);
    if (!fast_enough(one.front())) {
      refuse(one.front(), fmt::format("not faster than {} at full resolution", of.id));
      return false;
    }
    if (!score(one.front())) {
      refuse(one.front(), too_inaccurate(one.front()));
      return false;
    }
    outcome_.variants.push_back(one.front().variant);
    return true;
  }

  Engine& engine_;
  const ScaleRequest& request_;
  const Context& context_;
  std::vector<InputSet> sets_;
  std::set<std::filesystem::path> written_;  ///< under scratch names
  Model source_;
  Prepared prepared_;
  ScaleOutcome outcome_;
  Variant base_;  ///< the fastest fp32 level so far: int8 must beat it
};

}  // namespace

ScaleOutcome scale(Engine& engine, const ScaleRequest& request, const Context& context) {
  return Scaling(engine, request, context).run();
}

}  // namespace rtmdl
