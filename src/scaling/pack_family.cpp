#include "scaling/pack_family.h"

#include "base/atomic_file.h"
#include "base/hash.h"
#include "model/sliced_weights.h"
#include "model/tensor_data.h"
#include "scaling/family_levels.h"

#include <rtmdl/error.h>

#include <algorithm>
#include <set>

#include <fmt/format.h>

namespace rtmdl {
namespace {

namespace fs = std::filesystem;

/// Content-addressed: what is there already under its name is the same.
void write_once(const fs::path& path, const std::string& bytes) {
  std::error_code ec;
  if (fs::is_regular_file(path, ec) && fs::file_size(path, ec) == bytes.size() && read_file(path) == bytes) return;
  write_file_atomically(path, bytes);
}

class Packer {
 public:
  Packer(const FamilyLayout& layout, const std::vector<fs::path>& paths, const fs::path& source, const fs::path& folder)
      : layout_(layout), paths_(paths), folder_(folder) {
    if (!source.empty()) source_paths_ = source_paths(layout, source, folder);
  }

  PackedFamily run(const std::vector<int>& set) {
    packed_.placement = place(layout_, set, source_paths_);
    packed_.files.resize(layout_.files.size());
    write_weights(set);
    for (const int f : set) write_level(f);
    return std::move(packed_);
  }

 private:
  [[nodiscard]] const FamilyFile& file(int f) const { return layout_.files[static_cast<std::size_t>(f)]; }
  [[nodiscard]] const Piece& piece(int p) const { return layout_.pieces[static_cast<std::size_t>(p)]; }
  [[nodiscard]] const Placement::Place& at(int p) const {
    return packed_.placement.pieces[static_cast<std::size_t>(p)];
  }

  /// Throws if it is not the model that the layout was made from.
  [[nodiscard]] Model load(int f) const {
    const fs::path& path = paths_[static_cast<std::size_t>(f)];
    std::optional<Model> model = load_level(path);
    bool same = model.has_value();
    for (const FamilyFile::Use& use : file(f).uses) {
      same = same && use.initializer < model->graph().initializer_size() &&
             tensor_digest(model->graph().initializer(use.initializer).raw_data()) == piece(use.piece).digest;
    }
    if (!same) bad_input(fmt::format("{}: not the level that was made: its weights are others", path.string()));
    return std::move(*model);
  }

  void write_weights(const std::vector<int>& set) {
    if (packed_.placement.weights == 0) return;
    std::string bytes(static_cast<std::size_t>(packed_.placement.weights), '\0');
    for (const int f : set) {
      if (file(f).whole) continue;
      const Model model = load(f);
      for (const FamilyFile::Use& use : file(f).uses) {
        const Placement::Place& here = at(use.piece);
        if (here.where != Placement::Where::weights || here.owner != f) continue;
        const std::string& data = model.graph().initializer(use.initializer).raw_data();
        std::copy(data.begin(), data.end(), bytes.begin() + here.offset);
      }
    }
    const std::string sha = sha256(bytes);
    weights_ = {weights_location(sha), packed_.placement.weights, sha, {}};
    packed_.weights = folder_ / weights_.location;
    write_once(packed_.weights, bytes);
  }

  void write_level(int f) {
    fs::path& path = packed_.files[static_cast<std::size_t>(f)];
    if (file(f).whole) {
      path = paths_[static_cast<std::size_t>(f)];
      return;
    }
    const Model whole = load(f);
    Model light = whole;
    std::set<int> sources;
    bool needs_weights = false;
    for (const FamilyFile::Use& use : file(f).uses) {
      const Placement::Place& here = at(use.piece);
      if (here.where == Placement::Where::inside) continue;
      onnx::TensorProto& tensor = *light.graph().mutable_initializer(use.initializer);
      const StoredSlice stored = reference(use.piece, dims(tensor), sources);
      needs_weights = needs_weights || stored.location == weights_.location;
      refer_to_slice(tensor, stored, piece(use.piece).digest);
    }
    set_files(light, needs_weights, sources);
    const std::string bytes = serialize(light);
    if (static_cast<std::int64_t>(bytes.size()) != packed_.placement.files[static_cast<std::size_t>(f)])
      throw Error(ErrorCode::internal, fmt::format("{}: {} bytes instead of {}", whole.name, bytes.size(),
                                                   packed_.placement.files[static_cast<std::size_t>(f)]));
    path = folder_ / (sha256(bytes).substr(0, 16) + ".onnx");
    write_once(path, bytes);
    if (is_sliced(light.proto) && serialize(load_model(path)) != serialize(whole))
      throw Error(ErrorCode::internal, fmt::format("{}: is not {} any more", path.string(), whole.name));
  }

  /// Where a piece that is not inside is.
  StoredSlice reference(int p, const std::vector<std::int64_t>& shape, std::set<int>& sources) const {
    const Placement::Place& here = at(p);
    if (here.where == Placement::Where::weights) return {weights_.location, here.offset, {shape, {}}, {}};
    const Containment& c = piece(p).in[static_cast<std::size_t>(here.containment)];
    if (!c.source) return {weights_.location, at(c.container).offset, c.slice, {}};
    const SourceTensor& tensor = layout_.sources[static_cast<std::size_t>(c.container)];
    sources.insert(tensor.file);
    const SourceFile& in = layout_.source_files[static_cast<std::size_t>(tensor.file)];
    return {source_location(in.sha256), tensor.offset, c.slice, tensor.initializer};
  }

  void set_files(Model& light, bool needs_weights, const std::set<int>& sources) const {
    std::vector<WeightsFile> files;
    if (needs_weights) files.push_back(weights_);
    for (const int s : sources) {
      const SourceFile& in = layout_.source_files[static_cast<std::size_t>(s)];
      files.push_back({source_location(in.sha256), in.bytes, in.sha256, source_paths_[static_cast<std::size_t>(s)]});
    }
    if (!files.empty()) set_weights_files(light.proto, files);
  }

  const FamilyLayout& layout_;
  const std::vector<fs::path>& paths_;
  const fs::path& folder_;
  std::vector<std::string> source_paths_;
  WeightsFile weights_;
  PackedFamily packed_;
};

}  // namespace

std::vector<std::string> source_paths(const FamilyLayout& layout, const fs::path& source, const fs::path& folder) {
  std::vector<std::string> paths;
  const fs::path from = fs::weakly_canonical(folder);
  for (const SourceFile& file : layout.source_files) {
    const fs::path path = fs::weakly_canonical(file.name.empty() ? source : source.parent_path() / file.name);
    const fs::path relative = path.lexically_relative(from);
    paths.push_back((relative.empty() ? path : relative).string());
  }
  return paths;
}

PackedFamily pack_family(const FamilyLayout& layout, const std::vector<int>& set, const std::vector<fs::path>& paths,
                         const fs::path& source, const fs::path& folder) {
  return Packer(layout, paths, source, folder).run(set);
}

}  // namespace rtmdl
