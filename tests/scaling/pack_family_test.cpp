#include "scaling/pack_family.h"

#include "base/atomic_file.h"
#include "base/hash.h"
#include "model/edit.h"
#include "model/families.h"
#include "model/sliced_weights.h"
#include "scaling/family_levels.h"
#include "scaling/source_indices.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rtmdl/error.h>

#include <algorithm>
#include <numeric>
#include <random>

#include <fmt/format.h>
#include <stdlib.h>

namespace rtmdl {
namespace {

namespace fs = std::filesystem;
using test::every;
using test::Narrow;
using test::narrow;
using test::small_net;
using testing::AnyOf;
using testing::HasSubstr;

const fs::path kModels = fs::path(RTMDL_SOURCE_DIR) / "assets" / "models";

class PackFamily : public testing::Test {
 protected:
  PackFamily() {
    std::string name = (fs::temp_directory_path() / "rtmdl-pack-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
    packed_ = folder_ / "variants";
    fs::create_directories(packed_);
  }
  ~PackFamily() override { fs::remove_all(folder_); }

  FamilyLevel level(const Model& model, const SourceIndices& indices = {}) {
    const std::string bytes = serialize(model);
    const fs::path path = folder_ / (sha256(bytes).substr(0, 16) + ".onnx");
    write_file_atomically(path, bytes);
    return {path, content_of(path), indices};
  }
  fs::path write_source(const Model& model) {
    save_model(model, folder_ / "models" / "source.onnx");
    return folder_ / "models" / "source.onnx";
  }
  static std::int64_t bytes_in(const fs::path& folder) {
    std::int64_t sum = 0;
    for (const auto& entry : fs::directory_iterator(folder)) sum += static_cast<std::int64_t>(entry.file_size());
    return sum;
  }
  static std::vector<int> all(const FamilyLayout& layout) {
    std::vector<int> set(layout.files.size());
    std::iota(set.begin(), set.end(), 0);
    return set;
  }

  /// Packs, and looks whether every file is the model that it was and the bytes are what was predicted.
  PackedFamily pack(const FamilyLayout& layout, const std::vector<int>& set, const std::vector<FamilyLevel>& levels,
                    const fs::path& source) {
    fs::remove_all(packed_);
    fs::create_directories(packed_);
    std::vector<fs::path> paths;
    for (const FamilyFile& file : layout.files)
      paths.push_back(std::find_if(levels.begin(), levels.end(), [&](const FamilyLevel& l) {
                        return l.content == file.content;
                      })->path);
    const auto names = source.empty() ? std::vector<std::string>{} : source_paths(layout, source, packed_);
    const std::int64_t predicted = family_bytes(layout, set, names);
    PackedFamily packed = pack_family(layout, set, paths, source, packed_);
    EXPECT_EQ(packed.placement.bytes(), predicted);
    EXPECT_EQ(bytes_in(packed_), predicted);
    const auto own = own_bytes(layout, packed.placement);
    EXPECT_EQ(std::accumulate(own.begin(), own.end(), std::int64_t{0}), predicted);
    for (const int f : set) {
      const auto i = static_cast<std::size_t>(f);
      EXPECT_EQ(serialize(load_model(packed.files[i])), serialize(*load_level(paths[i])));
      EXPECT_EQ(content_of(packed.files[i]), layout.files[i].content);
    }
    return packed;
  }

  fs::path folder_;
  fs::path packed_;
};

TEST_F(PackFamily, SlicesOfTheSourceCostOnlyTheirGraph) {
  const Model net = small_net(64, 96);
  const fs::path source = write_source(net);
  const Narrow half = narrow(net, every(2, 0, 64), every(1, 0, 48));
  const std::vector<FamilyLevel> levels{level(half.model, half.indices)};
  const FamilyLayout layout = analyse_family(levels, source);
  const PackedFamily packed = pack(layout, all(layout), levels, source);
  EXPECT_TRUE(packed.weights.empty());
  EXPECT_LT(packed.placement.bytes(), 3000);  // of 60 kB
  EXPECT_EQ(model_files(packed.files[0]).back(), source);
}

TEST_F(PackFamily, WithoutTheSourceTheWidestHoldsTheOthers) {
  const Model net = small_net(64, 96);
  const fs::path source = write_source(net);
  const Narrow wide = narrow(net, every(1, 0, 48), every(1, 8, 80));
  const Narrow slim = narrow(net, {40, 3, 17, 20, 21, 22, 23, 9}, every(2, 8, 80));
  const std::vector<FamilyLevel> levels{level(slim.model, slim.indices), level(wide.model, wide.indices)};
  const FamilyLayout layout = analyse_family(levels, source);
  const PackedFamily both = pack(layout, all(layout), levels, {});
  const PackedFamily one = pack(layout, {1}, levels, {});
  EXPECT_TRUE(one.weights.empty());  // alone it shares nothing
  EXPECT_LT(both.placement.bytes(), one.placement.bytes() + 5000);
  EXPECT_EQ(fs::file_size(one.files[1]), fs::file_size(levels[1].path));
}

TEST_F(PackFamily, EqualTensorsOfAnyNameAndShapeAreStoredOnce) {
  Model a = small_net(64, 96, 1);
  Model b = small_net(64, 96, 2);
  auto& renamed = *b.graph().mutable_initializer(2);
  renamed.set_raw_data(a.graph().initializer(2).raw_data());
  renamed.set_name("other");
  b.graph().mutable_node(2)->set_input(1, "other");
  auto& reshaped = *b.graph().mutable_initializer(4);  // 10 × 96 instead of 96 × 10
  reshaped.set_raw_data(a.graph().initializer(4).raw_data());
  reshaped.set_dims(0, 96);
  reshaped.set_dims(1, 10);
  b.graph().mutable_node(6)->clear_attribute();
  const std::vector<FamilyLevel> levels{level(a), level(b)};
  const FamilyLayout layout = analyse_family(levels, write_source(small_net(64, 96, 3)));
  const PackedFamily packed = pack(layout, all(layout), levels, {});
  const auto shared = static_cast<std::int64_t>(a.graph().initializer(2).raw_data().size() + 96 * 10 * 4);
  EXPECT_EQ(static_cast<std::int64_t>(fs::file_size(packed.weights)), shared);
  const auto separate = fs::file_size(levels[0].path) + fs::file_size(levels[1].path);
  EXPECT_LT(packed.placement.bytes(), static_cast<std::int64_t>(separate) - shared + 2000);
}

TEST_F(PackFamily, RowsAreFoundWithoutIndices) {
  Model wide = small_net(64, 96);
  Model slim = narrow(wide, every(1, 0, 64), every(3, 0, 96)).model;
  const std::vector<FamilyLevel> levels{level(wide), level(slim)};
  const FamilyLayout layout = analyse_family(levels, write_source(small_net(64, 96, 3)));
  const PackedFamily packed = pack(layout, all(layout), levels, {});
  EXPECT_LT(packed.placement.bytes(), static_cast<std::int64_t>(fs::file_size(levels[0].path)) + 4000);
}

TEST_F(PackFamily, WhatWasTrainedFurtherIsStoredWhole) {
  const Model net = small_net(64, 96);
  const fs::path source = write_source(net);
  Narrow half = narrow(net, every(2, 0, 64), every(1, 0, 48));
  std::string& trained = *half.model.graph().mutable_initializer(2)->mutable_raw_data();
  trained[17] ^= 1;  // one bit of one weight
  const std::vector<FamilyLevel> levels{level(half.model, half.indices)};
  const FamilyLayout layout = analyse_family(levels, source);
  const PackedFamily packed = pack(layout, all(layout), levels, source);
  EXPECT_GT(packed.placement.bytes(), static_cast<std::int64_t>(trained.size()));
  EXPECT_LT(packed.placement.bytes(), static_cast<std::int64_t>(trained.size()) + 4000);
}

TEST_F(PackFamily, IsDeterministicAndMayBeDoneAgainFromItsOwnFiles) {
  const Model net = small_net(64, 96);
  const fs::path source = write_source(net);
  const Narrow a = narrow(net, every(1, 0, 48), every(1, 8, 80)), b = narrow(net, every(2, 0, 48), every(2, 8, 80));
  Model trained = a.model;
  trained.graph().mutable_initializer(0)->mutable_raw_data()->at(5) ^= 1;
  const std::vector<FamilyLevel> levels{level(a.model, a.indices), level(b.model, b.indices),
                                        level(trained, a.indices)};
  const FamilyLayout layout = analyse_family(levels, source);
  const PackedFamily first = pack(layout, all(layout), levels, {});
  const PackedFamily again = pack_family(layout, all(layout), first.files, {}, packed_);
  EXPECT_EQ(again.files, first.files);
  EXPECT_EQ(again.weights, first.weights);
  const PackedFamily fewer = pack_family(layout, {1, 2}, first.files, source, packed_);
  EXPECT_EQ(content_of(fewer.files[1]), levels[1].content);
  // Its own files say as much as the first ones did.
  std::vector<FamilyLevel> light = levels;
  for (std::size_t i = 0; i < light.size(); ++i) light[i].path = first.files[i];
  const FamilyLayout from_light = analyse_family(light, source);
  EXPECT_EQ(family_bytes(from_light, all(layout), {}), first.placement.bytes());
}

TEST_F(PackFamily, AFileThatIsAnotherIsNotPacked) {
  const Model net = small_net(16, 16);
  const std::vector<FamilyLevel> levels{level(net)};
  const FamilyLayout layout = analyse_family(levels, write_source(net));
  save_model(small_net(16, 16, 9), levels[0].path);
  try {
    (void)pack_family(layout, {0}, {levels[0].path}, {}, packed_);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.what(), levels[0].path.string() + ": not the level that was made: its weights are others");
  }
}

TEST_F(PackFamily, WhatIsNoModelIsLeftAsItIs) {
  write_file_atomically(folder_ / "a.model", "1 10");
  write_file_atomically(folder_ / "source.model", "1 20");
  const std::vector<FamilyLevel> levels{{folder_ / "a.model", content_of(folder_ / "a.model"), {}}};
  const FamilyLayout layout = analyse_family(levels, folder_ / "source.model");
  const PackedFamily packed = pack_family(layout, {0}, {levels[0].path}, folder_ / "source.model", packed_);
  EXPECT_EQ(packed.files[0], levels[0].path);
  EXPECT_EQ(packed.placement.bytes(), 4);
}

/// Families of random tensors, equal, slices of each other or neither, in random sets: the prediction is what is on
/// disk.
TEST_F(PackFamily, PredictsTheBytesOfEverySet) {
  std::mt19937 random(11);
  for (int round = 0; round < 12; ++round) {
    const Model net = small_net(32 + 8 * static_cast<std::int64_t>(random() % 5), 64, random());
    const fs::path source = write_source(net);
    const auto channels = [&](std::int64_t of) {
      Positions p = every(1, 0, of);
      if (random() % 2) std::shuffle(p.begin(), p.end(), random);
      p.resize(static_cast<std::size_t>(of) / (1 + random() % 4));
      if (random() % 2) std::sort(p.begin(), p.end());
      return p;
    };
    std::vector<FamilyLevel> levels;
    for (int l = 0; l < 4; ++l) {
      Narrow n = narrow(net, channels(net.graph().initializer(0).dims(0)), channels(64));
      auto& tensor = *n.model.graph().mutable_initializer(static_cast<int>(random() % 5));
      if (random() % 2) tensor.mutable_raw_data()->at(0) ^= 1;
      if (random() % 3 == 0) {  // typed data
        const auto values = floats(tensor).value();
        tensor.clear_raw_data();
        tensor.mutable_float_data()->Assign(values.begin(), values.end());
      }
      levels.push_back(level(n.model, random() % 4 ? n.indices : SourceIndices{}));
    }
    const FamilyLayout layout = analyse_family(levels, source);
    for (int s = 0; s < 4; ++s) {
      std::vector<int> set;
      for (int f = 0; f < static_cast<int>(layout.files.size()); ++f)
        if (random() % 3) set.push_back(f);
      (void)pack(layout, set, levels, random() % 2 ? source : fs::path());
    }
  }
}

/// The outputs of a model on seeded inputs, all bytes of all of them.
std::vector<std::byte> outputs(Engine& engine, LoadRequest request) {
  const auto model = engine.load(request);
  std::mt19937 random(5);
  for (std::size_t i = 0; i < model->inputs().size(); ++i)
    for (float& x : model->input(i).as<float>()) x = static_cast<float>(random() % 1000) / 1000.0F;
  EXPECT_TRUE(model->run()) << model->last_error();
  std::vector<std::byte> all;
  for (std::size_t i = 0; i < model->outputs().size(); ++i) {
    const auto bytes = model->output(i).bytes;
    all.insert(all.end(), bytes.begin(), bytes.end());
  }
  return all;
}

TEST_F(PackFamily, LevelsOfRealModelsShareTheirSourceAndGiveTheSameOutputs) {
  if (!fs::exists(kModels)) GTEST_SKIP() << "run scripts/setup to fetch models";
  const auto engine = make_onnxruntime_engine();
  for (const auto& [name, input, shape] : {std::tuple{"ppocr_rec.onnx", "x", std::vector<std::int64_t>{1, 3, 48, 160}},
                                           {"ppocr_det.onnx", "x", {1, 3, 160, 160}},
                                           {"mlsd_320.onnx", "", {}},
                                           {"blazeface_128.onnx", "", {}}}) {
    const fs::path source = kModels / name;
    Model tidy = load_model(source);
    normalise(tidy);
    const std::vector<FamilyLevel> levels{level(tidy)};
    const FamilyLayout layout = analyse_family(levels, source);
    const PackedFamily packed = pack(layout, all(layout), levels, source);
    EXPECT_LT(packed.placement.bytes(), static_cast<std::int64_t>(fs::file_size(source)) / 5) << name;
    LoadRequest whole, light;
    whole.model = levels[0].path;
    light.model = packed.files[0];
    if (*input != 0) whole.shapes = light.shapes = {{input, shape}};
    EXPECT_EQ(outputs(*engine, whole), outputs(*engine, light)) << name;
    RecordProperty(name, fmt::format("{} of {} bytes", packed.placement.bytes(), fs::file_size(levels[0].path)));
    fmt::print("{}: {} of {} bytes\n", name, packed.placement.bytes(), fs::file_size(levels[0].path));
  }
}

/// A family of widths as `rtmdl scale` makes one: pruned by magnitude, the layers of the first half as they are, those
/// of the second half changed as by training.
TEST_F(PackFamily, WidthsOfARealModelShareTheirFrontLayersWithTheSource) {
  if (!fs::exists(kModels)) GTEST_SKIP() << "run scripts/setup to fetch models";
  const auto engine = make_onnxruntime_engine();
  const fs::path source = kModels / "mlsd_320.onnx";
  Model tidy = load_model(source);
  normalise(tidy);
  LoadRequest at;
  at.model = source;
  const TensorSpecs specs = specs_of(*engine, tidy, at, folder_);
  const ChannelGroups groups = find_channel_groups(tidy, specs);
  const auto ranks = importance(tidy, groups, Importance::magnitude);
  std::vector<FamilyLevel> levels;
  std::int64_t apart = 0, trained = 0;
  for (const double width : {0.75, 0.5, 0.25}) {
    const Kept kept = most_important(groups, ranks, std::vector<double>(groups.groups.size(), width));
    Pruned pruned = prune(tidy, specs, groups, kept);
    write_indices(pruned.model, pruned.indices);
    auto& tensors = *pruned.model.graph().mutable_initializer();
    for (int i = tensors.size() / 2; i < tensors.size(); ++i) {
      if (tensors[i].data_type() != onnx::TensorProto::FLOAT || !tensors[i].has_raw_data()) continue;
      std::string& raw = *tensors[i].mutable_raw_data();
      for (std::size_t b = 1; b < raw.size(); b += 4) raw[b] = static_cast<char>(raw[b] ^ static_cast<int>(64 * width));
      trained += static_cast<std::int64_t>(raw.size());
    }
    levels.push_back(level(pruned.model));
    apart += static_cast<std::int64_t>(fs::file_size(levels.back().path));
  }
  const FamilyLayout layout = analyse_family(levels, source);
  const PackedFamily with = pack(layout, all(layout), levels, source);
  for (std::size_t i = 0; i < levels.size(); ++i) {
    LoadRequest whole, light;
    whole.model = levels[i].path;
    light.model = with.files[i];
    EXPECT_EQ(outputs(*engine, whole), outputs(*engine, light));
  }
  EXPECT_TRUE(with.weights.empty());  // what is shared is in the source
  EXPECT_LT(with.placement.bytes(), trained + (apart - trained) / 2);
  const PackedFamily without = pack(layout, all(layout), levels, {});
  EXPECT_FALSE(without.weights.empty());
  EXPECT_LT(without.placement.bytes(), apart);
  fmt::print("three widths of {} bytes, {} of them trained: {} beside the source ({} bytes), {} without it\n", apart,
             trained, with.placement.bytes(), fs::file_size(source), without.placement.bytes());
}

}  // namespace
}  // namespace rtmdl
