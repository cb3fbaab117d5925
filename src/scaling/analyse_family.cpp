#include "base/atomic_file.h"
#include "base/hash.h"
#include "model/sliced_weights.h"
#include "model/stored_tensors.h"
#include "model/tensor_data.h"
#include "scaling/family_levels.h"
#include "scaling/pack_family.h"
#include "scaling/source_indices.h"

#include <rtmdl/error.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <optional>
#include <string_view>
#include <tuple>
#include <unordered_map>

#include <fmt/format.h>

namespace rtmdl {
namespace {

namespace fs = std::filesystem;

/// A tensor in one of the places where it is used, as part of the tensor that its indices are positions of.
struct Form {
  int piece = -1;  ///< or
  int source = -1;
  StoredTensor stored;
  std::vector<Positions> origin;  ///< by axis; empty: the whole axis
};

/// `part`'s positions within `whole`; nothing if it has others.
std::optional<Positions> within(const Positions& part, std::int64_t part_size, const Positions& whole,
                                std::int64_t whole_size) {
  if (part == whole) {
    if (part_size != whole_size) return std::nullopt;
    return Positions{};
  }
  Positions wanted = part;
  if (wanted.empty()) {
    wanted.resize(static_cast<std::size_t>(part_size));
    std::iota(wanted.begin(), wanted.end(), 0);
  }
  std::unordered_map<std::int64_t, std::int64_t> at;
  for (std::size_t i = 0; i < whole.size(); ++i) at.emplace(whole[i], static_cast<std::int64_t>(i));
  for (std::int64_t& position : wanted) {
    if (whole.empty()) {
      if (position >= whole_size) return std::nullopt;
      continue;
    }
    const auto found = at.find(position);
    if (found == at.end()) return std::nullopt;
    position = found->second;
  }
  return wanted;
}

std::optional<TensorSlice> slice_by_origin(const Form& part, const Form& whole) {
  const auto& shape = part.stored.shape;
  if (shape.size() != whole.stored.shape.size()) return std::nullopt;
  TensorSlice slice{whole.stored.shape, std::vector<Positions>(shape.size())};
  const auto origin = [](const Form& f, std::size_t axis) {
    return axis < f.origin.size() ? f.origin[axis] : Positions{};
  };
  for (std::size_t i = 0; i < shape.size(); ++i) {
    auto taken = within(origin(part, i), shape[i], origin(whole, i), whole.stored.shape[i]);
    if (!taken) return std::nullopt;
    slice.taken[i] = std::move(*taken);
  }
  if (shape_of(slice) != shape) return std::nullopt;
  return slice;
}

/// Looks for each row of `part` among those of `whole`.
std::optional<TensorSlice> slice_by_rows(const Form& part, std::string_view part_bytes, const Form& whole,
                                         std::string_view whole_bytes) {
  const auto& shape = part.stored.shape;
  const auto& stored = whole.stored.shape;
  if (shape.empty() || shape.size() != stored.size() || shape[0] > stored[0] ||
      !std::equal(shape.begin() + 1, shape.end(), stored.begin() + 1))
    return std::nullopt;
  const auto row = part_bytes.size() / static_cast<std::size_t>(shape[0]);
  const auto is_first = [&](std::int64_t i) {
    return whole_bytes.substr(static_cast<std::size_t>(i) * row, row) == part_bytes.substr(0, row);
  };
  std::int64_t first = 0;
  while (first < stored[0] && !is_first(first)) ++first;
  if (first == stored[0]) return std::nullopt;
  std::unordered_map<std::string_view, std::vector<std::int64_t>> rows;  // equal ones: the first last
  for (std::int64_t i = stored[0]; i-- > 0;)
    rows[whole_bytes.substr(static_cast<std::size_t>(i) * row, row)].push_back(i);
  TensorSlice slice{stored, std::vector<Positions>(stored.size())};
  for (std::int64_t i = 0; i < shape[0]; ++i) {
    const auto found = rows.find(part_bytes.substr(static_cast<std::size_t>(i) * row, row));
    if (found == rows.end() || found->second.empty()) return std::nullopt;
    slice.taken[0].push_back(found->second.back());
    found->second.pop_back();
  }
  return slice;
}

class Analysis {
 public:
  explicit Analysis(const fs::path& source) {
    for (StoredTensor& tensor : stored_tensors(source)) {
      const auto bytes = tensor_bytes(tensor.shape, element_size(element_type(tensor.type).value()));
      if (bytes < kSmallestShared || !is_whole(tensor.slice)) continue;
      forms_[tensor.name].push_back({-1, static_cast<int>(sources_.size()), tensor, {}});
      sources_.push_back(std::move(tensor));
    }
    source_ = source;
  }

