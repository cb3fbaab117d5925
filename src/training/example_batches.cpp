#include "training/example_batches.h"

#include "data/random.h"

#include <rtmdl/error.h>

#include <algorithm>
#include <cstring>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace rtmdl::training {
namespace {

constexpr std::size_t kMostKeptBytes = std::size_t{1} << 30;
constexpr std::uint64_t kMovementPurpose = 0x6d6f7665;

at::ScalarType torch_type_of(ElementType type) {
  switch (type) {
    case ElementType::f32: return at::kFloat;
    case ElementType::f16: return at::kHalf;
    case ElementType::f64: return at::kDouble;
    case ElementType::u8: return at::kByte;
    case ElementType::i8: return at::kChar;
    case ElementType::i16: return at::kShort;
    case ElementType::i32: return at::kInt;
    case ElementType::i64: return at::kLong;
    case ElementType::boolean: return at::kBool;
    default: bad_input(fmt::format("inputs of type {} have no counterpart in training", element_name(type)));
  }
}

/// Where height, width and channels of a picture are.
struct Layout {
  std::int64_t height = 0, width = 0, channels = 0;
  bool channels_last = false;
};

std::optional<Layout> layout_of(const Tensor& t) {
  if (t.type != ElementType::f32 || t.shape.size() != 4) return std::nullopt;
  const auto few = [](std::int64_t n) { return n == 1 || n == 3 || n == 4; };
  if (few(t.shape[1])) return Layout{t.shape[2], t.shape[3], t.shape[1], false};
  if (few(t.shape[3])) return Layout{t.shape[1], t.shape[2], t.shape[3], true};
  return std::nullopt;
}

/// One picture, moved by (dy, dx) and perhaps mirrored.
void move_picture(const float* from, float* to, const Layout& l, std::int64_t dy, std::int64_t dx, bool mirror) {
  const std::int64_t planes = l.channels_last ? 1 : l.channels;
  const std::int64_t depth = l.channels_last ? l.channels : 1;
  for (std::int64_t p = 0; p < planes; ++p) {
    for (std::int64_t y = 0; y < l.height; ++y) {
      const float* row = from + (p * l.height + std::clamp<std::int64_t>(y + dy, 0, l.height - 1)) * l.width * depth;
      for (std::int64_t x = 0; x < l.width; ++x) {
        const std::int64_t sx = std::clamp<std::int64_t>((mirror ? l.width - 1 - x : x) + dx, 0, l.width - 1);
        for (std::int64_t d = 0; d < depth; ++d) *to++ = row[sx * depth + d];
      }
    }
  }
}

std::int64_t elements_of(const Example& e) {
  for (const Tensor& t : e.inputs) {
    if (!t.shape.empty()) return t.shape[0];
  }
  return 1;
}

}  // namespace

ExampleBatches::~ExampleBatches() { wait(); }

void ExampleBatches::wait() {
  if (ahead_.valid()) ahead_.wait();
}

const Example& ExampleBatches::example(std::size_t i) {
  std::optional<Example>& slot = kept_.at(i);
  if (slot) return *slot;
  Example e = data_.at(i);
  std::size_t bytes = e.labels.size() * sizeof(std::int32_t) + e.boxes.size() * sizeof(LabelledBox);
  for (const Tensor& t : e.inputs) bytes += t.bytes.size();
  if (kept_bytes_ + bytes > kMostKeptBytes) return passing_ = std::move(e);
  kept_bytes_ += bytes;
  slot = std::move(e);
  return *slot;
}

bool ExampleBatches::equal_shapes(std::span<const std::size_t> examples) {
  wait();
  std::vector<std::vector<std::int64_t>> first;
  for (std::size_t i = 0; i < examples.size(); ++i) {
    std::vector<std::vector<std::int64_t>> shapes;
    for (const Tensor& t : example(examples[i]).inputs) shapes.push_back(t.shape);
    if (i == 0) first = shapes;
    if (shapes != first) return false;
  }
  return true;
}

