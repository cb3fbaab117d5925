#include "training/checkpoint.h"

#include "base/atomic_file.h"
#include "base/hash.h"

#include <rtmdl/error.h>

#include <cstring>
#include <sstream>
#include <string_view>

#include <fmt/format.h>

namespace rtmdl::training {
namespace {

constexpr std::string_view kFormat = "rtmdl-training-checkpoint-1";
constexpr std::size_t kDigestLength = 64;

std::string_view raw(const std::vector<float>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
}

}  // namespace

void save_checkpoint(const std::filesystem::path& path, const Checkpoint& c) {
  std::string bytes = fmt::format("{} {} {} {} {} {:.17g} {:.17g} {} {}\n", kFormat, c.options_hash, c.epoch, c.step,
                                  c.halvings, c.loss_sum, c.seconds, c.weights.size(), c.momenta.size());
  bytes += raw(c.weights);
  bytes += raw(c.momenta);
  bytes += sha256(bytes);
  write_file_atomically(path, bytes);
}

std::optional<Checkpoint> load_checkpoint(const std::filesystem::path& path, const std::string& options_hash) {
  std::error_code ec;
  if (!std::filesystem::exists(path, ec)) return std::nullopt;
  const auto damaged = [&] {
    bad_input(fmt::format("{}: damaged checkpoint; delete it to start over", path.string()));
  };

  const std::string file = read_file(path);
  if (file.size() < kDigestLength) damaged();
  const std::string_view bytes = std::string_view(file).substr(0, file.size() - kDigestLength);
  const std::size_t line_end = bytes.find('\n');
  if (sha256(bytes) != std::string_view(file).substr(bytes.size()) || line_end == std::string_view::npos) damaged();

  std::istringstream header{std::string(bytes.substr(0, line_end))};
  std::string format;
  Checkpoint c;
  std::size_t weights = 0;
  std::size_t momenta = 0;
  header >> format >> c.options_hash >> c.epoch >> c.step >> c.halvings >> c.loss_sum >> c.seconds >> weights >>
      momenta;
  const std::string_view values = bytes.substr(line_end + 1);
  if (!header || format != kFormat || values.size() != (weights + momenta) * sizeof(float)) damaged();
  if (c.options_hash != options_hash) {
    bad_input(
        fmt::format("{}: checkpoint of a run with other options, data or seed; repeat that command line to go on "
                    "with it, or delete the file to start over",
                    path.string()));
  }
  c.weights.resize(weights);
  c.momenta.resize(momenta);
  std::memcpy(c.weights.data(), values.data(), weights * sizeof(float));
  std::memcpy(c.momenta.data(), values.data() + weights * sizeof(float), momenta * sizeof(float));
  return c;
}

}  // namespace rtmdl::training
