#include "profiling/knapsack.h"

#include <algorithm>
#include <tuple>

namespace rtmdl {
namespace {

constexpr std::size_t kMostSums = 20000;
constexpr double kSameValue = 1e-12;  // of two sums that differ by rounding only the smaller one will do

struct Sum {
  std::int64_t bytes = 0;
  double value = 0;
  std::size_t before = 0, option = 0;  ///< places in the sums of the groups before and in this group's options
};

std::vector<Sum> front(std::vector<Sum> sums) {
  std::stable_sort(sums.begin(), sums.end(), [](const Sum& a, const Sum& b) {
    return std::tuple(a.bytes, -a.value) < std::tuple(b.bytes, -b.value);
  });
  std::vector<Sum> best;
  for (const Sum& s : sums) {
    if (best.empty() || s.value > best.back().value + kSameValue) best.push_back(s);
  }
  if (best.size() <= kMostSums) return best;
  std::vector<Sum> thinned;
  for (std::size_t i = 0; i < kMostSums; ++i) thinned.push_back(best[i * (best.size() - 1) / (kMostSums - 1)]);
  return thinned;
}

}  // namespace

std::vector<std::size_t> choose_options(const std::vector<std::vector<KnapsackOption>>& groups, std::int64_t limit) {
  std::vector<std::int64_t> rest(groups.size() + 1, 0);  // what the groups from here on need at least
  for (std::size_t g = groups.size(); g-- > 0;) rest[g] = rest[g + 1] + groups[g].front().bytes;
  std::vector<std::vector<Sum>> sums{{Sum{}}};
  for (std::size_t g = 0; g < groups.size(); ++g) {
    std::vector<Sum> all;
    for (std::size_t s = 0; s < sums.back().size(); ++s) {
      const Sum& before = sums.back()[s];
      for (std::size_t o = 0; o < groups[g].size(); ++o) {
        const KnapsackOption& option = groups[g][o];
        if (before.bytes + option.bytes > limit - rest[g + 1]) break;
        all.push_back({before.bytes + option.bytes, before.value + option.value, s, o});
      }
    }
    sums.push_back(front(std::move(all)));
  }
  std::vector<std::size_t> chosen(groups.size());
  std::size_t at = sums.back().size() - 1;
  for (std::size_t g = groups.size(); g-- > 0;) {
    const Sum& sum = sums[g + 1][at];
    chosen[g] = sum.option;
    at = sum.before;
  }
  return chosen;
}

}  // namespace rtmdl
