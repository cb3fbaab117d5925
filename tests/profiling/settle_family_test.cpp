#include "profiling/settle_family.h"

#include "base/hash.h"
#include "model/families.h"
#include "model/sliced_weights.h"
#include "profiling/layout_text.h"
#include "profiling/task_folder.h"
#include "scaling/pack_family.h"
#include "scaling/source_indices.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <limits>

namespace rtmdl {
namespace {

namespace fs = std::filesystem;
using testing::Each;
using testing::ElementsAre;
using testing::UnorderedElementsAre;

constexpr const char* kOneTask =
    "tasks: [{name: things, model: source.onnx, data: {source: synthetic, shape: [1, 4]}, period: 10 ms, "
    "scale: {storage: 1000 %}}]";
constexpr const char* kTwoKinds =
    "tasks:\n"
    "  - {name: things, model: source.onnx, data: {source: synthetic, shape: [1, 4]}, period: 10 ms, scale: {storage: "
    "1000 %}}\n"
    "  - {name: others, model: source.onnx, data: {source: synthetic, shape: [1, 4]}, period: 20 ms, scale: {storage: "
    "1000 %}}\n";

/// A source and three widths of it, of which the two narrower ones are slices of the widest, and none of the source.
class SettleFamily : public testing::Test {
 protected:
  SettleFamily() {
    save_model(net_, folder_.path() / "source.onnx");
    Model trained = net_;
    for (auto& tensor : *trained.graph().mutable_initializer()) {
      std::string& raw = *tensor.mutable_raw_data();
      for (std::size_t i = 1; i < raw.size(); i += 4) raw[i] = static_cast<char>(raw[i] ^ 1);
    }
    for (const std::int64_t step : {1, 2, 4})
      widths_.push_back(test::narrow(trained, test::every(step, 0, 56), test::every(step, 0, 96)));
  }

  StoredVariant source() {
    StoredVariant v;
    v.id = "source";
    v.location = kSourceLocation;
    v.content = hashes_.of(folder_.path() / "source.onnx");
    v.bytes = static_cast<std::int64_t>(fs::file_size(folder_.path() / "source.onnx"));
    v.median = std::chrono::milliseconds(10);
    return v;
  }
  /// Width i, as scale() leaves it: a file of its own.
  StoredVariant level(std::size_t i) {
    Model model = widths_[i].model;
    write_indices(model, widths_[i].indices);
    const std::string bytes = serialize(model);
    StoredVariant v;
    v.id = "w" + std::to_string(i);
    v.content = sha256(bytes);
    v.location = "variants/" + v.content.substr(0, 16) + ".onnx";
    v.bytes = static_cast<std::int64_t>(bytes.size());
    v.accuracy = 0.99 - 0.01 * static_cast<double>(i);
    v.median = std::chrono::milliseconds(6 - 2 * static_cast<int>(i));
    write_file_atomically(workspace_.folder() / v.location, bytes);
    return v;
  }
  StoredFamily family() {
    StoredFamily f;
    f.variants = {source(), level(0), level(1), level(2)};
    return f;
  }

  [[nodiscard]] std::int64_t on_disk(bool with_source) const {
    std::int64_t sum = with_source ? static_cast<std::int64_t>(fs::file_size(folder_.path() / "source.onnx")) : 0;
    for (const auto& entry : fs::directory_iterator(workspace_.variants()))
      sum += static_cast<std::int64_t>(entry.file_size());
    return sum;
  }
  static std::int64_t counted(const std::vector<LevelBytes>& levels, const std::vector<bool>& keep) {
    std::int64_t sum = 0;
    for (std::size_t i = 0; i < levels.size(); ++i) {
      EXPECT_GE(levels[i].shared, 0);
      if (keep[i]) sum += levels[i].bytes - levels[i].shared;
    }
    return sum;
  }
  FamilyStorage storage(const TaskFile& file, std::vector<StoredFamily*> families, const std::string& key = "key") {
    std::vector<SettledFamily> all;
    for (std::size_t t = 0; t < families.size(); ++t) {
      note_layout(file.tasks[t], workspace_, *families[t]);
      all.push_back({&file.tasks[t], key.empty() ? "key " + std::to_string(t) : key, families[t]});
    }
    return {workspace_, hashes_, std::move(all)};
  }
  [[nodiscard]] std::vector<std::string> names() const {
    std::vector<std::string> all;
    for (const auto& entry : fs::directory_iterator(workspace_.variants())) all.push_back(entry.path().filename());
    return all;
  }

