#include "daemon/pieces/piece_store.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <system_error>

#include "mesh/disk/whole_file.hpp"

namespace shoal {

using mesh::messages::Severity;
using mesh::messages::Warning;
using model::ModelError;
using model::Piece;
using model::TensorInfo;
using piece_file::all_chunks;
using piece_file::chunk_bytes;
using piece_file::content_bytes;
using piece_file::file_bytes_of;
using piece_file::Hash;
using piece_file::hash_place;

namespace {

constexpr std::string_view kPart = ".part";
const std::string kHeader = "header";

// The disk said no; errno's number.
struct Refused {
    int error;
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

// A piece that is coming, in a file or, when the disk does not take it, in memory.
struct PieceStore::Part {
    std::string name;
    std::uint64_t total = 0;
    std::set<std::uint64_t> missing;
    int fd = -1;
    std::shared_ptr<Bytes> memory;

    Part() = default;
    ~Part() { close_file(); }
    Part(const Part&) = delete;
    Part& operator=(const Part&) = delete;
    void close_file() noexcept {
        if (fd >= 0) ::close(fd);
        fd = -1;
    }
};

// Reads pieces from the stored ones that contain them. Immutable.
class PieceStore::Source final : public model::WeightSource {
  public:
    Source(const PieceStore& store, std::uint64_t file_bytes)
        : folder_(store.folder_),
          header_bytes_(store.header_),
          header_(
              model::GgufHeader::parse(*header_bytes_, file_bytes, (folder_ / kHeader).string())),
          stored_(store.stored_) {}

    const model::GgufHeader& header() const noexcept override { return header_; }
    std::span<const std::byte> header_bytes() const noexcept override { return *header_bytes_; }

    void read(const Piece& piece, std::uint64_t offset, std::span<std::byte> out) const override {
        const Stored& stored = find(piece);
        const TensorInfo& info = header_.tensor(piece.tensor);
        if (stored.memory)
            return model::copy_piece(*stored.memory, info, stored.piece, piece, offset, out);
        model::read_piece(open(stored), 0, info, stored.piece, piece, offset, out);
    }
    void expect(const Piece& piece, std::uint64_t offset, std::uint64_t bytes) const override {
        const Stored& stored = find(piece);
        if (stored.memory) return;
        model::expect_piece(open(stored), 0, header_.tensor(piece.tensor), stored.piece, piece,
                            offset, bytes);
    }

  private:
    const Stored& find(const Piece& piece) const {
        if (!model::fits(header_.tensor(piece.tensor), piece)) {
            throw ModelError("no such piece of tensor " + piece.tensor);
        }
        const auto [first, last] = stored_.equal_range(piece.tensor);
        for (auto it = first; it != last; ++it) {
            if (contains(it->second.piece, piece)) return it->second;
        }
        throw ModelError(fmt::format("{}: no stored piece holds rows {}..{} of tensor {}",
                                     folder_.string(), piece.row_begin, piece.row_end,
                                     piece.tensor));
    }

    // For each reading: there may be more pieces than a process may have files open.
    static model::StableFile open(const Stored& stored) {
        return model::StableFile(stored.path, stored.stamp);
    }

