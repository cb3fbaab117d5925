#include "engine/engine.h"

#include "engine/onnxruntime/session.h"

#include <rtmdl/error.h>

#include <fmt/format.h>

namespace rtmdl {
namespace {

/// ONNX Runtime's messages run over lines and name its source files; a user gets one line.
std::string one_line(std::string_view message) {
  std::string out;
  for (const char c : message) {
    if (c == '\n' || c == '\r' || c == '\t') {
      if (!out.empty() && out.back() != ' ') out += ' ';
    } else {
      out += c;
    }
  }
  if (out.size() > 400) out = out.substr(0, 397) + "...";
  return out;
}

class OnnxRuntimeEngine final : public Engine {
 public:
  OnnxRuntimeEngine() : env_(ORT_LOGGING_LEVEL_FATAL, "rtmdl") { env_.DisableTelemetryEvents(); }

  std::unique_ptr<Executable> load(const LoadRequest& request) override {
    std::error_code ec;
    if (!std::filesystem::is_regular_file(request.model, ec))
      bad_input(fmt::format("{}: cannot read the model: {}", request.model.string(),
                            std::filesystem::exists(request.model, ec) ? "it is not a file" : "no such file"));
    try {
      return std::make_unique<OnnxRuntimeSession>(env_, request);
    } catch (const Ort::Exception& e) {
      bad_input(fmt::format("{}: ONNX Runtime refuses this model: {}", request.model.string(), one_line(e.what())));
    } catch (const Error& e) {
      const std::string path = request.model.string() + ": ";
      if (e.code() != ErrorCode::bad_input || std::string_view(e.what()).starts_with(path)) throw;
      bad_input(path + e.what());
    }
  }

  std::string version() const override { return fmt::format("onnxruntime {}", Ort::GetVersionString()); }
  std::vector<std::string> devices() const override { return Ort::GetAvailableProviders(); }

 private:
  Ort::Env env_;
};

}  // namespace

std::unique_ptr<Engine> make_onnxruntime_engine() { return std::make_unique<OnnxRuntimeEngine>(); }

}  // namespace rtmdl
