#include "training/tuning_checkpoint.h"

#include "base/atomic_file.h"
#include "base/hash.h"

#include <cstring>
#include <sstream>
#include <string_view>

#include <fmt/format.h>

namespace rtmdl::training {
namespace {

constexpr std::string_view kFormat = "rtmdl-fine-tuning-1";
constexpr std::size_t kDigestLength = 64;

void append(std::string& bytes, const std::vector<at::Tensor>& tensors) {
  for (const at::Tensor& t : tensors) {
    const at::Tensor plain = t.detach().to(at::kCPU, at::kFloat).contiguous();
    bytes.append(static_cast<const char*>(plain.data_ptr()), static_cast<std::size_t>(plain.numel()) * sizeof(float));
  }
}

std::size_t size_of(const std::vector<at::Tensor>& tensors) {
  std::size_t size = 0;
  for (const at::Tensor& t : tensors) size += static_cast<std::size_t>(t.numel()) * sizeof(float);
  return size;
}

void fill(const char* from, const std::vector<at::Tensor>& tensors) {
  const at::NoGradGuard no_grad;
  for (const at::Tensor& t : tensors) {
    at::Tensor plain = at::empty(t.sizes(), at::kFloat);
    const std::size_t size = static_cast<std::size_t>(plain.numel()) * sizeof(float);
    std::memcpy(plain.data_ptr(), from, size);
    from += size;
    t.copy_(plain);
  }
}

}  // namespace

void save_tuning(const std::filesystem::path& path, const std::string& key, const TuningProgress& p,
                 const TuningTensors& tensors) {
  std::string bytes =
      fmt::format("{} {} {} {} {} {:.17g} {:.17g} {:.17g} {:.17g} {} {}\n", kFormat, key, p.step, p.total, p.halvings,
                  p.seconds, p.loss_before, p.loss, std::min(p.best_loss, std::numeric_limits<double>::max()),
                  p.evaluations_without_gain, tensors.best.empty() ? 0 : 1);
  bytes.reserve(bytes.size() + size_of(tensors.now) + size_of(tensors.best) + kDigestLength);
  append(bytes, tensors.now);
  append(bytes, tensors.best);
  bytes += sha256(bytes);
  write_file_atomically(path, bytes);
}

std::optional<TuningProgress> load_tuning(const std::filesystem::path& path, const std::string& key,
                                          TuningTensors& tensors, std::string& reason) {
  reason.clear();
  std::error_code ec;
  if (!std::filesystem::exists(path, ec)) return std::nullopt;
  const std::string file = read_file(path);
  reason = "it is damaged";
  if (file.size() < kDigestLength) return std::nullopt;
  const std::string_view bytes = std::string_view(file).substr(0, file.size() - kDigestLength);
  const std::size_t line_end = bytes.find('\n');
  if (sha256(bytes) != std::string_view(file).substr(bytes.size()) || line_end == std::string_view::npos)
    return std::nullopt;
  std::istringstream header{std::string(bytes.substr(0, line_end))};
  std::string format, made_by;
  TuningProgress p;
  int best = 0;
  header >> format >> made_by >> p.step >> p.total >> p.halvings >> p.seconds >> p.loss_before >> p.loss >>
      p.best_loss >> p.evaluations_without_gain >> best;
  if (!header || format != kFormat) return std::nullopt;
  reason = "it is of another request";
  if (made_by != key) return std::nullopt;
  const std::size_t now_size = size_of(tensors.now);
  std::vector<at::Tensor> kept;
  for (std::size_t i = 0; best == 1 && i < tensors.now.size(); ++i) kept.push_back(at::empty_like(tensors.now[i]));
  const std::string_view values = bytes.substr(line_end + 1);
  if (values.size() != now_size + size_of(kept)) return std::nullopt;
  fill(values.data(), tensors.now);
  fill(values.data() + now_size, kept);
  tensors.best = std::move(kept);
  reason.clear();
  return p;
}

}  // namespace rtmdl::training
