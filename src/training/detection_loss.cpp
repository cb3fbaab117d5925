#include "training/detection_loss.h"

#include <rtmdl/error.h>

#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace rtmdl::training {
namespace {

constexpr float kNoMistake = 0.6F;  // YOLOv2: who overlaps a box that much may say that there is one
constexpr float kObjectWeight = 5, kEmptyWeight = 1;
constexpr float kMatched = 0.5F;  // SSD
constexpr std::int64_t kNegativesPerPositive = 3;

struct Rectangle {
  float x0, y0, x1, y1;
};

Rectangle of(const LabelledBox& b) { return {b.x0, b.y0, b.x1, b.y1}; }
Rectangle around(float x, float y, float w, float h) { return {x - w / 2, y - h / 2, x + w / 2, y + h / 2}; }

/// Intersection over union.
float overlap(const Rectangle& a, const Rectangle& b) {
  const float w = std::min(a.x1, b.x1) - std::max(a.x0, b.x0);
  const float h = std::min(a.y1, b.y1) - std::max(a.y0, b.y0);
  if (w <= 0 || h <= 0) return 0;
  const auto area = [](const Rectangle& r) { return (r.x1 - r.x0) * (r.y1 - r.y0); };
  return w * h / (area(a) + area(b) - w * h);
}

/// The same of two sizes with one centre.
float overlap(float w0, float h0, float w1, float h1) { return overlap(around(0, 0, w0, h0), around(0, 0, w1, h1)); }

bool is_there(const LabelledBox& b) { return b.x1 > b.x0 && b.y1 > b.y0; }

template <typename T>
at::Tensor tensor_of(const std::vector<T>& values) {
  return at::tensor(at::ArrayRef<T>(values));
}

void require_shape(const at::Tensor& output, std::initializer_list<std::int64_t> expected) {
  if (output.sizes().equals(at::IntArrayRef(expected))) return;
  bad_input(fmt::format("a detector's output is [{}], its anchors and classes ask for [{}]",
                        fmt::join(output.sizes(), ", "), fmt::join(expected, ", ")));
}

/// The anchors that answer for boxes, as columns of what is wanted of them.
struct Duties {
  std::vector<std::int64_t> picture, anchor, row, column, label;
  std::vector<float> place;   ///< four values each
  std::vector<float> weight;  ///< of the place
};

/// The grid of YOLO as it is now, without gradients.
class Said {
 public:
  Said(const at::Tensor& raw, const AnchorGrid& grid)
      : grid_(grid),
        centres_(raw.narrow(2, 0, 2).sigmoid().contiguous()),
        sizes_(raw.narrow(2, 2, 2).clamp_max(10).exp().contiguous()),
        centre_(centres_.accessor<float, 5>()),
        size_(sizes_.accessor<float, 5>()) {}

  [[nodiscard]] Rectangle box(std::int64_t n, std::int64_t a, std::int64_t y, std::int64_t x) const {
    const auto i = static_cast<std::size_t>(2 * a);
    const auto stride = static_cast<float>(grid_.stride);
    return around((static_cast<float>(x) + centre_[n][a][0][y][x]) * stride,
                  (static_cast<float>(y) + centre_[n][a][1][y][x]) * stride, size_[n][a][0][y][x] * grid_.sizes[i],
                  size_[n][a][1][y][x] * grid_.sizes[i + 1]);
  }

