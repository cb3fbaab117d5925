#pragma once
/// Where a model is cut into segments, by measured time: so that the longest is as short as can be for the least
/// overhead.

#include "base/context.h"
#include "base/thread_placement.h"
#include "engine/engine.h"

#include <rtmdl/time.h>

#include <vector>

namespace rtmdl {

struct Segmentation {
  std::vector<int> cuts;        ///< as in LoadRequest
  Duration longest{}, total{};  ///< medians: of the longest segment, of all together
};

/// Segmentations into 2, 4, … up to `most` segments, each with a longest segment that is clearly shorter than that of
/// the one before and a total that the cuts do not spoil. None of models that are short, that have no place to be cut
/// at, or whose shapes depend on data. Starts from the number of heavy operators, then measures the segments, spreads
/// what they took over their nodes and cuts again. `request` is the uncut model's; runs are timed on the placement.
/// Returns early, with nothing, when the context is stopped. Throws what loading the uncut model throws.
[[nodiscard]] std::vector<Segmentation> choose_segmentations(Engine& engine, const LoadRequest& request, int most,
                                                             const ThreadPlacement& placement, const Context& context);

inline constexpr std::size_t kMostSplitPlaces = 3;
/// Up to so many nodes before which the model can be cut in two, at about 1/4, 1/2 and 3/4 of its measured time: where
/// it may go over to another processor. None of models that stay whole above. `request`, placement, context and what it
/// throws: as above.
[[nodiscard]] std::vector<int> choose_split_places(Engine& engine, const LoadRequest& request,
                                                   const ThreadPlacement& placement, const Context& context);

}  // namespace rtmdl
