// Pieces of models that were shipped here, kept on disk in file layout.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "daemon/model/piece.hpp"
#include "daemon/pieces/open_model.hpp"
#include "daemon/pieces/piece_file.hpp"
#include "mesh/messages/warning.hpp"
#include "mesh/wire/identity.hpp"

namespace shoal {

/// True when every element of `inner` is one of `outer`.
bool contains(const model::Piece& outer, const model::Piece& inner) noexcept;

/// The pieces of one model: `<folder>/<hash>/header` and a file per piece, named by its rectangle.
/// They come in chunks, in any order. Behind the content stands a hash of each chunk, so that what
/// the disk changed, or lost with the power, is found before it is computed with. A file with the
/// ending ".part" is a piece that is still coming; it goes on with the chunks that it lacks.
///
/// What the disk does not take is kept in memory as far as that is allowed: a full disk or a
/// read-only one costs fetching again at the next start, not the model.
/// Externally synchronised; writes to the disk and waits for it.
class PieceStore {
  public:
    static constexpr std::size_t kChunk = piece_file::kChunk;

    /// `memory_bytes`: what may be kept in memory when the disk does not take it.
    PieceStore(const std::filesystem::path& folder, const mesh::ModelHash& model,
               std::uint64_t memory_bytes);
    ~PieceStore();

    bool has_header() const noexcept { return header_ != nullptr; }
    /// Forget a header that cannot be used.
    void discard_header() noexcept;
    /// Where the chunks of a piece of `info` begin that are not here yet, ascending. None, when a
    /// stored piece contains it: that one is read and checked, and deleted when it is damaged.
    std::vector<std::uint64_t> missing(const model::TensorInfo& info, const model::Piece& piece);

    /// The chunk at `offset` of a piece, or of the header, that has `total` bytes. With the last
    /// one that was missing it is complete. Throws model::ModelError when neither disk nor memory
    /// can take it.
    void write(const std::optional<model::Piece>& piece, std::uint64_t offset,
               std::span<const std::byte> chunk, std::uint64_t total);
    /// After this a power cut loses no complete piece.
    void settle() noexcept;
    /// Why the disk does not take what it should, for a person; nothing while it does.
    const std::optional<mesh::messages::Warning>& trouble() const noexcept { return trouble_; }

    /// Reads what is here. Throws model::ModelError when the header is missing or no valid one.
    std::unique_ptr<const model::WeightSource> source(std::uint64_t file_bytes) const;
    /// The same with the model's description, which needs rope_freqs.weight to be here. Throws
    /// model::ModelError when the header is missing or no valid one. `with_tokenizer`: a root needs
    /// it.
    std::shared_ptr<const OpenModel> open(const std::string& name, std::uint64_t file_bytes,
                                          bool with_tokenizer) const;

  private:
    using Bytes = std::vector<std::byte>;
    // A complete piece that was checked: in memory, or in a file.
    struct Stored {
        model::Piece piece;
        std::shared_ptr<const Bytes> memory;
        std::filesystem::path path;
        model::FileStamp stamp;
    };
    struct Part;
    class Source;

    std::filesystem::path path_of(const std::string& name) const { return folder_ / name; }
    piece_file::Hash hash(const std::string& name, std::uint64_t offset,
                          std::span<const std::byte> chunk) const noexcept;
    std::set<std::uint64_t> bad_chunks(const std::filesystem::path& path, const std::string& name,
                                       std::uint64_t total) const;
    void read_header() noexcept;
    void list_files() noexcept;
    const Stored* find_stored(const model::TensorInfo& info, const model::Piece& piece);
    Part& part_of(const std::string& name, std::uint64_t total);
    void write_to_disk(Part& part, std::uint64_t offset, std::span<const std::byte> chunk);
    void keep_in_memory(Part& part, const mesh::messages::Warning& why);
    void complete(const std::optional<model::Piece>& piece, Part& part);
    mesh::messages::Warning refusal(int error, std::uint64_t bytes) const;

    const std::filesystem::path folder_;
    const mesh::ModelHash model_;
    std::uint64_t memory_left_;
    std::shared_ptr<const Bytes> header_;
    std::multimap<std::string, model::Piece> listed_;     // files by tensor, not looked into yet
    std::multimap<std::string, Stored> stored_;           // by tensor
    std::map<std::string, std::unique_ptr<Part>> parts_;  // by file name
    std::optional<mesh::messages::Warning> trouble_;
};

}  // namespace shoal
