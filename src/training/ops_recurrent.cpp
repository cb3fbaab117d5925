// LSTM, GRU and RNN over torch's own, with gates in torch's order.
#include "training/operators.h"

#include "model/tensor_data.h"

#include <rtmdl/error.h>

#include <initializer_list>

#include <fmt/format.h>

namespace rtmdl::training {
namespace {

/// Blocks of `hidden` rows in another order.
at::Tensor reordered(const at::Tensor& t, std::int64_t hidden, std::initializer_list<std::int64_t> order) {
  std::vector<at::Tensor> blocks;
  for (const std::int64_t o : order) blocks.push_back(t.narrow(0, o * hidden, hidden));
  return at::cat(blocks);
}

struct Layer {
  at::Tensor x;                     ///< [time, batch, features]
  at::Tensor h, c;                  ///< [directions, batch, hidden]
  std::vector<at::Tensor> weights;  ///< as torch wants them: by direction input, recurrent, and their biases
  std::int64_t hidden = 0, directions = 1;
  bool reverse = false;
  bool batch_first = false;
};

/// Initial states are [directions, batch, hidden]; a graph that holds them at its own batch size is followed.
at::Tensor state(const Call& call, std::size_t i, const Layer& l) {
  const std::int64_t batch = l.x.size(1);
  if (!call.has(i)) return at::zeros({l.directions, batch, l.hidden}, l.x.options().requires_grad(false));
  at::Tensor s = l.batch_first ? call.in[i].transpose(0, 1) : call.in[i];
  if (call.relaxed() && s.size(1) != batch && s.size(1) * call.batch == batch * call.model_batch)
    s = s.repeat({1, batch / s.size(1), 1});
  return s.contiguous();
}

Layer layer_of(const Call& call, std::initializer_list<std::int64_t> gates) {
  Layer l;
  l.batch_first = attribute_or(call.node, "layout", std::int64_t{0}) != 0;
  l.x = l.batch_first ? call.operand(0).transpose(0, 1) : call.operand(0);
  const std::string direction = attribute_or(call.node, "direction", "forward");
  l.reverse = direction == "reverse";
  if (l.reverse) l.x = l.x.flip(0);
  const at::Tensor& w = call.operand(1);
  const at::Tensor& r = call.operand(2);
  l.directions = w.size(0);
  l.hidden = r.size(2);
  const auto rows = static_cast<std::int64_t>(gates.size()) * l.hidden;
  for (std::int64_t d = 0; d < l.directions; ++d) {
    l.weights.push_back(reordered(w[d], l.hidden, gates));
    l.weights.push_back(reordered(r[d], l.hidden, gates));
    if (!call.has(3)) continue;
    l.weights.push_back(reordered(call.in[3][d].narrow(0, 0, rows), l.hidden, gates));
    l.weights.push_back(reordered(call.in[3][d].narrow(0, rows, rows), l.hidden, gates));
  }
  l.h = state(call, 5, l);
  if (call.node.op_type() == "LSTM") l.c = state(call, 6, l);
  return l;
}

/// y: [time, batch, directions * hidden]; ONNX has the directions before the batch.
void give(Call& call, const Layer& l, at::Tensor y, const at::Tensor& h, const at::Tensor& c) {
  if (l.reverse) y = y.flip(0);
  y = y.reshape({y.size(0), y.size(1), l.directions, l.hidden});
  const auto last = [&](const at::Tensor& s) { return l.batch_first ? s.transpose(0, 1) : s; };
  if (call.wants(0)) call.out[0] = l.batch_first ? y.permute({1, 0, 2, 3}) : y.permute({0, 2, 1, 3});
  if (call.wants(1)) call.out[1] = last(h);
  if (call.wants(2)) call.out[2] = last(c);
}

void lstm(Call& call) {
  const Layer l = layer_of(call, {0, 2, 3, 1});  // input, output, forget, cell: torch has the output last
  const std::vector<at::Tensor> states{l.h, l.c};
  const auto [y, h, c] = at::lstm(l.x, states, l.weights, call.has(3), 1, 0, false, l.directions == 2, false);
  give(call, l, y, h, c);
}

/// Before linear_before_reset the reset gate acts on the state itself, which torch's GRU does not know.
std::pair<at::Tensor, at::Tensor> gru_by_steps(const Call& call, const Layer& l) {
  const std::int64_t n = l.hidden;
  const std::size_t each = call.has(3) ? 4 : 2;
  std::vector<at::Tensor> sequences, last;
  for (std::int64_t d = 0; d < l.directions; ++d) {
    const at::Tensor* weights = &l.weights[static_cast<std::size_t>(d) * each];
    const at::Tensor& r = weights[1];
    at::Tensor bias = each == 4 ? weights[2] + weights[3] : at::Tensor();
    const at::Tensor gates = at::linear(l.x, weights[0], bias);  // reset, update, new
    at::Tensor h = l.h[d];
    const std::int64_t steps = l.x.size(0);
    std::vector<at::Tensor> states(static_cast<std::size_t>(steps));
    for (std::int64_t k = 0; k < steps; ++k) {
      const std::int64_t t = d == 1 ? steps - 1 - k : k;
      const at::Tensor in = gates[t];
      const at::Tensor both = (in.narrow(1, 0, 2 * n) + at::linear(h, r.narrow(0, 0, 2 * n))).sigmoid();
      const at::Tensor reset = both.narrow(1, 0, n);
      const at::Tensor update = both.narrow(1, n, n);
      const at::Tensor fresh = (in.narrow(1, 2 * n, n) + at::linear(reset * h, r.narrow(0, 2 * n, n))).tanh();
      h = (1 - update) * fresh + update * h;
      states[static_cast<std::size_t>(t)] = h;
    }
    sequences.push_back(at::stack(states));
    last.push_back(h);
  }
  return {at::cat(sequences, 2), at::stack(last)};
}

void gru(Call& call) {
  const Layer l = layer_of(call, {1, 0, 2});  // update, reset, new: torch has reset first
  if (attribute_or(call.node, "linear_before_reset", std::int64_t{0}) == 0) {
    const auto [y, h] = gru_by_steps(call, l);
    give(call, l, y, h, {});
    return;
  }
  const auto [y, h] = at::gru(l.x, l.h, l.weights, call.has(3), 1, 0, false, l.directions == 2, false);
  give(call, l, y, h, {});
}

void rnn(Call& call) {
  const Layer l = layer_of(call, {0});
  const onnx::AttributeProto* activations = attribute(call.node, "activations");
  const bool relu = activations && activations->strings_size() > 0 && activations->strings(0) == "Relu";
  const auto [y, h] = relu ? at::rnn_relu(l.x, l.h, l.weights, call.has(3), 1, 0, false, l.directions == 2, false)
                           : at::rnn_tanh(l.x, l.h, l.weights, call.has(3), 1, 0, false, l.directions == 2, false);
  give(call, l, y, h, {});
}

}  // namespace

void add_recurrent_operators(OperatorTable& t) {
  t["LSTM"] = lstm;
  t["GRU"] = gru;
  t["RNN"] = rnn;
}

}  // namespace rtmdl::training
