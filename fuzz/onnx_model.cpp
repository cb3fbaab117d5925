/// Whatever the bytes: a model or one Error, and every edit leaves a model that checks.

#include "made_up_specs.h"
#include "model/cut_points.h"
#include "model/edit.h"
#include "model/exits.h"
#include "model/fold.h"
#include "model/opset.h"
#include "scaling/blocks.h"
#include "scaling/prune.h"
#include "scaling/units.h"

#include <rtmdl/error.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <random>
#include <string_view>

namespace {

/// Channels, blocks and units of a graph whose shapes nobody knows.
void look_for_what_can_go(const rtmdl::Model& model, const rtmdl::TensorSpecs& specs) {
  using namespace rtmdl;
  constexpr int kNodes = 200;  // index by index: a fuzzer wants many small graphs, not one large one
  if (model.graph().node_size() > kNodes) return;
  (void)find_units(model);
  for (const auto& node : model.graph().node()) {  // required inputs: a back-end makes sure of them before
    if (node.input_size() < 2 && (node.attribute_size() > 0 || node.input().empty())) return;
  }
  (void)find_blocks(model, specs);
  const ChannelGroups groups = find_channel_groups(model, specs);
  (void)prune(model, specs, groups, keep_all(groups));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace rtmdl;
  try {
    Model model = parse_model({reinterpret_cast<const char*>(data), size}, "fuzz.onnx", "/nonexistent");
    normalise(model);
    check_model(model);
    (void)spatial_input(model);
    std::mt19937 random(static_cast<std::mt19937::result_type>(size));
    const TensorSpecs specs = test::made_up_specs(model, [&](std::size_t n) { return random() % n; });
    (void)model_cost(model, specs);
    (void)peak_activation_bytes(model, specs);
    if (find_cut_points(model).part.size() != static_cast<std::size_t>(model.graph().node_size())) std::abort();
    try {
      look_for_what_can_go(model, specs);
    } catch (const Error&) {
    }
    try {
      (void)read_exits(model);
    } catch (const Error&) {
    }
    (void)upgrade_opset(model);
    normalise(model);
    fold_all(model);
    check_model(model);
    (void)parse_model(serialize(model), "again.onnx");
  } catch (const Error&) {
  }
  return 0;
}
