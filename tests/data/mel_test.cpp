#include "fixtures.h"

#include "allocation_count.h"
#include "data/mel.h"
#include "data/preprocess.h"
#include "data/random.h"

#include <cmath>
#include <complex>
#include <numbers>

#include <fmt/format.h>
#include <gmock/gmock.h>

namespace rtmdl {
namespace {

using testing::AllOf;
using testing::HasSubstr;
constexpr double kPi = std::numbers::pi;

std::vector<float> noise(std::size_t n, std::uint64_t seed) {
  Random random(seed);
  std::vector<float> samples(n);
  for (float& v : samples) v = static_cast<float>(random.between(-1, 1));
  return samples;
}

MelOptions options(const std::string& yaml, bool cepstral = false, int rate = 16000) {
  return parse_mel(test::config(yaml), cepstral, rate);
}

/// [frame][row]
std::vector<std::vector<float>> spectrogram(const MelOptions& o, std::span<const float> samples) {
  MelSpectrogram mel(o, test::config("{}"));
  const std::size_t frames = mel.frames(samples.size()), rows = static_cast<std::size_t>(mel.rows());
  std::vector<float> values(frames * rows);
  mel.run(samples, values.data(), 1, static_cast<std::ptrdiff_t>(rows));
  std::vector<std::vector<float>> result;
  for (std::size_t t = 0; t < frames; ++t)
    result.emplace_back(values.begin() + static_cast<std::ptrdiff_t>(t * rows),
                        values.begin() + static_cast<std::ptrdiff_t>((t + 1) * rows));
  return result;
}

/// The definition, term by term: one frame's bands before the logarithm, from `window` samples that are centred in the
/// transform.
std::vector<double> bands_by_definition(const MelOptions& o, const std::vector<double>& window) {
  const auto mel_of = [&](double f) {
    if (o.scale == MelScale::htk) return 1127.01048 * std::log1p(f / 700);
    return f < 1000 ? f / (200.0 / 3) : 15 + std::log(f / 1000) / (std::log(6.4) / 27);
  };
  std::vector<double> bands;
  std::vector<double> magnitude;
  for (int k = 0; k <= o.fft / 2; ++k) {
    std::complex<double> sum = 0;
    for (int n = 0; n < o.window; ++n)
      sum += window[static_cast<std::size_t>(n)] * (0.5 - 0.5 * std::cos(2 * kPi * n / o.window)) *
             std::polar(1.0, -2 * kPi * k * n / o.fft);
    magnitude.push_back(std::abs(sum));
  }
  for (int b = 0; b < o.bands; ++b) {
    // Corners by bisection of the scale, so that its inverse is not taken on trust.
    double corner[3];
    for (int c = 0; c < 3; ++c) {
      const double wanted = mel_of(o.low) + (mel_of(o.high) - mel_of(o.low)) * (b + c) / (o.bands + 1);
      double least = 0, most = o.rate;
      for (int step = 0; step < 80; ++step) (mel_of((least + most) / 2) < wanted ? least : most) = (least + most) / 2;
      corner[c] = least;
    }
    double sum = 0;
    for (int k = 0; k <= o.fft / 2; ++k) {
      const double f = static_cast<double>(k) * o.rate / o.fft;
      double weight = 0;
      if (f > corner[0] && f <= corner[1]) weight = (f - corner[0]) / (corner[1] - corner[0]);
      else if (f > corner[1] && f < corner[2]) weight = (corner[2] - f) / (corner[2] - corner[1]);
      if (o.scale == MelScale::slaney) weight *= 2 / (corner[2] - corner[0]);
      sum += weight * std::pow(magnitude[static_cast<std::size_t>(k)], o.power);
    }
    bands.push_back(sum);
  }
  return bands;
}

TEST(Mel, IsWhatItsDefinitionSays) {
  const auto samples = noise(1000, 1);
  for (const char* yaml : {"{bands: 20, log: false}", "{bands: 24, scale: slaney, log: false}",
                           "{bands: 10, power: 1, log: false, low: 300 Hz, high: 4 kHz}",
                           "{bands: 16, window: 20 ms, hop: 7 ms, fft: 400, log: false}"}) {
    const MelOptions o = options(yaml);
    const auto found = spectrogram(o, samples);
    ASSERT_EQ(found.size(), static_cast<std::size_t>(1 + (1000 - o.window) / o.hop));
    for (const std::size_t t : {std::size_t{0}, found.size() - 1}) {
      std::vector<double> window;
      for (int n = 0; n < o.window; ++n)
        window.push_back(samples[t * static_cast<std::size_t>(o.hop) + static_cast<std::size_t>(n)]);
      const auto wanted = bands_by_definition(o, window);
      ASSERT_EQ(found[t].size(), wanted.size());
      for (std::size_t b = 0; b < wanted.size(); ++b)
        EXPECT_NEAR(found[t][b], wanted[b], 1e-4 * wanted[b] + 1e-6) << yaml << ", band " << b;
    }
  }
}

TEST(Mel, PadsAtTheEnds) {
  const auto samples = noise(800, 2);
  for (const bool reflect : {false, true}) {
    const MelOptions o = options(fmt::format("{{bands: 12, log: false, padding: {}}}", reflect ? "reflect" : "zeros"));
    const auto found = spectrogram(o, samples);
    ASSERT_EQ(found.size(), 6u);  // 1 + 800 / 160
    for (const int t : {0, 2, 5}) {
      std::vector<double> window;
      for (int n = 0; n < 400; ++n) {
        int at = t * 160 - 200 + n;  // centred
        if (reflect) at = at < 0 ? -at : at >= 800 ? 2 * 799 - at : at;
        window.push_back(at < 0 || at >= 800 ? 0 : samples[static_cast<std::size_t>(at)]);
      }
      const auto wanted = bands_by_definition(o, window);
      for (std::size_t b = 0; b < wanted.size(); ++b)
        EXPECT_NEAR(found[static_cast<std::size_t>(t)][b], wanted[b], 1e-4 * wanted[b] + 1e-6) << t << ", " << b;
    }
  }
}

TEST(Mel, TakesLogarithmsAndAFloor) {
  const auto samples = noise(400, 3);
  const float plain = spectrogram(options("{bands: 8, log: false}"), samples)[0][5];
  EXPECT_NEAR(spectrogram(options("{bands: 8}"), samples)[0][5], std::log(plain), 1e-5);
  EXPECT_NEAR(spectrogram(options("{bands: 8, log: db}"), samples)[0][5], 10 * std::log10(plain), 1e-4);
  const std::vector<float> silence(400, 0.0f);
  EXPECT_NEAR(spectrogram(options("{bands: 8}"), silence)[0][5], std::log(1e-10), 1e-4);
  EXPECT_NEAR(spectrogram(options("{bands: 8, floor: 0.001}"), silence)[0][5], std::log(1e-3), 1e-4);
}

TEST(Mel, AToneLiesInTheBandOfItsFrequency) {
  std::vector<float> tone(1600);
  for (std::size_t n = 0; n < tone.size(); ++n)
    tone[n] = static_cast<float>(std::sin(2 * kPi * 1000 * static_cast<double>(n) / 16000));
  for (const auto& row : spectrogram(options("{bands: 40}"), tone)) {
    const auto best = std::max_element(row.begin(), row.end()) - row.begin();
    // 1000 mel of 2840 at 8 kHz, in steps of 2840 / 41: the band that is centred at 14 or 15 of them.
    EXPECT_NEAR(static_cast<double>(best) + 1, 1000 / (2840.0 / 41), 0.6);
  }
}

TEST(Mfcc, IsTheCosineTransformOfTheBands) {
  const auto samples = noise(400, 4);
  const auto bands = spectrogram(options("{bands: 26}"), samples)[0];
  const auto found = spectrogram(options("{bands: 26, coefficients: 13}", true), samples)[0];
  ASSERT_EQ(found.size(), 13u);
  for (std::size_t c = 0; c < 13; ++c) {
    double wanted = 0;
    for (std::size_t b = 0; b < 26; ++b)
      wanted += bands[b] * std::cos(kPi * static_cast<double>(c) * (2.0 * static_cast<double>(b) + 1) / 52);
    wanted *= std::sqrt((c == 0 ? 1.0 : 2.0) / 26);
    EXPECT_NEAR(found[c], wanted, 1e-3) << c;
  }
}

struct Heard {
  Tensor tensor;
  bool fits = false;
};

Heard prepare(const std::string& pre, std::vector<std::int64_t> shape, const std::vector<float>& samples) {
  const auto preprocess = make_preprocess(test::config(pre), TensorSpec{"x", ElementType::f32, shape}, 16000);
  Frame frame;
  frame.tensor = Tensor(ElementType::f32, {1, static_cast<std::int64_t>(samples.size())});
  std::copy(samples.begin(), samples.end(), frame.tensor.as<float>().begin());
  Heard heard{Tensor(ElementType::f32, std::move(shape)), false};
  Geometry geometry;
  heard.fits = preprocess->run(frame, heard.tensor.view(), geometry);
  return heard;
}

TEST(MelStep, FillsInputsOfEitherOrderAndThenAppliesTheValues) {
  const auto samples = noise(400 + 4 * 160, 5);
  const auto wanted = spectrogram(options("{bands: 8}"), samples);
  for (const std::vector<std::int64_t>& shape :
       std::vector<std::vector<std::int64_t>>{{1, 8, 5}, {8, 5}, {1, 1, 8, 5}, {1, 5, 8}, {1, 1, 5, 8}, {1, 5, 8, 1}}) {
    const Heard heard = prepare("{mel: {bands: 8}, mean: 2, std: 4}", shape, samples);
    ASSERT_TRUE(heard.fits);
    const bool bands_first = shape.back() == 5;
    for (std::size_t t = 0; t < 5; ++t)
      for (std::size_t b = 0; b < 8; ++b)
        EXPECT_NEAR(heard.tensor.as<float>()[bands_first ? b * 5 + t : t * 8 + b], (wanted[t][b] - 2) / 4, 1e-5);
  }
  EXPECT_TRUE(prepare("{mfcc: {coefficients: 5, bands: 20}}", {1, 5, 5}, samples).fits);
  const Heard first = prepare("{mfcc: {coefficients: 5, bands: 20, order: bands_first}}", {1, 5, 5}, samples);
  const Heard last = prepare("{mfcc: {coefficients: 5, bands: 20, order: frames_first}}", {1, 5, 5}, samples);
  EXPECT_EQ(first.tensor.as<float>()[1], last.tensor.as<float>()[5]);
  EXPECT_FALSE(prepare("{mel: {bands: 8}}", {1, 8, 6}, samples).fits);
}

TEST(MelStep, DoesNotAllocateEvenOnTheFirstFrame) {
  if (!test::can_count_allocations()) GTEST_SKIP() << "a sanitizer owns malloc";
  for (const char* pre : {"{mel: {bands: 20}}", "{mfcc: {bands: 40, coefficients: 20, padding: reflect, fft: 600}}"}) {
    const bool padded = std::string(pre).find("reflect") != std::string::npos;
    const std::vector<std::int64_t> shape{1, 20, padded ? 11 : 8};
    const auto preprocess = make_preprocess(test::config(pre), TensorSpec{"x", ElementType::f32, shape}, 16000);
    Frame frame;
    frame.tensor = Tensor(ElementType::f32, {1, 1600});
    Tensor tensor(ElementType::f32, shape);
    const TensorView view = tensor.view();
    Geometry geometry;
    bool fits = false;
    EXPECT_EQ(test::allocations_of([&] { fits = preprocess->run(frame, view, geometry); }), 0u) << pre;
    EXPECT_TRUE(fits) << pre;
  }
}

TEST(MelStep, SaysWhatItGives) {
  const auto preprocess =
      make_preprocess(test::config("{mel: {bands: 64}}"), TensorSpec{"x", ElementType::f32, {1, 64, 101}}, 16000);
  Frame frame;
  frame.tensor = Tensor(ElementType::f32, {1, 16000});
  EXPECT_EQ(preprocess->what_it_gives(frame), ", which gives 98 frames of 64 bands");
}

TEST(MelStep, RefusesWhatMakesNoSenseWithOneLine) {
  const auto said = [](const std::string& pre, std::vector<std::int64_t> shape = {1, 64, 98}, int rate = 16000) {
    return test::complaint([&] {
      (void)make_preprocess(test::config(pre), TensorSpec{"x", ElementType::f32, std::move(shape)}, rate);
    });
  };
  EXPECT_EQ(said("{mel: {bands: 64, window: 25 ms, hop: 10 ms, log: true}}"), "");
  EXPECT_THAT(said("{mel: {band: 64}}"), AllOf(HasSubstr("unknown key 'band'"), HasSubstr("'bands'")));
  EXPECT_THAT(said("{mel: {coefficients: 3}}"), HasSubstr("unknown key 'coefficients'"));
  EXPECT_THAT(said("{mel: {window: 25}}"), HasSubstr("mel.window"));
  EXPECT_THAT(said("{mel: {window: 0.01 ms}}"), HasSubstr("2 to 65536 samples at 16000 Hz"));
  EXPECT_THAT(said("{mel: {bands: 200}}", {1, 200, 98}),
              AllOf(HasSubstr("mel.bands: 200 is too many for 512 points at 16000 Hz"), HasSubstr("larger `fft`")));
  EXPECT_THAT(said("{mel: {high: 9 kHz}}"), HasSubstr("above half the rate, 8000 Hz"));
  EXPECT_THAT(said("{mel: {low: 5 kHz, high: 4 kHz}}"), HasSubstr("mel.low: 5000 Hz is not below `high`, 4000 Hz"));
  EXPECT_THAT(said("{mel: {fft: 256}}"), HasSubstr("mel.fft"));
  EXPECT_THAT(said("{mel: {fft: 513}}"), HasSubstr("513 is odd"));
  EXPECT_THAT(said("{mel: {rate: 8 kHz}}"), HasSubstr("is not the rate of the data, 16000 Hz"));
  EXPECT_THAT(said("{mel: {bands: 64}}", {1, 64, 98}, 0), HasSubstr("mel.rate: is missing"));
  EXPECT_EQ(said("{mel: {bands: 64, rate: 8 kHz}}", {1, 64, 98}, 0), "");
  EXPECT_THAT(said("{mfcc: {log: false}}", {1, 13, 98}), HasSubstr("true and db are accepted"));
  EXPECT_THAT(said("{mfcc: {coefficients: 65}}", {1, 65, 98}), HasSubstr("mfcc.coefficients"));
  EXPECT_THAT(said("{mel: {}, mfcc: {}}"), HasSubstr("not both"));
  EXPECT_THAT(said("{resize: [8, 8], mel: {}}"), HasSubstr("resize: is for pictures; `mel` is for sounds"));
  EXPECT_THAT(said("{mel: {}, mean: [1, 2, 3]}"), HasSubstr("mean: has 3 values"));
  EXPECT_THAT(said("{mel: {bands: 32}}"), AllOf(HasSubstr("the model's input 'x' f32 [1, 64, 98] takes no spectrogram"),
                                                HasSubstr("[32, frames]")));
  EXPECT_THAT(said("{mel: {order: frames_first}}"), HasSubstr("in the other place"));
}

}  // namespace
}  // namespace rtmdl