    const std::filesystem::path folder_;
    const std::shared_ptr<const Bytes> header_bytes_;
    const model::GgufHeader header_;
    const std::multimap<std::string, Stored> stored_;
};

PieceStore::PieceStore(const std::filesystem::path& folder, const mesh::ModelHash& model,
                       std::uint64_t memory_bytes)
    : folder_(folder / model.hex()), model_(model), memory_left_(memory_bytes) {
    std::error_code error;
    std::filesystem::create_directories(folder_, error);
    if (error) trouble_ = refusal(error.value(), 0);
    read_header();
    list_files();
}

PieceStore::~PieceStore() = default;

Hash PieceStore::hash(const std::string& name, std::uint64_t offset,
                      std::span<const std::byte> chunk) const noexcept {
    return piece_file::chunk_hash(model_, name, offset, chunk);
}

// The chunks of a file that are not what was written; all of them when it cannot be read.
std::set<std::uint64_t> PieceStore::bad_chunks(const std::filesystem::path& path,
                                               const std::string& name, std::uint64_t total) const {
    std::set<std::uint64_t> bad = all_chunks(total);
    try {
        const model::StableFile file(path);
        if (file.stamp().bytes != file_bytes_of(total)) return bad;
        Bytes chunk(std::min<std::uint64_t>(kChunk, total));
        for (const std::uint64_t at : all_chunks(total)) {
            const std::span part(chunk.data(), chunk_bytes(total, at));
            Hash stored;
            try {
                file.read(at, part);
                file.read(hash_place(total, at), std::as_writable_bytes(std::span(stored)));
            } catch (const model::FileFailed&) {
                continue;  // A bad block: others may be read.
            }
            if (stored == hash(name, at, part)) bad.erase(at);
        }
    } catch (const ModelError&) {
    }
    return bad;
}

void PieceStore::read_header() noexcept {
    try {
        std::filesystem::remove(with_ending(path_of(kHeader), kPart));
        const model::StableFile file(path_of(kHeader));
        const std::uint64_t total = content_bytes(file.stamp().bytes);
        if (total == 0 || total > model::kMaxHeaderFileBytes ||
            !bad_chunks(file.path(), kHeader, total).empty()) {
            return discard_header();
        }
        auto bytes = std::make_shared<Bytes>(total);
        file.read(0, *bytes);
        header_ = std::move(bytes);
    } catch (const std::exception&) {
        // It is fetched.
    }
}

void PieceStore::list_files() noexcept {
    std::error_code error;
    auto it = std::filesystem::directory_iterator(folder_, error);
    for (; !error && it != std::filesystem::directory_iterator(); it.increment(error)) {
        auto piece = parse_piece_name(it->path().filename().string());
        if (piece) listed_.emplace(piece->tensor, *piece);
    }
}

void PieceStore::discard_header() noexcept {
    header_.reset();
    parts_.erase(kHeader);
    std::error_code ignored;
    std::filesystem::remove(path_of(kHeader), ignored);
    std::filesystem::remove(with_ending(path_of(kHeader), kPart), ignored);
}

const PieceStore::Stored* PieceStore::find_stored(const TensorInfo& info, const Piece& piece) {
    const auto [first, last] = stored_.equal_range(piece.tensor);
    for (auto it = first; it != last; ++it) {
        if (contains(it->second.piece, piece)) return &it->second;
    }
    auto [next, end] = listed_.equal_range(piece.tensor);
    while (next != end) {
        const Piece stored = next->second;
        if (!contains(stored, piece) || !model::fits(info, stored)) {
            ++next;
            continue;
        }
        next = listed_.erase(next);
        const std::string name = piece_name(stored);
        const auto path = path_of(name);
        if (bad_chunks(path, name, model::piece_bytes(info, stored)).empty()) {
            return &stored_
                        .emplace(stored.tensor,
                                 Stored{stored, nullptr, path, model::FileStamp::of(path)})
                        ->second;
        }
        std::error_code ignored;
        std::filesystem::remove(path, ignored);
    }
    return nullptr;
}

PieceStore::Part& PieceStore::part_of(const std::string& name, std::uint64_t total) {
    std::unique_ptr<Part>& part = parts_[name];
    if (part && part->total == total) return *part;
    part = std::make_unique<Part>();
    part->name = name;
    part->total = total;
    const auto path = with_ending(path_of(name), kPart);
    std::error_code error;
    part->missing = std::filesystem::is_regular_file(path, error) ? bad_chunks(path, name, total)
                                                                  : all_chunks(total);
    return *part;
}

std::vector<std::uint64_t> PieceStore::missing(const TensorInfo& info, const Piece& piece) {
    if (!is_plain_name(piece.tensor)) {
        throw ModelError("tensor name '" + piece.tensor + "' cannot be a file's name");
    }
    if (find_stored(info, piece) != nullptr) return {};
    Part& part = part_of(piece_name(piece), model::piece_bytes(info, piece));
    // Whole, but for its name.
    if (part.missing.empty()) complete(piece, part);
    const auto it = parts_.find(piece_name(piece));
    if (it == parts_.end()) return {};
    return {it->second->missing.begin(), it->second->missing.end()};
}

void PieceStore::write(const std::optional<Piece>& piece, std::uint64_t offset,
                       std::span<const std::byte> chunk, std::uint64_t total) {
    if (piece && !is_plain_name(piece->tensor)) {
        throw ModelError("tensor name '" + piece->tensor + "' cannot be a file's name");
    }
    if (offset >= total || offset % kChunk != 0 || chunk.size() != chunk_bytes(total, offset)) {
        throw ModelError("a chunk that is none of its piece");
    }
    Part& part = part_of(piece ? piece_name(*piece) : kHeader, total);
    if (!part.missing.contains(offset)) return;
    if (!part.memory) {
        try {
            write_to_disk(part, offset, chunk);
        } catch (const Refused& refused) {
            keep_in_memory(part, refusal(refused.error, file_bytes_of(total)));
        }
    }
    if (part.memory)
        std::copy(chunk.begin(), chunk.end(),
                  part.memory->begin() + static_cast<std::ptrdiff_t>(offset));
    part.missing.erase(offset);
    if (part.missing.empty()) complete(piece, part);
}

void PieceStore::write_to_disk(Part& part, std::uint64_t offset, std::span<const std::byte> chunk) {
    if (part.fd < 0) {
        const auto path = with_ending(path_of(part.name), kPart);
        part.fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
        if (part.fd < 0) throw Refused{errno};
        if (const int error = piece_file::take_room(part.fd, part.total)) throw Refused{error};
    }
    if (const int error = piece_file::write_chunk(part.fd, part.total, offset, chunk,
                                                  hash(part.name, offset, chunk))) {
        throw Refused{error};
    }
}

// The part's chunks so far, and those to come. Its file only takes room that others need.
void PieceStore::keep_in_memory(Part& part, const Warning& why) {
    trouble_ = why;
    const auto path = with_ending(path_of(part.name), kPart);
    const bool fits = part.total <= memory_left_;
    if (fits) {
        part.memory = std::make_shared<Bytes>(part.total);
        memory_left_ -= part.total;
        std::optional<model::StableFile> file;
        for (const std::uint64_t at : all_chunks(part.total)) {
            if (part.missing.contains(at)) continue;
            if (!file) file.emplace(path);
            file->read(at, std::span(*part.memory).subspan(at, chunk_bytes(part.total, at)));
        }
    }
    part.close_file();
    std::error_code ignored;
    std::filesystem::remove(path, ignored);
    if (!fits) {
        part.missing = all_chunks(part.total);
        throw ModelError(why.text + "; " + why.remedy);
    }
}

void PieceStore::complete(const std::optional<Piece>& piece, Part& part) {
    const auto path = path_of(part.name);
    const auto coming = with_ending(path, kPart);
    if (!part.memory) {
        try {
            if (part.fd < 0) part.fd = ::open(coming.c_str(), O_RDWR | O_CLOEXEC);
            // First the content, then the name: so a power cut leaves no name without content.
            if (part.fd < 0 || ::fsync(part.fd) != 0) throw Refused{errno};
            if (::rename(coming.c_str(), path.c_str()) != 0) throw Refused{errno};
        } catch (const Refused& refused) {
            keep_in_memory(part, refusal(refused.error, file_bytes_of(part.total)));
        }
    }
    if (piece) {
        Stored stored{*piece, part.memory, path, {}};
        if (!part.memory) stored.stamp = model::FileStamp::of(path);
        stored_.emplace(piece->tensor, std::move(stored));
    } else if (part.memory) {
        header_ = part.memory;
    } else {
        auto bytes = std::make_shared<Bytes>(part.total);
        model::StableFile(path).read(0, *bytes);
        header_ = std::move(bytes);
    }
    parts_.erase(part.name);
}

void PieceStore::settle() noexcept {
    static_cast<void>(disk::flush_folder(folder_));
}

Warning PieceStore::refusal(int error, std::uint64_t bytes) const {
    if (error == ENOSPC || error == EDQUOT || error == EFBIG) {
        struct statvfs disk {};
        std::uint64_t room = 0;
        if (::statvfs(folder_.c_str(), &disk) == 0) room = disk.f_bavail * disk.f_frsize;
        const std::string lack = room < bytes ? fmt::format("{} bytes are missing", bytes - room)
                                              : "its limit is reached";
        return {"disk-full", Severity::warning, "",
                fmt::format("no room in {}: {}", folder_.string(), lack),
                "free some or set device.state_dir to a folder with more room"};
    }
    return {"state-folder", Severity::warning, "",
            fmt::format("{} cannot be written: {}", folder_.string(),
                        std::generic_category().message(error)),
            "make it writable for shoald or set device.state_dir to a folder that is"};
}

std::unique_ptr<const model::WeightSource> PieceStore::source(std::uint64_t file_bytes) const {
    if (!header_) throw ModelError(path_of(kHeader).string() + ": is not here");
    return std::make_unique<Source>(*this, file_bytes);
}

std::shared_ptr<const OpenModel> PieceStore::open(const std::string& name, std::uint64_t file_bytes,
                                                  bool with_tokenizer) const {
    auto stored = source(file_bytes);
    auto model = std::make_shared<OpenModel>();
    model->hash = model_;
    model->name = name;
    model->hparams = model::read_hparams(*stored);
    if (with_tokenizer) {
        // Whether a pre-tokenizer may be guessed, its holder has decided.
        model->tokenizer =
            model::Tokenizer::from_header(stored->header(), model::Tokenizer::UnknownPre::guess);
    }
    model->source = std::move(stored);
    return model;
}

}  // namespace shoal
