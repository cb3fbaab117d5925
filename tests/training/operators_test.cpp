/// Every operator and the ways in which operator sets spell it, against ONNX Runtime; and that gradients come back.

#include "training/compare.h"
#include "training/small_models.h"

#include <gmock/gmock.h>
#include <rtmdl/error.h>

#include <functional>
#include <variant>

namespace rtmdl::test {
namespace {

using Integers = std::vector<std::int64_t>;
using Build = std::function<void(GraphWriter&)>;

struct Setting {
  std::string name;
  std::variant<std::int64_t, float, std::string, Integers> value;
};
using Settings = std::vector<Setting>;

/// Adds a node that reads `inputs`, and its first output to the graph's.
void add(GraphWriter& w, const std::string& op, const std::vector<std::string>& inputs, const Settings& settings = {},
         int outputs = 1) {
  static int count = 0;
  std::vector<std::string> names;
  for (int o = 0; o < outputs; ++o) names.push_back(op + std::to_string(++count));
  onnx::NodeProto& n = w.node(op, inputs, names);
  for (const Setting& s : settings) {
    if (const auto* i = std::get_if<std::int64_t>(&s.value)) set_attribute(n, s.name, *i);
    if (const auto* f = std::get_if<float>(&s.value)) set_attribute(n, s.name, *f);
    if (const auto* t = std::get_if<std::string>(&s.value)) set_attribute(n, s.name, t->c_str());
    if (const auto* l = std::get_if<Integers>(&s.value)) set_attribute(n, s.name, *l);
  }
  for (const std::string& o : names) w.output(o);
}

void check(std::int64_t opset, const Integers& shape, const Build& build, float low = -2, float high = 2) {
  const Folder folder;
  GraphWriter w(opset);
  w.input("x", shape);
  build(w);
  const Model model = w.take();
  LoadRequest request;
  request.model = folder.save(model, "model.onnx");
  const auto executable = engine().load(request);
  const InputSet set = random_inputs(*executable, 3, low, high);
  training::GraphModule module(model);
  training::NamedInputs inputs = named(*executable, set);
  inputs["x"].set_requires_grad(true);
  const std::vector<at::Tensor> got = module.forward(inputs, false);
  const auto expected = outputs(request, set);
  ASSERT_EQ(expected.size(), got.size());
  const auto values = to_floats(got);
  for (std::size_t o = 0; o < got.size(); ++o) {
    EXPECT_EQ(got[o].sizes().vec(), Integers(executable->output(o).shape.begin(), executable->output(o).shape.end()))
        << executable->outputs()[o].name;
    EXPECT_LT(difference({expected[o]}, {values[o]}), 1e-4) << executable->outputs()[o].name;
    if (!got[o].requires_grad() || !got[o].is_floating_point()) continue;
    got[o].square().sum().backward({}, true);
    EXPECT_TRUE(inputs["x"].grad().isfinite().all().item<bool>()) << executable->outputs()[o].name;
  }
}

TEST(Operators, ElementByElement) {
  check(20, {3, 5}, [](GraphWriter& w) {
    for (const char* op : {"Abs",      "Neg",         "Exp",
                           "Floor",    "Ceil",        "Round",
                           "Sign",     "Erf",         "Sin",
                           "Cos",      "Atan",        "Sinh",
                           "Cosh",     "Relu",        "LeakyRelu",
                           "Elu",      "Selu",        "Celu",
                           "Tanh",     "Mish",        "HardSwish",
                           "Sigmoid",  "HardSigmoid", "Softplus",
                           "Gelu",     "Softsign",    "ThresholdedRelu",
                           "Identity", "Reciprocal"})
      add(w, op, {"x"});
    add(w, "Gelu", {"x"}, {{"approximate", "tanh"}});
    add(w, "LeakyRelu", {"x"}, {{"alpha", 0.3F}});
    add(w, "HardSigmoid", {"x"}, {{"alpha", 1.F / 6}});
    add(w, "PRelu", {"x", w.weight("slope", {5}, 1)});
  });
  check(
      17, {3, 5},
      [](GraphWriter& w) {
        for (const char* op : {"Sqrt", "Log"}) add(w, op, {"x"});
      },
      0.1F, 2);
  check(
      17, {3, 5},
      [](GraphWriter& w) {
        for (const char* op : {"Asin", "Acos", "Tan"}) add(w, op, {"x"});
      },
      -0.9F, 0.9F);
}

TEST(Operators, OfTwoAndMore) {
  check(17, {3, 5}, [](GraphWriter& w) {
    w.weight("row", {5}, 1);
    w.weight("cell", {}, 1);
    for (const char* op : {"Add", "Sub", "Mul", "Div"}) {
      add(w, op, {"x", "row"});
      add(w, op, {"cell", "x"});
    }
    for (const char* op : {"Sum", "Mean", "Max", "Min"}) add(w, op, {"x", "row", "cell"});
    add(w, "Pow", {"x", w.weight("two", {}, 0, 2)});
    add(w, "Mod", {"x", "row"}, {{"fmod", std::int64_t{1}}});
    for (const char* op : {"Greater", "Less", "GreaterOrEqual", "LessOrEqual", "Equal"}) {
      w.node(op, {"x", "row"}, {op});
      w.node("Not", {op}, {std::string("not") + op});
      add(w, "Where", {op, "x", "row"});
      add(w, "Cast", {std::string("not") + op}, {{"to", std::int64_t{1}}});
    }
  });
}

TEST(Operators, ClipAndSoftmaxChangedTheirMinds) {
  check(6, {3, 5}, [](GraphWriter& w) {
    add(w, "Clip", {"x"}, {{"min", -0.5F}});
    add(w, "Clip", {"x"}, {{"min", 0.F}, {"max", 1.F}});
  });
  for (const std::int64_t opset : {11, 13}) {
    check(opset, {2, 3, 5}, [](GraphWriter& w) {
      w.weight("low", {}, 0, -0.5F);
      w.weight("high", {}, 0, 0.7F);
      add(w, "Clip", {"x", "low", "high"});
      add(w, "Clip", {"x", "", "high"});
      add(w, "Clip", {"x", "low"});
      for (const char* op : {"Softmax", "LogSoftmax", "Hardmax"}) {
        add(w, op, {"x"});
        add(w, op, {"x"}, {{"axis", std::int64_t{1}}});
      }
    });
  }
}

TEST(Operators, ShapesAsAttributesAndAsInputs) {
  check(11, {2, 1, 6}, [](GraphWriter& w) {
    add(w, "Squeeze", {"x"}, {{"axes", Integers{1}}});
    add(w, "Unsqueeze", {"x"}, {{"axes", Integers{0, 4}}});
    add(w, "ReduceSum", {"x"}, {{"axes", Integers{-1}}});
    add(w, "Split", {"x"}, {{"axis", std::int64_t{2}}, {"split", Integers{2, 4}}}, 2);
    add(w, "Pad", {"x", w.integers("pads", {0, 0, 1, 0, 0, 2})}, {{"mode", "reflect"}});
  });
  check(9, {2, 3, 6}, [](GraphWriter& w) {
    add(w, "Slice", {"x"}, {{"starts", Integers{1, -4}}, {"ends", Integers{9, -1}}, {"axes", Integers{1, 2}}});
    add(w, "Pad", {"x"}, {{"pads", Integers{0, 1, -1, 0, 0, 2}}, {"value", 0.5F}});
    add(w, "Dropout", {"x"}, {{"ratio", 0.5F}});
  });
  check(13, {2, 1, 6}, [](GraphWriter& w) {
    add(w, "Squeeze", {"x", w.integers("one", {1})});
    add(w, "Squeeze", {"x"});
    add(w, "Unsqueeze", {"x", w.integers("ends", {0, -1})});
    add(w, "ReduceSum", {"x", w.integers("last", {-1})}, {{"keepdims", std::int64_t{0}}});
    add(w, "ReduceSum", {"x"});
    add(w, "Split", {"x", w.integers("sizes", {2, 4})}, {{"axis", std::int64_t{2}}}, 2);
    add(w, "Slice",
        {"x", w.integers("start", {-1}), w.integers("end", {-100}), w.integers("axis", {2}), w.integers("step", {-2})});
    add(w, "Slice",
        {"x", w.integers("start2", {1}), w.integers("end2", {1000}), w.integers("axis2", {2}),
         w.integers("step2", {3})});
  });
  check(19, {2, 3, 7}, [](GraphWriter& w) {
    add(w, "Split", {"x"}, {{"axis", std::int64_t{2}}, {"num_outputs", std::int64_t{3}}}, 3);
    w.integers("pads", {2, 3});
    w.integers("axis", {-1});
    w.weight("zero", {}, 0);
    for (const char* mode : {"constant", "reflect", "edge", "wrap"})
      add(w, "Pad", {"x", "pads", "zero", "axis"}, {{"mode", mode}});
    add(w, "ReduceMean", {"x", "axis"});
    add(w, "ReduceMax", {"x", "axis"});
    add(w, "ReduceMean", {"x"}, {{"noop_with_empty_axes", std::int64_t{1}}});
  });
}

TEST(Operators, Reductions) {
  check(
      17, {2, 3, 4},
      [](GraphWriter& w) {
        for (const char* op : {"ReduceMean", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceSumSquare",
                               "ReduceLogSum", "ReduceLogSumExp", "ReduceProd"}) {
          add(w, op, {"x"}, {{"axes", Integers{0, 2}}});
          add(w, op, {"x"}, {{"axes", Integers{-2}}, {"keepdims", std::int64_t{0}}});
          add(w, op, {"x"});
        }
        for (const char* op : {"ArgMax", "ArgMin"}) {
          w.node(op, {"x"}, {op});
          add(w, "Cast", {op}, {{"to", std::int64_t{1}}});
        }
      },
      0.1F, 2);
}

TEST(Operators, Rearranging) {
  check(17, {2, 8, 4, 6}, [](GraphWriter& w) {
    add(w, "Transpose", {"x"});
    add(w, "Transpose", {"x"}, {{"perm", Integers{0, 2, 3, 1}}});
    add(w, "Flatten", {"x"}, {{"axis", std::int64_t{2}}});
    add(w, "Flatten", {"x"}, {{"axis", std::int64_t{-1}}});
    add(w, "Reshape", {"x", w.integers("target", {0, -1, 3})});
    add(w, "DepthToSpace", {"x"}, {{"blocksize", std::int64_t{2}}});
    add(w, "DepthToSpace", {"x"}, {{"blocksize", std::int64_t{2}}, {"mode", "CRD"}});
    add(w, "SpaceToDepth", {"x"}, {{"blocksize", std::int64_t{2}}});
    add(w, "Concat", {"x", "x"}, {{"axis", std::int64_t{-1}}});
    add(w, "Tile", {"x", w.integers("times", {1, 2, 1, 3})});
    add(w, "Expand", {"x", w.integers("wide", {3, 1, 1, 1, 1})});
    add(w, "Gather", {"x", w.integers("picked", {3, -1, 0})}, {{"axis", std::int64_t{1}}});
    add(w, "Trilu", {"x"});
    add(w, "CumSum", {"x", w.integers("axis", {2})}, {{"exclusive", std::int64_t{1}}, {"reverse", std::int64_t{1}}});
    w.node("Shape", {"x"}, {"shape"});
    w.node("Gather", {"shape", w.integers("second", {1})}, {"channels"});
    w.node("Div", {"channels", w.integers("two", {2})}, {"half"});
    set_attribute(w.node("Concat", {w.integers("n", {0}), "half", w.integers("rest", {-1})}, {"computed"}), "axis",
                  std::int64_t{0});
    add(w, "Reshape", {"x", "computed"});
    w.node("TopK", {"x", w.integers("k", {2})}, {"most", "where"});
    w.output("most");
    add(w, "GatherElements", {"x", "where"}, {{"axis", std::int64_t{3}}});
    w.node("ConstantOfShape", {"shape"}, {"zeros"});
    add(w, "Add", {"x", "zeros"});
  });
}

TEST(Operators, Gathering) {
  check(17, {4, 3}, [](GraphWriter& w) {
    onnx::TensorProto at =
        make_tensor("at", std::vector<std::int64_t>{2, 2}, std::span<const std::int64_t>(Integers{0, 1, 3, 2}));
    onnx::NodeProto& constant = w.node("Constant", {}, {"at"});
    onnx::AttributeProto* value = constant.add_attribute();
    value->set_name("value");
    value->set_type(onnx::AttributeProto::TENSOR);
    *value->mutable_t() = at;
    add(w, "GatherND", {"x", "at"});
    add(w, "ScatterND", {"x", "at", w.weight("new", {2}, 1)});
    add(w, "ScatterElements", {"x", "at", w.weight("more", {2, 2}, 1)}, {{"axis", std::int64_t{0}}});
    add(w, "OneHot", {"at", w.integers("depth", {4}), w.weight("off_on", {2}, 1)});
    w.node("Range", {w.weight("from", {}, 0, 1), w.weight("to", {}, 0, 4), w.weight("by", {}, 0, 1)}, {"range"});
    add(w, "Mul", {"x", "range"});
    add(w, "Einsum", {"x", "x"}, {{"equation", "ij,kj->ik"}});
  });
}

TEST(Operators, Pools) {
  check(17, {2, 3, 11, 10}, [](GraphWriter& w) {
    const Setting k{"kernel_shape", Integers{3, 3}}, s{"strides", Integers{2, 2}}, ceil{"ceil_mode", std::int64_t{1}};
    const Setting lopsided{"pads", Integers{0, 1, 1, 0}}, even{"pads", Integers{1, 1, 1, 1}};
    const Setting counting{"count_include_pad", std::int64_t{1}};
    for (const char* op : {"MaxPool", "AveragePool"}) {
      add(w, op, {"x"}, {k});
      add(w, op, {"x"}, {k, s, even});
      add(w, op, {"x"}, {k, s, lopsided});
      add(w, op, {"x"}, {k, s, ceil});
      add(w, op, {"x"}, {k, s, ceil, lopsided});
      add(w, op, {"x"}, {k, s, {"auto_pad", "SAME_UPPER"}});
      add(w, op, {"x"}, {k, s, {"auto_pad", "SAME_LOWER"}});
      add(w, op, {"x"}, {k, s, {"auto_pad", "VALID"}});
    }
    add(w, "AveragePool", {"x"}, {k, s, even, counting});
    add(w, "AveragePool", {"x"}, {k, s, lopsided, counting});
    add(w, "AveragePool", {"x"}, {k, s, ceil, even, counting});
    add(w, "MaxPool", {"x"}, {k, s, {"dilations", Integers{2, 2}}});
    add(w, "GlobalAveragePool", {"x"});
    add(w, "GlobalMaxPool", {"x"});
  });
  check(17, {2, 3, 12}, [](GraphWriter& w) {
    for (const char* op : {"MaxPool", "AveragePool"}) {
      add(w, op, {"x"}, {{"kernel_shape", Integers{2}}, {"strides", Integers{2}}});
      add(w, op, {"x"}, {{"kernel_shape", Integers{4}}, {"pads", Integers{1, 2}}});
    }
  });
  check(17, {1, 2, 6, 5, 4}, [](GraphWriter& w) {
    for (const char* op : {"MaxPool", "AveragePool"}) add(w, op, {"x"}, {{"kernel_shape", Integers{2, 2, 2}}});
  });
}

TEST(Operators, Convolutions) {
  check(17, {2, 4, 9, 8}, [](GraphWriter& w) {
    w.weight("w", {6, 4, 3, 3}, 0.3F);
    w.weight("b", {6}, 1);
    const Setting s{"strides", Integers{2, 2}};
    add(w, "Conv", {"x", "w", "b"}, {{"pads", Integers{1, 1, 1, 1}}});
    add(w, "Conv", {"x", "w"}, {s, {"pads", Integers{0, 1, 2, 0}}});
    add(w, "Conv", {"x", "w"}, {s, {"auto_pad", "SAME_UPPER"}});
    add(w, "Conv", {"x", "w"}, {s, {"auto_pad", "SAME_LOWER"}});
    add(w, "Conv", {"x", "w"}, {{"dilations", Integers{2, 3}}});
    add(w, "Conv", {"x", w.weight("g", {8, 2, 3, 3}, 0.3F)}, {{"group", std::int64_t{2}}});
    w.weight("t", {4, 5, 3, 3}, 0.3F);
    add(w, "ConvTranspose", {"x", "t"}, {s});
    add(w, "ConvTranspose", {"x", "t"}, {s, {"pads", Integers{1, 1, 1, 1}}, {"output_padding", Integers{1, 1}}});
    add(w, "ConvTranspose", {"x", "t"}, {s, {"pads", Integers{0, 1, 1, 0}}});
    add(w, "ConvTranspose", {"x", "t"}, {s, {"output_shape", Integers{18, 16}}});
    add(w, "ConvTranspose", {"x", "t"}, {s, {"auto_pad", "SAME_UPPER"}});
    add(w, "ConvTranspose", {"x", w.weight("tg", {4, 3, 2, 2}, 0.3F)}, {s, {"group", std::int64_t{2}}});
  });
  check(17, {2, 4, 9}, [](GraphWriter& w) { add(w, "Conv", {"x", w.weight("w", {6, 4, 3}, 0.3F)}); });
  check(17, {1, 2, 5, 5, 5}, [](GraphWriter& w) { add(w, "Conv", {"x", w.weight("w", {3, 2, 3, 3, 3}, 0.3F)}); });
}

TEST(Operators, Products) {
  check(17, {3, 4}, [](GraphWriter& w) {
    w.weight("w", {4, 5}, 1);
    add(w, "MatMul", {"x", "w"});
    add(w, "MatMul", {"x", w.weight("stack", {2, 4, 3}, 1)});
    add(w, "Gemm", {"x", "w", w.weight("b", {5}, 1)});
    add(w, "Gemm", {"x", "w", w.weight("c", {3, 1}, 1)}, {{"alpha", 0.5F}, {"beta", 2.F}});
    add(w, "Gemm", {"x", w.weight("wt", {5, 4}, 1)}, {{"transB", std::int64_t{1}}});
    add(w, "Gemm", {"x", w.weight("left", {3, 2}, 1)}, {{"transA", std::int64_t{1}}});
  });
}

TEST(Operators, Normalisations) {
  check(17, {2, 6, 4, 5}, [](GraphWriter& w) {
    for (const char* part : {"scale", "shift", "mean"}) w.weight(part, {6}, 0.5F, 1);
    w.weight("variance", {6}, 0.1F, 1);
    add(w, "BatchNormalization", {"x", "scale", "shift", "mean", "variance"}, {{"epsilon", 1e-3F}});
    add(w, "InstanceNormalization", {"x", "scale", "shift"});
    add(w, "LayerNormalization", {"x", w.weight("s5", {5}, 1), w.weight("b5", {5}, 1)});
    add(w, "LayerNormalization", {"x", w.weight("s", {6, 4, 5}, 1)}, {{"axis", std::int64_t{1}}});
    add(w, "LpNormalization", {"x"}, {{"axis", std::int64_t{1}}, {"p", std::int64_t{2}}});
    add(w, "MeanVarianceNormalization", {"x"});
    add(w, "LRN", {"x"}, {{"size", std::int64_t{3}}, {"alpha", 0.5F}, {"bias", 1.5F}});
  });
  check(21, {2, 6, 4, 5}, [](GraphWriter& w) {
    add(w, "GroupNormalization", {"x", w.weight("scale", {6}, 1), w.weight("shift", {6}, 1)},
        {{"num_groups", std::int64_t{3}}});
  });
}

TEST(Operators, Resizing) {
  check(11, {1, 2, 5, 6}, [](GraphWriter& w) {
    w.floats("roi", {});
    const std::string up = w.floats("up", {1, 1, 2, 2}), odd = w.floats("odd", {1, 1, 1.5F, 2.3F}),
                      down = w.floats("down", {1, 1, 0.5F, 0.6F});
    for (const std::string& s : {up, odd, down}) {
      for (const char* place : {"half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners"}) {
        const Setting p{"coordinate_transformation_mode", place};
        add(w, "Resize", {"x", "roi", s}, {p, {"mode", "linear"}});
        add(w, "Resize", {"x", "roi", s}, {p, {"mode", "cubic"}});
        add(w, "Resize", {"x", "roi", s}, {p});
      }
      for (const char* rounding : {"floor", "ceil", "round_prefer_ceil"})
        add(w, "Resize", {"x", "roi", s},
            {{"coordinate_transformation_mode", "asymmetric"}, {"nearest_mode", rounding}});
    }
  });
  check(13, {1, 2, 5, 6}, [](GraphWriter& w) {
    add(w, "Resize", {"x", "", "", w.integers("sizes", {1, 2, 7, 9})}, {{"mode", "linear"}});
    add(w, "Resize", {"x", "", "", w.integers("doubled", {1, 2, 10, 12})});
  });
  check(18, {1, 2, 5, 6}, [](GraphWriter& w) {
    add(w, "Resize", {"x", "", w.floats("scales", {2, 3})}, {{"axes", Integers{2, 3}}});
  });
  for (const std::int64_t opset : {9, 10}) {
    check(opset, {1, 2, 5, 6}, [opset](GraphWriter& w) {
      w.floats("twice", {1, 1, 2, 2});
      w.floats("more", {1, 1, 1.5F, 2.2F});
      for (const char* scales : {"twice", "more"}) {
        for (const char* mode : {"nearest", "linear"})
          add(w, opset == 9 ? "Upsample" : "Resize", {"x", scales}, {{"mode", mode}});
      }
    });
  }
}

TEST(Operators, Recurrent) {
  for (const char* direction : {"forward", "reverse", "bidirectional"}) {
    const std::int64_t d = std::string(direction) == "bidirectional" ? 2 : 1;
    check(14, {5, 2, 3}, [&](GraphWriter& w) {
      const Setting way{"direction", direction}, hidden{"hidden_size", std::int64_t{4}};
      const auto sizes = [&](const std::string& op, std::int64_t gates) {
        w.weight(op + "w", {d, gates * 4, 3}, 0.5F);
        w.weight(op + "r", {d, gates * 4, 4}, 0.5F);
        w.weight(op + "b", {d, gates * 8}, 0.5F);
        w.weight(op + "h", {d, 2, 4}, 0.5F);
      };
      sizes("l", 4);
      sizes("g", 3);
      sizes("n", 1);
      add(w, "LSTM", {"x", "lw", "lr"}, {way, hidden}, 3);
      add(w, "LSTM", {"x", "lw", "lr", "lb", "", "lh", w.weight("lc", {d, 2, 4}, 1)}, {way, hidden}, 3);
      for (const std::int64_t before : {0, 1}) {
        add(w, "GRU", {"x", "gw", "gr", "gb", "", "gh"}, {way, hidden, {"linear_before_reset", before}}, 2);
        add(w, "GRU", {"x", "gw", "gr"}, {way, hidden, {"linear_before_reset", before}}, 2);
      }
      add(w, "RNN", {"x", "nw", "nr", "nb", "", "nh"}, {way, hidden}, 2);
    });
  }
}

TEST(Operators, DropoutIsActiveInTraining) {
  for (const std::int64_t opset : {11, 13}) {
    GraphWriter w(opset);
    w.input("x", {1000});
    if (opset == 11) set_attribute(w.node("Dropout", {"x"}, {"y"}), "ratio", 0.25F);
    else w.node("Dropout", {"x", w.weight("ratio", {}, 0, 0.25F)}, {"y"});
    w.output("y", {1000});
    training::GraphModule module(w.take());
    const at::Tensor y = module.forward({{"x", at::ones({1000})}}, true)[0];
    EXPECT_NEAR(y.eq(0).sum().item<double>(), 250, 60);
    EXPECT_TRUE(at::equal(module.forward({{"x", at::ones({1000})}}, false)[0], at::ones({1000})));
  }
}

}  // namespace
}  // namespace rtmdl::test
