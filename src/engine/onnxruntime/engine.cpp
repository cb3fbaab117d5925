#include "engine/engine.h"

#include "engine/onnxruntime/accelerator.h"
#include "engine/onnxruntime/provider.h"
#include "engine/onnxruntime/segments.h"
#include "engine/onnxruntime/session.h"

#include <rtmdl/error.h>

#include <algorithm>
#include <new>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

namespace rtmdl {
namespace {

/// "/onnxruntime_src/…/model.cc:202 onnxruntime::Model::Model(…) " goes: where in ONNX Runtime says nothing to a user.
void drop_source_places(std::string& text) {
  for (std::size_t at = 0; (at = text.find("/onnxruntime_src/", at)) != std::string::npos;) {
    int depth = 0;
    std::size_t end = text.find('(', at);
    for (; end < text.size(); ++end) {
      depth += text[end] == '(' ? 1 : text[end] == ')' ? -1 : 0;
      if (depth == 0) break;
    }
    if (end >= text.size()) return;
    end = text.find_first_not_of(' ', end + 1);
    text.erase(at, end == std::string::npos ? end : end - at);
  }
}

/// ONNX Runtime's messages run over lines, name its source files and repeat the model's path; a user gets one line.
std::string one_line(std::string_view message) {
  std::string out;
  for (const char c : message) {
    if (c == '\n' || c == '\r' || c == '\t') {
      if (!out.empty() && out.back() != ' ') out += ' ';
    } else {
      out += c;
    }
  }
  if (out.starts_with("Load model from ")) {
    constexpr std::string_view kEnd = " failed:";
    if (const auto end = out.find(kEnd); end != std::string::npos) out.erase(0, end + kEnd.size());
  }
  drop_source_places(out);
  if (out.size() > 400) out = out.substr(0, 397) + "...";
  return out;
}

/// What the model's places need; their streams are entered in them.
std::vector<Accelerator> take_places(LoadRequest& request) {
  std::vector<Accelerator> accelerators;
  const auto take = [&](ModelPlace& place) {
    require_provider(place.device);
    accelerators.push_back(accelerator_for(place, request.defaults));
    if (const auto& stream = accelerators.back().stream)
      place.provider_options.emplace("user_compute_stream", stream->option());
  };
  if (request.places.empty()) take(request);
  for (ModelPlace& place : request.places) take(place);
  return accelerators;
}

class OnnxRuntimeEngine final : public Engine {
 public:
  OnnxRuntimeEngine() : env_(ORT_LOGGING_LEVEL_FATAL, "rtmdl") { env_.DisableTelemetryEvents(); }

  std::unique_ptr<Executable> load(const LoadRequest& request) override {
    std::error_code ec;
    if (!std::filesystem::is_regular_file(request.model, ec))
      bad_input(fmt::format("{}: cannot read the model: {}", request.model.string(),
                            std::filesystem::exists(request.model, ec) ? "it is not a file" : "no such file"));
    if (!request.places.empty() && request.places.size() != request.cuts.size() + 1)
      bad_input(fmt::format("{}: {} places for {} segments", request.model.string(), request.places.size(),
                            request.cuts.size() + 1));
    LoadRequest placed = request;
    std::vector<Accelerator> accelerators = take_places(placed);
    const auto turn = take_turn(turn_of(accelerators));
    try {
      std::unique_ptr<Executable> model = open(placed);
      if (std::none_of(accelerators.begin(), accelerators.end(), [](const auto& a) { return a.turn || a.stream; }))
        return model;
      return std::make_unique<AcceleratedExecutable>(std::move(accelerators), std::move(model));
    } catch (const Ort::Exception& e) {
      bad_input(fmt::format("{}: ONNX Runtime refuses this model: {}", request.model.string(), one_line(e.what())));
    } catch (const std::bad_alloc&) {
      bad_input(fmt::format("{}: there is not enough memory to run this model", request.model.string()));
    } catch (const Error& e) {
      const std::string path = request.model.string() + ": ";
      if (e.code() != ErrorCode::bad_input || std::string_view(e.what()).starts_with(path)) throw;
      bad_input(path + e.what());
    }
  }

  std::string version() const override { return fmt::format("onnxruntime {}", Ort::GetVersionString()); }
  std::vector<std::string> devices() const override { return Ort::GetAvailableProviders(); }

 private:
  std::unique_ptr<Executable> open(const LoadRequest& request) const {
    if (!request.cuts.empty()) return std::make_unique<SegmentedSession>(env_, request);
    return std::make_unique<OnnxRuntimeSession>(env_, request);
  }

  Ort::Env env_;
};

}  // namespace

std::unique_ptr<Engine> make_onnxruntime_engine() { return std::make_unique<OnnxRuntimeEngine>(); }

}  // namespace rtmdl