 private:
  const AnchorGrid& grid_;
  at::Tensor centres_, sizes_;
  at::TensorAccessor<float, 5> centre_, size_;
};

/// Which objectness is wanted, and how much it counts.
struct Objectness {
  at::Tensor wanted, weight;  ///< [N, anchors, rows, columns]
};

void assign(const Said& said, const AnchorGrid& g, std::int64_t n, const std::vector<LabelledBox>& boxes,
            Objectness& objectness, Duties& duties) {
  auto wanted = objectness.wanted.accessor<float, 4>();
  auto weight = objectness.weight.accessor<float, 4>();
  for (std::int64_t a = 0; a < g.per_cell(); ++a)
    for (std::int64_t y = 0; y < g.rows; ++y)
      for (std::int64_t x = 0; x < g.columns; ++x) {
        const Rectangle now = said.box(n, a, y, x);
        for (const LabelledBox& b : boxes)
          if (overlap(now, of(b)) >= (b.ignore ? kMatched : kNoMistake)) weight[n][a][y][x] = 0;
      }
  const auto stride = static_cast<float>(g.stride);
  for (const LabelledBox& b : boxes) {
    const float x = (b.x0 + b.x1) / 2 / stride;
    const float y = (b.y0 + b.y1) / 2 / stride;
    if (b.ignore || !is_there(b) || x < 0 || y < 0 || x >= static_cast<float>(g.columns) ||
        y >= static_cast<float>(g.rows))
      continue;
    const float w = b.x1 - b.x0;
    const float h = b.y1 - b.y0;
    std::size_t best = 0;
    for (std::size_t i = 2; i < g.sizes.size(); i += 2)
      if (overlap(w, h, g.sizes[i], g.sizes[i + 1]) > overlap(w, h, g.sizes[best], g.sizes[best + 1])) best = i;
    const auto anchor = static_cast<std::int64_t>(best / 2);
    const auto row = static_cast<std::int64_t>(y);
    const auto column = static_cast<std::int64_t>(x);
    wanted[n][anchor][row][column] = overlap(said.box(n, anchor, row, column), of(b));
    weight[n][anchor][row][column] = kObjectWeight;
    duties.picture.push_back(n);
    duties.anchor.push_back(anchor);
    duties.row.push_back(row);
    duties.column.push_back(column);
    duties.label.push_back(b.label);
    duties.place.insert(duties.place.end(), {x - std::floor(x), y - std::floor(y), std::log(w / g.sizes[best]),
                                             std::log(h / g.sizes[best + 1])});
    duties.weight.push_back(2 - w * h / (stride * stride * static_cast<float>(g.rows * g.columns)));
  }
}

struct Anchor {
  float x, y, w, h;
};

std::vector<Anchor> lay_anchors(const DetectorTarget& target) {
  std::vector<Anchor> anchors;
  for (const AnchorGrid& g : target.grids)
    for (int y = 0; y < g.rows; ++y)
      for (int x = 0; x < g.columns; ++x)
        for (std::size_t i = 0; i < g.sizes.size(); i += 2)
          anchors.push_back(
              {(static_cast<float>(x) + 0.5F) * static_cast<float>(target.columns) / static_cast<float>(g.columns),
               (static_cast<float>(y) + 0.5F) * static_cast<float>(target.rows) / static_cast<float>(g.rows),
               g.sizes[i], g.sizes[i + 1]});
  return anchors;
}

/// For each anchor the box that it answers for, -1 for none, -2 where it counts neither way.
std::vector<int> match(const std::vector<Anchor>& anchors, const std::vector<LabelledBox>& boxes) {
  constexpr int kNone = -1, kEither = -2;
  std::vector<int> matched(anchors.size(), kNone);
  std::vector<float> most(anchors.size(), kMatched);
  std::vector<std::pair<std::size_t, int>> first;  // each box's best anchor
  for (std::size_t b = 0; b < boxes.size(); ++b) {
    if (!is_there(boxes[b])) continue;
    float best = 0;
    std::size_t at = 0;
    for (std::size_t a = 0; a < anchors.size(); ++a) {
      const float o = overlap(around(anchors[a].x, anchors[a].y, anchors[a].w, anchors[a].h), of(boxes[b]));
      if (o > most[a]) {
        most[a] = o;
        matched[a] = boxes[b].ignore ? kEither : static_cast<int>(b);
      }
      if (o > best) {
        best = o;
        at = a;
      }
    }
    if (best > 0 && !boxes[b].ignore) first.emplace_back(at, static_cast<int>(b));
  }
  for (const auto& [anchor, box] : first) matched[anchor] = box;
  return matched;
}

}  // namespace

at::Tensor yolo_loss(const at::Tensor& grid, const DetectorTarget& target, Truth truth) {
  const AnchorGrid& g = target.grids.at(0);
  const auto pictures = static_cast<std::int64_t>(truth.size());
  const std::int64_t per_cell = g.per_cell();
  const std::int64_t values = 5 + target.classes;
  require_shape(grid, {pictures, per_cell * values, g.rows, g.columns});
  const at::Tensor raw = grid.reshape({pictures, per_cell, values, g.rows, g.columns});

  const Said said(raw.detach(), g);
  Objectness objectness{at::zeros({pictures, per_cell, g.rows, g.columns}),
                        at::full({pictures, per_cell, g.rows, g.columns}, kEmptyWeight)};
  Duties duties;
  for (std::int64_t n = 0; n < pictures; ++n)
    assign(said, g, n, truth[static_cast<std::size_t>(n)], objectness, duties);

  at::Tensor loss = at::binary_cross_entropy_with_logits(raw.select(2, 4), objectness.wanted, objectness.weight, {},
                                                         at::Reduction::Sum);
  if (!duties.label.empty()) {
    const at::Tensor chosen = raw.permute({0, 1, 3, 4, 2})
                                  .index({tensor_of(duties.picture), tensor_of(duties.anchor), tensor_of(duties.row),
                                          tensor_of(duties.column)});
    const at::Tensor place = at::cat({chosen.narrow(1, 0, 2).sigmoid(), chosen.narrow(1, 2, 2)}, 1);
    const at::Tensor error = (place - tensor_of(duties.place).view({-1, 4})).square().sum(1);
    loss = loss + (error * tensor_of(duties.weight)).sum() +
           at::cross_entropy_loss(chosen.narrow(1, 5, target.classes), tensor_of(duties.label), {}, at::Reduction::Sum);
  }
  return loss / static_cast<double>(pictures);
}