  FamilyLayout run(const std::vector<FamilyLevel>& levels) {
    std::map<std::string, int> known;
    for (const FamilyLevel& level : levels) {
      if (known.emplace(level.content, static_cast<int>(layout_.files.size())).second) add(level);
    }
    find_equals();
    for (auto& [name, forms] : forms_) find_slices(forms);
    note_sources();
    sort_pieces(layout_);
    return std::move(layout_);
  }

 private:
  void add(const FamilyLevel& level) {
    FamilyFile file;
    file.content = level.content;
    std::optional<Model> model = load_level(level.path);
    if (!model) {
      file.whole = true;
      file.bytes = static_cast<std::int64_t>(fs::file_size(level.path));
      layout_.files.push_back(std::move(file));
      return;
    }
    const SourceIndices indices = level.indices.empty() ? read_indices(*model) : level.indices;
    std::map<std::string, StoredTensor> stored;
    for (StoredTensor& tensor : stored_tensors(level.path)) stored.emplace(tensor.name, std::move(tensor));
    for (const int i : shareable(*model)) {
      onnx::TensorProto& tensor = *model->graph().mutable_initializer(i);
      const int piece = piece_of(tensor);
      if (const auto at = stored.find(tensor.name()); at != stored.end()) add_form(piece, indices, at->second);
      tensor.clear_raw_data();
      file.uses.push_back({i, piece, static_cast<std::int64_t>(tensor.ByteSizeLong())});
    }
    for (const FamilyFile::Use& use : file.uses) model->graph().mutable_initializer(use.initializer)->Clear();
    // What is left of each tensor in `uses` is an empty message: its tag and its length.
    file.graph =
        static_cast<std::int64_t>(model->graph().ByteSizeLong()) - 2 * static_cast<std::int64_t>(file.uses.size());
    model->proto.clear_graph();
    file.rest = static_cast<std::int64_t>(model->proto.ByteSizeLong());
    layout_.files.push_back(std::move(file));
  }

  int piece_of(const onnx::TensorProto& tensor) {
    const std::string& data = tensor.raw_data();
    Piece piece;
    piece.digest = tensor_digest(data);
    piece.shape = dims(tensor);
    piece.bytes = static_cast<std::int64_t>(data.size());
    const auto [at, fresh] = known_.try_emplace({piece.digest, piece.shape}, static_cast<int>(layout_.pieces.size()));
    if (!fresh) return at->second;
    types_.push_back(tensor.data_type());
    layout_.pieces.push_back(std::move(piece));
    layout_.pieces.back().reference =
        reference_bytes(at->second, {weights_location(std::string(64, '0')), 0, whole_of(at->second), {}});
    return at->second;
  }

  /// Bytes that a tensor's message grows by when it has the reference instead of its data.
  [[nodiscard]] std::int64_t reference_bytes(int piece, const StoredSlice& stored) const {
    onnx::TensorProto bare;
    bare.set_data_type(types_[static_cast<std::size_t>(piece)]);
    for (const std::int64_t d : layout_.pieces[static_cast<std::size_t>(piece)].shape) bare.add_dims(d);
    const auto before = bare.ByteSizeLong();
    refer_to_slice(bare, stored, std::string(32, '0'));
    return static_cast<std::int64_t>(bare.ByteSizeLong() - before);
  }

  void add_form(int piece, const SourceIndices& indices_of_level, const StoredTensor& stored) {
    const auto indices = indices_of_level.find(stored.name);
    Form form{piece, -1, stored, indices == indices_of_level.end() ? std::vector<Positions>{} : indices->second};
    auto& forms = forms_[stored.name];
    const bool known = std::any_of(forms.begin(), forms.end(),
                                   [&](const Form& f) { return f.piece == piece && f.origin == form.origin; });
    if (!known) forms.push_back(std::move(form));
  }

  /// Equal bytes under another shape, and in the source, whatever the names.
  void find_equals() {
    std::map<std::string, std::vector<int>> by_digest;
    for (std::size_t i = 0; i < layout_.pieces.size(); ++i)
      by_digest[layout_.pieces[i].digest].push_back(static_cast<int>(i));
    for (std::size_t s = 0; s < sources_.size(); ++s) {
      const auto equal = by_digest.find(tensor_digest(read_tensor(sources_[s])));
      if (equal == by_digest.end()) continue;
      for (const int p : equal->second) contain(p, true, static_cast<int>(s), whole_of(p));
    }
    for (const auto& [digest, equal] : by_digest) {
      for (std::size_t i = 1; i < equal.size(); ++i) contain(equal[i], false, equal.front(), whole_of(equal[i]));
    }
  }

