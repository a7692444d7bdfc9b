// The files of stored pieces: their names, what lies where in them, and how it gets there.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>

#include "daemon/model/piece.hpp"
#include "mesh/messages/plan.hpp"
#include "mesh/wire/identity.hpp"

namespace shoal {

/// True for tensor names that can be part of a file's name: they come from another device's file,
/// and must not lead out of the folder.
bool is_plain_name(std::string_view tensor) noexcept;

/// "blk.0.attn_q.weight@0-64@0-256": the tensor, its rows, its columns.
std::string piece_name(const model::Piece& piece);

/// Nothing when it is no such name.
std::optional<model::Piece> parse_piece_name(std::string_view name);

/// A file is its content, and behind that a hash of each chunk of it.
namespace piece_file {

using Hash = std::array<unsigned char, 32>;
inline constexpr std::size_t kChunk = mesh::messages::kMaxPieceBytes;

/// The bytes of the chunk at `offset` of a content of `total` bytes.
std::uint64_t chunk_bytes(std::uint64_t total, std::uint64_t offset) noexcept;
/// Where all its chunks begin.
std::set<std::uint64_t> all_chunks(std::uint64_t total);
/// Where the chunk's hash stands in the file.
std::uint64_t hash_place(std::uint64_t total, std::uint64_t offset) noexcept;
/// The length of the file.
std::uint64_t file_bytes_of(std::uint64_t total) noexcept;
/// The content that a file of this length has; 0 when none has it.
std::uint64_t content_bytes(std::uint64_t file_bytes) noexcept;

/// Keyed by all that says where a chunk belongs: one of another place is as wrong as a damaged one.
/// `name`: the content's, of those of its model.
Hash chunk_hash(const mesh::ModelHash& model, std::string_view name, std::uint64_t offset,
                std::span<const std::byte> chunk) noexcept;

/// Gives an open file its length and its room on the disk, all at once: rather now than at the last
/// chunk. An error number; 0: it has them.
int take_room(int fd, std::uint64_t total) noexcept;
/// Writes a chunk and its hash. An error number; 0: they are written.
int write_chunk(int fd, std::uint64_t total, std::uint64_t offset, std::span<const std::byte> chunk,
                const Hash& hash) noexcept;

}  // namespace piece_file

}  // namespace shoal
