#include "model/sliced_weights.h"

#include "base/atomic_file.h"
#include "base/hash.h"
#include "models.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rtmdl/error.h>

#include <filesystem>
#include <numeric>

#include <fmt/format.h>

#include <stdlib.h>

namespace rtmdl {
namespace {

using testing::AnyOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;
namespace fs = std::filesystem;

std::string message_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::bad_input);
    EXPECT_EQ(std::string(e.what()).find('\n'), std::string::npos);
    return e.what();
  }
  return "accepted";
}

TEST(Positions, AreWrittenAsRanges) {
  EXPECT_EQ(positions_text(std::vector<std::int64_t>{0, 1, 2, 3}), "0-3");
  EXPECT_EQ(positions_text(std::vector<std::int64_t>{5}), "5");
  EXPECT_EQ(positions_text(std::vector<std::int64_t>{0, 1, 64, 70, 71, 72, 3, 2}), "0-1,64,70-72,3,2");
  EXPECT_THAT(parse_positions("0-1,64,70-72,3,2", 73), ElementsAre(0, 1, 64, 70, 71, 72, 3, 2));
}

TEST(Positions, SayWhatIsWrongWithThem) {
  const auto refusal = [](const std::string& text, std::int64_t extent) {
    return message_of([&] { (void)parse_positions(text, extent); });
  };
  EXPECT_EQ(refusal("0-9", 9), "position 9 is taken, but the stored axis has 9");
  EXPECT_EQ(refusal("0-3,2", 9), "position 2 is taken twice");
  EXPECT_EQ(refusal("3-0", 9), "the range '3-0' in the positions goes down");
  EXPECT_EQ(refusal("0,x", 9), "'x' in the positions '0,x' is not a number");
  EXPECT_EQ(refusal("", 9), "'' in the positions '' is not a number");
  EXPECT_EQ(refusal("1,", 9), "'' in the positions '1,' is not a number");
  EXPECT_EQ(refusal("0-99999999999999999999", 9),
            "'99999999999999999999' in the positions '0-99999999999999999999' is not a number");
  EXPECT_EQ(refusal("0-999999999999999999", 9), "position 999999999999999999 is taken, but the stored axis has 9");
}

TEST(TensorSlices, TakeWhatWasAskedForAlongEveryAxis) {
  std::string stored(2 * 3 * 4, '\0');
  std::iota(stored.begin(), stored.end(), '\0');
  const auto bytes = [&](const TensorSlice& s) {
    const std::string cut = cut_slice(s, 1, stored);
    return std::vector<int>(cut.begin(), cut.end());
  };
  EXPECT_EQ(bytes({{2, 3, 4}, {}}).size(), 24u);
  EXPECT_THAT(bytes({{2, 3, 4}, {{1}, {2, 0}, {0, 3}}}), ElementsAre(20, 23, 12, 15));
  EXPECT_THAT(bytes({{2, 3, 4}, {{}, {1}}}), ElementsAre(4, 5, 6, 7, 16, 17, 18, 19));
  EXPECT_THAT(bytes({{6, 4}, {{5, 0, 1}, {}}}), ElementsAre(20, 21, 22, 23, 0, 1, 2, 3, 4, 5, 6, 7));
  EXPECT_THAT(cut_slice({{4, 3}, {{2}, {1}}}, 2, stored), std::string({14, 15}));
  EXPECT_EQ(cut_slice({{}, {}}, 4, "abcd"), "abcd");
}

TEST(TensorSlices, ReadOnlyTheRowsThatAreNeeded) {
  std::vector<std::pair<std::int64_t, std::size_t>> reads;
  (void)read_slice({{10, 4}, {{0, 1, 7}, {2}}}, 2,
                   [&](std::int64_t offset, std::span<char> to) { reads.emplace_back(offset, to.size()); });
  EXPECT_THAT(reads, ElementsAre(std::pair(0, 16u), std::pair(56, 8u)));
}

TEST(TensorSlices, RefuseShapesThatOverflow) {
  const std::int64_t large = std::int64_t{1} << 40;
  EXPECT_THAT(message_of([&] { (void)tensor_bytes(std::vector{large, large}, 4); }), HasSubstr("more bytes"));
  EXPECT_EQ(tensor_bytes(std::vector{large, std::int64_t{0}}, 4), 0);
}

