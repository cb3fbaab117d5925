#include "data/input_files.h"
#include "data/random.h"
#include "data/resample.h"
#include "data/sound_list.h"
#include "data/sources.h"

#include <algorithm>
#include <cmath>
#include <map>

#include <fmt/format.h>
#include <sndfile.h>

namespace rtmdl {
namespace {

namespace fs = std::filesystem;

constexpr int kRate = 16000;
constexpr std::size_t kCalibrationWindows = 64, kEvaluationWindows = 200;  // at least
constexpr std::size_t kMostCalibrationWindows = 512, kMostEvaluationWindows = 4096,
                      kMostStreamWindows = 8192;  // and at most
constexpr std::size_t kTrainingWindows = 2048, kMostTrainingWindows = 65536;
constexpr std::size_t kMostLabelledStream = 512;  // a run plays no more, and classes lie one after another
constexpr std::size_t kCacheSamples = 64u << 20;
constexpr double kGain = 1.41;  // later passes play ± 3 dB

/// A stretch of one file that is played from its start to its end.
struct Part {
  std::size_t file = 0;
  std::int64_t first = 0;  ///< sample
  std::int64_t samples = 0;
  std::size_t windows = 0;
};

struct SoundFile {
  explicit SoundFile(const fs::path& path) : handle(sf_open(path.c_str(), SFM_READ, &info)) {}
  ~SoundFile() {
    if (handle) sf_close(handle);
  }
  SoundFile(const SoundFile&) = delete;
  SoundFile& operator=(const SoundFile&) = delete;
  SF_INFO info{};
  SNDFILE* handle;
};

class AudioSource final : public Source {
 public:
  AudioSource(const ConfigNode& data, std::uint64_t seed) : node_(data["path"]), seed_(seed) {
    data.allow({"source", "path", "labels", "classes", "rate", "window", "context"});
    rate_ = sampling_rate(data);
    if (const auto window = data["window"]; window.present()) window_ = window.integer(1, 1 << 24);
    if (const auto context = data["context"]; context.present()) context_ = context.integer(0, 1 << 24);
    else if (const auto labels = data["labels"]; labels.present() && labels.text() != "none") context_ = 0;
    list_ = list_sounds(data, seed);
    std::vector<fs::path> files = list_.files;
    files.insert(files.end(), list_.texts.begin(), list_.texts.end());
    fingerprint_ = fingerprint_of(data, seed, files);
    split();
  }

  std::size_t size(Split s) const override {
    const std::size_t there = windows_in(parts_of(s));
    switch (s) {
      case Split::calibration: return std::clamp(there, kCalibrationWindows, most(s));
      case Split::evaluation: return std::clamp(there, kEvaluationWindows, most(s));
      case Split::stream: return std::min(there, most(s));
      case Split::training: return std::clamp(there, kTrainingWindows, most(s));
    }
    return 0;
  }

  Frame read(Split s, std::size_t i) override {
    const auto& parts = parts_of(s);
    const std::size_t there = windows_in(parts);
    // With labels windows are spread over all files, or some classes would be left out; without, they come in order.
    const std::size_t in_pass = labelled() ? std::min(there, most(s)) : there;
    const std::size_t pass = i / in_pass;
    std::size_t window = i % in_pass * there / in_pass;
    std::size_t p = 0;
    while (window >= parts[p].windows) window -= parts[p++].windows;
    // What a run plays is what is evaluated.
    const Random random(seed_, purpose::of(s == Split::stream ? Split::evaluation : s), pass);
    Frame frame = cut(parts[p], window, pass, random, static_cast<std::int64_t>(i));
    if (labelled()) frame.labels = {list_.labels[parts[p].file]};
    frame.restart = frame.restart || in_pass < there;
    return frame;
  }

  bool labelled() const override { return !list_.labels.empty(); }
  int classes() const override { return list_.classes; }
  std::string fingerprint() const override { return fingerprint_; }

 private:
  const std::vector<Part>& parts_of(Split s) const {
    return s == Split::calibration || s == Split::training ? calibration_ : evaluation_;
  }

  std::size_t most(Split s) const {
    switch (s) {
      case Split::calibration: return kMostCalibrationWindows;
      case Split::evaluation: return kMostEvaluationWindows;
      case Split::stream: return labelled() ? kMostLabelledStream : kMostStreamWindows;
      case Split::training: break;
    }
    return kMostTrainingWindows;
  }

  static std::size_t windows_in(const std::vector<Part>& parts) {
    std::size_t sum = 0;
    for (const Part& p : parts) sum += p.windows;
    return sum;
  }

  Part part(std::size_t file, std::int64_t first, std::int64_t samples) const {
    return {file, first, samples, static_cast<std::size_t>(std::max<std::int64_t>(1, samples / window_))};
  }

