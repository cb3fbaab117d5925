#pragma once
/// A classifier of drawn traffic signs that scales and profiles in a second.

#include "model/models.h"

#include <filesystem>
#include <string>

namespace rtmdl {

inline void save_signs_model(const std::filesystem::path& file) {
  test::ModelMaker m;
  const std::string x = m.node("Relu", {m.conv(m.input("x", {1, 3, 32, 32}), 3, 8, 3, 2)});
  m.output(m.node("Gemm", {m.node("Flatten", {m.node("GlobalAveragePool", {x})}), m.weights({8, 43})}));
  save_model(m.model(), file);
}

}  // namespace rtmdl