  [[nodiscard]] TensorSlice whole_of(int piece) const {
    return {layout_.pieces[static_cast<std::size_t>(piece)].shape, {}};
  }

  void find_slices(const std::vector<Form>& forms) {
    if (std::none_of(forms.begin(), forms.end(), [](const Form& f) { return f.piece >= 0; })) return;
    std::vector<std::string> bytes;
    for (const Form& form : forms) bytes.push_back(read_tensor(form.stored));
    for (std::size_t part = 0; part < forms.size(); ++part) {
      if (forms[part].piece < 0) continue;
      for (std::size_t whole = 0; whole < forms.size(); ++whole)
        find_slice(forms[part], bytes[part], forms[whole], bytes[whole]);
    }
  }

  void find_slice(const Form& part, const std::string& part_bytes, const Form& whole, const std::string& whole_bytes) {
    const bool source = whole.piece < 0;
    if (part.stored.type != whole.stored.type || part.piece == whole.piece || part_bytes.size() > whole_bytes.size())
      return;
    if (!source && part_bytes.size() == whole_bytes.size() && part.piece < whole.piece) return;
    if (contained(part.piece, source, source ? whole.source : whole.piece)) return;
    const std::size_t element = element_size(element_type(part.stored.type).value());
    auto slice = slice_by_origin(part, whole);
    if (slice && cut_slice(*slice, element, whole_bytes) != part_bytes) slice.reset();
    if (!slice) slice = slice_by_rows(part, part_bytes, whole, whole_bytes);
    if (slice) contain(part.piece, source, source ? whole.source : whole.piece, std::move(*slice));
  }

  [[nodiscard]] bool contained(int piece, bool source, int container) const {
    const auto& in = layout_.pieces[static_cast<std::size_t>(piece)].in;
    return std::any_of(in.begin(), in.end(),
                       [&](const Containment& c) { return c.source == source && c.container == container; });
  }

  void contain(int piece, bool source, int container, TensorSlice slice) {
    if (contained(piece, source, container)) return;
    Piece& p = layout_.pieces[static_cast<std::size_t>(piece)];
    const std::string sha(64, '0');
    StoredSlice at{source ? source_location(sha) : weights_location(sha), 0, std::move(slice), {}};
    if (source) at.initializer = sources_[static_cast<std::size_t>(container)].name;
    const std::int64_t reference = reference_bytes(piece, at);
    if (reference < p.bytes) p.in.push_back({source, container, std::move(at.slice), reference});
  }

  /// Of the source's tensors only those that anything is a slice of are written down.
  void note_sources() {
    std::map<int, int> needed;
    for (Piece& p : layout_.pieces) {
      for (Containment& c : p.in) {
        if (c.source) c.container = source_tensor(needed, c.container);
      }
    }
  }

  int source_tensor(std::map<int, int>& needed, int s) {
    const auto [at, fresh] = needed.try_emplace(s, static_cast<int>(layout_.sources.size()));
    if (fresh) {
      const StoredTensor& tensor = sources_[static_cast<std::size_t>(s)];
      layout_.sources.push_back({tensor.name, source_file(tensor.file), tensor.offset});
    }
    return at->second;
  }

  int source_file(const fs::path& path) {
    const std::string name = path == source_ ? "" : path.lexically_relative(source_.parent_path()).string();
    auto& files = layout_.source_files;
    for (std::size_t i = 0; i < files.size(); ++i) {
      if (files[i].name == name) return static_cast<int>(i);
    }
    files.push_back({name, static_cast<std::int64_t>(fs::file_size(path)), sha256_of_file(path)});
    return static_cast<int>(files.size()) - 1;
  }

  fs::path source_;
  std::vector<StoredTensor> sources_;
  std::map<std::pair<std::string, std::vector<std::int64_t>>, int> known_;  ///< pieces by digest and shape
  std::vector<int> types_;                                                  ///< by piece
  std::map<std::string, std::vector<Form>> forms_;                          ///< by the origin's name
  FamilyLayout layout_;
};

}  // namespace

FamilyLayout analyse_family(const std::vector<FamilyLevel>& levels, const fs::path& source) {
  return Analysis(source).run(levels);
}

}  // namespace rtmdl
