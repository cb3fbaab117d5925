/// Widths that share their first layers share them in int8 as well: from the cut to the bytes on disk.

#include "base/hash.h"
#include "no_examples.h"
#include "run_model.h"
#include "scaling/pack_family.h"
#include "scaling/shared_grid.h"
#include "scaling/slim.h"
#include "scaling/source_indices.h"

#include "../model/models.h"

#include <gmock/gmock.h>

#include <cmath>
#include <numeric>

#include <fmt/format.h>

namespace rtmdl {
namespace {

/// conv – BN – Relu three times (the first two are to be shared), then a classifier. Some factors of the normalisations
/// are negative.
Model network() {
  test::ModelMaker m;
  std::string x = m.input("x", {1, 3, 32, 32});
  std::int64_t in = 3;
  for (const std::int64_t out : {32, 64, 64}) {
    x = m.node("Relu", {m.batch_norm(m.conv(x, in, out, 3, 1, 1, false), out)});
    in = out;
  }
  x = m.node("Flatten", {m.node("GlobalAveragePool", {x})});
  m.output(m.node("Gemm", {x, m.weights({64, 10}), m.weights({10})}));
  for (auto& tensor : *m.model().graph().mutable_initializer())
    if (tensor.name() == m.model().graph().node(1).input(1)) {
      auto values = floats(tensor).value();
      for (std::size_t i = 0; i < values.size(); i += 3) values[i] = -values[i];
      tensor = make_tensor(tensor.name(), dims(tensor), std::span<const float>(values));
    }
  return m.model();
}

/// Training as far as storage sees it: what is neither frozen nor shared changes, in each student its own way.
class ChangingTuner : public FineTuner {
 public:
  std::optional<std::string> refuses(const Model&) const override { return std::nullopt; }
  FineTuneResult tune(const FineTuneRequest& request, const Context&) override {
    for (const Student& student : request.students) {
      ++calls_;
      for (auto& tensor : *student.model->graph().mutable_initializer()) {
        const auto shared = student.shared.find(tensor.name());
        if (shared != student.shared.end()) copy_slice(*request.students.front().model, shared->second, tensor);
        else if (!student.frozen.contains(tensor.name())) change(tensor);
      }
    }
    FineTuneResult result;
    result.finished = true;
    result.loss_before = 1;
    return result;
  }
  std::vector<std::vector<double>> taylor_importance(const Model& model, const Model*, const ChannelGroups& groups,
                                                     TrainingData&, std::size_t, const Context&) override {
    return importance(model, groups, Importance::magnitude);
  }

 private:
  void change(onnx::TensorProto& tensor) const {
    auto values = floats(tensor);
    if (tensor.data_type() != onnx::TensorProto_DataType_FLOAT || !values) return;
    for (std::size_t i = 0; i < values->size(); ++i)
      (*values)[i] *= 1 + 0.1F * std::sin(static_cast<float>(i + 100 * calls_));
    tensor = make_tensor(tensor.name(), dims(tensor), std::span<const float>(*values));
  }
  static void copy_slice(const Model& from, const std::vector<std::vector<std::int64_t>>& axes, onnx::TensorProto& to) {
    const auto& all = from.graph().initializer();
    const auto whole = std::find_if(all.begin(), all.end(), [&](const auto& t) { return t.name() == to.name(); });
    const std::string bytes = cut_slice({dims(*whole), axes}, sizeof(float), whole->raw_data());
    to.set_raw_data(bytes);
  }
  std::size_t calls_ = 0;
};

class SharedInt8 : public testing::Test {
 protected:
  SharedInt8() {
    request_.model = folder_.save(network(), "source.onnx");
    request_.folder = folder_.path() / "variants";
    std::filesystem::create_directories(request_.folder);
    request_.precisions = {"int8"};
    const auto executable = test::engine().load(test::at(request_.model));
    for (std::uint32_t seed = 1; seed <= 4; ++seed)
      request_.calibration.push_back(test::random_inputs(*executable, seed, 0, 1));
    request_.measure = [](const std::vector<LoadRequest>& requests) {  // the smaller the faster
      std::vector<std::vector<Duration>> times;
      for (const LoadRequest& r : requests)
        times.emplace_back(3, Duration(10 * static_cast<std::int64_t>(std::filesystem::file_size(r.model))));
      return times;
    };
    options_.shared = 0.5;
    options_.widths = {0.9, 0.5};
  }

  /// The int8 levels of both widths, in the order in which `scale` makes them.
  std::vector<Variant> levels() {
    Slimmer slimmer(test::engine(), request_, &tuner_, &data_, options_, folder_.path() / "forms");
    std::vector<Variant> all;
    for (const double width : {0.5, 0.9}) {
      const auto form = slimmer.make({width, 1}, Context()).form;
      EXPECT_TRUE(form.has_value());
      request_.form = &*form;
      const ScaleOutcome outcome = scale(test::engine(), request_, Context());
      request_.form = nullptr;
      EXPECT_EQ(outcome.variants.size(), 2U) << testing::PrintToString(outcome.refused);
      all.push_back(outcome.variants.back());
      EXPECT_EQ(all.back().precision, "int8");
    }
    return all;
  }