/// A model of two convolutions whose weights are slices of larger ones in a weights file.
class SlicedWeights : public testing::Test {
 protected:
  SlicedWeights() {
    std::string name = (fs::temp_directory_path() / "rtmdl-slices-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
    const std::vector<std::int64_t> shape{16, 8, 3, 3};
    test::ModelMaker maker;
    const onnx::TensorProto large = [&] {
      const std::string w = maker.weights(shape);
      return *Links(maker.model()).constant(w);
    }();
    stored_ = large.raw_data();
    const std::string content = std::string(8, 'h') + stored_;
    file_ = {
        sha256(content).substr(0, 16) + ".weights", static_cast<std::int64_t>(content.size()), sha256(content), {}};
    write_file_atomically(folder_ / file_.location, content);

    test::ModelMaker m;
    const std::string x = m.input("x", {1, 3, 8, 8});
    m.output(m.node("Relu", {m.conv(m.conv(x, 3, 8, 3, 1, 1, false), 8, 16, 3, 1, 1, false)}));
    plain_ = m.model();
    slices_ = {{shape, {{0, 1, 2, 5, 9, 10, 11, 3}, {6, 0, 1}}}, {shape, {}}};
    for (int i = 0; i < 2; ++i) {
      auto& tensor = *plain_.graph().mutable_initializer(i);
      tensor.set_raw_data(cut_slice(slices_[static_cast<std::size_t>(i)], 4, stored_));
    }
  }
  ~SlicedWeights() override { fs::remove_all(folder_); }

  [[nodiscard]] Model light(const WeightsFile& file) const {
    Model model = plain_;
    for (int i = 0; i < 2; ++i) {
      auto& tensor = *model.graph().mutable_initializer(i);
      const std::string digest = tensor_digest(tensor.raw_data());
      refer_to_slice(tensor, {file.location, 8, slices_[static_cast<std::size_t>(i)], "conv.weight"}, digest);
    }
    set_weights_files(model.proto, {file});
    return model;
  }
  fs::path write(const Model& model) const {
    const fs::path path = folder_ / "level.onnx";
    write_file_atomically(path, model.proto.SerializeAsString());
    return path;
  }
  static std::string& value_of(Model& model, int tensor, const std::string& key) {
    for (auto& entry : *model.graph().mutable_initializer(tensor)->mutable_external_data())
      if (entry.key() == key) return *entry.mutable_value();
    throw std::logic_error(key);
  }
  std::string refusal_with(int tensor, const std::string& key, const std::string& value) const {
    Model model = light(file_);
    value_of(model, tensor, key) = value;
    return refusal(write(model));
  }
  static std::string refusal(const fs::path& path) {
    const std::string message = message_of([&] { (void)load_model(path); });
    if (message == "accepted") return message;
    EXPECT_THAT(message, StartsWith(path.string() + ": "));
    return message.substr(path.string().size() + 2);
  }

  fs::path folder_;
  std::string stored_;
  WeightsFile file_;
  std::vector<TensorSlice> slices_;
  Model plain_;
};

TEST_F(SlicedWeights, GiveBackTheModelAsItWas) {
  const fs::path path = write(light(file_));
  EXPECT_TRUE(is_sliced_file(path));
  EXPECT_LT(fs::file_size(path), 2000u);
  EXPECT_EQ(serialize(load_model(path)), serialize(plain_));
  EXPECT_THAT(model_files(path), ElementsAre(path, folder_ / file_.location));
  save_model(plain_, folder_ / "plain.onnx");
  EXPECT_FALSE(is_sliced_file(folder_ / "plain.onnx"));
  EXPECT_FALSE(is_sliced_file(folder_ / "none.onnx"));
  EXPECT_FALSE(is_sliced_file(folder_));
}

TEST_F(SlicedWeights, MayBeInAFileAnywhere) {
  fs::create_directories(folder_ / "elsewhere");
  fs::rename(folder_ / file_.location, folder_ / "elsewhere" / "source.onnx");
  for (const fs::path& path : {fs::path("elsewhere/source.onnx"), folder_ / "elsewhere" / "source.onnx",
                               fs::path("../") / folder_.filename() / "elsewhere/source.onnx"}) {
    file_.path = path;
    const fs::path level = write(light(file_));
    EXPECT_EQ(serialize(load_model(level)), serialize(plain_)) << path;
    EXPECT_THAT(model_files(level), ElementsAre(level, folder_ / "elsewhere" / "source.onnx"));
  }
}

TEST_F(SlicedWeights, SayThatTheirFileIsMissingOrAnother) {
  const fs::path path = write(light(file_)), weights = folder_ / file_.location;
  const std::string content = read_file(weights);
  fs::remove(weights);
  EXPECT_EQ(refusal(path), fmt::format("weights 'w0': they are in {}, which cannot be read: No such file or directory",
                                       weights.string()));
  write_file_atomically(weights, content + "x");
  EXPECT_EQ(refusal(path), fmt::format("weights 'w0': they are in {}, which has {} bytes now instead of {}: it is "
                                       "another file",
                                       weights.string(), content.size() + 1, content.size()));
  std::string other = content;
  other[100] ^= 1;
  write_file_atomically(weights, other);
  EXPECT_THAT(refusal(path), HasSubstr("('conv.weight'), whose content is another now"));
  fs::remove(weights);
  fs::create_directory(weights);
  EXPECT_THAT(refusal(path), HasSubstr("which is not a file"));
}

TEST_F(SlicedWeights, SayWhatIsWrongWithASlice) {
  EXPECT_EQ(refusal_with(0, "taken.0", "0-2,5,9-11,16"),
            "weights 'w0': position 16 is taken, but the stored axis has 16");
  EXPECT_EQ(refusal_with(0, "taken.0", "0-3"), "weights 'w0': the slice has the shape [4, 3, 3, 3], not [8, 3, 3, 3]");
  EXPECT_THAT(refusal_with(0, "taken.0", "0-7"), HasSubstr("gives other values than were stored"));
  EXPECT_EQ(refusal_with(0, "stored", "16,8,3"),
            "weights 'w0': the stored tensor has 4608 bytes where its shape needs 1536");
  EXPECT_EQ(refusal_with(0, "stored", "9999999999999,9999999999999"),
            "weights 'w0': the shape stands for more bytes than there can be");
  EXPECT_EQ(refusal_with(0, "stored", "16,-8,3,3"), "weights 'w0': '16,-8,3,3' is not a shape");
  EXPECT_THAT(refusal_with(0, "offset", "9"), HasSubstr("4608 bytes from byte 9 on of "));
  EXPECT_THAT(refusal_with(0, "offset", "9223372036854775807"), HasSubstr("which has 4616"));
  EXPECT_EQ(refusal_with(0, "offset", "99999999999999999999"), "weights 'w0': 'offset' and 'length' must be numbers");
  EXPECT_EQ(refusal_with(0, "location", "other.weights"), "weights 'w0': no weights file is named 'other.weights'");
  EXPECT_THAT(refusal_with(1, "digest", "0"), HasSubstr("the model is damaged"));

  Model model = light(file_);
  for (auto& entry : *model.graph().mutable_initializer(0)->mutable_external_data())
    if (entry.key() == "taken.0") entry.set_key("taken.4");
  EXPECT_EQ(refusal(write(model)), "weights 'w0': positions along axis '4' of a tensor with 4 axes");

  model = light(file_);
  model.proto.mutable_metadata_props(0)->set_value("2");
  EXPECT_EQ(refusal(write(model)), "its weights are stored in the form '2', this rtmdl reads 1; update it");
}

/// Every key and value changed at random: one clear error, or the model as it was.
TEST_F(SlicedWeights, SurviveMutation) {
  const std::string whole = serialize(plain_);
  const Model good = light(file_);
  const std::vector<std::string> values{"",
                                        "0",
                                        "-1",
                                        "1",
                                        "0-1",
                                        "18446744073709551616",
                                        "9223372036854775807",
                                        "16",
                                        "16,8,3,3",
                                        "0,0,0,0",
                                        "0,99999999999999999",
                                        ",",
                                        "-",
                                        "..",
                                        "/",
                                        "0-15,0",
                                        file_.location,
                                        "taken.1",
                                        "taken.99999999999999999999",
                                        "stored"};
  std::mt19937 random(3);
  int accepted = 0;
  for (int round = 0; round < 3000; ++round) {
    Model model = good;
    for (int change = 0; change < 1 + static_cast<int>(random() % 3); ++change) {
      std::vector<std::string*> texts;
      for (auto& tensor : *model.graph().mutable_initializer())
        for (auto& entry : *tensor.mutable_external_data()) {
          texts.push_back(entry.mutable_key());
          texts.push_back(entry.mutable_value());
        }
      for (auto& entry : *model.proto.mutable_metadata_props()) {
        texts.push_back(entry.mutable_key());
        texts.push_back(entry.mutable_value());
      }
      std::string& text = *texts[random() % texts.size()];
      switch (random() % 5) {
        case 0: text = values[random() % values.size()]; break;
        case 1: text = *texts[random() % texts.size()]; break;
        case 2: text = text.substr(0, text.empty() ? 0 : random() % text.size()); break;
        case 3:
          if (!text.empty()) text[random() % text.size()] = static_cast<char>('!' + random() % 90);
          break;
        default: text.insert(random() % (text.size() + 1), std::to_string(random() % 1000));
      }
      auto& tensor = *model.graph().mutable_initializer(static_cast<int>(random() % 2));
      if (random() % 4 == 0)
        tensor.set_dims(static_cast<int>(random() % 4), static_cast<std::int64_t>(random() % 40) - 2);
      if (random() % 8 == 0) tensor.set_data_type(static_cast<int>(random() % 24));
    }
    try {
      const Model loaded = parse_model(model.proto.SerializeAsString(), "level.onnx", folder_);
      ASSERT_TRUE(loaded.graph().initializer(0).raw_data() == plain_.graph().initializer(0).raw_data());
      ASSERT_TRUE(loaded.graph().initializer(1).raw_data() == plain_.graph().initializer(1).raw_data());
      ++accepted;
    } catch (const Error& e) {
      ASSERT_EQ(e.code(), ErrorCode::bad_input);
      ASSERT_EQ(std::string(e.what()).find('\n'), std::string::npos) << e.what();
    }
  }
  EXPECT_GT(accepted, 50);  // where only a name for messages changed, or a value became what it was
}

}  // namespace
}  // namespace rtmdl
