#pragma once
/// What detectors learn from boxes: the losses of YOLOv2 and SSD. Gradients flow into the outputs.

#include "data/labelled_box.h"
#include "scaling/fine_tuner.h"

#include <ATen/ATen.h>

#include <span>
#include <vector>

namespace rtmdl::training {

/// What is in each picture of a batch, in pixels of the model's input. Boxes to be ignored are neither learnt nor,
/// where an anchor overlaps them, counted as nothing.
using Truth = std::span<const std::vector<LabelledBox>>;

/// By target.loss. `outputs`: those of the model, f32. Throws Error(bad_input) if shapes do not fit the target.
[[nodiscard]] at::Tensor detection_loss(std::span<const at::Tensor> outputs, const DetectorTarget& target, Truth truth);

/// Redmon & Farhadi 2017 with the weights of their implementation. For each anchor of a cell the grid holds tx, ty, tw,
/// th, to and classes. The anchor most like a box in shape, in the cell of the box's centre, answers for it: squared
/// errors of σ(tx), σ(ty), tw, th (small boxes count up to twice), its objectness the overlap that it really reaches,
/// its class by cross-entropy. Objectness of the others is 0, except where they overlap a box by 0.6 or more.
/// Objectness is judged by cross-entropy, as in YOLOv3 (2018): the squared error of the original hardly moves a
/// confident mistake. Sums, divided by the number of pictures.
[[nodiscard]] at::Tensor yolo_loss(const at::Tensor& grid, const DetectorTarget& target, Truth truth);

/// Liu et al. 2016, section 2.2. An anchor answers for the box that it overlaps most if by more than 0.5, and for each
/// box the anchor that overlaps it most. Smooth L1 of the offsets, cross-entropy of the classes over those and the
/// worst three times as many of the others, picture by picture (one, if there is nothing in it); divided by the number
/// of matched anchors.
[[nodiscard]] at::Tensor ssd_loss(const at::Tensor& boxes, const at::Tensor& scores, const DetectorTarget& target,
                                  Truth truth);

}  // namespace rtmdl::training
