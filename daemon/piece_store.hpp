// Pieces of models that were shipped here, kept on disk in file layout.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "daemon/model/piece.hpp"
#include "daemon/plan_spec.hpp"
#include "mesh/wire/identity.hpp"

namespace shoal {

/// True when every element of `inner` is one of `outer`.
bool contains(const model::Piece& outer, const model::Piece& inner) noexcept;

/// The pieces of one model: `<folder>/<hash>/header` and a file per piece, named by its
/// rectangle. A file with the ending ".part" is a piece that is still coming; it goes on where
/// it ended. Externally synchronised.
class PieceStore {
  public:
    /// Makes the folder. Throws std::filesystem::filesystem_error when that cannot be done.
    PieceStore(const std::filesystem::path& folder, const mesh::ModelHash& model);

    /// Bytes of the header or piece that are here already; `complete` tells if that is all.
    struct Have {
        std::uint64_t bytes = 0;
        bool complete = false;
    };
    Have have_header() const;
    /// A piece of `info` counts as complete when any stored one contains it. Files that are not
    /// as long as they should be are no pieces.
    Have have(const model::TensorInfo& info, const model::Piece& piece);
    /// Forget a header that cannot be used.
    void discard_header() noexcept;

    /// Append what came; with the last byte, `total` in all, the header or piece is complete.
    /// Throws model::ModelError when it cannot be written: no space is left.
    void append_header(std::span<const std::byte> bytes, std::uint64_t total);
    void append(const model::Piece& piece, std::span<const std::byte> bytes, std::uint64_t total);

    /// Reads what is here. Throws model::ModelError when the header is missing or no valid one.
    std::unique_ptr<const model::WeightSource> source(std::uint64_t file_bytes) const;
    /// The same with the model's description, which needs rope_freqs.weight to be here. Throws
    /// model::ModelError when the header is missing or no valid one. `with_tokenizer`: a root needs
    /// it.
    std::shared_ptr<const OpenModel> open(const std::string& name, std::uint64_t file_bytes,
                                          bool with_tokenizer) const;

  private:
    void append_file(const std::filesystem::path& path, std::span<const std::byte> bytes,
                     std::uint64_t total);

    std::filesystem::path folder_;
    mesh::ModelHash model_;
};

}  // namespace shoal