  test::Folder folder_;
  ScaleRequest request_;
  SlimOptions options_;
  ChangingTuner tuner_;
  test::NoExamples data_;
};

/// Bytes of the int8 weights of the shared layers that are integer in both files.
struct FrontBytes {
  std::int64_t all = 0;     ///< in the first file
  std::int64_t cut = 0;     ///< of these, where the second file has more of the same
  std::int64_t beside = 0;  ///< in the second file
};
FrontBytes front_bytes(const std::filesystem::path& path, const std::filesystem::path& other) {
  FrontBytes bytes;
  const Model source = network(), model = load_model(path), beside = load_model(other);
  const Links links(model), others(beside);
  for (const int relu : {2, 5}) {
    const std::string name = source.graph().node(relu).output(0) + "/weights";
    if (others.constant(name) == nullptr || links.constant(name) == nullptr) continue;
    const std::int64_t here = std::ssize(links.constant(name)->raw_data());
    const std::int64_t there = std::ssize(others.constant(name)->raw_data());
    bytes.all += here;
    bytes.cut += here < there ? here : 0;
    bytes.beside += there;
  }
  return bytes;
}

TEST_F(SharedInt8, WeightsOfTheFirstLayersAreStoredAndCountedOnce) {
  const std::vector<Variant> made = levels();
  std::vector<FamilyLevel> files;
  std::int64_t separate = 0;
  for (const Variant& v : made) {
    files.push_back({v.path, content_of(v.path), {}});
    separate += v.bytes;
  }
  const FamilyLayout layout = analyse_family(files, request_.model);
  const Placement placement = place(layout, {0, 1}, {});
  std::int64_t slices = 0;
  for (std::size_t p = 0; p < layout.pieces.size(); ++p)
    slices += placement.pieces[p].where == Placement::Where::slice ? layout.pieces[p].bytes : 0;
  const FrontBytes shared = front_bytes(made[0].path, made[1].path);
  EXPECT_GT(shared.cut, 4000);
  EXPECT_LT(shared.all, shared.beside);
  EXPECT_EQ(slices, shared.cut);
  EXPECT_LT(placement.bytes(), separate - shared.all + 1000);  // what it takes to refer to them
  const auto own = own_bytes(layout, placement);
  EXPECT_EQ(std::accumulate(own.begin(), own.end(), std::int64_t{0}), placement.bytes());
}

TEST_F(SharedInt8, WithoutSharingNoneIsASliceOfAnother) {
  options_.shared = 0;
  const std::vector<Variant> made = levels();
  std::vector<FamilyLevel> files;
  for (const Variant& v : made) files.push_back({v.path, content_of(v.path), {}});
  const FamilyLayout layout = analyse_family(files, request_.model);
  for (const Placement::Place& p : place(layout, {0, 1}, {}).pieces) EXPECT_NE(p.where, Placement::Where::slice);
}

TEST_F(SharedInt8, FloatFormsLieOnTheGridOnlyWhereInt8IsAskedFor) {
  request_.precisions = {"fp32"};
  Slimmer slimmer(test::engine(), request_, &tuner_, &data_, options_, folder_.path() / "forms");
  const auto form = slimmer.make({0.5, 1}, Context()).form;
  ASSERT_TRUE(form);
  EXPECT_TRUE(form->weight_scales.empty());
  Model rounded = form->model;
  round_to_grid(rounded, covering_grid(rounded, {rounded.graph().node(0).input(1)}));
  EXPECT_NE(serialize(rounded), serialize(form->model));
}

TEST(SharedGrid, IsFoundAgainBehindAFactorPerChannel) {
  Model model = network();
  const std::string name = model.graph().node(0).input(1);
  const WeightScales grid = covering_grid(model, {name});
  round_to_grid(model, grid);
  const WeightScales again = covering_grid(model, {name});
  Model folded = model;
  auto& tensor =
      *std::find_if(folded.graph().mutable_initializer()->begin(), folded.graph().mutable_initializer()->end(),
                    [&](const auto& t) { return t.name() == name; });
  auto values = floats(tensor).value();
  const std::size_t row = values.size() / 32;
  for (std::size_t i = 0; i < values.size(); ++i) values[i] *= 0.1F * static_cast<float>(1 + i / row);
  tensor = make_tensor("folded", dims(tensor), std::span<const float>(values));
  folded.graph().mutable_node(0)->set_input(1, "folded");
  const WeightScales scales = follow_folding(model, again, folded);
  ASSERT_TRUE(scales.contains("folded"));
  const int limit = exact_weight_limit();
  const auto before = linear_weights(model.graph().node(0), Links(model));
  const auto after = linear_weights(folded.graph().node(0), Links(folded));
  EXPECT_EQ(round_weights(*before, grid.at(name), limit), round_weights(*after, scales.at("folded"), limit));
}

}  // namespace
}  // namespace rtmdl
