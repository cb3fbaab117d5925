#include "data/plugin_steps.h"

#include "base/hash.h"
#include "data/frame_input.h"

#include <rtmdl/error.h>
#include <rtmdl/step.h>

#include <exception>
#include <filesystem>

#include <fmt/format.h>

#include <dlfcn.h>

namespace rtmdl {
namespace {

constexpr const char* kPlugin = "plugin";

void* symbol_of(const ConfigNode& step, const char* name) {
  const ConfigNode node = step[kPlugin];
  const std::filesystem::path path = node.path();
  std::error_code ec;
  if (!std::filesystem::is_regular_file(path, ec)) node.fail(fmt::format("there is no file {}", path.string()));
  // By an absolute path: a bare name would be looked for where the system keeps its libraries.
  void* library = dlopen(std::filesystem::absolute(path).c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) node.fail(fmt::format("it cannot be loaded: {}", dlerror()));
  void* symbol = dlsym(library, name);
  if (!symbol) node.fail(fmt::format("{} does not define {} (rtmdl/step.h)", path.string(), name));
  return symbol;
}

std::string options_of(const ConfigNode& step) { return step["options"].present() ? step["options"].text() : ""; }

template <typename Make>
auto made(const ConfigNode& step, const Make& make) {
  try {
    auto* raw = make();
    if (!raw) step.fail("the plugin refuses this model");
    return raw;
  } catch (const Error&) {
    throw;
  } catch (const std::exception& e) {
    step.fail(fmt::format("the plugin refuses this model: {}", e.what()));
  }
}

class PluginPreprocess final : public Preprocess {
 public:
  PluginPreprocess(const ConfigNode& pre, const TensorSpec& input) {
    pre.allow({kPlugin, "options"});
    const auto make = reinterpret_cast<decltype(&rtmdl_make_pre_step_1)>(symbol_of(pre, "rtmdl_make_pre_step_1"));
    step_.reset(made(pre, [&] { return make(&input, options_of(pre).c_str()); }));
  }
  bool run(const Frame& frame, TensorView input, Geometry& geometry) noexcept override {
    try {
      geometry = Geometry{};
      return step_->run(input_of(frame), input, geometry);
    } catch (...) {
      return false;
    }
  }
  std::string what_it_gives(const Frame&) const override { return ", which the plugin refuses"; }

 private:
  std::unique_ptr<PreStep> step_;
};

class PluginPostprocess final : public Postprocess {
 public:
  PluginPostprocess(const ConfigNode& post, std::span<const TensorSpec> outputs) {
    post.allow({"kind", kPlugin, "gives", "options"});
    const auto make = reinterpret_cast<decltype(&rtmdl_make_post_step_1)>(symbol_of(post, "rtmdl_make_post_step_1"));
    step_.reset(made(post, [&] { return make(outputs.data(), outputs.size(), options_of(post).c_str()); }));
  }
  bool run(std::span<const TensorView> outputs, const Geometry& geometry, Result& result) noexcept override {
    try {
      return step_->run(outputs, geometry, result);
    } catch (...) {
      return false;
    }
  }
  int classes() const noexcept override {
    try {
      return step_->classes();
    } catch (...) {
      return 0;
    }
  }
  void prepare(Result& result) const override { step_->prepare(result); }

 private:
  std::unique_ptr<PostStep> step_;
};

}  // namespace

bool is_plugin(const ConfigNode& step) { return step.is_map() && step[kPlugin].present(); }

std::unique_ptr<Preprocess> make_plugin_preprocess(const ConfigNode& pre, const TensorSpec& input) {
  return std::make_unique<PluginPreprocess>(pre, input);
}

std::unique_ptr<Postprocess> make_plugin_postprocess(const ConfigNode& post, std::span<const TensorSpec> outputs) {
  return std::make_unique<PluginPostprocess>(post, outputs);
}

std::string step_key(const ConfigNode& step) {
  if (!step.present()) return {};
  return is_plugin(step) ? step.canonical() + sha256_of_file(step[kPlugin].path()) : step.canonical();
}

}  // namespace rtmdl
