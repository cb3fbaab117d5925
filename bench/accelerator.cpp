// What cutting a model into segments costs and buys on an accelerator: its time and its longest segment's, uncut and in
// 2, 4 and 8 segments, in turns, so that drift hits all of them.
//
//   build/release/bench/bench_accelerator [DEVICE, such as webgpu or cuda:0] [MODEL.onnx, of fixed shapes] [ROUNDS]
#include "engine/engine.h"
#include "model/split.h"

#include <rtmdl/error.h>
#include <rtmdl/time.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <vector>

#include <fmt/format.h>

namespace {

using namespace rtmdl;

std::vector<int> even_cuts(const Model& model, std::size_t segments) {
  const std::vector<Seam> seams = find_seams(model, 4);
  if (seams.empty()) bad_input("the model has no place to be cut");
  std::vector<int> cuts;
  for (std::size_t k = 1; k < segments; ++k) {
    const int node = seams.at(k * seams.size() / segments).node;
    if (cuts.empty() || node > cuts.back()) cuts.push_back(node);
  }
  return cuts;
}

void measure(const LoadRequest& request, int rounds) {
  const std::unique_ptr<Engine> engine = make_onnxruntime_engine();
  const Model model = load_model(request.model);
  std::vector<std::unique_ptr<Executable>> forms;
  std::vector<std::vector<double>> times, longest;
  for (const std::size_t segments : {1U, 2U, 4U, 8U}) {
    LoadRequest r = request;
    r.cuts = even_cuts(model, segments);
    forms.push_back(engine->load(r));
    times.emplace_back();
    longest.emplace_back();
  }
  for (int round = -3; round < rounds; ++round)
    for (std::size_t i = 0; i < forms.size(); ++i) {
      double all = 0, most = 0;
      for (int k = 0; k < forms[i]->segments(); ++k) {
        const Time start = MonotonicClock::now();
        if (!forms[i]->run_segment(k)) throw Error(ErrorCode::internal, forms[i]->last_error());
        const double took = to_ms(MonotonicClock::now() - start);
        all += took;
        most = std::max(most, took);
      }
      if (round < 0) continue;
      times[i].push_back(all);
      longest[i].push_back(most);
    }
  fmt::print("{} on {}\nsegments  p50 ms  min ms  of uncut  longest ms\n", request.model.filename().string(),
             request.device);
  double uncut = 0;
  for (std::size_t i = 0; i < forms.size(); ++i) {
    std::sort(times[i].begin(), times[i].end());
    std::sort(longest[i].begin(), longest[i].end());
    const double p50 = times[i][times[i].size() / 2];
    if (i == 0) uncut = p50;
    fmt::print("{:8}  {:6.2f}  {:6.2f}  {:8.2f}  {:10.2f}\n", forms[i]->segments(), p50, times[i].front(), p50 / uncut,
               longest[i][longest[i].size() / 2]);
  }
}

}  // namespace

int main(int count, char** arguments) {
  LoadRequest request;
  request.device = count > 1 ? arguments[1] : "webgpu";
  request.model = count > 2 ? arguments[2] : RTMDL_SOURCE_DIR "/assets/models/blazeface_128.onnx";
  try {
    measure(request, std::max(1, count > 3 ? std::atoi(arguments[3]) : 50));
  } catch (const Error& e) {
    fmt::print(stderr, "bench_accelerator: {}\n", e.what());
    const bool asked = count > 1;
    return !asked && e.code() == ErrorCode::missing_device ? 0 : static_cast<int>(e.code());
  }
  return 0;
}
