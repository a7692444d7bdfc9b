#include "daemon/model/piece.hpp"

#include <algorithm>
#include <cstring>

#include "kernels/panel.hpp"

namespace shoal::model {

Piece whole(const TensorInfo& info) {
    return {info.name, 0, info.rows, 0, info.cols};
}

std::uint64_t piece_bytes(const TensorInfo& info, const Piece& piece) noexcept {
    return (piece.row_end - piece.row_begin) *
           kernels::row_bytes(info.type, piece.col_end - piece.col_begin);
}

std::uint64_t packed_piece_bytes(const TensorInfo& info, const Piece& piece,
                                 std::uint64_t group_begin, std::uint64_t group_end) noexcept {
    return kernels::packed_bytes(info.type, piece.row_end - piece.row_begin, group_begin,
                                 group_end);
}

bool fits(const TensorInfo& info, const Piece& piece) noexcept {
    const std::uint64_t block = kernels::block_shape(info.type).elements;
    return block != 0 && piece.row_begin < piece.row_end && piece.row_end <= info.rows &&
           piece.col_begin < piece.col_end && piece.col_end <= info.cols &&
           piece.col_begin % block == 0 && piece.col_end % block == 0;
}

namespace {

// Where a piece begins in a file, and how its rows lie there.
struct Layout {
    std::uint64_t begin;
    std::size_t width, stride;
};

Layout layout_of(std::uint64_t begin, const TensorInfo& info, const Piece& outer,
                 const Piece& piece) noexcept {
    const std::size_t stride = kernels::row_bytes(info.type, outer.col_end - outer.col_begin);
    return {begin + (piece.row_begin - outer.row_begin) * stride +
                kernels::row_bytes(info.type, piece.col_begin - outer.col_begin),
            kernels::row_bytes(info.type, piece.col_end - piece.col_begin), stride};
}

}  // namespace

namespace {

// Calls copy(from, stride, width, rows, to) for the runs of rows that a part of a piece consists
// of: its first and last row may be partial.
template <class Copy>
void for_runs(const Layout& at, std::uint64_t bytes, std::uint64_t offset, std::span<std::byte> out,
              const std::string& tensor, Copy copy) {
    if (offset > bytes || out.size() > bytes - offset) {
        throw ModelError("no such part of tensor " + tensor);
    }
    while (!out.empty()) {
        const std::size_t within = offset % at.width;
        const std::size_t width = std::min(at.width - within, out.size());
        const std::size_t rows = width == at.width ? out.size() / width : 1;
        copy(at.begin + offset / at.width * at.stride + within, at.stride, width, rows, out.data());
        offset += rows * width;
        out = out.subspan(rows * width);
    }
}

}  // namespace

void read_piece(const StableFile& file, std::uint64_t begin, const TensorInfo& info,
                const Piece& outer, const Piece& piece, std::uint64_t offset,
                std::span<std::byte> out) {
    for_runs(layout_of(begin, info, outer, piece), piece_bytes(info, piece), offset, out,
             piece.tensor,
             [&](std::uint64_t from, std::size_t stride, std::size_t width, std::size_t rows,
                 std::byte* to) { file.read(from, stride, width, rows, to); });
}

void copy_piece(std::span<const std::byte> memory, const TensorInfo& info, const Piece& outer,
                const Piece& piece, std::uint64_t offset, std::span<std::byte> out) {
    for_runs(layout_of(0, info, outer, piece), piece_bytes(info, piece), offset, out, piece.tensor,
             [&](std::uint64_t from, std::size_t stride, std::size_t width, std::size_t rows,
                 std::byte* to) {
                 for (std::size_t r = 0; r < rows; ++r) {
                     std::memcpy(to + r * width, memory.data() + from + r * stride, width);
                 }
             });
}

void expect_piece(const StableFile& file, std::uint64_t begin, const TensorInfo& info,
                  const Piece& outer, const Piece& piece, std::uint64_t offset,
                  std::uint64_t bytes) noexcept {
    const Layout at = layout_of(begin, info, outer, piece);
    const std::uint64_t first = offset / at.width;
    const std::uint64_t last = (offset + bytes + at.width - 1) / at.width;
    file.expect(at.begin + first * at.stride, (last - first) * at.stride);
}

const TensorInfo& FileSource::info_of(const Piece& piece) const {
    const TensorInfo& info = file_.header().tensor(piece.tensor);
    if (!fits(info, piece)) {
        throw ModelError(file_.header().name() + ": no such piece of tensor " + piece.tensor);
    }
    return info;
}

void FileSource::read(const Piece& piece, std::uint64_t offset, std::span<std::byte> out) const {
    const TensorInfo& info = info_of(piece);
    const GgufFile::Place at = file_.place(info);
    read_piece(at.file, at.begin, info, whole(info), piece, offset, out);
}

void FileSource::expect(const Piece& piece, std::uint64_t offset, std::uint64_t bytes) const {
    const TensorInfo& info = info_of(piece);
    const GgufFile::Place at = file_.place(info);
    expect_piece(at.file, at.begin, info, whole(info), piece, offset, bytes);
}

}  // namespace shoal::model
