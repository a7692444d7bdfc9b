#include "daemon/engine/kv_files.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <utility>

#include "daemon/log/log.hpp"
#include "mesh/disk/whole_file.hpp"
#include "mesh/wire/hex.hpp"

namespace shoal {
namespace {

namespace fs = std::filesystem;
using Hash = std::array<std::uint8_t, 32>;

// Whoever reads them can find out what was said.
constexpr mode_t kFolderMode = 0700;
constexpr mode_t kFileMode = 0600;
constexpr std::size_t kMostFiles = 65536;
constexpr std::string_view kEnding = ".kv";
constexpr std::string_view kUnfinished = ".tmp";

Hash hash_of(const KvFiles::Name& name, std::span<const std::byte> block) {
    Hash out;
    crypto_generichash(out.data(), out.size(), reinterpret_cast<const unsigned char*>(block.data()),
                       block.size(), name.data(), name.size());
    return out;
}

std::string_view chars(std::span<const std::byte> bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string reason(int error) {
    return std::generic_category().message(error);
}

std::optional<KvFiles::Name> name_of(std::string_view file) {
    KvFiles::Name name;
    if (!mesh::wire::from_hex(file.substr(0, file.find('.')), name)) return std::nullopt;
    return name;
}

class OpenFile {
  public:
    explicit OpenFile(const fs::path& path)
        : fd_(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC)) {}
    ~OpenFile() {
        if (fd_ >= 0) ::close(fd_);
    }
    OpenFile(const OpenFile&) = delete;
    OpenFile& operator=(const OpenFile&) = delete;

    bool is_open() const noexcept { return fd_ >= 0; }
    bool has_bytes(std::size_t bytes) const noexcept {
        struct stat info {};
        return ::fstat(fd_, &info) == 0 && S_ISREG(info.st_mode) &&
               static_cast<std::uint64_t>(info.st_size) == bytes;
    }
    bool read(std::span<std::byte> to) const noexcept {
        while (!to.empty()) {
            const ssize_t n = ::read(fd_, to.data(), to.size());
            if (n < 0 && errno == EINTR) continue;
            if (n <= 0) return false;
            to = to.subspan(static_cast<std::size_t>(n));
        }
        return true;
    }

  private:
    int fd_;
};

// What is wrong with it; nothing: the block is there.
std::string read_file(const fs::path& path, const KvFiles::Name& name, std::span<std::byte> block) {
    const OpenFile file(path);
    if (!file.is_open()) return "cannot read " + path.string() + ": " + reason(errno);
    Hash hash;
    if (!file.has_bytes(block.size() + hash.size())) return path.string() + " has another length";
    if (!file.read(block) || !file.read(std::as_writable_bytes(std::span(hash)))) {
        return "cannot read " + path.string() + " to its end";
    }
    return hash == hash_of(name, block) ? "" : path.string() + " is damaged";
}

void write_file(const fs::path& path, const KvFiles::Name& name, std::span<const std::byte> block,
                std::uint64_t spare) {
    if (fs::space(path.parent_path()).available < spare) {
        throw std::runtime_error(fmt::format("there are less than {} MiB free on the disk of {}",
                                             spare >> 20, path.parent_path().string()));
    }
    disk::WholeFile file(path, kFileMode);
    file.append(chars(block));
    const Hash hash = hash_of(name, block);
    file.append(chars(std::as_bytes(std::span(hash))));
    file.take_name();
}

}  // namespace

// With its own copy of everything: it may go on when nobody waits for it any more.
struct KvFiles::Work {
    struct Block {
        Name name;
        fs::path path;
        Time used;
    };
    bool reads = false;
    std::vector<fs::path> superfluous;  // go before
    std::vector<Block> blocks;
    std::size_t block_bytes = 0;
    std::vector<std::byte> bytes;  // of all blocks
    std::uint64_t spare = 0;
    // What came of it:
    std::size_t done = 0;
    std::string error;

