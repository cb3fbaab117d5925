#include "short_data.h"

#include "base/atomic_file.h"
#include "data/idx_file.h"

#include <string>
#include <utility>

namespace rtmdl {
namespace {

namespace fs = std::filesystem;

void shorten_idx(const fs::path& from, const fs::path& to, std::uint32_t items) {
  IdxReader reader(from);
  std::string bytes{'\0', '\0', '\x08', static_cast<char>(reader.dimensions().size())};
  for (std::size_t d = 0; d < reader.dimensions().size(); ++d) {
    const auto n = d == 0 ? items : static_cast<std::uint32_t>(reader.dimensions()[d]);
    for (const int shift : {24, 16, 8, 0}) bytes += static_cast<char>(n >> shift & 0xff);
  }
  std::string item(reader.item_bytes(), '\0');
  for (std::uint32_t i = 0; i < items; ++i) {
    reader.read(reinterpret_cast<std::uint8_t*>(item.data()));
    bytes += item;
  }
  write_file_atomically(to, bytes);
}

}  // namespace

void write_short_fashion(const fs::path& folder, std::uint32_t training, std::uint32_t evaluation) {
  const fs::path full = fs::path(RTMDL_SOURCE_DIR) / "assets/data/fashion-mnist";
  fs::create_directories(folder);
  for (const auto& [name, items] : {std::pair{"train-images-idx3-ubyte", training},
                                    {"train-labels-idx1-ubyte", training},
                                    {"t10k-images-idx3-ubyte", evaluation},
                                    {"t10k-labels-idx1-ubyte", evaluation}}) {
    const fs::path plain = full / name, zipped = full / (std::string(name) + ".gz");
    shorten_idx(fs::exists(plain) ? plain : zipped, folder / name, items);
  }
}

}  // namespace rtmdl
