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

/// Where a device reads weights from: a file, or the store of shipped pieces.
class WeightSource {
  public:
    virtual ~WeightSource() = default;
    virtual const GgufHeader& header() const noexcept = 0;
    /// The file from its start to the first tensor.
    virtual std::span<const std::byte> header_bytes() const noexcept = 0;
    /// Copy bytes [offset, offset + out.size()) of the piece as if its rows were stored one after
    /// another. Thread-safe. Throws ModelError when the piece is not there or is smaller,
    /// FileFailed when what lies there is not what it was.
    virtual void read(const Piece& piece, std::uint64_t offset, std::span<std::byte> out) const = 0;
    /// That part of the piece will be read soon.
    virtual void expect(const Piece& piece, std::uint64_t offset, std::uint64_t bytes) const = 0;
    /// Throws FileFailed when what was read is not to be used any more.
    virtual void check() const {}
    /// Set once reading has failed; null where it does not. Outlives the source.
    virtual std::shared_ptr<const std::atomic<bool>> failed() const noexcept { return nullptr; }
};

/// The same part of a piece, which fits `info`, in a file that holds the rows and columns of
/// `outer` from byte `begin` on. Throws ModelError when the piece is smaller, and as
/// StableFile::read.
void read_piece(const StableFile& file, std::uint64_t begin, const TensorInfo& info,
                const Piece& outer, const Piece& piece, std::uint64_t offset,
                std::span<std::byte> out);
/// The same part will be read soon.
void expect_piece(const StableFile& file, std::uint64_t begin, const TensorInfo& info,
                  const Piece& outer, const Piece& piece, std::uint64_t offset,
                  std::uint64_t bytes) noexcept;

/// As read_piece, from memory that holds `outer`.
void copy_piece(std::span<const std::byte> memory, const TensorInfo& info, const Piece& outer,
                const Piece& piece, std::uint64_t offset, std::span<std::byte> out);

/// Reads from a file, which must outlive it.
class FileSource final : public WeightSource {
  public:
    explicit FileSource(const GgufFile& file) noexcept : file_(file) {}
    const GgufHeader& header() const noexcept override { return file_.header(); }
    std::span<const std::byte> header_bytes() const noexcept override {
        return file_.header_bytes();
    }
    void read(const Piece& piece, std::uint64_t offset, std::span<std::byte> out) const override;
    void expect(const Piece& piece, std::uint64_t offset, std::uint64_t bytes) const override;
    void check() const override { file_.check(); }
    std::shared_ptr<const std::atomic<bool>> failed() const noexcept override {
        return file_.failed();
    }

  private:
    const TensorInfo& info_of(const Piece& piece) const;

    const GgufFile& file_;
};

}  // namespace shoal::model