Batch ExampleBatches::read(std::span<const std::size_t> examples) {
  wait();
  return stack(examples, nullptr, 0);
}

Batch ExampleBatches::read(const Order& order, const Movement& movement, const std::optional<Order>& next) {
  Batch batch;
  if (ahead_.valid() && ahead_key_ == order.key) batch = ahead_.get();
  else {
    wait();
    ahead_ = {};
    batch = stack(order.examples, &movement, order.key);
  }
  if (next) {
    ahead_key_ = next->key;
    ahead_ =
        std::async(std::launch::async, [this, o = *next, movement] { return stack(o.examples, &movement, o.key); });
  }
  return batch;
}

Batch ExampleBatches::stack(std::span<const std::size_t> examples, const Movement* movement, std::uint64_t key) {
  Batch batch;
  std::vector<std::int64_t> labels;
  std::vector<std::size_t> filled;  // bytes, by input
  std::vector<std::vector<std::int64_t>> shapes;
  for (std::size_t n = 0; n < examples.size(); ++n) {
    const Example& e = example(examples[n]);
    const std::int64_t elements = elements_of(e);
    if (n == 0) {
      for (const Tensor& t : e.inputs) {
        std::vector<std::int64_t> shape = t.shape;
        if (!shape.empty()) shape[0] *= static_cast<std::int64_t>(examples.size());
        batch.inputs.push_back(at::empty(shape, torch_type_of(t.type)));
        shapes.push_back(t.shape);
      }
      filled.assign(e.inputs.size(), 0);
    }
    if (e.inputs.size() != batch.inputs.size())
      bad_input(fmt::format("example {} has {} inputs, example {} has {}", examples[n], e.inputs.size(), examples[0],
                            batch.inputs.size()));
    for (std::size_t i = 0; i < e.inputs.size(); ++i) {
      const Tensor& t = e.inputs[i];
      if (t.shape != shapes[i])
        bad_input(fmt::format("example {} has shape [{}], example {} has [{}]: they cannot be one batch", examples[n],
                              fmt::join(t.shape, ", "), examples[0], fmt::join(shapes[i], ", ")));
      if (t.shape.empty()) filled[i] = 0;
      auto* to = static_cast<std::byte*>(batch.inputs[i].data_ptr()) + filled[i];
      filled[i] += t.bytes.size();
      const std::optional<Layout> layout = movement ? layout_of(t) : std::nullopt;
      if (!layout || (movement->shift == 0 && !movement->mirror)) {
        std::memcpy(to, t.bytes.data(), t.bytes.size());
        continue;
      }
      const std::int64_t size = layout->height * layout->width * layout->channels;
      for (std::int64_t k = 0; k < elements; ++k) {
        Random random(movement->seed ^ kMovementPurpose, key,
                      n * static_cast<std::uint64_t>(elements) + static_cast<std::uint64_t>(k));
        const auto span = static_cast<std::uint32_t>(2 * movement->shift + 1);
        const std::int64_t dy = static_cast<std::int64_t>(random.below(span)) - movement->shift;
        const std::int64_t dx = static_cast<std::int64_t>(random.below(span)) - movement->shift;
        move_picture(t.as<float>().data() + k * size, reinterpret_cast<float*>(to) + k * size, *layout, dy, dx,
                     movement->mirror && random.below(2) == 1);
      }
    }
    if (data_.labelled() && static_cast<std::int64_t>(e.labels.size()) != elements)
      bad_input(fmt::format("example {} has {} labels for {} elements", examples[n], e.labels.size(), elements));
    labels.insert(labels.end(), e.labels.begin(), e.labels.end());
    batch.boxes.push_back(e.boxes);
    batch.elements += elements;
  }
  if (!labels.empty()) {
    batch.labels = at::empty({static_cast<std::int64_t>(labels.size())}, at::kLong);
    std::copy(labels.begin(), labels.end(), batch.labels.data_ptr<std::int64_t>());
  }
  return batch;
}

}  // namespace rtmdl::training
