#pragma once
/// What a student is trained towards: labels, the outputs of a teacher, or both.

#include "scaling/fine_tuner.h"

#include <ATen/ATen.h>

#include <string>
#include <vector>

namespace rtmdl::training {

/// log softmax(x / temperature) over the last axis, of probabilities or of logits.
[[nodiscard]] at::Tensor log_probabilities(const at::Tensor& x, bool probabilities, double temperature);
/// Rows of the last axis are no less than zero and sum to one.
[[nodiscard]] bool are_probabilities(const at::Tensor& x);

class TrainingLoss {
 public:
  enum class Kind {
    left_out,       ///< integers, and what the student gives in another shape
    probabilities,  ///< of classes along the last axis: Kullback-Leibler
    logits,         ///< of classes, [N, classes]: Kullback-Leibler
    values          ///< squared error relative to the teacher's variance
  };

  /// Decides by what a student and the teacher (none: empty) give for the same examples. Throws Error(bad_input) if
  /// nothing of what the options ask for is possible; `name` begins the message.
  TrainingLoss(const FineTuneOptions& options, const std::string& name, const std::vector<at::Tensor>& student,
               const std::vector<at::Tensor>& teacher, bool labelled, int classes);

  /// Mean over the batch's elements; a scalar with gradient. `teacher` may be empty if needs_teacher() is false.
  [[nodiscard]] at::Tensor operator()(const std::vector<at::Tensor>& student, const std::vector<at::Tensor>& teacher,
                                      const at::Tensor& labels) const;
  [[nodiscard]] bool needs_teacher() const noexcept { return teacher_weight_ > 0; }
  [[nodiscard]] bool needs_labels() const noexcept { return label_weight_ > 0; }
  [[nodiscard]] const std::vector<Kind>& kinds() const noexcept { return kinds_; }
  [[nodiscard]] double variance(std::size_t output) const { return variances_[output]; }

 private:
  void look_at_teacher(const std::vector<at::Tensor>& student, const std::vector<at::Tensor>& teacher, int classes);
  [[nodiscard]] at::Tensor from_labels(const at::Tensor& output, const at::Tensor& labels) const;
  [[nodiscard]] at::Tensor from_teacher(std::size_t i, const at::Tensor& student, const at::Tensor& teacher) const;

  std::string name_;
  double temperature_, smoothing_;
  double teacher_weight_ = 0, label_weight_ = 0, further_weight_ = 0;
  bool student_probabilities_ = false;  ///< first output
  std::vector<Kind> kinds_;
  std::vector<double> variances_;
  bool sure_classes_ = false;  ///< rank-2 outputs are known to be classes
};

}  // namespace rtmdl::training
