#include "profiling/settle_family.h"

#include "base/hash.h"
#include "base/units.h"
#include "model/model.h"
#include "profiling/layout_text.h"
#include "scaling/pack_family.h"

#include <rtmdl/error.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace rtmdl {
namespace {

namespace fs = std::filesystem;

/// Connected components.
class Components {
 public:
  explicit Components(std::size_t n) : parent_(n) { std::iota(parent_.begin(), parent_.end(), 0); }
  std::size_t of(std::size_t i) {
    while (parent_[i] != i) i = parent_[i] = parent_[parent_[i]];
    return i;
  }
  void join(std::size_t a, std::size_t b) { parent_[std::max(of(a), of(b))] = std::min(of(a), of(b)); }

 private:
  std::vector<std::size_t> parent_;
};

}  // namespace

bool is_ours(const StoredVariant& variant) {
  return variant.location != kSourceLocation && !variant.location.starts_with(kBroughtLocation);
}

fs::path path_of(const TaskSpec& task, const Workspace& workspace, const StoredVariant& variant) {
  const std::string& location = variant.location;
  if (location == kSourceLocation) return task.model;
  if (location.starts_with(kBroughtLocation))
    return task.variants.at(std::stoul(location.substr(kBroughtLocation.size())));
  return workspace.folder() / location;
}

void note_layout(const TaskSpec& task, const Workspace& workspace, StoredFamily& family) {
  std::optional<FamilyLayout> layout = parse_layout(family.layout);
  const auto known = [&](const StoredVariant& v) {
    return layout && std::any_of(layout->files.begin(), layout->files.end(),
                                 [&](const FamilyFile& f) { return f.content == v.content; });
  };
  const auto& variants = family.variants;
  if (std::all_of(variants.begin(), variants.end(), [&](const auto& v) { return !is_ours(v) || known(v); })) return;
  std::vector<FamilyLevel> levels;
  for (StoredVariant& v : family.variants) {
    if (!is_ours(v)) continue;
    const fs::path path = path_of(task, workspace, v);
    try {
      levels.push_back({path, content_of(path), {}});
    } catch (const Error&) {  // dropped, or lost: what is known of it stays
      continue;
    }
    v.content = levels.back().content;
  }
  const FamilyLayout found = analyse_family(levels, task.model);
  family.layout = layout_text(layout ? merge(*layout, found) : found);
}

FamilyStorage::FamilyStorage(const Workspace& workspace, ContentHashes& hashes, std::vector<SettledFamily> families)
    : workspace_(workspace), hashes_(hashes), families_(std::move(families)) {
  std::map<std::string, std::size_t> by_key;
  for (std::size_t f = 0; f < families_.size(); ++f) {
    const auto [at, fresh] = by_key.try_emplace(families_[f].key, shared_.size());
    if (fresh) {
      shared_.emplace_back();
      auto layout = parse_layout(families_[f].stored->layout);
      shared_.back().layout_digest = sha256(families_[f].stored->layout);
      if (layout) shared_.back().layout = std::move(*layout);
    }
    add(f, at->second);
  }
  for (Shared& shared : shared_) {
    for (const Level& level : levels_) {
      if (level.variant->location == kSourceLocation && level.variant->content == shared.source)
        shared.names[level.family] =
            source_paths(shared.layout, families_[level.family].task->model, workspace_.variants());
    }
  }
}

void FamilyStorage::add(std::size_t family, std::size_t shared_index) {
  Shared& shared = shared_[shared_index];
  shared.families.push_back(family);
  for (StoredVariant& v : families_[family].stored->variants) {
    Level level{family, shared_index, &v, -1};
    if (v.location == kSourceLocation) shared.source = v.content;
    if (is_ours(v)) {
      auto& files = shared.layout.files;
      auto file = std::find_if(files.begin(), files.end(), [&](const FamilyFile& x) { return x.content == v.content; });
      if (file == files.end()) {  // nothing is known of what it shares: it is left as it is
        FamilyFile whole;
        whole.content = v.content;
        whole.whole = true;
        whole.bytes = v.bytes;
        file = files.insert(files.end(), std::move(whole));
      }
      level.file = static_cast<int>(file - files.begin());
    }
    levels_.push_back(level);
  }
}

fs::path FamilyStorage::path(const Level& level) const {
  return path_of(*families_[level.family].task, workspace_, *level.variant);
}

std::vector<bool> FamilyStorage::damaged(const std::vector<bool>& keep) const {
  std::vector<bool> damaged(levels_.size(), false);
  for (std::size_t i = 0; i < levels_.size(); ++i) damaged[i] = keep[i] && levels_[i].file >= 0 && !intact(levels_[i]);
  return damaged;
}

