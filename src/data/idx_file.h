#pragma once
/// The IDX format of MNIST and its kin: unsigned bytes, plain or gzipped, read one picture at a time.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <vector>

namespace rtmdl {

/// Throws Error(bad_input) (naming the file) on a broken header, a type other than unsigned byte, or a file that ends
/// early.
class IdxReader {
 public:
  explicit IdxReader(const std::filesystem::path& file);
  ~IdxReader();
  IdxReader(const IdxReader&) = delete;
  IdxReader& operator=(const IdxReader&) = delete;

  [[nodiscard]] const std::vector<std::size_t>& dimensions() const noexcept { return dimensions_; }
  [[nodiscard]] std::size_t item_bytes() const noexcept {
    return item_bytes_;
  }  ///< product of all dimensions but the first
  /// The next item, or skips it.
  void read(std::uint8_t* item);
  void skip();

 private:
  void require(bool condition, const char* message) const;
  std::filesystem::path file_;
  void* gz_ = nullptr;
  std::vector<std::size_t> dimensions_;
  std::size_t item_bytes_ = 1;
};

}  // namespace rtmdl
