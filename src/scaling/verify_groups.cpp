#include "scaling/prune.h"
#include "scaling/tensor_shapes.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <rtmdl/error.h>

#include <numeric>

namespace rtmdl {
namespace {

/// Tries sets of groups, half of each removed, until it knows which can go together. One run when all can, which is
/// the rule; the guilty ones are found by bisection.
class Verification {
 public:
  Verification(Engine& engine, const Model& model, const LoadRequest& at, const std::filesystem::path& folder)
      : engine_(engine),
        model_(model),
        at_(at),
        folder_(folder),
        specs_(specs_of(engine, model, at, folder)),
        found_(find_channel_groups(model, specs_)),
        good_(found_.groups.size(), 0),
        reasons_(found_.groups.size()) {}

  ChannelGroups run() {
    std::vector<std::size_t> all(found_.groups.size());
    std::iota(all.begin(), all.end(), 0);
    if (!all.empty()) accept(all);
    ChannelGroups result;
    result.whole = found_.whole;
    for (std::size_t g = 0; g < found_.groups.size(); ++g) {
      auto& group = found_.groups[g];
      if (good_[g] != 0) {
        result.groups.push_back(std::move(group));
      } else {
        const auto channels = static_cast<std::int64_t>(group.channels.size()) * group.multiple;
        result.whole.push_back({group.name, channels, reasons_[g]});
      }
    }
    return result;
  }

 private:
  /// Adds those of `some` that go with the good ones so far.
  void accept(const std::vector<std::size_t>& some) {
    const std::string reason = failure(some);
    if (reason.empty()) {
      for (const std::size_t g : some) good_[g] = 1;
    } else if (some.size() == 1) {
      reasons_[some[0]] = reason;
    } else {
      const auto middle = some.begin() + static_cast<std::ptrdiff_t>(some.size() / 2);
      accept({some.begin(), middle});
      accept({middle, some.end()});
    }
  }

  std::string failure(const std::vector<std::size_t>& some) {
    Kept kept = keep_all(found_);
    const auto halve = [&](std::size_t g) { kept[g].resize((kept[g].size() + 1) / 2); };
    for (const std::size_t g : some) halve(g);
    for (std::size_t g = 0; g < good_.size(); ++g) {
      if (good_[g] != 0) halve(g);
    }
    try {
      const Pruned pruned = prune(model_, specs_, found_, kept);
      for (const auto& [name, shape] : shapes_of(engine_, pruned.model, at_, folder_)) {
        const auto predicted = pruned.specs.find(name);
        if (predicted == pruned.specs.end() || predicted->second.shape == shape) continue;
        return fmt::format("without half of them '{}' is {} instead of {}", name, fmt::join(shape, "x"),
                           fmt::join(predicted->second.shape, "x"));
      }
    } catch (const Error& e) {
      if (e.code() != ErrorCode::bad_input && e.code() != ErrorCode::internal) throw;
      return e.what();
    }
    return {};
  }

  Engine& engine_;
  const Model& model_;
  const LoadRequest& at_;
  const std::filesystem::path& folder_;
  TensorSpecs specs_;
  ChannelGroups found_;
  std::vector<char> good_;
  std::vector<std::string> reasons_;
};

}  // namespace

ChannelGroups verified_channel_groups(Engine& engine, const Model& model, const LoadRequest& at,
                                      const std::filesystem::path& folder) {
  return Verification(engine, model, at, folder).run();
}

}  // namespace rtmdl
