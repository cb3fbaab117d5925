#pragma once
/// The levels of a family on disk: what they have in common is written once, and each keeps a light graph file.

#include "scaling/family_layout.h"
#include "scaling/prune.h"

#include <filesystem>
#include <string>
#include <vector>

namespace rtmdl {

/// A level's model file as it is now, whole or light.
struct FamilyLevel {
  std::filesystem::path path;
  std::string content;    ///< content_of(path)
  SourceIndices indices;  ///< where its initializers were taken from, those not listed whole; empty: as the file says
};

/// SHA-256 of a model as load_model() gives it: the same however its weights are stored. Of a file that is no ONNX
/// model, of its bytes. Throws Error(bad_input) if a file of it is missing or another.
[[nodiscard]] std::string content_of(const std::filesystem::path& path);

/// Finds what levels have in common with each other and with the source: equal tensors, whatever their names; slices by
/// the indices given; rows (positions of the first axis) of a tensor of the same name. Everything is compared bit for
/// bit. Levels of equal content are one file of the layout, in the order of their first. Reads each file a few times
/// and holds one model in memory, and all forms of one tensor. Throws Error(bad_input) if a file cannot be read.
[[nodiscard]] FamilyLayout analyse_family(const std::vector<FamilyLevel>& levels, const std::filesystem::path& source);

/// How files in `folder` name the source's files: relative paths if there are such.
[[nodiscard]] std::vector<std::string> source_paths(const FamilyLayout& layout, const std::filesystem::path& source,
                                                    const std::filesystem::path& folder);

struct PackedFamily {
  std::filesystem::path weights;             ///< empty: nothing is shared
  std::vector<std::filesystem::path> files;  ///< by file of the layout; empty for those not in the set
  Placement placement;                       ///< whose bytes are those of the files
};

/// Writes the files of `set` (ascending) into `folder`, named by their content. `paths`: where each file of the layout
/// is now (those of the set are read). With `source` empty nothing refers to the source. Deterministic. The weights
/// file is there before the files that need it, each of them whole or not at all; what was there before stays. Throws
/// Error(bad_input): a file cannot be read or written, or is not what the layout was made from.
[[nodiscard]] PackedFamily pack_family(const FamilyLayout& layout, const std::vector<int>& set,
                                       const std::vector<std::filesystem::path>& paths,
                                       const std::filesystem::path& source, const std::filesystem::path& folder);

}  // namespace rtmdl
