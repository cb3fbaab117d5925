// Element by element: arithmetic, comparisons, activations.
#include "training/operators.h"

#include "model/tensor_data.h"

#include <fmt/format.h>

namespace rtmdl::training {
namespace {

/// Operands of one type on one device, as ONNX has them; activations in bfloat16 meet weights in f32.
std::pair<at::Tensor, at::Tensor> pair_of(const Call& c) {
  at::Tensor a = c.operand(0);
  at::Tensor b = c.operand(1);
  if (a.device() != b.device()) {
    if (a.is_cpu()) a = a.to(b.device());
    if (b.is_cpu()) b = b.to(a.device());
  }
  if (a.scalar_type() == at::kBFloat16 && b.scalar_type() == at::kFloat) b = b.to(at::kBFloat16);
  if (b.scalar_type() == at::kBFloat16 && a.scalar_type() == at::kFloat) a = a.to(at::kBFloat16);
  return {std::move(a), std::move(b)};
}

bool whole_numbers(const at::Tensor& t) { return !t.is_floating_point(); }

void divide(Call& c) {
  auto [a, b] = pair_of(c);
  c.out[0] = whole_numbers(a) ? a.div(b, "trunc") : a.div(b);
}

void modulo(Call& c) {
  auto [a, b] = pair_of(c);
  c.out[0] = attribute_or(c.node, "fmod", std::int64_t{0}) != 0 ? at::fmod(a, b) : at::remainder(a, b);
}

void power(Call& c) {
  const at::Tensor& a = c.operand(0);
  const at::Tensor& b = c.operand(1);
  // A scalar exponent spares autograd the logarithm of the base.
  if (b.numel() == 1 && a.is_floating_point() && !b.requires_grad() && b.dim() <= a.dim())
    c.out[0] = a.pow(b.item<double>());
  else c.out[0] = a.pow(b).to(a.scalar_type());
}

template <at::Tensor (*combine)(const at::Tensor&, const at::Tensor&)>
void fold_operands(Call& c) {
  at::Tensor sum = c.operand(0);
  for (std::size_t i = 1; i < c.in.size(); ++i) sum = combine(sum, c.in[i]);
  c.out[0] = sum;
}

at::Tensor plus(const at::Tensor& a, const at::Tensor& b) { return a + b; }

void mean(Call& c) {
  fold_operands<plus>(c);
  c.out[0] = c.out[0] / static_cast<double>(c.in.size());
}

void clip(Call& c) {
  const at::Tensor& x = c.operand(0);
  c10::optional<at::Scalar> least, most;
  if (c.has(1)) least = c.in[1].item();
  if (c.has(2)) most = c.in[2].item();
  if (c.opset < 11) {
    if (attribute(c.node, "min")) least = attribute_or(c.node, "min", 0.F);
    if (attribute(c.node, "max")) most = attribute_or(c.node, "max", 0.F);
  }
  const bool quick = least && most && x.scalar_type() == at::kFloat;  // backwards it knows no other types
  if (!least && !most) c.out[0] = x;
  else if (quick) c.out[0] = at::hardtanh(x, *least, *most);
  else c.out[0] = at::clamp(x, least, most);
}

void hard_sigmoid(Call& c) {
  const float alpha = attribute_or(c.node, "alpha", 0.2F);
  const float beta = attribute_or(c.node, "beta", 0.5F);
  c.out[0] = at::hardtanh(c.operand(0) * alpha + beta, 0, 1);
}

void gelu(Call& c) { c.out[0] = at::gelu(c.operand(0), attribute_or(c.node, "approximate", "none")); }

void prelu(Call& c) {
  const at::Tensor& x = c.operand(0);
  // Slopes broadcast to x from the right, as ONNX has them; at::prelu only knows channels.
  c.out[0] = x.clamp_min(0) + x.clamp_max(0) * c.operand(1);
}

/// One along `axis`; before operator set 13 over all axes from there on.
template <at::Tensor (*softmax)(const at::Tensor&, std::int64_t, c10::optional<at::ScalarType>)>
void softmax_over(Call& c) {
  const at::Tensor& x = c.operand(0);
  const std::int64_t axis = wrap_axis(attribute_or(c.node, "axis", std::int64_t{c.opset < 13 ? 1 : -1}), x.dim());
  if (c.opset >= 13 || axis == x.dim() - 1) c.out[0] = softmax(x, axis, c10::nullopt);
  else c.out[0] = softmax(x.flatten(axis), axis, c10::nullopt).reshape(x.sizes());
}

void hardmax(Call& c) {
  const at::Tensor& x = c.operand(0);
  const std::int64_t axis = wrap_axis(attribute_or(c.node, "axis", std::int64_t{c.opset < 13 ? 1 : -1}), x.dim());
  const at::Tensor flat = c.opset < 13 ? x.flatten(axis) : x;
  c.out[0] = at::zeros_like(flat).scatter(axis, flat.argmax(axis, true), 1).reshape(x.sizes());
}

void dropout(Call& c) {
  const at::Tensor& x = c.operand(0);
  double ratio = 0.5;
  if (c.opset < 12) ratio = attribute_or(c.node, "ratio", 0.5F);
  else if (c.has(1)) ratio = c.in[1].item<double>();
  c.out[0] = c.pass.dropout && ratio > 0 ? at::dropout(x, ratio, true) : x;
}

void cast(Call& c) {
  const at::ScalarType type = torch_type(static_cast<int>(attribute_or(c.node, "to", std::int64_t{1})));
  c.out[0] = c.operand(0).to(type);
}

void where(Call& c) {
  const at::Tensor& a = c.operand(1);
  const at::Tensor& b = c.operand(2);
  const at::ScalarType type = at::promote_types(a.scalar_type(), b.scalar_type());
  c.out[0] = at::where(c.operand(0).to(at::kBool), a.to(type), b.to(type));
}

#define UNARY(expression)               \
  [](Call& c) {                         \
    const at::Tensor& x = c.operand(0); \
    c.out[0] = (expression);            \
  }
#define BINARY(expression)          \
  [](Call& c) {                     \
    const auto [a, b] = pair_of(c); \
    c.out[0] = (expression);        \
  }

}  // namespace

void add_elementwise_operators(OperatorTable& t) {
  t["Add"] = BINARY(a + b);
  t["Sub"] = BINARY(a - b);
  t["Mul"] = BINARY(a * b);
  t["Div"] = divide;
  t["Mod"] = modulo;
  t["Pow"] = power;
  t["Equal"] = BINARY(a == b);
  t["Greater"] = BINARY(a > b);
  t["Less"] = BINARY(a < b);
  t["GreaterOrEqual"] = BINARY(a >= b);
  t["LessOrEqual"] = BINARY(a <= b);
  t["And"] = BINARY(at::logical_and(a, b));
  t["Or"] = BINARY(at::logical_or(a, b));
  t["Xor"] = BINARY(at::logical_xor(a, b));
  t["Not"] = UNARY(at::logical_not(x));
  t["Sum"] = fold_operands<plus>;
  t["Mean"] = mean;
  t["Max"] = fold_operands<at::maximum>;
  t["Min"] = fold_operands<at::minimum>;

  t["Abs"] = UNARY(x.abs());
  t["Neg"] = UNARY(x.neg());
  t["Sqrt"] = UNARY(x.sqrt());
  t["Exp"] = UNARY(x.exp());
  t["Log"] = UNARY(x.log());
  t["Reciprocal"] = UNARY(x.reciprocal());
  t["Floor"] = UNARY(x.floor());
  t["Ceil"] = UNARY(x.ceil());
  t["Round"] = UNARY(x.round());
  t["Sign"] = UNARY(x.sign());
  t["Erf"] = UNARY(x.erf());
  t["Sin"] = UNARY(x.sin());
  t["Cos"] = UNARY(x.cos());
  t["Tan"] = UNARY(x.tan());
  t["Asin"] = UNARY(x.asin());
  t["Acos"] = UNARY(x.acos());
  t["Atan"] = UNARY(x.atan());
  t["Sinh"] = UNARY(x.sinh());
  t["Cosh"] = UNARY(x.cosh());
  t["IsNaN"] = UNARY(x.isnan());
  t["IsInf"] = UNARY(x.isinf());

  t["Relu"] = UNARY(x.relu());
  t["LeakyRelu"] = UNARY(at::leaky_relu(x, attribute_or(c.node, "alpha", 0.01F)));
  t["Elu"] = UNARY(at::elu(x, attribute_or(c.node, "alpha", 1.F)));
  t["Selu"] = UNARY(at::elu(x, attribute_or(c.node, "alpha", 1.67326319217681884765625F),
                            attribute_or(c.node, "gamma", 1.05070102214813232421875F)));
  t["Celu"] = UNARY(at::celu(x, attribute_or(c.node, "alpha", 1.F)));
  t["ThresholdedRelu"] = UNARY(at::threshold(x, attribute_or(c.node, "alpha", 1.F), 0));
  t["Sigmoid"] = UNARY(x.sigmoid());
  t["Tanh"] = UNARY(x.tanh());
  t["HardSigmoid"] = hard_sigmoid;
  t["HardSwish"] = UNARY(at::hardswish(x));
  t["Softplus"] = UNARY(at::softplus(x));
  t["Softsign"] = UNARY(x / (x.abs() + 1));
  t["Mish"] = UNARY(at::mish(x));
  t["Swish"] = UNARY(x * (x * attribute_or(c.node, "alpha", 1.F)).sigmoid());
  t["Gelu"] = gelu;
  t["PRelu"] = prelu;
  t["Softmax"] = softmax_over<at::softmax>;
  t["LogSoftmax"] = softmax_over<at::log_softmax>;
  t["Hardmax"] = hardmax;
  t["Clip"] = clip;
  t["Dropout"] = dropout;
  t["Cast"] = cast;
  t["CastLike"] = [](Call& c) { c.out[0] = c.operand(0).to(c.operand(1).scalar_type()); };
  t["Identity"] = UNARY(x);
  t["Where"] = where;
}

#undef UNARY
#undef BINARY

}  // namespace rtmdl::training