  TaskFolder folder_;
  Workspace workspace_{folder_.path() / "tasks.workspace"};
  ContentHashes hashes_;
  Model net_ = test::small_net(64, 96);
  std::vector<test::Narrow> widths_;
};

TEST_F(SettleFamily, CountsExactlyWhatIsOnDisk) {
  const TaskFile file = folder_.parse(kOneTask);
  StoredFamily f = family();
  FamilyStorage s = storage(file, {&f});
  const std::vector<bool> keep(4, true);
  EXPECT_THAT(s.damaged(keep), Each(false));
  s.settle(keep);
  s.remove_unused(keep, {});
  const auto bytes = s.bytes(keep);
  EXPECT_EQ(counted(bytes, keep), on_disk(true));
  EXPECT_EQ(bytes[1].shared, 0);  // it holds what the others are slices of
  EXPECT_GT(bytes[2].shared, bytes[2].bytes / 2);
  EXPECT_THAT(s.damaged(keep), Each(false));
  for (std::size_t i = 1; i < 4; ++i) EXPECT_TRUE(is_sliced_file(path_of(file.tasks[0], workspace_, f.variants[i])));
}

TEST_F(SettleFamily, DoesNothingWhereAllIsDone) {
  const TaskFile file = folder_.parse(kOneTask);
  StoredFamily f = family();
  const std::vector<bool> keep(4, true);
  FamilyStorage s = storage(file, {&f});
  s.settle(keep);
  s.remove_unused(keep, {});
  const auto before = names();
  const StoredFamily stored = f;
  FamilyStorage again = storage(file, {&f});
  again.settle(keep);
  EXPECT_EQ(names(), before);
  EXPECT_EQ(f.settled, stored.settled);
  EXPECT_EQ(f.variants[1].location, stored.variants[1].location);
}

TEST_F(SettleFamily, SeesMissingAndChangedWeights) {
  const TaskFile file = folder_.parse(kOneTask);
  StoredFamily f = family();
  const std::vector<bool> keep(4, true);
  FamilyStorage s = storage(file, {&f});
  s.settle(keep);
  s.remove_unused(keep, {});
  fs::path weights;
  for (const std::string& name : names())
    if (name.ends_with(".weights")) weights = workspace_.variants() / name;
  const std::string whole = read_file(weights);
  std::string changed = whole;
  changed[3] ^= 1;
  for (const std::string& now : {changed, whole.substr(1), std::string()}) {
    if (now.empty()) fs::remove(weights);
    else write_file_atomically(weights, now);
    ContentHashes fresh;
    FamilyStorage looked(workspace_, fresh, {{&file.tasks[0], "key", &f}});
    EXPECT_THAT(looked.damaged(keep), ElementsAre(false, true, testing::_, testing::_));
  }
  write_file_atomically(weights, whole);
  ContentHashes fresh;
  EXPECT_THAT(FamilyStorage(workspace_, fresh, {{&file.tasks[0], "key", &f}}).damaged(keep), Each(false));
}

TEST_F(SettleFamily, ASmallerBoundTakesLevelsAwayAndNothingElse) {
  const TaskFile file = folder_.parse(kOneTask);
  StoredFamily f = family();
  FamilyStorage s = storage(file, {&f});
  std::vector<bool> keep(4, true);
  s.settle(keep);
  s.remove_unused(keep, {});
  for (const std::vector<bool>& fewer :
       {std::vector<bool>{false, true, true, true}, {false, false, true, true}, {false, false, false, true}}) {
    FamilyStorage now = storage(file, {&f});
    EXPECT_THAT(now.damaged(fewer), Each(false));
    now.settle(fewer);
    now.remove_unused(fewer, {});
    EXPECT_THAT(now.damaged(fewer), Each(false));
    EXPECT_EQ(counted(now.bytes(fewer), fewer), on_disk(false));
  }
  EXPECT_FALSE(is_sliced_file(path_of(file.tasks[0], workspace_, f.variants[3])));  // alone it is an ordinary model
  EXPECT_EQ(fs::file_size(path_of(file.tasks[0], workspace_, f.variants[3])),
            static_cast<std::uintmax_t>(f.variants[3].bytes));
}

TEST_F(SettleFamily, ChoosesByWhatIsShared) {
  const TaskFile file = folder_.parse(kOneTask);
  StoredFamily f = family();
  FamilyStorage s = storage(file, {&f});
  const StorageChoice all = s.choose(std::numeric_limits<std::int64_t>::max());
  EXPECT_THAT(all.keep, Each(true));
  EXPECT_LT(all.bytes, f.variants[0].bytes + f.variants[1].bytes + f.variants[2].bytes / 2);
  // Without the source the widest and its slices fit where the levels apart would not.
  const StorageChoice some = s.choose(f.variants[1].bytes + f.variants[2].bytes / 2);
  EXPECT_THAT(some.keep, ElementsAre(false, true, true, true));
  s.settle(some.keep);
  s.remove_unused(some.keep, {});
  EXPECT_EQ(on_disk(false), some.bytes);
}

TEST_F(SettleFamily, AKilledProcessLeavesAStoreThatIsRight) {
  const TaskFile file = folder_.parse(kOneTask);
  StoredFamily f = family();
  const std::vector<bool> keep(4, true);
  FamilyStorage s = storage(file, {&f});
  const StoredFamily stored = f;  // what the store has: it was killed before it could write more
  s.settle(keep);
  StoredFamily next = stored;
  FamilyStorage again = storage(file, {&next});
  EXPECT_THAT(again.damaged(keep), Each(false));
  again.settle(keep);
  again.remove_unused(keep, {});
  EXPECT_EQ(counted(again.bytes(keep), keep), on_disk(true));
  EXPECT_EQ(next.variants[1].location, f.variants[1].location);
}

TEST_F(SettleFamily, WhatOtherFamiliesNeedStays) {
  const TaskFile file = folder_.parse(kOneTask);
  StoredFamily f = family();
  const std::vector<bool> keep(4, true), none(4, false);
  FamilyStorage s = storage(file, {&f});
  s.settle(keep);
  write_file_atomically(workspace_.variants() / "0123456789abcdef.onnx", "left by a killed process");
  write_file_atomically(workspace_.variants() / "0123456789abcdef.weights", "likewise");
  s.remove_unused(none, {f.variants[2].location});
  EXPECT_EQ(names().size(), 2u);  // the level and its weights
  EXPECT_NO_THROW((void)load_model(path_of(file.tasks[0], workspace_, f.variants[2])));
}

TEST_F(SettleFamily, TasksWithOneSourceCountItOnce) {
  const TaskFile file = folder_.parse(kTwoKinds);
  for (const std::string& key : {std::string("same"), std::string()}) {
    StoredFamily a = family(), b = family();
    if (key.empty()) b.variants.pop_back();
    FamilyStorage s = storage(file, {&a, &b}, key);
    const StorageChoice choice = s.choose(std::numeric_limits<std::int64_t>::max());
    EXPECT_THAT(choice.keep, Each(true));
    s.settle(choice.keep);
    s.remove_unused(choice.keep, {});
    EXPECT_EQ(counted(s.bytes(choice.keep), choice.keep), choice.bytes);
    EXPECT_LE(on_disk(true), choice.bytes);
    if (!key.empty()) {
      EXPECT_EQ(on_disk(true), choice.bytes);
    }
  }
}

TEST_F(SettleFamily, KeepsWithinTheTasksOwnShareOfTheSource) {
  std::string text = kOneTask;
  text.replace(text.find("1000 %"), 6, "130 %");
  const TaskFile file = folder_.parse(text);
  StoredFamily f = family();
  FamilyStorage s = storage(file, {&f});
  const StorageChoice choice = s.choose(std::numeric_limits<std::int64_t>::max());
  EXPECT_TRUE(choice.keep[0]) << "the source stays";
  EXPECT_FALSE(choice.keep[1]) << "as large as the source";
  EXPECT_TRUE(choice.keep[2] || choice.keep[3]);
  EXPECT_THAT(choice.pointless[1], testing::HasSubstr("bounded to 130 % of the source"));
  EXPECT_LE(choice.bytes, f.variants[0].bytes * 13 / 10);
  s.settle(choice.keep);
  EXPECT_EQ(counted(s.bytes(choice.keep), choice.keep), choice.bytes);
}

TEST_F(SettleFamily, LevelsThatCameLaterJoinWhatIsKnown) {
  const TaskFile file = folder_.parse(kOneTask);
  StoredFamily f;
  f.variants = {source(), level(1), level(2)};
  std::vector<bool> keep{true, false, true};
  {
    FamilyStorage s = storage(file, {&f});
    s.settle(keep);
    s.remove_unused(keep, {});
  }
  f.variants.push_back(level(0));  // level 1 is not on the disk any more
  FamilyStorage s = storage(file, {&f});
  EXPECT_EQ(parse_layout(f.layout)->files.size(), 3u);
  EXPECT_THAT(s.damaged({true, true, true, true}), ElementsAre(false, true, false, false));
  keep = {true, false, true, true};
  s.settle(keep);
  s.remove_unused(keep, {});
  EXPECT_EQ(counted(s.bytes(keep), keep), on_disk(true));
}

TEST_F(SettleFamily, AMovedSourceIsFoundAgain) {
  StoredFamily f;
  f.variants = {source(), level(1)};
  Model slim = test::narrow(net_, test::every(1, 0, 16), test::every(1, 0, 32)).model;  // rows of the source
  const TaskFile file = folder_.parse(kOneTask);
  const std::vector<bool> keep(2, true);
  const std::string bytes = serialize(slim);
  f.variants[1].content = sha256(bytes);
  f.variants[1].location = "variants/" + f.variants[1].content.substr(0, 16) + ".onnx";
  f.variants[1].bytes = static_cast<std::int64_t>(bytes.size());
  write_file_atomically(workspace_.folder() / f.variants[1].location, bytes);
  FamilyStorage s = storage(file, {&f});
  s.settle(keep);
  s.remove_unused(keep, {});
  EXPECT_TRUE(is_sliced_file(path_of(file.tasks[0], workspace_, f.variants[1])));
  // Workspace and models move together.
  const fs::path moved = folder_.path() / "moved";
  fs::create_directories(moved);
  for (const char* name : {"source.onnx", "tasks.workspace"}) fs::rename(folder_.path() / name, moved / name);
  EXPECT_EQ(serialize(load_model(moved / "tasks.workspace" / f.variants[1].location)), bytes);
}

TEST(LayoutText, GivesBackWhatWasWritten) {
  TaskFolder folder;
  const Model net = test::small_net(64, 96);
  save_model(net, folder.path() / "source.onnx");
  std::vector<FamilyLevel> levels;
  for (const std::int64_t step : {1, 3}) {
    const auto slim = test::narrow(net, test::every(step, 0, 48), test::every(step, 0, 90));
    const fs::path path = folder.path() / (std::to_string(step) + ".onnx");
    save_model(slim.model, path);
    levels.push_back({path, content_of(path), slim.indices});
  }
  const FamilyLayout layout = analyse_family(levels, folder.path() / "source.onnx");
  const std::string text = layout_text(layout);
  const auto read = parse_layout(text);
  ASSERT_TRUE(read);
  EXPECT_EQ(layout_text(*read), text);
  for (const auto& set : {std::vector<int>{0}, {1}, {0, 1}})
    for (const auto& paths : {std::vector<std::string>{}, {"../source.onnx"}})
      EXPECT_EQ(family_bytes(*read, set, paths), family_bytes(layout, set, paths));
  for (std::size_t cut = 0; cut < text.size(); cut += 97) EXPECT_FALSE(parse_layout(text.substr(0, cut)));
}

}  // namespace
}  // namespace rtmdl
