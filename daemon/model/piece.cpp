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

void WeightSource::read(const Piece& piece, std::uint64_t offset, std::span<std::byte> out) const {
    const MappedRows mapped = rows(piece);
    const TensorInfo& info = header().tensor(piece.tensor);
    const std::uint64_t bytes = piece_bytes(info, piece);
    if (offset > bytes || out.size() > bytes - offset) {
        throw ModelError(header().name() + ": no such part of tensor " + piece.tensor);
    }
    const std::size_t width = kernels::row_bytes(info.type, piece.col_end - piece.col_begin);
    if (width == mapped.stride) {
        std::memcpy(out.data(), mapped.data + offset, out.size());
        return;
    }
    // The first and last rows of the range may be partial.
    for (std::size_t done = 0; done < out.size();) {
        const std::size_t row = (offset + done) / width;
        const std::size_t within = (offset + done) % width;
        const std::size_t run = std::min(width - within, out.size() - done);
        std::memcpy(out.data() + done, mapped.data + row * mapped.stride + within, run);
        done += run;
    }
}

MappedRows FileSource::rows(const Piece& piece) const {
    const TensorInfo& info = file_.header().tensor(piece.tensor);
    if (!fits(info, piece)) {
        throw ModelError(file_.header().name() + ": no such piece of tensor " + piece.tensor);
    }
    const std::size_t stride = kernels::row_bytes(info.type, info.cols);
    return {file_.data(info).data() + piece.row_begin * stride +
                kernels::row_bytes(info.type, piece.col_begin),
            stride};
}

}  // namespace shoal::model
