/// Training as the main command has it: through the plug-in, in a program that does not link libtorch.

#include "scaling/load_fine_tuner.h"

#include "scaling/run_model.h"
#include "training/small_models.h"

#include <gmock/gmock.h>
#include <rtmdl/error.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace rtmdl::test {
namespace {

using testing::HasSubstr;

std::string loaded_libraries() {
  std::ifstream maps("/proc/self/maps");
  return {std::istreambuf_iterator<char>(maps), {}};
}

const std::filesystem::path kPlugIn = std::filesystem::path(RTMDL_BINARY_DIR) / "librtmdl_training.so";

/// In the order of the file: once the library is there it stays.
TEST(LoadFineTuner, SaysWhatIsMissing) {
  EXPECT_THAT(loaded_libraries(), testing::Not(HasSubstr("libtorch")));
  ::setenv("RTMDL_TRAINING_LIBRARY", "/nowhere/librtmdl_training.so", 1);
  LoadedFineTuner loaded = load_fine_tuner();
  EXPECT_EQ(loaded.tuner, nullptr);
  EXPECT_EQ(loaded.reason,
            "librtmdl_training.so is not there (looked for at /nowhere/librtmdl_training.so): install libtorch "
            "(scripts/setup --training) and build again");
  const Folder folder;
  const std::filesystem::path broken = folder.path() / "broken.so";
  std::ofstream(broken) << "no library";
  ::setenv("RTMDL_TRAINING_LIBRARY", broken.c_str(), 1);
  EXPECT_THAT(load_fine_tuner().reason,
              testing::AllOf(HasSubstr("broken.so cannot be loaded: "), testing::Not(HasSubstr("\n"))));
  // ONNX Runtime's is a library, though not this one.
  const std::filesystem::path other =
      std::filesystem::path(RTMDL_SOURCE_DIR) / "assets/onnxruntime/lib/libonnxruntime.so.1";
  if (!std::filesystem::exists(other)) return;
  ::setenv("RTMDL_TRAINING_LIBRARY", other.c_str(), 1);
  EXPECT_THAT(load_fine_tuner().reason, HasSubstr("has version 'none', this program needs '"));
}

TEST(LoadFineTuner, ModelsResultsAndErrorsCross) {
  if (!std::filesystem::exists(kPlugIn)) GTEST_SKIP() << "built without libtorch";
  ::setenv("RTMDL_TRAINING_LIBRARY", kPlugIn.c_str(), 1);
  const LoadedFineTuner loaded = load_fine_tuner();
  ASSERT_NE(loaded.tuner, nullptr) << loaded.reason;

  Model model = classifier(4, 8);
  Pictures data(200);
  FineTuneRequest request;
  request.students.push_back({&model, {}, false, {}});
  request.data = &data;
  request.options.epochs = 2;
  request.options.batch = 32;
  request.options.threads = 1;
  int reports = 0;
  Context context;
  context.progress = [&](const std::string&, double) { ++reports; };
  const FineTuneResult result = loaded.tuner->tune(request, context);
  EXPECT_TRUE(result.finished);
  EXPECT_LT(result.loss_after, result.loss_before);
  EXPECT_GT(reports, 0);
  EXPECT_NE(weights(model, "a.w"), weights(classifier(4, 8), "a.w"));

  const Folder folder;
  const LoadRequest trained = at(folder.save(model, "trained.onnx"), {{"image", {1, 1, 28, 28}}});
  EXPECT_EQ(outputs(trained, {data.at(0).inputs}).at(0).size(), 10U);

  request.options.learning_rate = -1;
  try {
    (void)loaded.tuner->tune(request, {});
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::bad_input);
    EXPECT_STREQ(e.what(), "small: learning rate of -1: 0 or more is accepted");
  }
  GraphWriter w;
  w.input("x", {1});
  w.node("Multinomial", {"x"}, {"y"});
  w.output("y", {1});
  EXPECT_EQ(loaded.tuner->refuses(w.take()),
            "operator 'Multinomial' (node 'y_Multinomial') has no counterpart in training");
}

}  // namespace
}  // namespace rtmdl::test
