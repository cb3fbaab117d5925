#include "scaling/family_layout.h"

#include "model/sliced_weights.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <tuple>
#include <utility>

#include <google/protobuf/io/coded_stream.h>

namespace rtmdl {
namespace {

std::int64_t varint_bytes(std::int64_t value) {
  return static_cast<std::int64_t>(
      google::protobuf::io::CodedOutputStream::VarintSize64(static_cast<std::uint64_t>(value)));
}

/// A length-delimited field with a number below 16.
std::int64_t field_bytes(std::int64_t length) { return 1 + varint_bytes(length) + length; }

std::int64_t padded(std::int64_t bytes) {
  return (bytes + kWeightsAlignment - 1) / kWeightsAlignment * kWeightsAlignment;
}

class Placer {
 public:
  Placer(const FamilyLayout& layout, const std::vector<int>& set, const std::vector<std::string>& source_paths)
      : layout_(layout), set_(set), with_source_(!source_paths.empty()) {
    const std::string sha(64, '0');
    header_ = header_bytes({});
    header_of_weights_ = header_bytes({{weights_location(sha), 0, sha, {}}}) - header_;
    for (const std::string& path : source_paths)
      header_of_source_.push_back(header_bytes({{source_location(sha), 0, sha, path}}) - header_);
    placement_.pieces.resize(layout.pieces.size());
    placement_.files.assign(layout.files.size(), 0);
    uses_.assign(layout.pieces.size(), 0);
  }

  Placement run() {
    find_owners();
    find_containers();
    lay_out();
    for (const int f : set_)
      placement_.files[static_cast<std::size_t>(f)] = graph_bytes(layout_.files[static_cast<std::size_t>(f)]);
    return std::move(placement_);
  }

 private:
  Placement::Place& at(int piece) { return placement_.pieces[static_cast<std::size_t>(piece)]; }
  [[nodiscard]] const Piece& piece(int i) const { return layout_.pieces[static_cast<std::size_t>(i)]; }

  void find_owners() {
    for (const int f : set_) {
      for (const FamilyFile::Use& use : layout_.files[static_cast<std::size_t>(f)].uses) {
        if (at(use.piece).owner < 0) at(use.piece).owner = f;
        ++uses_[static_cast<std::size_t>(use.piece)];
      }
    }
  }

  /// From the largest on, so that what a piece may be a slice of is settled before it.
  void find_containers() {
    using Where = Placement::Where;
    for (int p = 0; p < static_cast<int>(layout_.pieces.size()); ++p) {
      Placement::Place& here = at(p);
      if (here.owner < 0) continue;
      const auto& in = piece(p).in;
      for (std::size_t i = 0; i < in.size() && here.containment < 0; ++i) {
        const bool there = in[i].source ? with_source_ : stored_whole(in[i].container);
        if (there) here.containment = static_cast<int>(i);
      }
      if (here.containment < 0) {
        here.where = uses_[static_cast<std::size_t>(p)] > 1 ? Where::weights : Where::inside;
        continue;
      }
      here.where = Where::slice;
      const Containment& c = in[static_cast<std::size_t>(here.containment)];
      if (!c.source) at(c.container).where = Where::weights;
    }
  }

  bool stored_whole(int p) {
    const auto where = at(p).where;
    return where == Placement::Where::inside || where == Placement::Where::weights;
  }

  void lay_out() {
    for (std::size_t i = 0; i < placement_.pieces.size(); ++i) {
      if (placement_.pieces[i].where != Placement::Where::weights) continue;
      placement_.pieces[i].offset = placement_.weights;
      placement_.weights += padded(layout_.pieces[i].bytes);
    }
  }

  std::int64_t graph_bytes(const FamilyFile& file) {
    if (file.whole) return file.bytes;
    std::int64_t graph = file.graph;
    bool weights = false;
    std::vector<bool> sources(layout_.source_files.size(), false);
    std::int64_t header = 0;
    for (const FamilyFile::Use& use : file.uses) {
      const Placement::Place& here = at(use.piece);
      const Piece& p = piece(use.piece);
      std::int64_t message = use.frame;
      switch (here.where) {
        case Placement::Where::weights:
          message += p.reference;
          weights = true;
          break;
        case Placement::Where::slice: {
          const Containment& c = p.in[static_cast<std::size_t>(here.containment)];
          message += c.reference;
          if (c.source)
            sources[static_cast<std::size_t>(layout_.sources[static_cast<std::size_t>(c.container)].file)] = true;
          else weights = true;
          break;
        }
        default: message += field_bytes(p.bytes);
      }
      graph += field_bytes(message);
    }
    if (weights) header += header_of_weights_;
    for (std::size_t i = 0; i < sources.size(); ++i) header += sources[i] ? header_of_source_[i] : 0;
    return file.rest + field_bytes(graph) + header + (header > 0 ? header_ : 0);
  }

  /// What set_weights_files() adds.
  [[nodiscard]] static std::int64_t header_bytes(const std::vector<WeightsFile>& files) {
    onnx::ModelProto header;
    set_weights_files(header, files);
    return static_cast<std::int64_t>(header.ByteSizeLong());
  }

