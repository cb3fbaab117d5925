// What it costs to load a level whose weights are slices of its source's, beside the same level as an ordinary file:
// the model in memory, and ready to run in the engine. Interleaved, medians of 15.
#include "base/atomic_file.h"
#include "engine/engine.h"
#include "model/edit.h"
#include "scaling/pack_family.h"

#include <rtmdl/time.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <vector>

#include <fmt/format.h>
#include <unistd.h>

namespace {

using namespace rtmdl;
namespace fs = std::filesystem;

constexpr int kRounds = 15;

double median_ms(std::vector<double>& times) {
  std::nth_element(times.begin(), times.begin() + kRounds / 2, times.end());
  return times[kRounds / 2];
}

/// Medians of both, taken in turns.
std::pair<double, double> compare(const std::function<void(const fs::path&)>& load, const fs::path& whole,
                                  const fs::path& light) {
  std::vector<double> a, b;
  for (int i = 0; i < kRounds; ++i) {
    for (auto* times : {&a, &b}) {
      const Time start = MonotonicClock::now();
      load(times == &a ? whole : light);
      times->push_back(static_cast<double>((MonotonicClock::now() - start).count()) * 1e-6);
    }
  }
  return {median_ms(a), median_ms(b)};
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<fs::path> sources(argv + 1, argv + argc);
  if (sources.empty()) {
    for (const char* name : {"mlsd_320", "ppocr_cls", "blazeface_128"})
      sources.push_back(fs::path(RTMDL_SOURCE_DIR) / "assets" / "models" / (std::string(name) + ".onnx"));
    sources.push_back(fs::path(RTMDL_SOURCE_DIR) / "examples" / "edge-box" / "models" / "fashion_resnet18.onnx");
  }
  const fs::path folder = fs::temp_directory_path() / fmt::format("rtmdl-light-{}", ::getpid());
  const auto engine = make_onnxruntime_engine();
  fmt::print("{:28} {:>10} {:>10} {:>22} {:>22}\n", "", "whole", "light", "in memory, ms", "ready to run, ms");
  for (const fs::path& source : sources) {
    Model model = load_model(source);
    normalise(model);
    const fs::path whole = folder / "whole.onnx";
    save_model(model, whole);
    const FamilyLayout layout = analyse_family({{whole, content_of(whole), {}}}, source);
    const fs::path light = pack_family(layout, {0}, {whole}, source, folder).files[0];
    const auto memory = compare([](const fs::path& path) { (void)load_model(path); }, whole, light);
    const auto ready = compare(
        [&](const fs::path& path) {
          LoadRequest request;
          request.model = path;
          (void)engine->load(request);
        },
        whole, light);
    fmt::print("{:28} {:>10} {:>10} {:>10.1f} {:>5.1f} {:>5.2f} {:>10.1f} {:>5.1f} {:>5.2f}\n",
               source.filename().string(), fs::file_size(whole), fs::file_size(light), memory.first, memory.second,
               memory.second / memory.first, ready.first, ready.second, ready.second / ready.first);
  }
  fs::remove_all(folder);
}