at::Tensor ssd_loss(const at::Tensor& boxes, const at::Tensor& scores, const DetectorTarget& target, Truth truth) {
  const std::vector<Anchor> anchors = lay_anchors(target);
  const auto pictures = static_cast<std::int64_t>(truth.size());
  const auto places = static_cast<std::int64_t>(anchors.size());
  require_shape(boxes, {pictures, places, 4});
  require_shape(scores, {pictures, places, target.classes + 1});

  const std::int64_t background = target.classes;
  std::vector<std::int64_t> labels;  // of every place of every picture
  std::vector<std::int64_t> positives;
  std::vector<float> offsets;
  std::vector<bool> either;
  for (const std::vector<LabelledBox>& truths : truth) {
    const std::vector<int> matched = match(anchors, truths);
    for (std::size_t a = 0; a < anchors.size(); ++a) {
      either.push_back(matched[a] == -2);
      if (matched[a] < 0) {
        labels.push_back(background);
        continue;
      }
      const LabelledBox& b = truths[static_cast<std::size_t>(matched[a])];
      const Anchor& anchor = anchors[a];
      positives.push_back(static_cast<std::int64_t>(labels.size()));
      labels.push_back(b.label);
      const auto [centre, size] = std::pair(target.variances[0], target.variances[1]);
      offsets.insert(
          offsets.end(),
          {((b.x0 + b.x1) / 2 - anchor.x) / anchor.w / centre, ((b.y0 + b.y1) / 2 - anchor.y) / anchor.h / centre,
           std::log((b.x1 - b.x0) / anchor.w) / size, std::log((b.y1 - b.y0) / anchor.h) / size});
    }
  }

  const at::Tensor errors = at::cross_entropy_loss(scores.reshape({pictures * places, background + 1}),
                                                   tensor_of(labels), {}, at::Reduction::None);
  const at::Tensor now = errors.detach().contiguous();
  const float* const error = now.data_ptr<float>();
  std::vector<std::int64_t> counted;  // positives and the worst negatives of each picture
  std::vector<std::int64_t> others;
  for (std::int64_t n = 0; n < pictures; ++n) {
    others.clear();
    std::int64_t found = 0;
    for (std::int64_t i = n * places; i < (n + 1) * places; ++i) {
      if (labels[static_cast<std::size_t>(i)] != background) {
        counted.push_back(i);
        ++found;
      } else if (!either[static_cast<std::size_t>(i)]) {
        others.push_back(i);
      }
    }
    const auto most = std::min<std::int64_t>(std::max<std::int64_t>(1, kNegativesPerPositive * found),
                                             static_cast<std::int64_t>(others.size()));
    std::partial_sort(others.begin(), others.begin() + most, others.end(), [&](std::int64_t a, std::int64_t b) {
      return error[a] != error[b] ? error[a] > error[b] : a < b;
    });
    counted.insert(counted.end(), others.begin(), others.begin() + most);
  }

  at::Tensor loss = errors.index({tensor_of(counted)}).sum();
  if (!positives.empty())
    loss = loss + at::smooth_l1_loss(boxes.reshape({pictures * places, 4}).index({tensor_of(positives)}),
                                     tensor_of(offsets).view({-1, 4}), at::Reduction::Sum);
  return loss / static_cast<double>(std::max<std::size_t>(1, positives.size()));
}

at::Tensor detection_loss(std::span<const at::Tensor> outputs, const DetectorTarget& target, Truth truth) {
  const std::size_t needed = target.loss == DetectorTarget::Loss::yolo ? 1 : 2;
  if (outputs.size() != needed)
    bad_input(fmt::format("a detector with {} outputs, {} accepted", outputs.size(), needed));
  return needed == 1 ? yolo_loss(outputs[0], target, truth) : ssd_loss(outputs[0], outputs[1], target, truth);
}

}  // namespace rtmdl::training
