#pragma once
/// Values as bytes, for processes of the same program on machines of the same kind: fixed-width, as they are in memory.
///
/// A type is packed by one function `template <class A> void parts(A& a, T& value)` beside it (found by its
/// arguments), which names the members once for both directions: `a(value.x, value.y)`. A structured binding in it
/// keeps a member that is added later from being forgotten: the build stops.

#include <rtmdl/error.h>
#include <rtmdl/time.h>

#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

namespace rtmdl {

class Packer {
 public:
  template <typename... Ts>
  void operator()(Ts&... values) {
    (add(values), ...);
  }
  [[nodiscard]] std::string take() { return std::move(bytes_); }

 private:
  template <typename T>
  void add(T& value) {
    if constexpr (std::is_arithmetic_v<T> || std::is_enum_v<T>) {
      bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
    } else {
      parts(*this, value);
    }
  }
  void add(Duration& d) {
    std::int64_t count = d.count();
    add(count);
  }
  void add(std::string& s) {
    std::uint64_t size = s.size();
    add(size);
    bytes_ += s;
  }
  template <typename T>
  void add(std::vector<T>& values) {
    std::uint64_t size = values.size();
    add(size);
    for (T& value : values) add(value);
  }
  template <typename T>
  void add(std::optional<T>& value) {
    bool there = value.has_value();
    add(there);
    if (there) add(*value);
  }
  std::string bytes_;
};

/// Throws Error(internal) where the bytes end too early, or a size in them is beyond what they can hold.
class Unpacker {
 public:
  explicit Unpacker(const std::string& bytes) : at_(bytes.data()), end_(bytes.data() + bytes.size()) {}
  template <typename... Ts>
  void operator()(Ts&... values) {
    (get(values), ...);
  }
  /// Throws Error(internal) unless all was read.
  void end() const {
    if (at_ != end_) broken();
  }

 private:
  [[noreturn]] static void broken() {
    throw Error(ErrorCode::internal, "a message between ranks is broken: they have to be of the same build");
  }
  template <typename T>
  void get(T& value) {
    if constexpr (std::is_arithmetic_v<T> || std::is_enum_v<T>) {
      need(sizeof value);
      if constexpr (std::is_same_v<T, bool>) {
        value = *at_ != 0;
      } else {
        std::memcpy(&value, at_, sizeof value);
      }
      at_ += sizeof value;
    } else {
      parts(*this, value);
    }
  }
  void get(Duration& d) {
    std::int64_t count = 0;
    get(count);
    d = Duration(count);
  }
  void get(std::string& s) {
    const std::size_t size = length();
    s.assign(at_, size);
    at_ += size;
  }
  template <typename T>
  void get(std::vector<T>& values) {
    values.clear();
    values.resize(length());  // an element takes a byte at the least
    for (T& value : values) get(value);
  }
  template <typename T>
  void get(std::optional<T>& value) {
    bool there = false;
    get(there);
    value.reset();
    if (there) get(value.emplace());
  }
  void need(std::size_t size) const {
    if (static_cast<std::size_t>(end_ - at_) < size) broken();
  }
  std::size_t length() {
    std::uint64_t size = 0;
    get(size);
    need(size);
    return size;
  }
  const char* at_;
  const char* end_;
};

template <typename T>
[[nodiscard]] std::string packed(T value) {
  Packer packer;
  packer(value);
  return packer.take();
}

template <typename T>
[[nodiscard]] T unpacked(const std::string& bytes) {
  T value;
  Unpacker unpacker(bytes);
  unpacker(value);
  unpacker.end();
  return value;
}

}  // namespace rtmdl