    std::span<std::byte> place(std::size_t i) {
        return std::span(bytes).subspan(i * block_bytes, block_bytes);
    }
    void add(const Block& block) {
        blocks.push_back(block);
        bytes.resize(bytes.size() + block_bytes);
    }
    void run() noexcept {
        try {
            std::error_code ignored;
            for (const fs::path& path : superfluous) fs::remove(path, ignored);
            for (; done < blocks.size() && error.empty(); done += error.empty() ? 1 : 0) {
                const Block& block = blocks[done];
                if (reads) {
                    error = read_file(block.path, block.name, place(done));
                    if (!error.empty()) fs::remove(block.path, ignored);
                } else {
                    write_file(block.path, block.name, place(done), spare);
                }
                if (error.empty()) fs::last_write_time(block.path, block.used, ignored);
            }
        } catch (const std::exception& e) {
            error = e.what();
        }
    }
};

KvFiles::KvFiles(Options options) : options_(std::move(options)) {
    const auto found = std::make_shared<std::promise<Found>>();
    looking_ = found->get_future();
    worker_.post([found, folder = options_.folder] { found->set_value(look_through(folder)); });
}

KvFiles::~KvFiles() = default;

KvFiles::Found KvFiles::look_through(const fs::path& folder) {
    Found found;
    std::error_code error;
    fs::create_directories(folder.parent_path(), error);
    if (::mkdir(folder.c_str(), kFolderMode) != 0 && errno != EEXIST) {
        found.error = "cannot make " + folder.string() + ": " + reason(errno);
        return found;
    }
    auto it = fs::directory_iterator(folder, error);
    for (; !error && it != fs::directory_iterator(); it.increment(error)) {
        const std::string file = it->path().filename();
        std::error_code unknown;
        const auto name = name_of(file);
        if (name && file.ends_with(kUnfinished)) fs::remove(it->path(), unknown);
        if (!name || !file.ends_with(kEnding) || !fs::is_regular_file(it->symlink_status(unknown)))
            continue;
        const File entry{it->file_size(unknown), it->last_write_time(unknown)};
        if (!unknown) found.files.emplace(*name, entry);
    }
    if (error) found.error = "cannot read " + folder.string() + ": " + error.message();
    return found;
}

bool KvFiles::ready() {
    if (!usable_ || !looking_.valid()) return usable_;
    if (looking_.wait_for(std::chrono::seconds(0)) != std::future_status::ready) return false;
    Found found = looking_.get();
    if (!found.error.empty()) {
        usable_ = false;
        complain(found.error);
        return false;
    }
    files_ = std::move(found.files);
    for (const auto& [name, file] : files_) bytes_ += file.bytes;
    for (const fs::path& path : make_room(0)) remove_later(path);
    return true;
}

bool KvFiles::usable() {
    static_cast<void>(ready());
    return usable_;
}

bool KvFiles::holds(const Name& name) {
    return ready() && files_.contains(name);
}

void KvFiles::use(const Name& name, std::uint32_t number) noexcept {
    const auto it = files_.find(name);
    if (it != files_.end()) it->second.used = used_now(number);
}

void KvFiles::forget(const Name& name) {
    const auto it = files_.find(name);
    if (it == files_.end()) return;
    drop(it);
    remove_later(path(name));
}

KvFiles::Time KvFiles::used_now(std::uint32_t number) noexcept {
    return Time::clock::now() - std::chrono::seconds(number);
}

void KvFiles::remove_later(const fs::path& path) {
    worker_.post([path] {
        std::error_code ignored;
        fs::remove(path, ignored);
    });
}

fs::path KvFiles::path(const Name& name) const {
    return options_.folder / (mesh::wire::to_hex(name) + std::string(kEnding));
}

void KvFiles::drop(std::map<Name, File>::iterator file) {
    bytes_ -= file->second.bytes;
    files_.erase(file);
}

// The files that go for so many bytes more.
std::vector<fs::path> KvFiles::make_room(std::uint64_t bytes) {
    std::vector<fs::path> out;
    while (!files_.empty() && (bytes_ + bytes > options_.bytes || files_.size() >= kMostFiles)) {
        const auto oldest = std::min_element(
            files_.begin(), files_.end(),
            [](const auto& a, const auto& b) { return a.second.used < b.second.used; });
        out.push_back(path(oldest->first));
        drop(oldest);
    }
    return out;
}

bool KvFiles::carry_out(const std::shared_ptr<Work>& work) {
    const auto over = std::make_shared<std::promise<void>>();
    worker_.post([work, over] {
        work->run();
        over->set_value();
    });
    if (over->get_future().wait_for(options_.patience) == std::future_status::ready) return true;
    usable_ = false;
    files_.clear();
    bytes_ = 0;
    complain(fmt::format("the disk of {} did not come on for {} ms", options_.folder.string(),
                         options_.patience.count()));
    return false;
}

void KvFiles::complain(const std::string& error) {
    if (std::exchange(complained_, true)) return;
    log::warn("beginnings of prompts are not kept on the disk{}: {}",
              usable_ ? " for now" : " until the next start", error);
}

std::uint32_t KvFiles::write(std::uint32_t first, std::span<const Name> names,
                             std::span<const std::span<std::byte>> blocks) {
    if (!ready() || blocks.empty()) return 0;
    const std::uint64_t file_bytes = blocks[0].size() + sizeof(Hash);
    if (file_bytes * blocks.size() > options_.bytes) return 0;
    const auto work = std::make_shared<Work>();
    work->block_bytes = blocks[0].size();
    work->spare = options_.spare;
    for (std::size_t i = 0; i < names.size(); ++i) {
        const auto number = first + static_cast<std::uint32_t>(i);
        if (files_.contains(names[i])) {
            use(names[i], number);
            continue;
        }
        work->add({names[i], path(names[i]), used_now(number)});
        std::ranges::copy(blocks[i], work->place(work->blocks.size() - 1).begin());
    }
    if (!work->blocks.empty()) {
        work->superfluous = make_room(file_bytes * work->blocks.size());
        if (!carry_out(work)) return 0;
        for (std::size_t i = 0; i < work->done; ++i) {
            files_[work->blocks[i].name] = {file_bytes, work->blocks[i].used};
            bytes_ += file_bytes;
        }
        work->error.empty() ? static_cast<void>(complained_ = false) : complain(work->error);
    }
    const auto there = [&](const Name& name) { return files_.contains(name); };
    return static_cast<std::uint32_t>(std::ranges::find_if_not(names, there) - names.begin());
}

std::uint32_t KvFiles::read(std::uint32_t first, std::span<const Name> names,
                            std::span<const std::span<std::byte>> blocks) {
    if (!ready() || blocks.empty()) return 0;
    const auto work = std::make_shared<Work>();
    work->reads = true;
    work->block_bytes = blocks[0].size();
    for (std::size_t i = 0; i < names.size() && files_.contains(names[i]); ++i) {
        work->add({names[i], path(names[i]), used_now(first + static_cast<std::uint32_t>(i))});
    }
    if (work->blocks.empty() || !carry_out(work)) return 0;
    for (std::size_t i = 0; i < work->done; ++i) {
        std::ranges::copy(work->place(i), blocks[i].begin());
        files_[names[i]].used = work->blocks[i].used;
    }
    if (!work->error.empty()) {
        log::warn("kept beginnings of prompts: {}; the file is removed", work->error);
        drop(files_.find(names[work->done]));
    }
    return static_cast<std::uint32_t>(work->done);
}

}  // namespace shoal
