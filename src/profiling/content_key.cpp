#include "profiling/content_key.h"

#include "base/hash.h"
#include "data/plugin_steps.h"
#include "model/model.h"
#include "model/sliced_weights.h"
#include "scaling/pack_family.h"

#include <rtmdl/error.h>

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace rtmdl {
namespace {

constexpr std::string_view kScalingRevision =
    "4";                                         // raise when src/scaling would make other variants of the same model
constexpr std::string_view kDataRevision = "1";  // raise when src/data would give other tensors, results or accuracies

std::string canonical(const ConfigNode& node) { return node.present() ? node.canonical() : std::string(); }

}  // namespace

ContentKey::ContentKey(std::string_view kind) { add("kind", kind); }

ContentKey& ContentKey::add(std::string_view name, std::string_view value) {
  text_ += fmt::format("{}:{}={}:{}\n", name.size(), name, value.size(), value);
  return *this;
}

ContentKey& ContentKey::add(std::string_view name, const std::map<std::string, std::vector<std::int64_t>>& shapes) {
  for (const auto& [input, shape] : shapes)
    add(fmt::format("{} {}", name, input), fmt::format("{}", fmt::join(shape, ",")));
  return *this;
}

ContentKey& ContentKey::add(std::string_view name, const std::map<std::string, std::string>& pairs) {
  for (const auto& [from, to] : pairs) add(fmt::format("{} {}", name, from), to);
  return *this;
}

ContentKey& ContentKey::add(std::string_view name, const std::map<std::string, double>& values) {
  for (const auto& [input, value] : values) add(fmt::format("{} {}", name, input), fmt::format("{}", value));
  return *this;
}

std::string ContentKey::digest() const { return sha256(text_); }

ContentHashes::Stamp ContentHashes::Stamp::of(const std::filesystem::path& file) {
  std::error_code ignored;  // what cannot be read fails when it is hashed
  return {file, std::filesystem::file_size(file, ignored), std::filesystem::last_write_time(file, ignored)};
}

const std::string& ContentHashes::of(const std::filesystem::path& model) {
  const auto known = known_.find(model);
  const auto unchanged = [](const Stamp& stamp) { return Stamp::of(stamp.file) == stamp; };
  if (known != known_.end() && std::all_of(known->second.stamps.begin(), known->second.stamps.end(), unchanged))
    return known->second.hash;
  Entry now;
  const bool sliced = is_sliced_file(model);
  if (sliced) now.hash = content_of(model);
  for (const auto& file : model_files(model)) {
    std::error_code error;
    if (file != model && !std::filesystem::is_regular_file(file, error))
      bad_input(fmt::format("{}: weights of it are in {}, which is not there", model.string(), file.string()));
    now.stamps.push_back(Stamp::of(file));
    if (sliced) continue;
    const std::string hash = sha256_of_file(file);
    now.hash = now.hash.empty() ? hash : sha256(now.hash + hash);
  }
  return known_.insert_or_assign(model, std::move(now)).first->second.hash;
}

std::string data_key(const TaskSpec& task, const std::string& fingerprint) {
  return ContentKey("data")
      .add("revision", kDataRevision)
      .add("data", canonical(task.data))
      .add("fingerprint", fingerprint)
      .add("pre", step_key(task.pre))
      .add("post", step_key(task.post))
      .digest();
}

std::string accuracy_key(const TaskSpec& task, const LoadRequest& request, const std::string& fingerprint,
                         const std::string& engine_version, ContentHashes& hashes) {
  return ContentKey("accuracy")
      .add("model", hashes.of(request.model))
      .add("source", hashes.of(task.model))
      .add("source shape", task.shapes)
      .add("shape", request.shapes)
      .add("state", request.state)
      .add("constant", request.constants)
      .add("device", request.device)
      .add("data", data_key(task, fingerprint))
      .add("metric", task.accuracy.metric)
      .add("tolerance", fmt::format("{}", task.accuracy.tolerance))
      .add("engine", engine_version)
      .digest();
}

std::string family_key(const TaskSpec& task, const std::string& fingerprint, const std::string& engine_version,
                       const std::string& machine, ContentHashes& hashes) {
  ContentKey key("family");
  key.add("model", hashes.of(task.model));
  // The id of a variant that the user brings is its file's name.
  for (const auto& variant : task.variants) key.add("brought " + variant.stem().string(), hashes.of(variant));
  key.add("shape", task.shapes).add("state", task.state).add("constant", task.inputs);
  key.add("data", data_key(task, fingerprint));
  key.add("metric", task.accuracy.metric);
  key.add("tolerance", fmt::format("{}", task.accuracy.tolerance)).add("min", fmt::format("{}", task.accuracy.min));
  for (const std::string& precision : task.scale.precisions) key.add("precision", precision);
  for (const double resolution : task.scale.resolutions) key.add("resolution", fmt::format("{}", resolution));
  key.add("engine", engine_version).add("machine", machine).add("scaling", kScalingRevision);
  return key.digest();
}

}  // namespace rtmdl
