#include "profiling/store.h"

#include "profiling/task_folder.h"

#include <rtmdl/error.h>

#include <sys/resource.h>

#include <csignal>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rtmdl {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using namespace std::chrono_literals;

StoredFamily small_family() {
  StoredFamily family;
  StoredVariant source;
  source.id = "source";
  source.location = "source";
  source.content = "aa";
  source.bytes = 1000;
  source.median = Duration(5);
  StoredVariant reduced = source;
  reduced.id = "int8-r0.5";
  reduced.location = "variants/bb.onnx";
  reduced.precision = "int8";
  reduced.resolution = 0.5;
  reduced.accuracy = 0.875;
  reduced.accuracy_loss = 0.125;
  reduced.shapes = {{"image", {1, 3, 64, 64}}, {"odd=name", {2}}};
  reduced.note = "3 of 4 integer";
  family.variants = {source, reduced};
  family.refused = {"int8: slower", "int8-mixed: wrong"};
  return family;
}

StageTimes some_times() {
  StageTimes times;
  times.alone = {Duration(10), Duration(5'000'000'000)};
  times.busy = {Duration(30), Duration(20), Duration(40)};
  times.stalls = {2, 7, Duration(99)};
  times.memory = 12345;
  times.cores_used = 1.5;
  return times;
}

struct StoreTest : testing::Test {
  TaskFolder folder;
  std::filesystem::path file = folder.path() / "profile.sqlite";
};

TEST_F(StoreTest, GivesBackAFamilyAfterReopening) {
  Store(file).put_family("key", "faces", small_family());
  const auto family = Store(file).family("key");
  ASSERT_TRUE(family);
  ASSERT_EQ(family->variants.size(), 2u);
  const StoredVariant& v = family->variants[1];
  EXPECT_EQ(v.id, "int8-r0.5");
  EXPECT_EQ(v.location, "variants/bb.onnx");
  EXPECT_EQ(v.content, "aa");
  EXPECT_EQ(v.precision, "int8");
  EXPECT_EQ(v.resolution, 0.5);
  EXPECT_EQ(v.bytes, 1000);
  EXPECT_EQ(v.accuracy, 0.875);
  EXPECT_EQ(v.accuracy_loss, 0.125);
  EXPECT_EQ(v.median, Duration(5));
  EXPECT_EQ(v.note, "3 of 4 integer");
  EXPECT_EQ(v.shapes, small_family().variants[1].shapes);
  EXPECT_EQ(family->refused, small_family().refused);
}

TEST_F(StoreTest, ReplacesAFamilyWhole) {
  Store store(file);
  store.put_family("key", "faces", small_family());
  StoredFamily shorter = small_family();
  shorter.variants.pop_back();
  shorter.refused.clear();
  store.put_family("key", "faces", shorter);
  EXPECT_EQ(store.family("key")->variants.size(), 1u);
  EXPECT_TRUE(store.family("key")->refused.empty());
}

TEST_F(StoreTest, KeepsAllSamplesInTheirOrder) {
  Store(file).put_times("key", "faces int8", some_times());
  const auto times = Store(file).times("key");
  ASSERT_TRUE(times);
  EXPECT_EQ(times->alone, some_times().alone);
  EXPECT_EQ(times->busy, some_times().busy);
  EXPECT_EQ(times->stalls.count, 2);
  EXPECT_EQ(times->stalls.of, 7);
  EXPECT_EQ(times->stalls.worst, Duration(99));
  EXPECT_EQ(times->memory, 12345);
  EXPECT_EQ(times->cores_used, 1.5);
}

TEST_F(StoreTest, KnowsNothingOfOtherKeys) {
  Store store(file);
  EXPECT_FALSE(store.family("key"));
  EXPECT_FALSE(store.times("key"));
  EXPECT_FALSE(store.accuracy("key"));
  store.put_accuracy("key", 0.98);
  EXPECT_EQ(store.accuracy("key"), 0.98);
}

TEST_F(StoreTest, GivesBackWhatRunsShowedAfterReopening) {
  const StoredRunTimes times{"a", "faces int8 on gpu", {{Duration(3), Duration(1)}, {Duration(2), Duration(9)}}};
  const StoredSpeed speed{"p", "gpu", 1.25, 7, Duration(8000), Duration(20000), 99, 0.5, 12.5, 400};
  const StoredStalls stalls{"s", "stalls", 12.5, 30, {{Duration(5), Duration(0)}, {Duration(7), Duration(8)}}};
  Store(file).put_corrections({times}, {speed}, {stalls});
  Store store(file);
  ASSERT_TRUE(store.run_times("a"));
  EXPECT_EQ(store.run_times("a")->stages, times.stages);
  EXPECT_EQ(store.run_times("a")->what, "faces int8 on gpu");
  ASSERT_TRUE(store.speed("p"));
  EXPECT_EQ(store.speed("p")->factor, 1.25);
  EXPECT_EQ(store.speed("p")->stages, 7);
  EXPECT_EQ(store.speed("p")->dispatch, Duration(8000));
  EXPECT_EQ(store.speed("p")->dispatch_p90, Duration(20000));
  EXPECT_EQ(store.speed("p")->dispatches, 99);
  EXPECT_EQ(store.speed("p")->moment_products, 0.5);
  EXPECT_EQ(store.speed("p")->moment_weights, 12.5);
  EXPECT_EQ(store.speed("p")->moment_pairs, 400);
  ASSERT_TRUE(store.stalls("s"));
  EXPECT_EQ(store.stalls("s")->seconds, 12.5);
  EXPECT_EQ(store.stalls("s")->count, 30);
  EXPECT_EQ(store.stalls("s")->lasting, stalls.lasting);
  EXPECT_FALSE(store.stalls("p"));
  EXPECT_FALSE(store.run_times("p"));
  EXPECT_FALSE(store.speed("a"));
  store.put_corrections({{"a", "faces int8 on gpu", {{Duration(5)}}}}, {});
  EXPECT_EQ(store.run_times("a")->stages.size(), 1u) << "replaced";
}

TEST_F(StoreTest, RefusesACorrectionThatMakesNoSense) {
  Store store(file);
  store.put_corrections({{"a", "faces int8 on gpu", {{Duration(3)}, {Duration(2)}}}},
                        {{"p", "gpu", 1.25, 7, {}, {}, 0}}, {{"s", "stalls", 1, 1, {{Duration(1), Duration(2)}}}});
  for (const char* damage :
       {"UPDATE run_times SET stages = 3", "UPDATE run_times SET stages = 0",
        "UPDATE run_times SET stages = 2, ns = x'ffffffffffffffff0000000000000000'", "UPDATE run_times SET ns = x''"}) {
    Database(file).execute(damage);
    EXPECT_THAT(error_of([&] { (void)store.run_times("a"); }), HasSubstr("'faces int8 on gpu' is damaged")) << damage;
  }
  for (const char* damage :
       {"UPDATE speeds SET factor = 0", "UPDATE speeds SET factor = 9e999",
        "UPDATE speeds SET factor = 1, dispatch_ns = -1", "UPDATE speeds SET dispatch_ns = 0, moment_weights = -1",
        "UPDATE speeds SET moment_weights = 1, moment_pairs = -1"}) {
    Database(file).execute(damage);
    EXPECT_THAT(error_of([&] { (void)store.speed("p"); }), HasSubstr("'gpu' is damaged")) << damage;
  }
}

TEST_F(StoreTest, RefusesStallsThatMakeNoSense) {
  Store store(file);
  store.put_corrections({}, {}, {{"s", "stalls", 1, 0, {}}});
  EXPECT_TRUE(store.stalls("s")->lasting.empty());
  store.put_corrections({}, {}, {{"s", "stalls", 1, 1, {{Duration(1), Duration(2)}}}});
  for (const char* damage : {"UPDATE stalls SET processors = 3", "UPDATE stalls SET processors = 0",
                             "UPDATE stalls SET processors = 2, seconds = -1", "UPDATE stalls SET seconds = 9e999"}) {
    Database(file).execute(damage);
    EXPECT_THAT(error_of([&] { (void)store.stalls("s"); }), HasSubstr("'stalls' is damaged")) << damage;
  }
}

TEST_F(StoreTest, TwoMayWriteAtOnce) {
  Store first(file), second(file);
  first.put_accuracy("a", 0.5);
  second.put_accuracy("b", 0.25);
  EXPECT_EQ(first.accuracy("b"), 0.25);
}

TEST_F(StoreTest, KeepsWhatADetectorFinds) {
  Store store(file);
  EXPECT_FALSE(store.detections("d"));
  store.put_detections("d", "faces", {0, 3, 255});
  EXPECT_EQ(store.detections("d"), (std::vector<std::uint8_t>{0, 3, 255}));
}

TEST_F(StoreTest, RefusesANewerSchemaAndNamesBothVersions) {
  { Store store(file); }
  { Database(file).execute("PRAGMA user_version = 12"); }
  EXPECT_THAT(error_of([&] { Store store(file); }),
              AllOf(HasSubstr(file.string()), HasSubstr("schema 12"), HasSubstr("up to 11"), HasSubstr("newer")));
}

TEST_F(StoreTest, TakesOverCorrectionsOfSchema4) {
  { Store(file).put_corrections({}, {{"p", "gpu", 1.25, 7, Duration(8000), Duration(20000), 99, 0.5, 12.5, 400}}); }
  Database(file).execute(
      "ALTER TABLE speeds DROP COLUMN moment_products; ALTER TABLE speeds DROP COLUMN moment_weights;"
      "ALTER TABLE speeds DROP COLUMN moment_pairs; DROP TABLE stalls; DROP TABLE cuts; DROP TABLE energies; DROP "
      "TABLE detections; ALTER "
      "TABLE variants DROP COLUMN exits;"
      "DROP TABLE slow_downs; ALTER TABLE times DROP COLUMN cores_used; PRAGMA user_version = 4");
  Store store(file);
  ASSERT_TRUE(store.speed("p"));
  EXPECT_EQ(store.speed("p")->factor, 1.25);
  EXPECT_EQ(store.speed("p")->moment_pairs, 0);
  EXPECT_FALSE(store.stalls("s"));
}

TEST_F(StoreTest, TakesOverAStoreOfTheFirstSchema) {
  { Store(file).put_accuracy("key", 0.5); }
  {
    Database old(file);
    old.execute(
        "ALTER TABLE families DROP COLUMN done; ALTER TABLE variants DROP COLUMN recipe;"
        "ALTER TABLE families DROP COLUMN layout; ALTER TABLE families DROP COLUMN settled;"
        "DROP TABLE run_times; DROP TABLE speeds; DROP TABLE stalls; DROP TABLE cuts; DROP TABLE energies; DROP TABLE "
        "detections; ALTER "
        "TABLE variants DROP COLUMN exits;"
        "DROP TABLE slow_downs; ALTER TABLE times DROP COLUMN cores_used; PRAGMA user_version = 1");
    old.execute("INSERT INTO families (key, task) VALUES ('old', 'faces')");
  }
  Store store(file);
  EXPECT_EQ(store.accuracy("key"), 0.5);
  ASSERT_TRUE(store.family("old"));
  EXPECT_TRUE(store.family("old")->done.empty());
  StoredFamily family;
  family.done = {"source", "w0.5 with options"};
  family.layout = "what they share";
  family.settled = "all of them";
  family.variants.resize(1);
  family.variants[0].recipe = "w0.5 with options";
  store.put_family("old", "faces", family);
  EXPECT_EQ(store.family("old")->done, family.done);
  EXPECT_EQ(store.family("old")->variants[0].recipe, family.done[1]);
  EXPECT_EQ(store.family("old")->layout, family.layout);
  EXPECT_EQ(store.family("old")->settled, family.settled);
  family.variants[0].location = "variants/a.onnx";
  store.put_family("old", "faces", family);
  EXPECT_THAT(store.locations_except({"other"}), testing::ElementsAre("variants/a.onnx"));
  EXPECT_TRUE(store.locations_except({"old"}).empty());
}

TEST_F(StoreTest, RefusesAFileThatIsNoDatabase) {
  folder.write("profile.sqlite", std::string(5000, 'x'));
  EXPECT_THAT(error_of([&] { Store store(file); }),
              AllOf(HasSubstr(file.string()), HasSubstr("damaged"), HasSubstr("delete it")));
}

TEST_F(StoreTest, RefusesADamagedFile) {
  {
    Store store(file);
    for (int i = 0; i < 50; ++i) store.put_times("key" + std::to_string(i), std::string(200, 'w'), some_times());
  }
  std::fstream damage(file, std::ios::in | std::ios::out | std::ios::binary);
  damage.seekp(4096 + 100);
  const std::string rubbish(60'000, '\x5a');
  damage.write(rubbish.data(), static_cast<std::streamsize>(rubbish.size()));
  damage.close();
  EXPECT_THAT(error_of([&] { Store store(file); }),
              AllOf(HasSubstr(file.string()), HasSubstr("damaged"), HasSubstr("delete it")));
}

TEST_F(StoreTest, RefusesAnotherProgramsDatabase) {
  { Database(file).execute("CREATE TABLE songs (name TEXT)"); }
  EXPECT_THAT(error_of([&] { Store store(file); }), AllOf(HasSubstr(file.string()), HasSubstr("not a profile store")));
}

TEST_F(StoreTest, RefusesAFolderThatIsNotThere) {
  EXPECT_THAT(error_of([&] { Store store(folder.path() / "no" / "profile.sqlite"); }), HasSubstr("cannot open"));
}

/// No file of this process may grow beyond so many bytes: what a full disk looks like.
class FullDisk {
 public:
  explicit FullDisk(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &before_);
    rlimit limit = before_;
    limit.rlim_cur = bytes;
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FullDisk() {
    setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_{};
  void (*handler_)(int);
};

TEST_F(StoreTest, StoresNothingHalfOnAFullDisk) {
  { Store(file).put_family("old", "faces", small_family()); }
  StoredFamily large = small_family();
  for (int i = 0; i < 5000; ++i)
    large.refused.push_back("level " + std::to_string(i) + " is too slow by far, and takes its room in the file");
  {
    Store store(file);
    FullDisk full(100'000);
    EXPECT_THAT(error_of([&] { store.put_family("new", "faces", large); }),
                AllOf(HasSubstr(file.string()), HasSubstr("cannot write"), HasSubstr("nothing was stored")));
  }
  Store store(file);
  EXPECT_TRUE(store.family("old"));
  EXPECT_FALSE(store.family("new"));
  store.put_family("new", "faces", large);
  EXPECT_EQ(store.family("new")->refused.size(), large.refused.size());
}

TEST_F(StoreTest, StartsAnewAfterAFullDiskAtCreation) {
  {
    FullDisk full(0);
    EXPECT_THAT(error_of([&] { Store store(file); }), HasSubstr("cannot write"));
  }
  Store store(file);
  store.put_accuracy("key", 1);
  EXPECT_EQ(store.accuracy("key"), 1);
}

TEST_F(StoreTest, TakesOverTimesOfTheSchemaWithoutPairs) {
  { Store(file).put_times("key", "faces int8", some_times()); }
  Database(file).execute(
      "DROP TABLE slow_downs; ALTER TABLE times DROP COLUMN cores_used; DROP TABLE energies; DROP TABLE detections; "
      "ALTER TABLE variants "
      "DROP COLUMN exits; PRAGMA user_version = "
      "7");
  Store store(file);
  ASSERT_TRUE(store.times("key"));
  EXPECT_EQ(store.times("key")->busy, some_times().busy);
  EXPECT_EQ(store.times("key")->cores_used, 0) << "not known";
  EXPECT_FALSE(store.slow_down("pair"));
}

TEST_F(StoreTest, KeepsSlowDownsAndForgetsOnesThatMakeNoSense) {
  Store(file).put_slow_down("pair", "faces beside text", 1.25);
  Store store(file);
  EXPECT_EQ(store.slow_down("pair"), 1.25);
  EXPECT_FALSE(store.slow_down("other"));
  for (const char* factor : {"0", "-1", "9e999", "'x'"}) {
    Database(file).execute(("UPDATE slow_downs SET factor = " + std::string(factor)).c_str());
    EXPECT_FALSE(store.slow_down("pair")) << factor;
  }
}

TEST_F(StoreTest, KeepsEnergiesAndForgetsOnesThatMakeNoSense) {
  Store(file).put_energy("key", "faces int8 infer", {0.0015, 300us});
  Store store(file);
  ASSERT_TRUE(store.energy("key"));
  EXPECT_EQ(store.energy("key")->joules, 0.0015);
  EXPECT_EQ(store.energy("key")->lasts, 300us);
  EXPECT_NEAR(store.energy("key")->watts(), 5, 1e-9);
  EXPECT_FALSE(store.energy("other"));
  store.put_energy("none", "faces int8 pre", {});
  EXPECT_EQ(store.energy("none")->watts(), 0) << "known not to be known";
  for (const char* damage : {"joules = -1", "joules = 9e999", "joules = 1, ns = -5"}) {
    Database(file).execute(("UPDATE energies SET " + std::string(damage)).c_str());
    EXPECT_FALSE(store.energy("key")) << damage;
  }
}

TEST_F(StoreTest, TakesOverTimesOfTheSchemaWithoutEnergies) {
  { Store(file).put_times("key", "faces int8", some_times()); }
  Database(file).execute("DROP TABLE energies; PRAGMA user_version = 10");
  Store store(file);
  EXPECT_EQ(store.times("key")->busy, some_times().busy);
  EXPECT_FALSE(store.energy("key"));
  store.put_energy("key", "faces int8", {1, 1s});
  EXPECT_EQ(store.energy("key")->joules, 1);
}

TEST_F(StoreTest, KeepsWhereModelsAreCut) {
  {
    Store store(file);
    EXPECT_FALSE(store.segmentations("k"));
    store.put_segmentations("k", "faces on gpu", {{12}, {4, 12, 30}});
    store.put_segmentations("none", "speech on gpu", {});
  }
  Store store(file);
  ASSERT_TRUE(store.segmentations("k"));
  EXPECT_EQ(*store.segmentations("k"), (std::vector<std::vector<int>>{{12}, {4, 12, 30}}));
  ASSERT_TRUE(store.segmentations("none"));
  EXPECT_TRUE(store.segmentations("none")->empty());
  for (const char* places : {"1 x", "", "3\n\n4"}) {
    Database(file).execute(("UPDATE cuts SET places = '" + std::string(places) + "' WHERE key = 'k'").c_str());
    const auto cuts = store.segmentations("k");
    EXPECT_TRUE(!cuts || cuts->empty()) << places;
  }
}

}  // namespace
}  // namespace rtmdl
