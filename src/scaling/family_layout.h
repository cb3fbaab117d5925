#pragma once
/// What the levels of a family have in common, and how many bytes any set of them needs when each shared byte is stored
/// once. Values only: analyse_family() (scaling/pack_family.h) makes one from files, pack_family() writes what it says.
///
/// Tensors that one level alone uses stay inside its graph file. A tensor that several use, or that others are slices
/// of, is in the family's weights file; what the source model's own file has is nowhere else while the source is kept.

#include "model/tensor_slice.h"

#include <cstdint>
#include <string>
#include <vector>

namespace rtmdl {

/// Tensors smaller than this stay inside the graph file: to refer to them costs as much.
inline constexpr std::int64_t kSmallestShared = 256;
/// Stored tensors begin at multiples of this.
inline constexpr std::int64_t kWeightsAlignment = 8;

/// A tensor is this slice of a larger one.
struct Containment {
  bool source = false;  ///< of a tensor of the source model, else of another of the family
  int container = 0;    ///< index in `sources` or `pieces`
  TensorSlice slice;
  std::int64_t reference = 0;  ///< bytes that the reference takes in a graph file
};

/// A distinct tensor: equal bytes and shape.
struct Piece {
  std::string digest;
  std::vector<std::int64_t> shape;
  std::int64_t bytes = 0;
  std::int64_t reference = 0;   ///< bytes that a reference to the whole of it takes in a graph file
  std::vector<Containment> in;  ///< the source first, then by index
};

/// A tensor of the source model that pieces are slices of.
struct SourceTensor {
  std::string initializer;
  int file = 0;  ///< index in `source_files`
  std::int64_t offset = 0;
};

struct SourceFile {
  std::string name;  ///< relative to the source model's folder; empty: the model itself
  std::int64_t bytes = 0;
  std::string sha256;
};

/// A distinct model file; several levels may use it.
struct FamilyFile {
  struct Use {
    int initializer = 0;  ///< index in the graph
    int piece = 0;
    std::int64_t frame = 0;  ///< bytes of the tensor's message without its data
  };
  std::string content;     ///< SHA-256 of the model's bytes when it is whole
  bool whole = false;      ///< is left as it is: not ours to read
  std::int64_t bytes = 0;  ///< of the file, if whole
  std::int64_t rest = 0;   ///< else: of the model's message without the graph
  std::int64_t graph = 0;  ///< of the graph's message without the tensors in `uses`
  std::vector<Use> uses;
};

struct FamilyLayout {
  std::vector<FamilyFile> files;
  std::vector<Piece> pieces;  ///< the largest first
  std::vector<SourceTensor> sources;
  std::vector<SourceFile> source_files;
};

/// Brings the pieces into their order. Of two equally large ones that are slices of each other the first is the
/// container.
void sort_pieces(FamilyLayout& layout);
/// All files of both, with what is known of them in either.
[[nodiscard]] FamilyLayout merge(const FamilyLayout& a, const FamilyLayout& b);

/// Where a set of files has its pieces.
struct Placement {
  enum class Where : std::uint8_t { unused, inside, weights, slice };
  struct Place {
    Where where = Where::unused;
    int containment = -1;     ///< index in Piece::in, of a slice
    std::int64_t offset = 0;  ///< in the weights file
    int owner = -1;           ///< the first file of the set that has the piece itself
  };
  std::vector<Place> pieces;        ///< by piece
  std::vector<std::int64_t> files;  ///< bytes by file of the layout; 0 for those not in the set
  std::int64_t weights = 0;         ///< bytes of the weights file; 0: there is none
  /// Files and weights; the source's own files are not in it.
  [[nodiscard]] std::int64_t bytes() const;
};

/// `set`: indices of files, ascending. `source_paths`: by source file, as the graph files name them (the length
/// counts); empty: nothing may refer to the source. O(tensors of the set).
[[nodiscard]] Placement place(const FamilyLayout& layout, const std::vector<int>& set,
                              const std::vector<std::string>& source_paths);

/// Bytes that the set needs on disk, the source's own files not counted.
[[nodiscard]] std::int64_t family_bytes(const FamilyLayout& layout, const std::vector<int>& set,
                                        const std::vector<std::string>& source_paths);

/// By file of the layout: the bytes of it that `placement` does not count for another: of its graph file, and of what
/// it owns in the weights file. Their sum is placement.bytes().
[[nodiscard]] std::vector<std::int64_t> own_bytes(const FamilyLayout& layout, const Placement& placement);

}  // namespace rtmdl
