#include "model/tensor_data.h"
#include "scaling/channel_rules.h"

#include <algorithm>
#include <set>

namespace rtmdl {
namespace {

/// Axes 2 and up of maps.
void lock_positions(ChannelRules& r, int n, int tensor, const char* what) {
  if (tensor < 0) return;
  for (std::size_t k = 2; k < r.atoms().rank(tensor); ++k) r.lock(tensor, k, r.says(n, what));
}

/// Position i of every group's `size` positions along the axis is one: groups stay equally wide.
void couple_groups(ChannelRules& r, int axis, std::int64_t groups) {
  const std::int64_t size = r.atoms().size(axis) / std::max<std::int64_t>(1, groups);
  for (std::int64_t g = 1; g < groups; ++g) {
    for (std::int64_t i = 0; i < size; ++i) r.atoms().join(r.atoms().atom(axis, i), r.atoms().atom(axis, g * size + i));
  }
}

/// Conv and ConvTranspose. `w_in`, `w_out`: axes of the weights that stand for input and output channels; one of them
/// is divided by the number of groups.
void convolution(ChannelRules& r, int n) {
  if (!r.known(n, 2)) return;
  ChannelAtoms& atoms = r.atoms();
  const bool transposed = is_op(r.node(n), "ConvTranspose");
  const int x = r.in(n, 0);
  const int w = r.in(n, 1);
  const int b = r.in(n, 2);
  const int y = r.out(n);
  if (atoms.rank(x) < 3 || atoms.rank(w) != atoms.rank(x) || atoms.rank(y) != atoms.rank(x)) {
    return r.lock_node(n, r.says(n, "has shapes that are not understood"));
  }
  r.same(n, x, 0, y, 0);
  lock_positions(r, n, x, "slides along them");
  lock_positions(r, n, y, "slides along them");
  lock_positions(r, n, w, "slides along them");
  if (b >= 0) r.same(n, b, 0, y, 1);
  const int x_axis = atoms.axis(x, 1);
  const int y_axis = atoms.axis(y, 1);
  const int grouped = atoms.axis(w, transposed ? 1 : 0);  // of the weights, by the axis that the groups divide
  const int w_in = atoms.axis(w, transposed ? 0 : 1);
  const int w_out = grouped;
  const std::int64_t groups = attribute_or(r.node(n), "group", std::int64_t{1});
  const std::int64_t ins = atoms.size(x_axis);
  const std::int64_t outs = atoms.size(y_axis);
  if (groups < 1 || ins % groups != 0 || outs % groups != 0) return r.lock_node(n, r.says(n, "has uneven groups"));
  // Conv: weights [outs, ins / groups, …]; ConvTranspose: [ins, outs / groups, …].
  const bool depthwise = groups > 1 && groups == ins;
  if (groups == 1) {
    r.atoms().join_axes(x_axis, w_in, r.says(n, "has shapes that are not understood"));
    r.atoms().join_axes(y_axis, w_out, r.says(n, "has shapes that are not understood"));
  } else if (depthwise) {
    const std::int64_t each = outs / groups;
    for (std::int64_t o = 0; o < outs; ++o) atoms.join(atoms.atom(x_axis, o / each), atoms.atom(y_axis, o));
    if (transposed) atoms.join_axes(x_axis, w_in, "");
    else atoms.join_axes(y_axis, w_out, "");
    if (transposed) atoms.lock_axis(w_out, r.says(n, "multiplies channels"));
    else atoms.lock_axis(w_in, r.says(n, "has one of them for each group"));
  } else {
    couple_groups(r, x_axis, groups);
    couple_groups(r, y_axis, groups);
    const std::int64_t ins_each = ins / groups;
    const std::int64_t outs_each = outs / groups;
    if (transposed) {
      atoms.join_axes(x_axis, w_in, "");
      for (std::int64_t i = 0; i < outs_each; ++i) atoms.join(atoms.atom(y_axis, i), atoms.atom(w_out, i));
    } else {
      atoms.join_axes(y_axis, w_out, "");
      for (std::int64_t i = 0; i < ins_each; ++i) atoms.join(atoms.atom(x_axis, i), atoms.atom(w_in, i));
    }
  }
  if (!r.constant(n, 1)) return;
  r.makes({n, y_axis, {depthwise && transposed ? w_in : w_out}});
  if (!depthwise) r.consumes({n, w_in});
}

void gemm(ChannelRules& r, int n) {
  if (!r.known(n, 2)) return;
  ChannelAtoms& atoms = r.atoms();
  const int a = r.in(n, 0);
  const int b = r.in(n, 1);
  const int y = r.out(n);
  const std::size_t ak = attribute_or(r.node(n), "transA", std::int64_t{0}) != 0 ? 0 : 1;
  const std::size_t bk = attribute_or(r.node(n), "transB", std::int64_t{0}) != 0 ? 1 : 0;
  if (atoms.rank(a) != 2 || atoms.rank(b) != 2) return r.lock_node(n, r.says(n, "has shapes that are not understood"));
  r.same(n, a, 1 - ak, y, 0);
  r.same(n, b, 1 - bk, y, 1);
  r.same(n, a, ak, b, bk);
  if (const int c = r.in(n, 2); c >= 0) r.broadcast(n, {c});
  if (r.constant(n, 1)) {
    r.makes({n, atoms.axis(y, 1), {atoms.axis(b, 1 - bk)}});
    r.consumes({n, atoms.axis(b, bk)});
  } else if (r.constant(n, 0)) {
    r.makes({n, atoms.axis(y, 0), {atoms.axis(a, 1 - ak)}});
    r.consumes({n, atoms.axis(a, ak)});
  }
}

void matmul(ChannelRules& r, int n) {
  if (!r.known(n, 2)) return;
  ChannelAtoms& atoms = r.atoms();
  const int a = r.in(n, 0);
  const int b = r.in(n, 1);
  const int y = r.out(n);
  const std::size_t ra = atoms.rank(a);
  const std::size_t rb = atoms.rank(b);
  const std::size_t ry = atoms.rank(y);
  const bool vector_a = ra == 1;
  const bool vector_b = rb == 1;
  r.same(n, a, ra - 1, b, vector_b ? 0 : rb - 2);
  if (!vector_a) r.same(n, a, ra - 2, y, ry - (vector_b ? 1 : 2));
  if (!vector_b) r.same(n, b, rb - 1, y, ry - 1);
  const std::size_t rows = (vector_a ? 0U : 1U) + (vector_b ? 0U : 1U);  // axes of y that are no batch
  const std::size_t batch = ry - rows;
  for (const auto& [tensor, rank] : {std::pair{a, ra}, std::pair{b, rb}}) {
    for (std::size_t k = 0; k + 2 < rank; ++k) {
      const std::size_t l = k + batch - (rank - 2);
      if (atoms.dim(tensor, k) != 1 || atoms.dim(y, l) == 1) r.same(n, tensor, k, y, l);
    }
  }
  if (r.constant(n, 1) && !vector_b) {
    r.makes({n, atoms.axis(y, ry - 1), {atoms.axis(b, rb - 1)}});
    r.consumes({n, atoms.axis(b, rb - 2)});
  } else if (r.constant(n, 1)) {
    r.consumes({n, atoms.axis(b, 0)});
  } else if (r.constant(n, 0) && !vector_a) {
    r.makes({n, atoms.axis(y, ry - (vector_b ? 1 : 2)), {atoms.axis(a, ra - 2)}});
    r.consumes({n, atoms.axis(a, ra - 1)});
  }
}

/// Scale, shift, mean and variance of each channel of axis 1.
void per_channel(ChannelRules& r, int n) {
  if (!r.known(n, 2)) return;
  const int x = r.in(n, 0);
  r.broadcast(n, {x});
  if (r.atoms().rank(x) < 2) return r.lock_node(n, r.says(n, "has shapes that are not understood"));
  for (int i = 1; i < r.node(n).input_size(); ++i) {
    if (r.in(n, i) >= 0) r.same(n, r.in(n, i), 0, x, 1);
  }
  for (int o = 1; o < r.node(n).output_size(); ++o) r.atoms().lock_tensor(r.out(n, o), r.says(n, "is in training"));
}

void layer_normalisation(ChannelRules& r, int n) {
  if (!r.known(n, 2)) return;
  const int x = r.in(n, 0);
  std::vector<int> operands{x, r.in(n, 1)};
  if (r.in(n, 2) >= 0) operands.push_back(r.in(n, 2));
  r.broadcast(n, operands);
  for (int o = 1; o < r.node(n).output_size(); ++o) {
    const int y = r.out(n, o);
    for (std::size_t k = 0; y >= 0 && k < r.atoms().rank(y); ++k) {
      if (r.atoms().dim(y, k) == r.atoms().dim(x, k)) r.same(n, x, k, y, k);
    }
  }
}

void group_normalisation(ChannelRules& r, int n) {
  if (!r.known(n, 3)) return;
  const int x = r.in(n, 0);
  r.broadcast(n, {x});
  const std::int64_t groups = attribute_or(r.node(n), "num_groups", std::int64_t{1});
  if (groups < 1 || r.atoms().dim(x, 1) % groups != 0) return r.lock_node(n, r.says(n, "has uneven groups"));
  couple_groups(r, r.atoms().axis(x, 1), groups);
  for (int i = 1; i < 3; ++i) {  // one for each channel since opset 21, one for each group before
    if (r.opset() >= 21) r.same(n, r.in(n, i), 0, x, 1);
    else r.atoms().lock_tensor(r.in(n, i), r.says(n, "keeps its groups"));
  }
}

void pooling(ChannelRules& r, int n) {
  if (!r.known(n, 1)) return;
  const int x = r.in(n, 0);
  for (int o = 0; o < r.node(n).output_size(); ++o) {
    const int y = r.out(n, o);
    if (y < 0) continue;
    if (o > 0) {
      r.atoms().lock_tensor(y, r.says(n, "gives positions"));
      continue;
    }
    r.same(n, x, 0, y, 0);
    r.same(n, x, 1, y, 1);
    lock_positions(r, n, y, "pools them");
  }
  lock_positions(r, n, x, "pools them");
}

void sampling(ChannelRules& r, int n) {  // GridSample, RoiAlign: maps, then where to look
  pooling(r, n);
  for (int i = 1; i < r.node(n).input_size(); ++i)
    r.atoms().lock_tensor(r.in(n, i), r.says(n, "reads them as positions"));
  if (is_op(r.node(n), "RoiAlign") && r.in(n, 0) >= 0) r.lock(r.in(n, 0), 0, r.says(n, "picks from them"));
}

/// LSTM, GRU, RNN. X [T, B, I], W [D, G·H, I], R [D, G·H, H], B [D, 2·G·H], initial states [D, B, H], P [D, 3·H];
/// Y [T, D, B, H], final states [D, B, H]; with layout 1 the batch goes first. Both directions share W's axes, so they
/// keep the same hidden units.
void recurrent(ChannelRules& r, int n) {
  ChannelAtoms& atoms = r.atoms();
  const int x = r.in(n, 0);
  const int w = r.in(n, 1);
  const int rw = r.in(n, 2);
  if (x < 0 || w < 0 || rw < 0 || atoms.rank(x) != 3 || atoms.rank(w) != 3 || atoms.rank(rw) != 3) {
    return r.lock_node(n, r.says(n, "has shapes that are not understood"));
  }
  const std::int64_t hidden = atoms.dim(rw, 2);
  const bool batch_first = attribute_or(r.node(n), "layout", std::int64_t{0}) != 0;
  const std::size_t time = batch_first ? 1 : 0;
  const std::size_t batch = batch_first ? 0 : 1;
  r.lock(x, time, r.says(n, "runs along them"));
  r.same(n, x, 2, w, 2);
  const auto units = [&](int tensor, std::size_t k) {  // its positions are hidden units, several times over
    const int axis = atoms.axis(tensor, k);
    for (int i = 0; i < atoms.size(axis); ++i) {
      atoms.join(atoms.atom(atoms.axis(rw, 2), i % hidden), atoms.atom(axis, i));
    }
  };
  const auto directions = [&](int tensor, std::size_t k) { r.lock(tensor, k, r.says(n, "has so many directions")); };
  for (const int tensor : {w, rw}) directions(tensor, 0), units(tensor, 1);
  for (const int i : {3, 7}) {
    if (r.in(n, i) >= 0) directions(r.in(n, i), 0), units(r.in(n, i), 1);
  }
  const auto state = [&](int tensor) {
    if (tensor < 0) return;
    r.same(n, tensor, batch_first ? 0 : 1, x, batch);
    directions(tensor, batch_first ? 1 : 0);
    units(tensor, 2);
  };
  state(r.in(n, 5));
  state(r.in(n, 6));
  state(r.out(n, 1));
  state(r.out(n, 2));
  if (const int lengths = r.in(n, 4); lengths >= 0) r.same(n, lengths, 0, x, batch);
  std::vector<int> made;  // axes of the outputs that are there
  if (const int y = r.out(n, 0); y >= 0) {
    r.lock(y, time, r.says(n, "runs along them"));
    r.same(n, y, batch_first ? 0 : 2, x, batch);
    directions(y, batch_first ? 2 : 1);
    units(y, 3);
    made.push_back(atoms.axis(y, 3));
  }
  for (const int o : {1, 2}) {
    if (r.out(n, o) >= 0) made.push_back(atoms.axis(r.out(n, o), 2));
  }
  if (made.empty() || !r.constant(n, 1) || !r.constant(n, 2)) return;
  r.makes({n, made.front(), {atoms.axis(w, 1), atoms.axis(rw, 1)}});
  r.consumes({n, atoms.axis(w, 2)});
}

/// Letters that stand once in each operand; no ellipsis.
void einsum(ChannelRules& r, int n) {
  ChannelAtoms& atoms = r.atoms();
  std::string equation = attribute_or(r.node(n), "equation", "");
  equation.erase(std::remove(equation.begin(), equation.end(), ' '), equation.end());
  std::vector<std::string> terms{""};
  const std::size_t arrow = equation.find("->");
  for (const char c : equation.substr(0, arrow)) {
    if (c == ',') terms.emplace_back();
    else terms.back() += c;
  }
  bool simple = arrow != std::string::npos && equation.find('.') == std::string::npos;
  simple = simple && r.known(n, r.node(n).input_size()) && static_cast<int>(terms.size()) == r.node(n).input_size();
  if (simple) terms.push_back(equation.substr(arrow + 2));
  const auto tensor = [&](std::size_t i) { return i + 1 < terms.size() ? r.in(n, static_cast<int>(i)) : r.out(n); };
  for (std::size_t i = 0; simple && i < terms.size(); ++i) {
    simple = atoms.rank(tensor(i)) == terms[i].size() &&
             std::set(terms[i].begin(), terms[i].end()).size() == terms[i].size();
  }
  if (!simple) return r.lock_node(n, r.says(n, "has an equation that is not understood"));
  std::map<char, std::pair<int, std::size_t>> first;
  for (std::size_t i = 0; i < terms.size(); ++i) {
    for (std::size_t k = 0; k < terms[i].size(); ++k) {
      const auto [it, fresh] = first.try_emplace(terms[i][k], tensor(i), k);
      if (!fresh) r.same(n, it->second.first, it->second.second, tensor(i), k);
    }
  }
  for (std::size_t i = 0; i + 1 < terms.size(); ++i) {
    if (!r.constant(n, static_cast<int>(i))) continue;
    for (std::size_t k = 0; k < terms[i].size(); ++k) {
      const int axis = atoms.axis(tensor(i), k);
      const std::size_t l = terms.back().find(terms[i][k]);
      if (l != std::string::npos) r.makes({n, atoms.axis(r.out(n), l), {axis}});
      else r.consumes({n, axis});
    }
  }
}

}  // namespace

const ChannelRuleTable& layer_rules() {
  static const ChannelRuleTable table{
      {"Conv", convolution},
      {"ConvTranspose", convolution},
      {"Gemm", gemm},
      {"MatMul", matmul},
      {"Einsum", einsum},
      {"LSTM", recurrent},
      {"GRU", recurrent},
      {"RNN", recurrent},
      {"BatchNormalization", per_channel},
      {"InstanceNormalization", per_channel},
      {"LayerNormalization", layer_normalisation},
      {"GroupNormalization", group_normalisation},
      {"MaxPool", pooling},
      {"AveragePool", pooling},
      {"LpPool", pooling},
      {"GlobalMaxPool", pooling},
      {"GlobalAveragePool", pooling},
      {"GlobalLpPool", pooling},
      {"GridSample", sampling},
      {"RoiAlign", sampling},
  };
  return table;
}

}  // namespace rtmdl
