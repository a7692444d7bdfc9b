#include "daemon/pieces/piece_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sodium.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <system_error>

namespace shoal {

bool is_plain_name(std::string_view tensor) noexcept {
    return !tensor.empty() && tensor.front() != '.' &&
           std::all_of(tensor.begin(), tensor.end(), [](char c) {
               return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == '.' || c == '_' || c == '-';
           });
}

std::string piece_name(const model::Piece& p) {
    return p.tensor + "@" + std::to_string(p.row_begin) + "-" + std::to_string(p.row_end) + "@" +
           std::to_string(p.col_begin) + "-" + std::to_string(p.col_end);
}

std::optional<model::Piece> parse_piece_name(std::string_view name) {
    model::Piece piece;
    const std::size_t at = name.find('@');
    if (at == std::string_view::npos || !is_plain_name(name.substr(0, at))) return std::nullopt;
    piece.tensor = name.substr(0, at);
    const char* p = name.data() + at;
    const char* end = name.data() + name.size();
    const auto number = [&](char before, std::uint64_t& value) {
        if (p == end || *p != before) return false;
        const auto result = std::from_chars(p + 1, end, value);
        p = result.ptr;
        return result.ec == std::errc();
    };
    const bool ok = number('@', piece.row_begin) && number('-', piece.row_end) &&
                    number('@', piece.col_begin) && number('-', piece.col_end) && p == end;
    // A name that another spelling of its numbers made (leading zeros) is not the piece's.
    return ok && piece_name(piece) == name ? std::optional(piece) : std::nullopt;
}

namespace piece_file {

namespace {

int write_all(int fd, std::uint64_t offset, const void* data, std::size_t bytes) noexcept {
    for (std::size_t done = 0; done < bytes;) {
        const ssize_t n = ::pwrite(fd, static_cast<const std::byte*>(data) + done, bytes - done,
                                   static_cast<off_t>(offset + done));
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return n == 0 ? ENOSPC : errno;
        done += static_cast<std::size_t>(n);
    }
    return 0;
}

}  // namespace

std::uint64_t chunk_bytes(std::uint64_t total, std::uint64_t offset) noexcept {
    return std::min<std::uint64_t>(kChunk, total - offset);
}

std::set<std::uint64_t> all_chunks(std::uint64_t total) {
    std::set<std::uint64_t> out;
    for (std::uint64_t at = 0; at < total; at += kChunk) out.insert(out.end(), at);
    return out;
}

std::uint64_t hash_place(std::uint64_t total, std::uint64_t offset) noexcept {
    return total + offset / kChunk * sizeof(Hash);
}

std::uint64_t file_bytes_of(std::uint64_t total) noexcept {
    return total + (total + kChunk - 1) / kChunk * sizeof(Hash);
}

std::uint64_t content_bytes(std::uint64_t file_bytes) noexcept {
    constexpr std::uint64_t kBoth = kChunk + sizeof(Hash);
    const std::uint64_t hashes = (file_bytes + kBoth - 1) / kBoth * sizeof(Hash);
    const std::uint64_t total = file_bytes > hashes ? file_bytes - hashes : 0;
    return file_bytes_of(total) == file_bytes ? total : 0;
}

Hash chunk_hash(const mesh::ModelHash& model, std::string_view name, std::uint64_t offset,
                std::span<const std::byte> chunk) noexcept {
    Hash out;
    crypto_generichash_state state;
    crypto_generichash_init(&state, model.bytes.data(), model.bytes.size(), out.size());
    const std::string place = fmt::format("{}:{}:", name, offset);
    const auto add = [&](const void* data, std::size_t bytes) {
        crypto_generichash_update(&state, static_cast<const unsigned char*>(data), bytes);
    };
    add(place.data(), place.size());
    add(chunk.data(), chunk.size());
    crypto_generichash_final(&state, out.data(), out.size());
    return out;
}

int take_room(int fd, std::uint64_t total) noexcept {
    const auto bytes = static_cast<off_t>(file_bytes_of(total));
    if (::fallocate(fd, 0, 0, bytes) != 0 && errno != EOPNOTSUPP) return errno;
    return ::ftruncate(fd, bytes) == 0 ? 0 : errno;
}

int write_chunk(int fd, std::uint64_t total, std::uint64_t offset, std::span<const std::byte> chunk,
                const Hash& hash) noexcept {
    if (const int error = write_all(fd, offset, chunk.data(), chunk.size())) return error;
    return write_all(fd, hash_place(total, offset), hash.data(), hash.size());
}

}  // namespace piece_file

}  // namespace shoal
