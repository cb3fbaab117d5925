#pragma once
/// Broken files, seeded: bytes changed, cut out, doubled, put in, cut off.

#include <algorithm>
#include <cstddef>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace rtmdl::test {

class Mutator {
 public:
  /// `pieces`: what the format gives a meaning to; put in here and there.
  Mutator(std::string bytes, std::vector<std::string> pieces, std::uint64_t seed = 1)
      : bytes_(std::move(bytes)), pieces_(std::move(pieces)), random_(seed) {}

  std::string next() {
    std::string t = bytes_;
    for (std::size_t edits = 1 + random(4); edits > 0 && !t.empty(); --edits) {
      const std::size_t at = random(t.size());
      const std::size_t length = std::min(t.size() - at, 1 + random(random(8) == 0 ? 200 : 8));
      switch (random(6)) {
        case 0: t[at] = static_cast<char>(random(256)); break;
        case 1: t.erase(at, length); break;
        case 2: t.insert(at, pieces_[random(pieces_.size())]); break;
        case 3: t.replace(at, length, pieces_[random(pieces_.size())]); break;
        case 4: t.insert(random(t.size()), t.substr(at, length)); break;
        default: t.resize(at); break;
      }
    }
    return t;
  }

  std::size_t random(std::size_t below) { return std::uniform_int_distribution<std::size_t>(0, below - 1)(random_); }

 private:
  std::string bytes_;
  std::vector<std::string> pieces_;
  std::mt19937_64 random_;
};

}  // namespace rtmdl::test
