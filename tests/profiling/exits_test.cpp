/// Early exits of the demo's classifier on Fashion-MNIST, from scaling to the planner's problem.

#include "model/exits.h"
#include "data/source.h"
#include "profiling/accuracy.h"
#include "profiling/exits_text.h"
#include "profiling/profiler.h"
#include "profiling/task_folder.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

namespace rtmdl {
namespace {

using testing::Each;
using testing::HasSubstr;

EarlyExits some_exits() {
  EarlyExits exits;
  exits.at.push_back({{"exit_1", SureMeasure::entropy, 0.625, true}, 17, 0.5, 0.75});
  exits.at.push_back({{"exit_2", SureMeasure::margin, 0.125, false}, 42, 0.25, 0.875});
  exits.whole_accuracy = 0.9375;
  exits.units = {1, 3, 2, 1};
  return exits;
}

TEST(ExitsText, IsReadAsItWasWritten) {
  const EarlyExits again = parse_exits(exits_text(some_exits()));
  ASSERT_EQ(again.at.size(), 2U);
  EXPECT_EQ(again.at[0].rule, some_exits().at[0].rule);
  EXPECT_EQ(again.at[1].rule, some_exits().at[1].rule);
  EXPECT_EQ(again.at[1].cut, 42);
  EXPECT_EQ(again.units, some_exits().units);
  EXPECT_EQ(again.unit_accuracy(), (std::vector<double>{0.75, 0.875, 0.9375}));
  EXPECT_EQ(again.reach(), (std::vector<double>{1, 0.5, 0.25}));
  EXPECT_TRUE(parse_exits("").none());
  EXPECT_EQ(exits_text({}), "");
}

TEST(ExitsText, WhatIsDamagedIsBadInputInOneLine) {
  const std::string good = exits_text(some_exits());
  for (const std::string& text : {std::string("no"), good.substr(0, 40), std::string("{}"), std::string("[]"),
                                  std::string(good).replace(good.find("entropy"), 7, "hearsay")})
    EXPECT_THAT(error_of([&] { (void)parse_exits(text); }), HasSubstr("early exits")) << text;
}

TEST(ExitsText, AFamilyKeepsTheExitsOfItsVariants) {
  const TaskFolder folder;
  StoredFamily family;
  family.variants.resize(2);
  family.variants[1].exits = some_exits();
  Store(folder.path() / "s.sqlite").put_family("key", "task", family);
  const auto read = Store(folder.path() / "s.sqlite").family("key");
  ASSERT_TRUE(read);
  EXPECT_TRUE(read->variants[0].exits.none());
  EXPECT_EQ(exits_text(read->variants[1].exits), exits_text(some_exits()));
}

const std::filesystem::path kRoot = RTMDL_SOURCE_DIR;

/// The first pictures of Fashion-MNIST's files.
struct ClothesTest : testing::Test {
  void SetUp() override {
    if (!std::filesystem::exists(kRoot / "assets/data/fashion-mnist")) GTEST_SKIP() << "no assets; run scripts/setup";
    const ConfigNode data =
        folder
            .parse(fmt::format("tasks: [{{name: t, model: {0}/{1}, period: 1 s, "
                               "data: {{source: idx, path: {0}/assets/data/fashion-mnist, batch: 1}}}}]",
                               kRoot.string(), kModel))
            .tasks[0]
            .data;
    const auto source = open_source(data, 1);
    write(*source, Split::training, 3000, "train");
    write(*source, Split::evaluation, 400, "t10k");
    file = folder.parse(fmt::format(R"(
processors: {{cpu: {{cores: [0]}}}}
tasks:
  - name: clothes
    model: {0}/{1}
    data: {{source: idx, path: ., batch: 1}}
    shapes: {{image: [1, 1, 28, 28]}}
    pre: {{colour: gray, scale: 1/255, layout: NCHW}}
    post: {{kind: classes, k: 1}}
    period: 100 ms
    accuracy: {{metric: top1, min: 85 %}}
    scale: {{precision: [fp32], width: [1.0], exits: true}}
)",
                                    kRoot.string(), kModel));
  }
  void write(Source& source, Split split, std::uint32_t count, const std::string& name) const {
    const auto header = [](std::initializer_list<std::uint32_t> sizes) {
      std::string bytes{'\0', '\0', '\x08', static_cast<char>(sizes.size())};
      for (const std::uint32_t d : sizes)
        for (const int shift : {24, 16, 8, 0}) bytes += static_cast<char>(d >> shift);
      return bytes;
    };
    std::string pixels = header({count, 28, 28}), labels = header({count});
    for (std::uint32_t i = 0; i < count; ++i) {
      const Frame frame = source.read(split, i);
      pixels.append(reinterpret_cast<const char*>(frame.image.data), 28 * 28);
      labels += static_cast<char>(frame.labels[0]);
    }
    folder.write(name + "-images-idx3-ubyte", pixels);
    folder.write(name + "-labels-idx1-ubyte", labels);
  }

