// Pieces: the rectangles of tensors that slices are made of, shipped and stored in file layout.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "daemon/model/gguf.hpp"

namespace shoal::model {

/// Rows [row_begin, row_end) and columns [col_begin, col_end) of a tensor; columns lie on block
/// borders of its type.
struct Piece {
    std::string tensor;
    std::uint64_t row_begin = 0, row_end = 0;
    std::uint64_t col_begin = 0, col_end = 0;
    bool operator==(const Piece&) const = default;
    auto operator<=>(const Piece&) const = default;
};

/// The whole tensor.
Piece whole(const TensorInfo& info);

/// Bytes of the piece when its rows are stored one after another without gaps.
/// Requires: the piece fits `info` (see fits).
std::uint64_t piece_bytes(const TensorInfo& info, const Piece& piece) noexcept;

/// Bytes of the piece's groups of 32 columns [group_begin, group_end) in panels
/// (kernels/panel.hpp). Requires: a quantised type.
std::uint64_t packed_piece_bytes(const TensorInfo& info, const Piece& piece,
                                 std::uint64_t group_begin, std::uint64_t group_end) noexcept;

/// True when the piece is a non-empty rectangle of the tensor on its block borders.
bool fits(const TensorInfo& info, const Piece& piece) noexcept;

/// A piece as it lies in memory: rows of the piece's width, `stride` bytes apart.
struct MappedRows {
    const std::byte* data = nullptr;
    std::size_t stride = 0;
};

/// Where a device reads weights from: a mapped file, or the store of shipped pieces.
class WeightSource {
  public:
    virtual ~WeightSource() = default;
    virtual const GgufHeader& header() const noexcept = 0;
    /// The file from its start to the first tensor.
    virtual std::span<const std::byte> header_bytes() const noexcept = 0;
    /// Where the piece lies, as long as the source lives. Thread-safe.
    /// Throws ModelError when the piece is not there.
    virtual MappedRows rows(const Piece& piece) const = 0;
    /// Copy bytes [offset, offset + out.size()) of the piece as if its rows were stored one after
    /// another. Thread-safe. Throws ModelError when the piece is not there or is smaller.
    void read(const Piece& piece, std::uint64_t offset, std::span<std::byte> out) const;
};

/// Reads from a mapped file, which must outlive it.
class FileSource final : public WeightSource {
  public:
    explicit FileSource(const GgufFile& file) noexcept : file_(file) {}
    const GgufHeader& header() const noexcept override { return file_.header(); }
    std::span<const std::byte> header_bytes() const noexcept override {
        return file_.bytes().subspan(0, file_.header().header_bytes());
    }
    MappedRows rows(const Piece& piece) const override;

  private:
    const GgufFile& file_;
};

}  // namespace shoal::model
