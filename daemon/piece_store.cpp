#include "daemon/piece_store.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <map>
#include <optional>
#include <system_error>

namespace shoal {
namespace {

using model::ModelError;
using model::Piece;
using model::TensorInfo;

constexpr std::string_view kPart = ".part";
constexpr std::string_view kHeader = "header";

std::string reason(int error) {
    return std::generic_category().message(error);
}

// Tensor names come from another device's file: only what cannot lead out of the folder.
bool is_plain(std::string_view name) {
    return !name.empty() && name.front() != '.' &&
           std::all_of(name.begin(), name.end(), [](char c) {
               return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == '.' || c == '_' || c == '-';
           });
}

// "blk.0.attn_q.weight@0-64@0-256": rows, then columns.
std::string file_name(const Piece& p) {
    return p.tensor + "@" + std::to_string(p.row_begin) + "-" + std::to_string(p.row_end) + "@" +
           std::to_string(p.col_begin) + "-" + std::to_string(p.col_end);
}

std::optional<Piece> parse_file_name(std::string_view text) {
    Piece piece;
    const std::size_t at = text.find('@');
    if (at == std::string_view::npos) return std::nullopt;
    piece.tensor = text.substr(0, at);
    const char* p = text.data() + at;
    const char* end = text.data() + text.size();
    const auto number = [&](char before, std::uint64_t& value) {
        if (p == end || *p != before) return false;
        const auto result = std::from_chars(p + 1, end, value);
        p = result.ptr;
        return result.ec == std::errc();
    };
    const bool ok = number('@', piece.row_begin) && number('-', piece.row_end) &&
                    number('@', piece.col_begin) && number('-', piece.col_end) && p == end;
    return ok ? std::optional(piece) : std::nullopt;
}

// A whole file, mapped for reading.
class Mapped {
  public:
    explicit Mapped(const std::filesystem::path& path) {
        const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
        if (fd < 0) throw ModelError(path.string() + ": cannot be opened: " + reason(errno));
        struct stat info {};
        const bool known = fstat(fd, &info) == 0 && info.st_size > 0;
        if (known) {
            size_ = static_cast<std::size_t>(info.st_size);
            data_ = mmap(nullptr, size_, PROT_READ, MAP_SHARED, fd, 0);
        }
        const int error = errno;
        close(fd);
        if (!known || data_ == MAP_FAILED) {
            throw ModelError(path.string() + ": cannot be mapped: " + reason(error));
        }
    }
    ~Mapped() { munmap(data_, size_); }
    Mapped(const Mapped&) = delete;
    Mapped& operator=(const Mapped&) = delete;

    std::span<const std::byte> bytes() const noexcept {
        return {static_cast<const std::byte*>(data_), size_};
    }

  private:
    void* data_ = MAP_FAILED;
    std::size_t size_ = 0;
};

// Reads pieces from the stored ones that contain them.
class StoreSource final : public model::WeightSource {
  public:
    StoreSource(const std::filesystem::path& folder, std::uint64_t file_bytes)
        : folder_(folder),
          header_file_(folder / kHeader),
          header_(model::GgufHeader::parse(header_file_.bytes(), file_bytes,
                                           (folder / kHeader).string())) {
        for (const auto& entry : std::filesystem::directory_iterator(folder)) {
            const auto piece = parse_file_name(entry.path().filename().string());
            const TensorInfo* info = piece ? header_.find_tensor(piece->tensor) : nullptr;
            if (info == nullptr || !model::fits(*info, *piece)) continue;
            auto file = std::make_unique<Mapped>(entry.path());
            if (file->bytes().size() != model::piece_bytes(*info, *piece)) continue;
            stored_.emplace(piece->tensor, Stored{*piece, std::move(file)});
        }
    }

    const model::GgufHeader& header() const noexcept override { return header_; }
    std::span<const std::byte> header_bytes() const noexcept override {
        return header_file_.bytes();
    }

    model::MappedRows rows(const Piece& piece) const override {
        const TensorInfo& info = header_.tensor(piece.tensor);
        if (!model::fits(info, piece)) throw ModelError("no such piece of tensor " + piece.tensor);
        const auto [first, last] = stored_.equal_range(piece.tensor);
        for (auto it = first; it != last; ++it) {
            const Piece& outer = it->second.piece;
            if (!contains(outer, piece)) continue;
            const std::size_t stride =
                kernels::row_bytes(info.type, outer.col_end - outer.col_begin);
            return {it->second.file->bytes().data() + (piece.row_begin - outer.row_begin) * stride +
                        kernels::row_bytes(info.type, piece.col_begin - outer.col_begin),
                    stride};
        }
        throw ModelError(folder_.string() + ": no stored piece holds rows " +
                         std::to_string(piece.row_begin) + ".." + std::to_string(piece.row_end) +
                         " of tensor " + piece.tensor);
    }

  private:
    struct Stored {
        Piece piece;
        std::unique_ptr<Mapped> file;
    };