bool FamilyStorage::intact(const Level& level) const {
  std::error_code ec;
  try {
    return fs::is_regular_file(path(level), ec) && hashes_.of(path(level)) == level.variant->content;
  } catch (const Error&) {  // light, and what it needs is not there
    return false;
  }
}

std::vector<SharingGroup> FamilyStorage::groups() const {
  Components components(families_.size());
  std::map<std::string, std::size_t> first;
  const auto meet = [&](const std::string& what, std::size_t family) {
    const auto [at, fresh] = first.try_emplace(what, family);
    if (!fresh) components.join(at->second, family);
  };
  for (const Level& level : levels_) {
    meet("key " + families_[level.family].key, level.family);
    if (level.file < 0) meet("content " + level.variant->content, level.family);
  }
  std::map<std::size_t, SharingGroup> by_root;
  for (std::size_t i = 0; i < levels_.size(); ++i) by_root[components.of(levels_[i].family)].levels.push_back(i);
  std::vector<SharingGroup> groups;
  for (auto& [root, group] : by_root) {
    group.bytes = [this, of = group.levels](const std::vector<bool>& keep) {
      std::vector<bool> all(levels_.size(), false);
      for (std::size_t k = 0; k < of.size(); ++k) all[of[k]] = keep[k];
      return bytes_of(of, all);
    };
    group.limit = limit_of(group.levels);
    group.keeps_source = true;  // the user has it anyway
    groups.push_back(std::move(group));
  }
  return groups;
}

/// Beyond the source, which tasks may share, each family has what its `scale.storage` leaves it. What the user brings
/// along is not bounded.
std::int64_t FamilyStorage::limit_of(const std::vector<std::size_t>& levels) const {
  std::map<std::string_view, std::int64_t> brought;
  std::map<std::string_view, double> beyond;  // by key, of the source's bytes
  double most = 0;
  std::int64_t source = 0;
  for (const std::size_t i : levels) {
    const Level& level = levels_[i];
    const double share = families_[level.family].task->scale.storage;
    beyond[families_[level.family].key] = share - 1;
    most = std::max(most, share);
    if (level.variant->location == kSourceLocation) source = std::max(source, level.variant->bytes);
    else if (level.file < 0) brought[level.variant->content] = level.variant->bytes;
  }
  double share = 1;
  for (const auto& [key, more] : beyond) share += more;
  auto limit = static_cast<std::int64_t>(std::max(share, most) * static_cast<double>(source));
  for (const auto& [content, bytes] : brought) limit += bytes;
  return limit;
}

FamilyStorage::Kept FamilyStorage::kept(std::size_t shared, const std::vector<bool>& keep) const {
  std::set<int> files;
  Kept kept;
  for (std::size_t i = 0; i < levels_.size(); ++i) {
    const Level& level = levels_[i];
    if (!keep[i]) continue;
    // Another task's source will do: what counts is that its bytes stay on the disk.
    if (!kept.source && level.variant->location == kSourceLocation && level.variant->content == shared_[shared].source)
      kept.source = level.family;
    if (level.file >= 0 && level.shared == shared) files.insert(level.file);
  }
  kept.files.assign(files.begin(), files.end());
  return kept;
}

const std::vector<std::string>& FamilyStorage::names(std::size_t shared, const Kept& kept) const {
  static const std::vector<std::string> kNone;
  return kept.source ? shared_[shared].names.at(*kept.source) : kNone;
}

std::int64_t FamilyStorage::bytes_of(const std::vector<std::size_t>& levels, const std::vector<bool>& keep) const {
  std::map<std::string_view, std::int64_t> users;  // files that are not ours, by content
  std::set<std::size_t> shared;
  for (const std::size_t i : levels) {
    const Level& level = levels_[i];
    shared.insert(level.shared);
    if (keep[i] && level.file < 0) users[level.variant->content] = level.variant->bytes;
  }
  std::int64_t sum = 0;
  for (const auto& [content, bytes] : users) sum += bytes;
  for (const std::size_t s : shared) {
    const Kept of = kept(s, keep);
    sum += family_bytes(shared_[s].layout, of.files, names(s, of));
  }
  return sum;
}

