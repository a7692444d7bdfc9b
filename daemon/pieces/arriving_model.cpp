#include "daemon/pieces/arriving_model.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <system_error>
#include <utility>
#include <vector>

#include "daemon/model/gguf.hpp"
#include "daemon/model/split.hpp"
#include "mesh/disk/whole_file.hpp"

namespace shoal {

using model::ModelError;
using piece_file::chunk_bytes;
using piece_file::file_bytes_of;
using piece_file::hash_place;

namespace {

// Room for ".gguf" and the number of a part in what file systems take.
constexpr std::size_t kMaxNameBytes = 230;

// A disk that is full, or is not written to, may be so no more.
[[noreturn]] void disk_says(const std::filesystem::path& path, const char* what, int error) {
    throw NotNow(
        fmt::format("{}: {}: {}", path.string(), what, std::generic_category().message(error)));
}

// False also at the end of the file, and where the disk has a bad block.
bool read_at(int fd, std::uint64_t offset, void* data, std::size_t bytes) noexcept {
    for (std::size_t done = 0; done < bytes;) {
        const ssize_t n = ::pread(fd, static_cast<std::byte*>(data) + done, bytes - done,
                                  static_cast<off_t>(offset + done));
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        done += static_cast<std::size_t>(n);
    }
    return true;
}

// It comes from another device, and must not lead out of the folder nor hide in it.
bool is_name(const std::string& name) noexcept {
    return !name.empty() && name.size() <= kMaxNameBytes && name.front() != '.' &&
           std::ranges::none_of(name, [](unsigned char c) { return c == '/' || c < ' '; });
}

void refuse_removed(int fd) {
    struct stat info {};
    if (::fstat(fd, &info) != 0 || info.st_nlink == 0) {
        throw Removed("what had come of it was removed");
    }
}

// Replaces nothing. An error number; 0: it is called so now.
int give_name(const std::filesystem::path& hidden, const std::filesystem::path& path) noexcept {
    if (::renameat2(AT_FDCWD, hidden.c_str(), AT_FDCWD, path.c_str(), RENAME_NOREPLACE) == 0) {
        return 0;
    }
    // Some file systems, as those on the network, cannot promise it; most of them have links.
    if (errno != EINVAL) return errno;
    if (::link(hidden.c_str(), path.c_str()) == 0) {
        ::unlink(hidden.c_str());
        return 0;
    }
    if (errno == EEXIST) return EEXIST;
    struct stat info {};
    if (::lstat(path.c_str(), &info) == 0) return EEXIST;
    return ::rename(hidden.c_str(), path.c_str()) == 0 ? 0 : errno;
}

std::filesystem::path plain(const std::filesystem::path& folder) {
    std::error_code error;
    const auto path = std::filesystem::canonical(folder, error);
    if (error) disk_says(folder, "cannot take a file", error.value());
    return path;
}

}  // namespace

ArrivingModel::ArrivingModel(const std::filesystem::path& folder, KnownModel model)
    : folder_(plain(folder)), model_(std::move(model)) {
    if (!is_name(model_.name)) {
        throw ModelError("its name cannot be a file's: " + model_.name.substr(0, kMaxNameBytes));
    }
    crypto_generichash_init(&all_, nullptr, 0, model_.hash.bytes.size());
}

ArrivingModel::~ArrivingModel() {
    for (const Part& part : parts_) {
        if (part.fd >= 0) ::close(part.fd);
    }
}

std::uint64_t ArrivingModel::begin(const FilePart& given, const GoOn& go_on) {
    const bool next = given.number == parts_.size() + 1 && given.number <= given.parts &&
                      (count_ == 0 || given.parts == count_) &&
                      (parts_.empty() || parts_.back().here == parts_.back().total);
    // Each part has a description of its own.
    const std::uint64_t most =
        model_.file_bytes + (given.parts == 1 ? 0 : given.parts * model::kMaxHeaderFileBytes);
    const bool fits = given.parts <= model::kMaxParts && given.total != 0 &&
                      given.total <= most - std::min(most, bytes_) &&
                      (given.parts != 1 || given.total == model_.file_bytes);
    if (!next || !fits) throw ModelError("its files are not as long as they should be");
    count_ = given.parts;
    bytes_ += given.total;
    Part& part = parts_.emplace_back();
    part.total = given.total;
    try {
        open(part, given.number);
        read_here(part, given.number, go_on);
        if (part.here != part.total) take_room(part);
    } catch (...) {
        // An empty one would count as begun at the next start.
        if (part.created) ::unlink(part.hidden.c_str());
        throw;
    }
    return part.here;
}

void ArrivingModel::open(Part& part, std::uint32_t number) const {
    const std::string name = count_ == 1
                                 ? model_.name + ".gguf"
                                 : model::SplitName{model_.name, number, count_}.file(number);
    part.path = folder_ / name;
    part.hidden = folder_ / model::arriving_name(model_.hash.hex(), number);
    struct stat info {};
    if (::lstat(part.path.c_str(), &info) == 0) {
        // Perhaps it is this one: a daemon may end while it gives several files their names.
        part.named =
            S_ISREG(info.st_mode) && static_cast<std::uint64_t>(info.st_size) == part.total;
        if (!part.named) throw ModelError(part.path.string() + " is there already, and another");
    }
    part.fd = part.named ? ::open(part.path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
                         : ::open(part.hidden.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    const bool create = part.fd < 0 && !part.named && errno == ENOENT;
    if (create) {
        part.fd = ::open(part.hidden.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC,
                         S_IRUSR | S_IWUSR | S_IRGRP | S_IROTH);
    }
    if (part.fd < 0) disk_says(part.named ? part.path : part.hidden, "cannot be opened", errno);
    // Daemons may share a folder.
    if (!part.named && ::flock(part.fd, LOCK_EX | LOCK_NB) != 0) {
        disk_says(part.hidden, "another daemon fetches it", errno);
    }
    part.created = create;
}

void ArrivingModel::read_here(Part& part, std::uint32_t number, const GoOn& go_on) {
    struct stat info {};
    if (::fstat(part.fd, &info) != 0) disk_says(part.path, "cannot be read", errno);
    const auto bytes = static_cast<std::uint64_t>(info.st_size);
    // Without the hashes it is whole; whether it is the model's the hash of all will tell.
    const bool whole = bytes == part.total;
    if (!whole && bytes != file_bytes_of(part.total)) return;
    std::vector<std::byte> chunk(std::min<std::uint64_t>(piece_file::kChunk, part.total));
    while (part.here != part.total) {
        if (go_on && !go_on()) throw NotNow("it was left");
        const std::span content(chunk.data(), chunk_bytes(part.total, part.here));
        piece_file::Hash stored;
        if (!read_at(part.fd, part.here, content.data(), content.size())) return;
        if (!whole &&
            (!read_at(part.fd, hash_place(part.total, part.here), stored.data(), stored.size()) ||
             stored != hash(number, part.here, content))) {
            return;
        }
        add(part, content);
    }
}

// All of it at once: rather now than at the last chunk.
void ArrivingModel::take_room(const Part& part) const {
    if (part.named) throw ModelError(part.path.string() + " is there already, and another");
    struct stat info {};
    struct statvfs disk {};
    if (::fstat(part.fd, &info) != 0 || ::fstatvfs(part.fd, &disk) != 0) {
        disk_says(part.hidden, "cannot be written", errno);
    }
    constexpr std::uint64_t kBlock = 512;  // of st_blocks, whatever the file system's are
    const std::uint64_t bytes = file_bytes_of(part.total);
    const std::uint64_t others = model_.file_bytes - std::min(model_.file_bytes, bytes_);
    const std::uint64_t needed =
        bytes - std::min(bytes, static_cast<std::uint64_t>(info.st_blocks) * kBlock) + others;
    const std::uint64_t left =
        std::max<std::uint64_t>(kRoomLeft, disk.f_blocks * disk.f_frsize / 10);
    const std::uint64_t room = disk.f_bavail * disk.f_frsize;
    if (needed != 0 && room < needed + left) {
        throw NotNow(
            fmt::format("no room in {} for {} MiB, as {} MiB are to stay free and {} are "
                        "free",
                        folder_.string(), (needed >> 20) + 1, left >> 20, room >> 20));
    }
    if (const int error = piece_file::take_room(part.fd, part.total)) {
        disk_says(part.hidden, "cannot be written", error);
    }
}

std::uint64_t ArrivingModel::write(std::uint64_t offset, std::span<const std::byte> bytes) {
    Part& part = parts_.back();
    if (offset != part.here || part.here == part.total ||
        bytes.size() != chunk_bytes(part.total, offset)) {
        throw ModelError("bytes that are not the next ones");
    }
    refuse_removed(part.fd);
    const auto number = static_cast<std::uint32_t>(parts_.size());
    if (const int error = piece_file::write_chunk(part.fd, part.total, offset, bytes,
                                                  hash(number, offset, bytes))) {
        disk_says(part.hidden, "cannot be written", error);
    }
    add(part, bytes);
    return part.here;
}

std::filesystem::path ArrivingModel::finish(const Known& known) {
    mesh::ModelHash hash;
    crypto_generichash_final(&all_, hash.bytes.data(), hash.bytes.size());
    const bool all_here =
        parts_.size() == count_ && count_ != 0 &&
        std::ranges::all_of(parts_, [](const Part& p) { return p.here == p.total; });
    if (!all_here || hash != model_.hash) {
        discard();
        throw ModelError(
            "what came is not the model; is a disk or the memory of a device failing?");
    }
    for (Part& part : parts_) {
        if (part.named) continue;
        refuse_removed(part.fd);
        // First the content, then the name: a power cut leaves no name without content.
        if (::ftruncate(part.fd, static_cast<off_t>(part.total)) != 0 || ::fsync(part.fd) != 0) {
            disk_says(part.hidden, "cannot be written", errno);
        }
    }
    if (known) {
        // From here on they are not written to, and a name changes no stamp.
        std::vector<model::FileStamp> stamps;
        for (const Part& part : parts_) {
            stamps.push_back(model::FileStamp::of(part.named ? part.path : part.hidden));
        }
        known(parts_.front().path, model::combined(stamps));
    }
    for (Part& part : parts_) {
        if (part.named) continue;
        if (const int refused = give_name(part.hidden, part.path)) {
            throw ModelError(fmt::format("{}: cannot be called so: {}", part.path.string(),
                                         std::generic_category().message(refused)));
        }
        part.named = true;
    }
    static_cast<void>(disk::flush_folder(folder_));
    return parts_.front().path;
}

piece_file::Hash ArrivingModel::hash(std::uint32_t number, std::uint64_t offset,
                                     std::span<const std::byte> chunk) const noexcept {
    return piece_file::chunk_hash(model_.hash, std::to_string(number), offset, chunk);
}

void ArrivingModel::add(Part& part, std::span<const std::byte> chunk) noexcept {
    crypto_generichash_update(&all_, reinterpret_cast<const unsigned char*>(chunk.data()),
                              chunk.size());
    part.here += chunk.size();
}

void ArrivingModel::discard() noexcept {
    for (const Part& part : parts_) {
        if (!part.named) ::unlink(part.hidden.c_str());
    }
}

}  // namespace shoal