  static constexpr const char* kModel = "examples/edge-box/models/fashion_resnet18.onnx";
  TaskFolder folder;
  TaskFile file;
  std::unique_ptr<Engine> engine = make_onnxruntime_engine();
};

TEST_F(ClothesTest, LeaveEarlyForLittleAccuracyAndAreFoundAgain) {
  ScaleTasksOptions options;
  options.slim = true;
  std::vector<std::string> log;
  Context context;
  context.log = [&](LogLevel, const std::string& line) { log.push_back(line); };
  const auto families = scale_tasks(*engine, file, folder.workspace(), options, context);
  const auto& variants = families.at(0).variants;
  const auto found = std::find_if(variants.begin(), variants.end(), [](const Variant& v) { return v.id == "exits"; });
  ASSERT_NE(found, variants.end()) << testing::PrintToString(families[0].refused);
  const Variant &exits = *found, &source = variants.front();
  EXPECT_LT(source.accuracy - exits.accuracy, 0.03);
  EXPECT_LT(to_seconds(exits.median), 0.8 * to_seconds(source.median));
  EXPECT_GT(exits.shared_bytes, exits.bytes / 2) << "the network's weights are the source's";
  EXPECT_EQ(exits.exits.units.size(), 400U);
  EXPECT_NEAR(exits.exits.whole_accuracy, source.accuracy, 0.001);

  const auto again = scale_tasks(*engine, file, folder.workspace(), options, {});
  EXPECT_TRUE(again[0].reused);
  ASSERT_EQ(again[0].variants.size(), variants.size());
  for (const Variant& v : again[0].variants) {
    if (v.exits.none()) continue;
    const Model model = load_model(v.path);
    const auto rules = read_exits(model);
    ASSERT_EQ(rules.size(), v.exits.at.size());
    for (std::size_t k = 0; k < rules.size(); ++k) EXPECT_EQ(rules[k], v.exits.at[k].rule);
    EXPECT_EQ(exit_cuts(model, rules).back(), v.exits.at.back().cut);
  }

  ProfileOptions quick;
  quick.per_variant = std::chrono::milliseconds(200);
  const auto profile = profile_tasks(*engine, file, folder.workspace(), again, quick, {});
  for (const VariantProfile& v : profile.at(0).variants) {
    EXPECT_EQ(v.segment_times.size(), v.exits.none() ? 0 : v.exits.at.size() + 1) << v.id;
    if (v.exits.none()) continue;
    EXPECT_LT(mean_of_units(v), summary(v.infer).p50) << v.id;
  }
}

TEST_F(ClothesTest, AThresholdOf1KeepsAllJobsAndOneOf0NoneBeyondTheFirstUnit) {
  const TaskSpec& task = file.tasks[0];
  // Any inner tensor of ten values would do as an exit: here the logits themselves, with their negatives behind them.
  Model model = load_model(task.model);
  const std::string logits = model.graph().output(0).name();
  auto& end = *model.graph().add_node();
  end.set_op_type("Neg");
  end.add_input(logits);
  end.add_output("worst");
  *model.graph().add_output() = onnx::ValueInfoProto(model.graph().output(0));
  model.graph().mutable_output(0)->set_name("worst");
  for (const double threshold : {0.0, 1.0}) {
    write_exits(model, {{logits, SureMeasure::margin, threshold, false}});
    LoadRequest request = load_request(task, folder.path() / "exits.onnx");
    save_model(model, request.model);
    request.exits = read_exits(load_model(request.model));
    request.cuts = exit_cuts(load_model(request.model), request.exits);
    AccuracyEvaluator evaluator(*engine, task, 1);
    const auto scores = evaluator.score_exits(request);
    EXPECT_THAT(scores.exits.units, Each(threshold == 0 ? 1 : 2));
    EXPECT_EQ(scores.exits.at[0].leaves, threshold == 0 ? 1 : 0);
    EXPECT_EQ(scores.accuracy, threshold == 0 ? scores.exits.at[0].accuracy : scores.exits.whole_accuracy);
    EXPECT_GT(scores.exits.at[0].accuracy, 0.9) << "the exit's answer is the one that is scored";
    EXPECT_LT(scores.exits.whole_accuracy, 0.01);
  }
}

}  // namespace
}  // namespace rtmdl
