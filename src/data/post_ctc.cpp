#include "data/input_files.h"
#include "data/postprocess_kinds.h"

#include <algorithm>

#include <fmt/format.h>

namespace rtmdl {
namespace {

/// Greedy decoding of connectionist temporal classification (Graves et al. 2006, section 3.2): the best class of each
/// step, repeats merged, blanks dropped.
class Ctc final : public Postprocess {
 public:
  Ctc(const ConfigNode& post, OutputSpecs outputs) {
    post.allow({"kind", "output", "alphabet", "blank", "space"});
    output_ = find_output(post["output"], outputs, 0);
    require_floats(post, outputs[output_]);
    if (const auto blank = post["blank"]; blank.present()) blank_ = static_cast<std::size_t>(blank.integer(0, 1 << 20));
    read_alphabet(post["alphabet"]);
    if (const auto space = post["space"]; space.present() && space.boolean()) symbols_.emplace_back(" ");
    const auto& shape = outputs[output_].shape;
    if (!shape.empty() && shape.back() > 0 && static_cast<std::size_t>(shape.back()) != symbols_.size() + 1)
      post["alphabet"].fail(fmt::format(
          "gives {} symbols and a blank, but the model's output '{}' has {} classes{}", symbols_.size(),
          outputs[output_].name, shape.back(),
          static_cast<std::size_t>(shape.back()) == symbols_.size() + 2 ? "; `space: true` adds a space" : ""));
    for (const std::string& s : symbols_) longest_ = std::max(longest_, s.size());
    if (shape.size() >= 2 && shape[shape.size() - 2] > 0) steps_ = static_cast<std::size_t>(shape[shape.size() - 2]);
  }

  bool run(OutputViews outputs, const Geometry&, Result& result) noexcept override {
    result.clear();
    if (output_ >= outputs.size() || !is_sound(outputs[output_])) return false;
    const auto values = outputs[output_].as<float>();
    const std::size_t classes = symbols_.size() + 1;
    const auto& shape = outputs[output_].shape;
    if (shape.size() < 2 || static_cast<std::size_t>(shape.back()) != classes) return false;
    std::size_t before = blank_;
    float sum = 0;
    int kept = 0;
    for (std::size_t t = 0; t < values.size() / classes; ++t) {
      const auto step = values.subspan(t * classes, classes);
      const auto best = static_cast<std::size_t>(std::max_element(step.begin(), step.end()) - step.begin());
      if (best != blank_ && best != before) {
        result.text += symbols_[best - (best > blank_ ? 1 : 0)];
        sum += step[best];
        ++kept;
      }
      before = best;
    }
    result.scores.push_back(kept > 0 ? sum / static_cast<float>(kept) : 0);
    return true;
  }

  void prepare(Result& result) const override {
    result.text.reserve(steps_ * longest_);
    result.scores.reserve(1);
  }

 private:
  void read_alphabet(const ConfigNode& node) {
    symbols_ = read_lines(node);
    if (symbols_.empty()) node.fail(fmt::format("'{}' is empty; one symbol a line is accepted", node.path().string()));
  }

  std::size_t output_ = 0;
  std::size_t blank_ = 0;
  std::vector<std::string> symbols_;  // without the blank
  std::size_t longest_ = 1, steps_ = 256;
};

}  // namespace

std::unique_ptr<Postprocess> make_ctc(const ConfigNode& post, OutputSpecs outputs) {
  return std::make_unique<Ctc>(post, outputs);
}

}  // namespace rtmdl
