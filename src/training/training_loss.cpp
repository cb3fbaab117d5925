#include "training/training_loss.h"

#include <rtmdl/error.h>

#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace rtmdl::training {
namespace {

constexpr double kLeastProbability = 1e-7;
constexpr double kSumTolerance = 1e-3;

/// [N, classes] of [N, classes, 1, 1].
at::Tensor as_rows(const at::Tensor& output) { return output.dim() > 2 ? output.flatten(1) : output; }

bool rows_of_classes(const at::Tensor& output, int classes) {
  if (!output.is_floating_point() || output.dim() < 2) return false;
  const std::int64_t columns = output.numel() / std::max<std::int64_t>(output.size(0), 1);
  return output.size(1) == columns && columns >= std::max(2, classes);
}

/// Total, about one mean, of the finite ones; never zero.
double variance_of(const at::Tensor& t) {
  const at::Tensor finite = t.masked_select(t.isfinite()).to(at::kDouble);
  if (finite.numel() == 0) return 1;
  const double mean = finite.mean().item<double>();
  const double variance = (finite - mean).square().mean().item<double>();
  return std::max({variance, 1e-6 * mean * mean, 1e-12});
}

}  // namespace

at::Tensor log_probabilities(const at::Tensor& x, bool probabilities, double temperature) {
  const at::Tensor logits = probabilities ? x.clamp_min(kLeastProbability).log() : x;
  return at::log_softmax(logits / temperature, -1);
}

bool are_probabilities(const at::Tensor& x) {
  if (!x.is_floating_point() || x.dim() < 2 || x.size(-1) < 2 || x.numel() == 0) return false;
  const at::Tensor y = x.detach();
  return y.ge(0).all().item<bool>() && (y.sum(-1) - 1).abs().le(kSumTolerance).all().item<bool>();
}

TrainingLoss::TrainingLoss(const FineTuneOptions& options, const std::string& name,
                           const std::vector<at::Tensor>& student, const std::vector<at::Tensor>& teacher,
                           bool labelled, int classes)
    : name_(name), temperature_(options.temperature), smoothing_(options.label_smoothing) {
  if (student.empty()) bad_input(fmt::format("{}: has no outputs to train", name_));
  const bool fits = labelled && rows_of_classes(student[0], classes);
  student_probabilities_ = are_probabilities(as_rows(student[0]));
  if (options.objective == Objective::labels && !labelled)
    bad_input(fmt::format("{}: training on labels needs labelled data", name_));
  if (options.objective == Objective::labels && !fits)
    bad_input(fmt::format("{}: labels up to {} need a first output of [N, {}] or wider, this one is [{}]", name_,
                          classes - 1, classes, fmt::join(student[0].sizes().vec(), ", ")));
  if (options.objective == Objective::labels) further_weight_ = options.further_outputs;
  const bool labels = fits && options.objective != Objective::distillation;
  const bool distil = !teacher.empty() && options.objective != Objective::labels;
  if (distil) look_at_teacher(student, teacher, classes);
  const bool some = std::any_of(kinds_.begin(), kinds_.end(), [](Kind k) { return k != Kind::left_out; });
  if (!labels && !some) bad_input(fmt::format("{}: neither labels nor outputs of a teacher to train towards", name_));
  if (labels && some) {
    teacher_weight_ = std::clamp(options.distillation, 0.0, 1.0);
    label_weight_ = 1 - teacher_weight_;
  } else {
    (labels ? label_weight_ : teacher_weight_) = 1;
  }
}

void TrainingLoss::look_at_teacher(const std::vector<at::Tensor>& student, const std::vector<at::Tensor>& teacher,
                                   int classes) {
  sure_classes_ = classes > 0 && rows_of_classes(student[0], classes);
  for (std::size_t i = 0; i < teacher.size(); ++i) {
    const at::Tensor& t = teacher[i];
    Kind kind = Kind::values;
    if (i >= student.size() || !t.is_floating_point() || t.numel() == 0 || t.sizes() != student[i].sizes())
      kind = Kind::left_out;
    else if (are_probabilities(t)) kind = Kind::probabilities;
    else if (t.dim() == 2 && t.size(1) >= 2) kind = Kind::logits;
    kinds_.push_back(kind);
    variances_.push_back(kind == Kind::left_out ? 1 : variance_of(t));
  }
}

at::Tensor TrainingLoss::from_labels(const at::Tensor& output, const at::Tensor& labels) const {
  const at::Tensor rows = as_rows(output);
  const std::int64_t most = labels.max().item<std::int64_t>();
  if (most >= rows.size(1) || labels.min().item<std::int64_t>() < 0)
    bad_input(fmt::format("{}: has {} classes, the data a label {}", name_, rows.size(1), most));
  const at::Tensor said = log_probabilities(rows, student_probabilities_, 1);
  const at::Tensor right = at::nll_loss(said, labels.to(rows.device()));
  return smoothing_ > 0 ? right * (1 - smoothing_) - said.mean() * smoothing_ : right;
}

at::Tensor TrainingLoss::from_teacher(std::size_t i, const at::Tensor& student, const at::Tensor& teacher) const {
  const auto squares = [&] {
    const at::Tensor finite = teacher.isfinite();
    const at::Tensor difference = at::where(finite, student - teacher, at::zeros_like(teacher));
    return difference.square().sum() / finite.sum().clamp_min(1) / variances_[i];
  };
  if (kinds_[i] == Kind::values) return squares();
  const bool probabilities = kinds_[i] == Kind::probabilities;
  const at::Tensor target = log_probabilities(teacher, probabilities, temperature_);
  const at::Tensor rows = target.isfinite().all(-1);
  const at::Tensor reached = log_probabilities(student, probabilities, temperature_);
  const at::Tensor divergence = (target.exp() * (target - reached)).sum(-1);
  at::Tensor loss = at::where(rows, divergence, at::zeros_like(divergence)).sum() / rows.sum().clamp_min(1) *
                    (temperature_ * temperature_);
  // Numbers that may as well be a regression: softmax does not see what they have in common.
  if (!probabilities && !sure_classes_) loss = loss + squares();
  return loss;
}

at::Tensor TrainingLoss::operator()(const std::vector<at::Tensor>& student, const std::vector<at::Tensor>& teacher,
                                    const at::Tensor& labels) const {
  at::Tensor sum;
  const auto add = [&](const at::Tensor& term, double weight) {
    sum = sum.defined() ? sum + term * weight : term * weight;
  };
  if (label_weight_ > 0) add(from_labels(student.at(0), labels), label_weight_);
  for (std::size_t i = 1; i < student.size() && further_weight_ > 0; ++i)
    add(from_labels(student[i], labels), further_weight_);
  if (teacher_weight_ > 0) {
    const auto count = std::count_if(kinds_.begin(), kinds_.end(), [](Kind k) { return k != Kind::left_out; });
    for (std::size_t i = 0; i < kinds_.size(); ++i) {
      if (kinds_[i] != Kind::left_out)
        add(from_teacher(i, student.at(i), teacher.at(i)), teacher_weight_ / static_cast<double>(count));
    }
  }
  return sum;
}

}  // namespace rtmdl::training
