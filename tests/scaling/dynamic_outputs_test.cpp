/// The ONNX Runtime back-end on models made here: outputs whose shapes depend on the data.

#include "run_model.h"

#include "../model/models.h"

namespace rtmdl {
namespace {

/// The values above 100, and a state that counts runs.
Model large_values() {
  test::ModelMaker m;
  const std::string x = m.input("x", {4});
  const std::string y = m.node("Compress", {x, m.node("Greater", {x, m.constant({}, {100})})});
  m.last().set_output(0, "y");
  m.output("y");
  m.node("Add", {m.input("count", {1}), m.constant({1}, {1})});
  m.last().set_output(0, "next");
  m.output("next");
  return m.model();
}

TEST(DynamicOutputs, AShapeThatLoadingDidNotSeeIsTakenFromTheRun) {
  const test::Folder folder;
  LoadRequest request = test::at(folder.save(large_values(), "large.onnx"));
  request.state = {{"next", "count"}};
  const auto model = test::engine().load(request);
  const auto large = [&](const std::vector<float>& values) {
    std::copy(values.begin(), values.end(), model->input(0).as<float>().begin());
    EXPECT_TRUE(model->run()) << model->last_error();
    const auto y = model->output(0).as<float>();
    return std::vector<float>(y.begin(), y.end());
  };
  EXPECT_EQ(large({1, 2, 3, 4}), std::vector<float>{});
  EXPECT_EQ(large({1, 200, 3, 400}), (std::vector<float>{200, 400}));
  EXPECT_EQ(large({1, 2, 3, 500}), std::vector<float>{500});
  EXPECT_EQ(large({1, 2, 3, 4}), std::vector<float>{});
  EXPECT_EQ(model->output(1).as<float>()[0], 4) << "state is fed back however the outputs are bound";
}

}  // namespace
}  // namespace rtmdl
