#pragma once
/// Candidate choices of integer regions for one model: measured unit times, conversions and sensitivities go into the
/// exact minimum cut of regions.h for a ladder of weights; what comes out is only a proposal until it has been measured
/// whole.

#include "scaling/precision.h"
#include "scaling/regions.h"
#include "scaling/unit_times.h"

#include <vector>

namespace rtmdl {

struct Int8Candidate {
  std::vector<bool> integer;
  double error = 0;      ///< of the outputs, see OutputError
  double predicted = 0;  ///< microseconds
};

/// What the search knows about time; separate from the engine so that tests can make it up.
struct RegionTimes {
  std::vector<double> float_time, integer_time;     ///< by unit, microseconds
  double per_element = 0.0006, per_conversion = 2;  ///< microseconds a conversion takes
};

/// Elements of every tensor that a unit could quantise go into the conversions.
[[nodiscard]] RegionProblem region_problem(const Model& model, const std::vector<Unit>& units,
                                           const std::vector<bool>& possible, const TensorSpecs& specs,
                                           const RegionTimes& times);

/// Sensitivity of every unit in `chosen`: output error when it alone is integer, by splitting groups of neighbours,
/// those with the largest share of error and of `gain` (by unit) first, until `evaluations` are spent; what remains in
/// a group is shared out evenly.
[[nodiscard]] std::vector<double> sensitivities(const Int8Builder& builder, const std::vector<bool>& chosen,
                                                const std::vector<double>& gain, const OutputError& error,
                                                int evaluations, const Context& context);

/// Distinct candidates: the all-integer model, the fastest cut, and cuts that give up speed for a smaller error. Loads
/// at most about 70 models, fewer of slow ones (the number goes to the log), and ends between two runs when the context
/// says stop.
[[nodiscard]] std::vector<Int8Candidate> find_candidates(Engine& engine, const Int8Builder& builder,
                                                         const LoadRequest& at, const InputSet& input,
                                                         const OutputError& error, const std::filesystem::path& folder,
                                                         const Context& context);

/// Those that no other beats in both predicted time and error, thinned out to `most` with errors spread as far as they
/// go.
[[nodiscard]] std::vector<Int8Candidate> worth_measuring(std::vector<Int8Candidate> candidates, std::size_t most);

/// What an int8 form turned out to be.
struct MeasuredForm {
  Duration time{};
  double error = 0;
  std::int64_t bytes = 0;
};

/// Times that are closer than this are taken to be the same.
inline constexpr double kSameTime = 1.03;

/// By form: whether another of the same time is smaller and errs no more.
[[nodiscard]] std::vector<bool> needlessly_large(const std::vector<MeasuredForm>& forms);

}  // namespace rtmdl