  void split() {
    std::vector<std::int64_t> lengths;
    for (const fs::path& file : list_.files) {
      const SoundFile sound(file);
      if (!sound.handle)
        node_.fail(fmt::format("'{}' is not a sound that libsndfile reads: {}", file.string(), sf_strerror(nullptr)));
      if (sound.info.frames < 1) node_.fail(fmt::format("'{}' holds no samples", file.string()));
      const std::int64_t length = (sound.info.frames * rate_ + sound.info.samplerate / 2) / sound.info.samplerate;
      lengths.push_back(std::max<std::int64_t>(1, length));
    }
    if (labelled()) {
      for (std::size_t f = 0; f < lengths.size(); ++f)
        (list_.evaluates[f] ? evaluation_ : calibration_).push_back(part(f, 0, lengths[f]));
      return;
    }
    if (list_.files.size() == 1) {  // by time: the first third calibrates
      if (lengths[0] < 2 * window_)
        node_.fail(fmt::format(
            "'{}' is too short: it holds {} samples at {} Hz, and one window to calibrate and one to evaluate need {}",
            list_.files[0].string(), lengths[0], rate_, 2 * window_));
      const std::int64_t third = std::max(window_, lengths[0] / 3);
      calibration_ = {part(0, 0, third)};
      evaluation_ = {part(0, third, lengths[0] - third)};
      return;
    }
    const std::vector<bool> to_calibration = choose_for_calibration(list_.files.size(), seed_);
    for (std::size_t f = 0; f < list_.files.size(); ++f)
      (to_calibration[f] ? calibration_ : evaluation_).push_back(part(f, 0, lengths[f]));
  }

  /// Window `w` of a part with the context before it. Later passes start a fraction of a window later and play louder
  /// or softer.
  Frame cut(const Part& p, std::size_t w, std::size_t pass, Random random, std::int64_t index) {
    Frame frame;
    frame.index = index;
    frame.restart = w == 0;
    frame.tensor = Tensor(ElementType::f32, {1, context_ + window_});
    std::int64_t shift = 0;
    float gain = 1;
    if (pass > 0) {
      shift = 1 + random.below(static_cast<std::uint32_t>(window_));
      gain = static_cast<float>(std::pow(kGain, random.between(-1, 1)));
    }
    const std::vector<float>& sound = samples_of(p.file);
    const auto out = frame.tensor.as<float>();
    const std::int64_t at = shift + static_cast<std::int64_t>(w) * window_;
    for (std::int64_t k = w == 0 ? context_ : 0; k < context_ + window_; ++k) {
      std::int64_t in_part = at - context_ + k;
      if (pass > 0 && in_part >= p.samples) in_part %= p.samples;  // shifted beyond its end it would be silence
      const std::int64_t n = p.first + in_part;
      const bool there = in_part >= 0 && in_part < p.samples && n < static_cast<std::int64_t>(sound.size());
      out[static_cast<std::size_t>(k)] = there ? gain * sound[static_cast<std::size_t>(n)] : 0;
    }
    return frame;
  }

  const std::vector<float>& samples_of(std::size_t f) {
    if (const auto found = cache_.find(f); found != cache_.end()) return found->second;
    const SoundFile sound(list_.files[f]);
    if (!sound.handle)
      node_.fail(fmt::format("'{}' cannot be read: {}", list_.files[f].string(), sf_strerror(nullptr)));
    const auto channels = static_cast<std::size_t>(sound.info.channels);
    std::vector<float> mono;
    std::vector<float> block(4096 * channels);
    while (const sf_count_t got = sf_readf_float(sound.handle, block.data(), 4096)) {
      if (got < 0) break;
      for (std::size_t n = 0; n < static_cast<std::size_t>(got); ++n) {
        float sum = 0;
        for (std::size_t c = 0; c < channels; ++c) sum += block[n * channels + c];
        mono.push_back(sum / static_cast<float>(channels));
      }
    }
    if (!std::all_of(mono.begin(), mono.end(), [](float v) { return std::isfinite(v); }))
      node_.fail(fmt::format("'{}' holds samples that are NaN or infinite", list_.files[f].string()));
    std::vector<float> samples = resample(mono, sound.info.samplerate, rate_);
    if (cached_samples_ + samples.size() > kCacheSamples) {
      cache_.clear();
      cached_samples_ = 0;
    }
    cached_samples_ += samples.size();
    return cache_.emplace(f, std::move(samples)).first->second;
  }

  ConfigNode node_;
  std::uint64_t seed_;
  int rate_ = 0;
  std::int64_t window_ = 512, context_ = 64;
  SoundList list_;
  std::vector<Part> calibration_, evaluation_;
  std::map<std::size_t, std::vector<float>> cache_;
  std::size_t cached_samples_ = 0;
  std::string fingerprint_;
};

}  // namespace

int sampling_rate(const ConfigNode& data) {
  if (!data.is_map() || !data["source"].present() || data["source"].text() != "audio") return 0;
  const ConfigNode rate = data["rate"];
  if (!rate.present()) return kRate;
  const double hertz = rate.hertz();
  if (hertz < 1000 || hertz > 768000 || hertz != std::floor(hertz))
    rate.fail("expected a whole number of Hz from 1 kHz to 768 kHz");
  return static_cast<int>(hertz);
}

std::unique_ptr<Source> open_audio(const ConfigNode& data, std::uint64_t seed) {
  return std::make_unique<AudioSource>(data, seed);
}

}  // namespace rtmdl