StorageChoice FamilyStorage::choose(std::int64_t limit) const {
  std::vector<StoredLevel> levels;
  std::vector<double> weights;
  for (const SettledFamily& family : families_) weights.push_back(family.task->accuracy.weight);
  for (const Level& level : levels_) {
    const StoredVariant& v = *level.variant;
    levels.push_back({level.family, v.id, v.bytes, v.accuracy, v.median.count(), v.id == "source"});
  }
  const std::vector<SharingGroup> all = groups();
  StorageChoice choice = choose_within(levels, weights, all, limit);
  for (std::size_t g = 0; g < all.size(); ++g) {
    for (const std::size_t i : all[g].levels) {
      if (choice.exceeded[g] && !choice.keep[i] && choice.pointless[i].empty())
        choice.pointless[i] = fmt::format("the family is bounded to {} of the source (scale.storage)",
                                          format_percent(families_[levels_[i].family].task->scale.storage, 0));
    }
  }
  return choice;
}

void FamilyStorage::settle(const std::vector<bool>& keep) {
  for (std::size_t s = 0; s < shared_.size(); ++s) {
    const Shared& shared = shared_[s];
    const Kept of = kept(s, keep);
    const auto is_settled = [&](std::size_t f) { return families_[f].stored->settled == state(s, of, keep); };
    if (std::all_of(shared.families.begin(), shared.families.end(), is_settled)) continue;
    std::vector<fs::path> paths(shared.layout.files.size());
    for (std::size_t i = 0; i < levels_.size(); ++i) {
      const Level& level = levels_[i];
      if (level.shared == s && level.file >= 0 && keep[i]) paths[static_cast<std::size_t>(level.file)] = path(level);
    }
    const fs::path source = of.source ? families_[*of.source].task->model : fs::path();
    const PackedFamily packed = pack_family(shared.layout, of.files, paths, source, workspace_.variants());
    for (const Level& level : levels_) {
      if (level.shared != s || level.file < 0) continue;
      const fs::path& now = packed.files[static_cast<std::size_t>(level.file)];
      if (!now.empty()) level.variant->location = now.lexically_relative(workspace_.folder()).string();
    }
    for (const std::size_t f : shared.families) families_[f].stored->settled = state(s, of, keep);
  }
}

std::string FamilyStorage::state(std::size_t shared, const Kept& kept, const std::vector<bool>& keep) const {
  std::string text = fmt::format("{} {}", shared_[shared].layout_digest, fmt::join(names(shared, kept), " "));
  for (std::size_t i = 0; i < levels_.size(); ++i) {
    const Level& level = levels_[i];
    if (level.shared == shared && level.file >= 0 && keep[i])
      text += fmt::format("\n{} {}", level.variant->content, level.variant->location);
  }
  return sha256(text);
}

std::vector<LevelBytes> FamilyStorage::bytes(const std::vector<bool>& keep) const {
  std::vector<std::vector<std::int64_t>> own;  // by shared layout and file; what is counted becomes 0
  for (std::size_t s = 0; s < shared_.size(); ++s) {
    const Kept of = kept(s, keep);
    own.push_back(own_bytes(shared_[s].layout, place(shared_[s].layout, of.files, names(s, of))));
  }
  std::vector<LevelBytes> all(levels_.size());
  std::set<std::string_view> counted;  // contents of the user's files
  for (std::size_t i = 0; i < levels_.size(); ++i) {
    const Level& level = levels_[i];
    all[i].bytes = level.variant->bytes;
    if (!keep[i]) continue;
    std::int64_t here = 0;
    if (level.file >= 0) std::swap(here, own[level.shared][static_cast<std::size_t>(level.file)]);
    else if (counted.insert(level.variant->content).second) here = all[i].bytes;
    all[i].bytes = std::max(all[i].bytes, here);  // a level that holds what others use has the references to it besides
    all[i].shared = all[i].bytes - here;
  }
  return all;
}

void FamilyStorage::remove_unused(const std::vector<bool>& keep, const std::vector<std::string>& others) const {
  std::set<fs::path> needed;
  const auto need = [&](const fs::path& path) {
    std::error_code ec;
    if (!fs::is_regular_file(path, ec)) return;
    for (const fs::path& file : model_files(path)) needed.insert(file.filename());
  };
  for (const std::string& location : others) need(workspace_.folder() / location);
  std::set<fs::path> dropped;
  for (std::size_t i = 0; i < levels_.size(); ++i) {
    if (levels_[i].file < 0) continue;
    if (keep[i]) need(path(levels_[i]));
    else dropped.insert(path(levels_[i]).filename());
  }
  std::error_code ec;
  for (const auto& entry : fs::directory_iterator(workspace_.variants(), ec)) {
    const fs::path name = entry.path().filename();
    const bool made = name.extension() == ".onnx" || name.extension() == ".weights" || dropped.contains(name);
    if (made && !name.string().starts_with('.') && !needed.contains(name)) fs::remove(entry.path(), ec);
  }
}

}  // namespace rtmdl