  const FamilyLayout& layout_;
  const std::vector<int>& set_;
  bool with_source_;
  std::int64_t header_ = 0, header_of_weights_ = 0;
  std::vector<std::int64_t> header_of_source_;
  Placement placement_;
  std::vector<int> uses_;  ///< by piece, in the set
};

/// Adds layouts to one another.
class Merger {
 public:
  void add(const FamilyLayout& from) {
    std::vector<int> files, sources, pieces;
    for (const SourceFile& f : from.source_files)
      files.push_back(find_or_add(into_.source_files, f, [&](const SourceFile& x) { return x.sha256 == f.sha256; }));
    for (SourceTensor s : from.sources) {
      s.file = files[static_cast<std::size_t>(s.file)];
      sources.push_back(find_or_add(into_.sources, s, [&](const SourceTensor& x) {
        return x.file == s.file && x.offset == s.offset && x.initializer == s.initializer;
      }));
    }
    for (const Piece& p : from.pieces) {
      const auto [at, fresh] = known_.try_emplace({p.digest, p.shape}, static_cast<int>(into_.pieces.size()));
      if (fresh) {
        into_.pieces.push_back(p);
        into_.pieces.back().in.clear();
      }
      pieces.push_back(at->second);
      for (Containment c : p.in) {
        c.container =
            c.source ? sources[static_cast<std::size_t>(c.container)] : pieces[static_cast<std::size_t>(c.container)];
        auto& in = into_.pieces[static_cast<std::size_t>(at->second)].in;
        (void)find_or_add(in, c,
                          [&](const Containment& x) { return x.source == c.source && x.container == c.container; });
      }
    }
    for (FamilyFile f : from.files) {
      for (auto& use : f.uses) use.piece = pieces[static_cast<std::size_t>(use.piece)];
      (void)find_or_add(into_.files, f, [&](const FamilyFile& x) { return x.content == f.content; });
    }
  }

  FamilyLayout merged() {
    sort_pieces(into_);
    return std::move(into_);
  }

 private:
  template <typename T, typename Same>
  static int find_or_add(std::vector<T>& list, const T& one, Same same) {
    const auto at = std::find_if(list.begin(), list.end(), same);
    const auto place = static_cast<int>(at - list.begin());
    if (at == list.end()) list.push_back(one);
    return place;
  }

  std::map<std::pair<std::string, std::vector<std::int64_t>>, int> known_;  ///< pieces
  FamilyLayout into_;
};

}  // namespace

FamilyLayout merge(const FamilyLayout& a, const FamilyLayout& b) {
  Merger merger;
  merger.add(a);
  merger.add(b);
  return merger.merged();
}

void sort_pieces(FamilyLayout& layout) {
  // Equally large ones: the container first, which is the one that was there first.
  std::vector<int> order(layout.pieces.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
    return layout.pieces[static_cast<std::size_t>(a)].bytes > layout.pieces[static_cast<std::size_t>(b)].bytes;
  });
  std::vector<int> place(order.size());
  for (std::size_t i = 0; i < order.size(); ++i) place[static_cast<std::size_t>(order[i])] = static_cast<int>(i);
  std::vector<Piece> sorted;
  for (const int p : order) sorted.push_back(std::move(layout.pieces[static_cast<std::size_t>(p)]));
  layout.pieces = std::move(sorted);
  for (FamilyFile& file : layout.files) {
    for (auto& use : file.uses) use.piece = place[static_cast<std::size_t>(use.piece)];
  }
  for (std::size_t p = 0; p < layout.pieces.size(); ++p) {
    auto& in = layout.pieces[p].in;
    for (Containment& c : in) {
      if (!c.source) c.container = place[static_cast<std::size_t>(c.container)];
    }
    std::erase_if(in, [&](const Containment& c) { return !c.source && c.container >= static_cast<int>(p); });
    std::sort(in.begin(), in.end(), [](const Containment& a, const Containment& b) {
      return std::tuple(!a.source, a.container) < std::tuple(!b.source, b.container);
    });
  }
}

std::int64_t Placement::bytes() const { return std::accumulate(files.begin(), files.end(), weights); }

Placement place(const FamilyLayout& layout, const std::vector<int>& set, const std::vector<std::string>& source_paths) {
  return Placer(layout, set, source_paths).run();
}

std::int64_t family_bytes(const FamilyLayout& layout, const std::vector<int>& set,
                          const std::vector<std::string>& source_paths) {
  return place(layout, set, source_paths).bytes();
}

std::vector<std::int64_t> own_bytes(const FamilyLayout& layout, const Placement& placement) {
  std::vector<std::int64_t> own = placement.files;
  for (std::size_t i = 0; i < layout.pieces.size(); ++i) {
    const Placement::Place& here = placement.pieces[i];
    if (here.where == Placement::Where::weights)
      own[static_cast<std::size_t>(here.owner)] += padded(layout.pieces[i].bytes);
  }
  return own;
}

}  // namespace rtmdl
