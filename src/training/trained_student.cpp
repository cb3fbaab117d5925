#include "training/tuning.h"

#include <rtmdl/error.h>

#include <algorithm>
#include <set>

#include <fmt/format.h>

namespace rtmdl::training {
namespace {

at::Tensor statistic(const GraphModule& module, const std::string& name) {
  for (const NamedTensor& s : module.statistics()) {
    if (s.name == name) return s.value;
  }
  return {};
}

}  // namespace

at::Tensor sliced(at::Tensor tensor, const std::vector<std::vector<std::int64_t>>& indices) {
  for (std::size_t axis = 0; axis < indices.size(); ++axis) {
    const std::vector<std::int64_t>& at = indices[axis];
    if (at.empty()) continue;
    const auto dim = static_cast<std::int64_t>(axis);
    const auto [least, most] = std::minmax_element(at.begin(), at.end());
    if (dim >= tensor.dim() || *least < 0 || *most >= tensor.size(dim))
      throw Error(ErrorCode::internal, fmt::format("position {} of axis {} is not in a shared weight", *most, axis));
    const bool run = *most - *least + 1 == static_cast<std::int64_t>(at.size()) && std::is_sorted(at.begin(), at.end());
    if (run) {
      tensor = tensor.narrow(dim, *least, static_cast<std::int64_t>(at.size()));
    } else {
      at::Tensor picked = at::empty({static_cast<std::int64_t>(at.size())}, at::kLong);
      std::copy(at.begin(), at.end(), picked.data_ptr<std::int64_t>());
      tensor = tensor.index_select(dim, picked.to(tensor.device()));
    }
  }
  return tensor;
}

TrainedStudent::TrainedStudent(const Student& student, GraphModule* master, at::Device device)
    : student_(student), module_(std::make_unique<GraphModule>(*student.model, device)) {
  std::set<std::string> frozen = student.frozen;
  std::set<std::string> kept_statistics = frozen;
  for (const auto& [name, indices] : student.shared) {
    if (!master) {
      if (student.frozen_shared) frozen.insert(name);
      continue;
    }
    if (frozen.contains(name)) continue;
    const at::Tensor* own = module_->parameter(name);
    const at::Tensor running = own ? at::Tensor() : statistic(*module_, name);
    if (!own && !running.defined()) continue;  // a constant
    const at::Tensor* weight = master->parameter(name);
    const at::Tensor theirs = weight ? *weight : statistic(*master, name);
    if (!theirs.defined() || sliced(theirs.detach(), indices).sizes() != (own ? *own : running).sizes())
      throw Error(ErrorCode::internal,
                  fmt::format("{}: '{}' is no slice of the first student's", student.model->name, name));
    slices_.push_back({name, theirs, &indices});
    if (running.defined()) kept_statistics.insert(name);
    else if (!student.frozen_shared) moved_of_master_.push_back(theirs);
  }
  if (!master) kept_statistics = frozen;
  for (NamedTensor& p : module_->parameters()) {
    if (frozen.contains(p.name)) p.value.set_requires_grad(false);
  }
  module_->freeze_statistics(kept_statistics);
}

void TrainedStudent::bind_shared() {
  for (const Slice& s : slices_) {
    if (module_->parameter(s.name)) {
      module_->bind(s.name, sliced(student_.frozen_shared ? s.master.detach() : s.master, *s.indices));
    } else {
      const at::NoGradGuard no_grad;
      statistic(*module_, s.name).copy_(sliced(s.master, *s.indices));
    }
  }
}

std::vector<at::Tensor> TrainedStudent::own_weights() const {
  std::vector<at::Tensor> own;
  for (const NamedTensor& p : module_->parameters()) {
    const bool shared = std::any_of(slices_.begin(), slices_.end(), [&](const Slice& s) { return s.name == p.name; });
    if (!shared && p.value.requires_grad()) own.push_back(p.value);
  }
  return own;
}

}  // namespace rtmdl::training
