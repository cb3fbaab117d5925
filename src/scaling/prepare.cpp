#include "scaling/prepare.h"

#include "model/edit.h"
#include "model/fold.h"
#include "model/opset.h"
#include "scaling/calibrate.h"
#include "scaling/decompose.h"
#include "scaling/prune.h"
#include "scaling/widen.h"

#include <algorithm>

namespace rtmdl {

Prepared prepare(Engine& engine, const Model& source, const LoadRequest& at, const std::filesystem::path& folder) {
  Prepared p;
  p.model = source;
  normalise(p.model);
  const int before = p.model.graph().node_size();
  p.widened = widen_halves(p.model);
  p.not_upgraded = upgrade_opset(p.model);
  normalise(p.model);
  std::vector<std::string> constants;
  for (const int i : constant_nodes(p.model)) {
    const auto& outputs = p.model.graph().node(i).output();
    constants.insert(constants.end(), outputs.begin(), outputs.end());
  }
  const auto values = values_of(engine, p.model, at, constants, folder);
  fold_constants(p.model, [&](const std::string& name) -> const Tensor* {
    const auto it = values.find(name);
    return it == values.end() ? nullptr : &it->second;
  });
  fold_all(p.model);
  p.cut = cut_unused_taps(p.model, specs_of(engine, p.model, at, folder));
  check_model(p.model);
  p.folded = std::max(0, before - p.model.graph().node_size());
  if (!p.not_upgraded && decompose(p.model) > 0) {
    normalise(p.model);
    check_model(p.model);
  }
  return p;
}

}  // namespace rtmdl
