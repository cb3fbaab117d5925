#include "fixtures.h"

#include "data/random.h"
#include "data/resample.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numbers>
#include <set>

#include <gmock/gmock.h>
#include <sndfile.h>

namespace rtmdl {
namespace {

using test::Folder;
using testing::AllOf;
using testing::HasSubstr;

std::vector<float> sine(double hertz, int rate, std::size_t n, double amplitude = 0.5) {
  std::vector<float> samples(n);
  for (std::size_t i = 0; i < n; ++i)
    samples[i] = static_cast<float>(amplitude * std::sin(2 * std::numbers::pi * hertz * static_cast<double>(i) / rate));
  return samples;
}

void write_wav(const std::filesystem::path& file, const std::vector<float>& samples, int rate, int channels = 1) {
  SF_INFO info{};
  info.samplerate = rate;
  info.channels = channels;
  info.format = SF_FORMAT_WAV | SF_FORMAT_FLOAT;
  SNDFILE* out = sf_open(file.c_str(), SFM_WRITE, &info);
  ASSERT_NE(out, nullptr);
  sf_write_float(out, samples.data(), static_cast<sf_count_t>(samples.size()));
  sf_close(out);
}

std::vector<float> counting(std::size_t n, float first = 1) {
  std::vector<float> samples(n);
  for (std::size_t i = 0; i < n; ++i) samples[i] = first + static_cast<float>(i);
  return samples;
}

class ResampledSine : public testing::TestWithParam<std::pair<int, int>> {};

TEST_P(ResampledSine, KeepsItsFrequencyPhaseAndAmplitude) {
  const auto [from, to] = GetParam();
  Random random(static_cast<std::uint64_t>(from + to));
  for (int round = 0; round < 5; ++round) {
    const double hertz = random.between(50, 0.85 * std::min(from, to) / 2);
    const auto result = resample(sine(hertz, from, static_cast<std::size_t>(from)), from, to);
    ASSERT_EQ(result.size(), static_cast<std::size_t>(to));
    const auto wanted = sine(hertz, to, result.size());
    const std::size_t edge = static_cast<std::size_t>(to) / 10;  // the filter sees zeros beyond the ends
    for (std::size_t i = edge; i + edge < result.size(); ++i)
      ASSERT_NEAR(result[i], wanted[i], 1e-3) << hertz << " Hz, sample " << i;
  }
}

TEST_P(ResampledSine, IsSuppressedAboveTheNewNyquistFrequency) {
  const auto [from, to] = GetParam();
  if (to >= from) GTEST_SKIP() << "nothing lies above";
  const double hertz = 1.02 * to / 2.0 + 0.1 * (from - to) / 2.0;
  const auto result = resample(sine(hertz, from, static_cast<std::size_t>(from)), from, to);
  const std::size_t edge = result.size() / 10;
  for (std::size_t i = edge; i + edge < result.size(); ++i) ASSERT_LT(std::abs(result[i]), 1e-3) << hertz << " Hz";
}

INSTANTIATE_TEST_SUITE_P(Rates, ResampledSine,
                         testing::Values(std::pair{48000, 16000}, std::pair{44100, 16000}, std::pair{8000, 16000},
                                         std::pair{22050, 16000}, std::pair{16000, 11025}));

TEST(Resample, KeepsSilenceConstantsAndEqualRates) {
  const std::vector<float> constant(4000, 0.25f);
  const auto result = resample(constant, 44100, 16000);
  for (std::size_t i = 100; i + 100 < result.size(); ++i) ASSERT_NEAR(result[i], 0.25f, 1e-6);
  EXPECT_EQ(resample(constant, 16000, 16000), constant);
  EXPECT_TRUE(resample({}, 44100, 16000).empty());
}

TEST(AudioSource, PutsTheEndOfThePreviousWindowBeforeEach) {
  Folder folder;
  write_wav(folder.path("a.wav"), counting(300), 16000);
  const auto source = open_source(folder.config("{source: audio, path: a.wav, window: 10, context: 4}"), 1);
  const Frame first = source->read(Split::calibration, 0), second = source->read(Split::calibration, 1);
  EXPECT_EQ(first.tensor.shape, (std::vector<std::int64_t>{1, 14}));
  EXPECT_TRUE(first.restart);
  EXPECT_FALSE(second.restart);
  const auto a = first.tensor.as<float>(), b = second.tensor.as<float>();
  EXPECT_EQ(std::vector<float>(a.begin(), a.begin() + 5), (std::vector<float>{0, 0, 0, 0, 1}));
  EXPECT_EQ(std::vector<float>(b.begin(), b.begin() + 5), (std::vector<float>{7, 8, 9, 10, 11}));
}

TEST(AudioSource, PlaysWindowsInOrderAndRestartsAtEachFile) {
  Folder folder;
  for (int f = 0; f < 4; ++f)
    write_wav(folder.path(std::to_string(f) + ".wav"), counting(100, static_cast<float>(1000 * (f + 1))), 16000);
  const auto source = open_source(folder.config("{source: audio, path: ., window: 10, context: 0}"), 1);
  ASSERT_EQ(source->size(Split::stream), 30u);  // three of the four files; one calibrates
  float before = 0;
  for (std::size_t i = 0; i < 30; ++i) {
    const Frame frame = source->read(Split::stream, i);
    EXPECT_EQ(frame.restart, i % 10 == 0);
    const float at = frame.tensor.as<float>()[0];
    EXPECT_GT(at, before);
    if (!frame.restart) {
      EXPECT_EQ(at, before + 10);
    }
    before = at;
  }
}

TEST(AudioSource, FilesThatCalibrateDoNotEvaluate) {
  Folder folder;
  for (int f = 0; f < 5; ++f)
    write_wav(folder.path(std::to_string(f) + ".wav"), std::vector<float>(100, static_cast<float>(f + 1)), 16000);
  const auto source = open_source(folder.config("{source: audio, path: ., window: 10, context: 0}"), 1);
  const auto files_of = [&](Split split, std::size_t n) {
    std::set<float> seen;
    for (std::size_t i = 0; i < n; ++i) seen.insert(source->read(split, i).tensor.as<float>()[0]);
    return seen;
  };
  const auto calibration = files_of(Split::calibration, 10), evaluation = files_of(Split::evaluation, 40);
  EXPECT_EQ(calibration.size(), 1u);
  EXPECT_EQ(evaluation.size(), 4u);
  EXPECT_EQ(evaluation.count(*calibration.begin()), 0u);
}

TEST(AudioSource, OneFileIsSplitByTimeAndPlayedAgainWithOtherOffsetsUntilThereAreEnoughWindows) {
  Folder folder;
  write_wav(folder.path("a.wav"), counting(300), 16000);
  const auto source = open_source(folder.config("{source: audio, path: a.wav, window: 10, context: 0}"), 1);
  ASSERT_EQ(source->size(Split::evaluation), 200u);
  EXPECT_EQ(source->read(Split::evaluation, 0).tensor.as<float>()[0], 101);  // the first third calibrates
  EXPECT_TRUE(source->read(Split::evaluation, 20).restart);                  // second pass
  const Frame again = source->read(Split::evaluation, 20);
  EXPECT_NE(again.tensor.as<float>()[0], 101);
}

TEST(AudioSource, ShiftedWindowsOfAShortFileAreNotSilence) {
  Folder folder;
  for (const char* name : {"a.wav", "b.wav"}) write_wav(folder.path(name), counting(100), 16000);
  const auto source = open_source(folder.config("{source: audio, path: ., context: 0}"), 1);
  for (std::size_t i = 0; i < source->size(Split::evaluation); ++i) {
    const Frame frame = source->read(Split::evaluation, i);
    const auto samples = frame.tensor.as<float>();
    ASSERT_GE(512 - std::count(samples.begin(), samples.end(), 0.0f), 100) << i;
  }
}

TEST(AudioSource, MixesChannelsAndResamples) {
  Folder folder;
  const auto left = sine(440, 48000, 48000);
  std::vector<float> stereo;
  for (const float v : left) {
    stereo.push_back(v);
    stereo.push_back(0);
  }
  write_wav(folder.path("a.wav"), stereo, 48000, 2);
  const auto source =
      open_source(folder.config("{source: audio, path: a.wav, rate: 16 kHz, window: 4000, context: 0}"), 1);
  const Frame frame = source->read(Split::calibration, 0);
  const auto wanted = sine(440, 16000, 4000, 0.25);
  for (std::size_t i = 200; i < 4000; ++i) ASSERT_NEAR(frame.tensor.as<float>()[i], wanted[i], 2e-3);
}

/// Each file holds one value throughout; what it is tells the file.
void write_constant(const Folder& folder, const std::string& name, float value, std::size_t samples = 30) {
  std::filesystem::create_directories(folder.path(name).parent_path());
  write_wav(folder.path(name), std::vector<float>(samples, value), 16000);
}

/// Values of the frames of a split -> their labels. Later passes are a little louder or softer: they are rounded.
std::map<int, int> labels_by_value(Source& source, Split split) {
  std::map<int, int> found;
  for (std::size_t i = 0; i < source.size(split); ++i) {
    const Frame frame = source.read(split, i);
    const auto value = static_cast<int>(std::lround(std::log(frame.tensor.as<float>()[0]) / std::log(2.0)));
    EXPECT_TRUE(found.try_emplace(value, frame.labels.at(0)).first->second == frame.labels.at(0));
  }
  return found;
}
float coded(int value) { return std::exp2(static_cast<float>(value)); }

TEST(AudioSource, OfUrbanSound8kEvaluatesFoldTenAndReadsTheClassFromTheName) {
  for (const char* at : {"", "audio/"}) {
    Folder folder;
    write_constant(folder, std::string(at) + "fold1/100032-3-0-0.wav", coded(1));
    write_constant(folder, std::string(at) + "fold9/7-9-12-3.wav", coded(2), 95);
    write_constant(folder, std::string(at) + "fold10/8-5-0-0.wav", coded(3));
    const auto source = open_source(folder.config("{source: audio, path: ., labels: urbansound8k, window: 10}"), 1);
    EXPECT_TRUE(source->labelled());
    EXPECT_EQ(source->classes(), 10);
    EXPECT_EQ(source->read(Split::training, 0).tensor.shape, (std::vector<std::int64_t>{1, 10}));  // no context
    EXPECT_EQ(labels_by_value(*source, Split::training), (std::map<int, int>{{1, 3}, {2, 9}}));
    EXPECT_EQ(labels_by_value(*source, Split::calibration), (std::map<int, int>{{1, 3}, {2, 9}}));
    EXPECT_EQ(labels_by_value(*source, Split::evaluation), (std::map<int, int>{{3, 5}}));
    EXPECT_EQ(labels_by_value(*source, Split::stream), (std::map<int, int>{{3, 5}}));
  }
}

TEST(AudioSource, OfRavdessEvaluatesTheLastActorsAndReadsTheEmotionFromTheName) {
  Folder folder;
  write_constant(folder, "Actor_12/03-01-06-01-02-01-12.wav", coded(1));
  write_constant(folder, "Actor_20/03-01-08-01-02-01-20.wav", coded(2));
  write_constant(folder, "Actor_21/03-01-01-01-02-01-21.wav", coded(3));
  write_constant(folder, "Actor_24/03-02-06-01-02-01-24.wav", coded(4));
  const auto source = open_source(folder.config("{source: audio, path: ., labels: ravdess, window: 10}"), 1);
  EXPECT_EQ(source->classes(), 8);
  EXPECT_EQ(labels_by_value(*source, Split::training), (std::map<int, int>{{1, 5}, {2, 7}}));
  EXPECT_EQ(labels_by_value(*source, Split::evaluation), (std::map<int, int>{{3, 0}, {4, 5}}));
}

TEST(AudioSource, FoldersAreClassesAndAFifthOfEachEvaluates) {
  Folder folder;
  folder.write("names.txt", std::string("no\nyes\ngo\n"));
  for (int i = 0; i < 10; ++i) {
    write_constant(folder, "p/go/" + std::to_string(i) + ".wav", coded(i));
    write_constant(folder, "p/yes/" + std::to_string(i) + ".wav", coded(20 + i));
  }
  write_constant(folder, "p/yes/copy.wav", coded(20));
  for (const auto& [more, go] : {std::pair{"", 0}, std::pair{", classes: names.txt", 2}}) {
    const auto source =
        open_source(folder.config("{source: audio, path: p, labels: folders, window: 10" + std::string(more) + "}"), 3);
    const auto learnt = labels_by_value(*source, Split::training),
               evaluated = labels_by_value(*source, Split::evaluation);
    EXPECT_EQ(learnt.size(), 16u);
    EXPECT_EQ(evaluated.size(), 4u);
    for (const auto* seen : {&learnt, &evaluated})
      for (const auto& [value, label] : *seen) EXPECT_EQ(label, value < 20 ? go : 1);
    for (const auto& [value, label] : learnt) EXPECT_FALSE(evaluated.count(value));
  }
}

TEST(AudioSource, SpreadsLabelledWindowsOverAllClasses) {
  Folder folder;
  for (int i = 0; i < 40; ++i) {
    write_constant(folder, "a/" + std::to_string(i) + ".wav", coded(1) + static_cast<float>(i) / 1000, 4000);
    write_constant(folder, "b/" + std::to_string(i) + ".wav", coded(3) + static_cast<float>(i) / 1000, 4000);
  }
  const auto source = open_source(folder.config("{source: audio, path: ., labels: folders, window: 10}"), 1);
  for (const auto& [split, size] :
       {std::pair{Split::calibration, 512u}, std::pair{Split::evaluation, 4096u}, std::pair{Split::stream, 512u}}) {
    ASSERT_EQ(source->size(split), size);
    std::size_t first = 0;
    for (std::size_t i = 0; i < size; ++i) {
      const Frame frame = source->read(split, i);
      first += frame.labels.at(0) == 0;
      EXPECT_TRUE(frame.restart);
    }
    EXPECT_EQ(first, size / 2);
  }
}

TEST(AudioSource, NamesTheLabelledFileThatIsWrong) {
  Folder folder;
  const auto said = [&](const char* labels) {
    return test::complaint([&] {
      (void)open_source(folder.config("source: audio\npath: p\nwindow: 10\nlabels: " + std::string(labels)), 1);
    });
  };
  write_constant(folder, "p/fold1/1-2-0-0.wav", 1);
  EXPECT_THAT(said("urbansound8k"), AllOf(HasSubstr("no sounds that evaluate"), HasSubstr("fold10")));
  write_constant(folder, "p/fold10/1-2-0.wav", 1);
  EXPECT_THAT(said("urbansound8k"),
              AllOf(HasSubstr("tasks.yaml:4: labels: "), HasSubstr("1-2-0.wav' is not named fsID")));
  std::filesystem::remove(folder.path("p/fold10/1-2-0.wav"));
  write_constant(folder, "p/fold10/1-10-0-0.wav", 1);
  EXPECT_THAT(said("urbansound8k"), HasSubstr("has the class 10; 0 to 9 is accepted"));
  EXPECT_THAT(said("ravdess"), HasSubstr("holds no sounds, nor do folders Actor_01"));
  write_constant(folder, "p/03-01-09-01-02-01-12.wav", 1);
  EXPECT_THAT(said("ravdess"), HasSubstr("has the class 9; 1 to 8 is accepted"));
  std::filesystem::remove(folder.path("p/03-01-09-01-02-01-12.wav"));
  write_constant(folder, "p/03-01-08-01-02-01-25.wav", 1);
  EXPECT_THAT(said("ravdess"), HasSubstr("has the actor 25; 1 to 24"));
  EXPECT_THAT(said("folders"), HasSubstr("two files of a class"));
  EXPECT_THAT(said("urbansounds"), HasSubstr("'urbansound8k'"));
  EXPECT_THAT(said("none\nclasses: x.txt"), HasSubstr("is for sounds with `labels: folders`"));
}

TEST(AudioSource, RefusesWhatIsNoSound) {
  Folder folder;
  folder.write("a.wav", std::string("not a sound"));
  EXPECT_THAT(test::complaint([&] { (void)open_source(folder.config("{source: audio, path: .}"), 1); }),
              AllOf(HasSubstr("a.wav' is not a sound"), HasSubstr("path")));
  EXPECT_THAT(test::complaint([&] { (void)open_source(folder.config("{source: audio, path: ., rate: 16000}"), 1); }),
              HasSubstr("no unit"));
  EXPECT_THAT(test::complaint([&] { (void)open_source(folder.config("{source: audio, path: ., windw: 3}"), 1); }),
              HasSubstr("'window'"));
}

TEST(AudioSource, RefusesSamplesThatAreNoNumbers) {
  Folder folder;
  std::vector<float> samples = counting(4000);
  samples[3000] = std::numeric_limits<float>::quiet_NaN();
  write_wav(folder.path("a.wav"), samples, 16000);
  const auto source = open_source(folder.config("{source: audio, path: .}"), 1);
  EXPECT_THAT(test::complaint([&] { (void)source->read(Split::calibration, 0); }),
              AllOf(HasSubstr("path: "), HasSubstr("a.wav' holds samples that are NaN")));
}

TEST(AudioSource, RefusesAFileThatIsTooShortToSplit) {
  Folder folder;
  write_wav(folder.path("a.wav"), counting(15), 16000);
  EXPECT_THAT(test::complaint([&] { (void)open_source(folder.config("{source: audio, path: ., window: 10}"), 1); }),
              AllOf(HasSubstr("too short"), HasSubstr("15 samples"), HasSubstr("20")));
}

}  // namespace
}  // namespace rtmdl