    const std::filesystem::path folder_;
    const Mapped header_file_;
    const model::GgufHeader header_;
    std::multimap<std::string, Stored> stored_;
};

std::filesystem::path with_ending(std::filesystem::path path, std::string_view ending) {
    return path += ending;
}

}  // namespace

bool contains(const Piece& outer, const Piece& inner) noexcept {
    return outer.tensor == inner.tensor && outer.row_begin <= inner.row_begin &&
           outer.row_end >= inner.row_end && outer.col_begin <= inner.col_begin &&
           outer.col_end >= inner.col_end;
}

PieceStore::PieceStore(const std::filesystem::path& folder, const mesh::ModelHash& model)
    : folder_(folder / model.hex()), model_(model) {
    std::filesystem::create_directories(folder_);
}

PieceStore::Have PieceStore::have_header() const {
    std::error_code error;
    auto bytes = std::filesystem::file_size(folder_ / kHeader, error);
    if (!error) return {bytes, true};
    bytes = std::filesystem::file_size(with_ending(folder_ / kHeader, kPart), error);
    return {error ? 0 : bytes, false};
}

PieceStore::Have PieceStore::have(const TensorInfo& info, const Piece& piece) {
    if (!is_plain(piece.tensor)) return {};
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(folder_, error)) {
        const auto stored = parse_file_name(entry.path().filename().string());
        if (!stored || !contains(*stored, piece) || !model::fits(info, *stored)) continue;
        const auto bytes = entry.file_size(error);
        if (!error && bytes == model::piece_bytes(info, *stored)) return {bytes, true};
    }
    const auto path = folder_ / file_name(piece);
    const auto part = with_ending(path, kPart);
    const auto bytes = std::filesystem::file_size(part, error);
    if (error) return {};
    const auto total = model::piece_bytes(info, piece);
    if (bytes < total) return {bytes, false};
    // Whole, but for its name; or longer than it can be, which is no piece at all.
    if (bytes == total) {
        std::filesystem::rename(part, path, error);
        if (!error) return {bytes, true};
    }
    std::filesystem::remove(part, error);
    return {};
}

void PieceStore::discard_header() noexcept {
    std::error_code ignored;
    std::filesystem::remove(folder_ / kHeader, ignored);
    std::filesystem::remove(with_ending(folder_ / kHeader, kPart), ignored);
}

void PieceStore::append_header(std::span<const std::byte> bytes, std::uint64_t total) {
    append_file(folder_ / kHeader, bytes, total);
}

void PieceStore::append(const Piece& piece, std::span<const std::byte> bytes, std::uint64_t total) {
    if (!is_plain(piece.tensor)) {
        throw ModelError("tensor name '" + piece.tensor + "' cannot be a file's name");
    }
    append_file(folder_ / file_name(piece), bytes, total);
}

void PieceStore::append_file(const std::filesystem::path& path, std::span<const std::byte> bytes,
                             std::uint64_t total) {
    const std::string part = with_ending(path, kPart).string();
    const int fd = ::open(part.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    if (fd < 0) throw ModelError(part + ": cannot be made: " + reason(errno));
    std::size_t done = 0;
    int error = 0;
    while (done < bytes.size() && error == 0) {
        const ssize_t n = write(fd, bytes.data() + done, bytes.size() - done);
        if (n >= 0) {
            done += static_cast<std::size_t>(n);
        } else if (errno != EINTR) {
            error = errno;
        }
    }
    struct stat info {};
    if (error == 0 && fstat(fd, &info) != 0) error = errno;
    if (close(fd) != 0 && error == 0) error = errno;
    if (error == 0 && static_cast<std::uint64_t>(info.st_size) == total) {
        if (rename(part.c_str(), path.c_str()) != 0) error = errno;
    }
    if (error != 0) {
        throw ModelError(part + ": cannot be written: " + reason(error) +
                         ". The piece goes on from here when there is room again.");
    }
}

std::unique_ptr<const model::WeightSource> PieceStore::source(std::uint64_t file_bytes) const {
    return std::make_unique<StoreSource>(folder_, file_bytes);
}

std::shared_ptr<const OpenModel> PieceStore::open(const std::string& name, std::uint64_t file_bytes,
                                                  bool with_tokenizer) const {
    auto stored = source(file_bytes);
    const model::GgufHeader& header = stored->header();
    std::vector<std::byte> freqs;
    if (const TensorInfo* info = header.find_tensor(model::tensor_name::kRopeFreqs)) {
        freqs.resize(info->bytes);
        stored->read(model::whole(*info), 0, freqs);
    }
    auto model = std::make_shared<OpenModel>();
    model->hash = model_;
    model->name = name;
    model->hparams = model::read_hparams(header, freqs);
    if (with_tokenizer) model->tokenizer = model::Tokenizer::from_header(header);
    model->source = std::move(stored);
    return model;
}

}  // namespace shoal
