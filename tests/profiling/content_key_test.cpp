#include "profiling/content_key.h"

#include "model/model.h"
#include "profiling/task_folder.h"

#include <gtest/gtest.h>

namespace rtmdl {
namespace {

struct ContentKeyTest : testing::Test {
  ContentKeyTest() {
    folder.write("a.model", "1 10");
    folder.write("b.model", "1 20");
  }
  TaskSpec task(const std::string& more = "", const std::string& data = "{source: synthetic, shape: [1, 4]}",
                const std::string& model = "a.model") const {
    return folder.parse("tasks: [{name: t, model: " + model + ", data: " + data + ", period: 10 ms" + more + "}]")
        .tasks[0];
  }
  std::string family(const TaskSpec& spec, const std::string& fingerprint = "f", const std::string& engine = "e",
                     const std::string& machine = "m") {
    return family_key(spec, fingerprint, engine, machine, hashes);
  }
  std::string accuracy(const TaskSpec& spec, const std::string& fingerprint = "f") {
    LoadRequest request;
    request.model = folder.path() / "b.model";
    return accuracy_key(spec, request, fingerprint, "e", hashes);
  }
  TaskFolder folder;
  ContentHashes hashes;
};

TEST_F(ContentKeyTest, TimingDoesNotChangeAFamilyOrAnAccuracy) {
  const TaskSpec other = folder
                             .parse(
                                 "tasks: [{name: u, model: a.model, data: {source: synthetic, shape: [1, 4]}, period: "
                                 "25 ms, deadline: 20 ms, jitter: 1 ms, "
                                 "miss_rate: 5 %, accuracy: {weight: 3}}]")
                             .tasks[0];
  EXPECT_EQ(family(task()), family(other));
  EXPECT_EQ(accuracy(task()), accuracy(other));
}

TEST_F(ContentKeyTest, WhatMakesAnotherFamilyChangesItsKey) {
  const std::string key = family(task());
  EXPECT_NE(key, family(task("", "{source: synthetic, shape: [1, 4]}", "b.model")));
  EXPECT_NE(key, family(task(", variants: [b.model]")));
  EXPECT_NE(key, family(task("", "{source: synthetic, shape: [1, 4], frames: 9}")));
  EXPECT_NE(key, family(task(", pre: {scale: 2}")));
  EXPECT_NE(key, family(task(", post: {kind: tensor}")));
  EXPECT_NE(key, family(task(", accuracy: {min: 90 %}")));
  EXPECT_NE(key, family(task(", accuracy: {tolerance: 0.1}")));
  EXPECT_NE(key, family(task(", accuracy: {metric: top1}")));
  EXPECT_NE(key, family(task(", scale: {precision: [fp32]}")));
  EXPECT_NE(key, family(task(", scale: {resolution: [1.0, 0.5]}")));
  EXPECT_NE(key, family(task(", shapes: {x: [1, 4]}")));
  EXPECT_NE(key, family(task(", state: {y: x}")));
  EXPECT_NE(key, family(task(", inputs: {rate: 8000}")));
  EXPECT_NE(key, family(task(), "other files"));
  EXPECT_NE(key, family(task(), "f", "other engine"));
  EXPECT_NE(key, family(task(), "f", "e", "other machine"));
  EXPECT_EQ(key, family(task()));
}

TEST_F(ContentKeyTest, AnAccuracyRestsOnDataMetricAndBothModels) {
  const std::string key = accuracy(task());
  EXPECT_NE(key, accuracy(task(), "other files"));
  EXPECT_NE(key, accuracy(task(", pre: {scale: 2}")));
  EXPECT_NE(key, accuracy(task(", accuracy: {tolerance: 0.1}")));
  EXPECT_NE(key, accuracy(task("", "{source: synthetic, shape: [1, 4]}", "b.model")));
  EXPECT_EQ(key, accuracy(task(", accuracy: {min: 10 %}")));  // the bound is not part of the figure
  folder.write("b.model", "1 30");
  EXPECT_NE(key, accuracy(task()));
}

TEST_F(ContentKeyTest, WeightsInAnotherFileCount) {
  Model model;
  model.proto.add_opset_import()->set_version(17);
  auto& tensor = *model.proto.mutable_graph()->add_initializer();
  tensor.set_data_location(onnx::TensorProto_DataLocation_EXTERNAL);
  auto& entry = *tensor.add_external_data();
  entry.set_key("location");
  entry.set_value("weights.bin");
  const auto path = folder.write("big.onnx", serialize(model));
  folder.write("weights.bin", "one");
  const std::string before = hashes.of(path);
  EXPECT_EQ(hashes.of(path), before);
  folder.write("weights.bin", "other");
  EXPECT_NE(hashes.of(path), before);
}

TEST_F(ContentKeyTest, PartsDoNotRunIntoEachOther) {
  EXPECT_NE(ContentKey("k").add("a", "b\n1:c=1:d").digest(), ContentKey("k").add("a", "b").add("c", "d").digest());
  EXPECT_NE(ContentKey("k").add("ab", "c").digest(), ContentKey("k").add("a", "bc").digest());
  EXPECT_NE(ContentKey("k").digest(), ContentKey("l").digest());
}

}  // namespace
}  // namespace rtmdl
