#include "daemon/pieces/catalogue.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <sstream>
#include <system_error>

#include "daemon/model/gguf.hpp"
#include "daemon/model/split.hpp"
#include "mesh/disk/whole_file.hpp"

namespace shoal {
namespace {

using model::ModelError;

// Read in parts of this size while hashing.
constexpr std::size_t kHashBytes = std::size_t{4} << 20;

// Remembered hashes at most; the oldest are forgotten first.
constexpr std::size_t kMaxKnown = 4096;
constexpr mode_t kHashesMode = 0644;

// Files that are no models at most; the same.
constexpr std::size_t kMaxUnusable = 256;

// A file that was not written to for so long is taken for whole; one that a writer is known to have
// open, after the second time. What comes of it after that is another file.
constexpr std::chrono::seconds kSettled{3};
constexpr std::chrono::seconds kAbandoned{60};

std::string reason(int error) {
    return std::generic_category().message(error);
}

class FileDescriptor {
  public:
    explicit FileDescriptor(const std::filesystem::path& path)
        : value_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
        if (value_ < 0) throw ModelError(path.string() + ": cannot be opened: " + reason(errno));
    }
    ~FileDescriptor() { close(value_); }
    FileDescriptor(const FileDescriptor&) = delete;
    FileDescriptor& operator=(const FileDescriptor&) = delete;
    int get() const noexcept { return value_; }

  private:
    int value_;
};

// Of the files' bytes, one file after another.
mesh::ModelHash hash_files(const std::vector<std::filesystem::path>& paths,
                           const std::atomic<bool>& stopping) {
    crypto_generichash_state state;
    mesh::ModelHash hash;
    crypto_generichash_init(&state, nullptr, 0, hash.bytes.size());
    std::vector<unsigned char> buffer(kHashBytes);
    for (const auto& path : paths) {
        const FileDescriptor file(path);
        for (;;) {
            if (stopping)
                throw ModelError(path.string() + ": not read to its end, as the daemon stops");
            const ssize_t n = read(file.get(), buffer.data(), buffer.size());
            if (n < 0 && errno == EINTR) continue;
            if (n < 0) throw ModelError(path.string() + ": cannot be read: " + reason(errno));
            if (n == 0) break;
            crypto_generichash_update(&state, buffer.data(), static_cast<std::uint64_t>(n));
        }
    }
    crypto_generichash_final(&state, hash.bytes.data(), hash.bytes.size());
    return hash;
}

// The folder without links, and the name in it: a link is a name that somebody chose, its target's
// may be none.
std::filesystem::path plain_path(const std::filesystem::path& given) {
    std::error_code error;
    const auto folder = std::filesystem::canonical(
        given.has_parent_path() ? given.parent_path() : std::filesystem::path("."), error);
    return error ? given : folder / given.filename();
}

// Where a model's entry stands, whichever of its files is given.
std::filesystem::path first_file(const std::filesystem::path& path) {
    return model::model_files(path).front();
}

model::FileStamp stamp_of(const std::vector<std::filesystem::path>& files) {
    std::vector<model::FileStamp> stamps;
    for (const auto& file : files) stamps.push_back(model::FileStamp::of(file));
    return model::combined(stamps);
}

// A new file of its own is written next; a link is to something that is there.
bool is_own_file(const std::filesystem::path& path) {
    struct stat info {};
    return ::lstat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) && info.st_nlink == 1;
}

// How long ago the last of them was written to, of those that are there.
std::chrono::nanoseconds age_of(const std::vector<std::filesystem::path>& files) {
    auto last = std::chrono::nanoseconds::min();
    for (const auto& file : files) {
        struct stat info {};
        if (::stat(file.c_str(), &info) != 0) continue;
        last = std::max<std::chrono::nanoseconds>(
            last, std::chrono::seconds(info.st_mtim.tv_sec) +
                      std::chrono::nanoseconds(info.st_mtim.tv_nsec));
    }
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    return last == std::chrono::nanoseconds::min() ? now : now - last;
}

// A file and the source that reads it.
class OwnSource final : public model::WeightSource {
  public:
    explicit OwnSource(const CatalogueEntry& entry)
        : file_(entry.path, entry.stamp), source_(file_) {}
    const model::GgufFile& file() const noexcept { return file_; }
    const model::GgufHeader& header() const noexcept override { return file_.header(); }
    std::span<const std::byte> header_bytes() const noexcept override {
        return source_.header_bytes();
    }
    void read(const model::Piece& piece, std::uint64_t offset,
              std::span<std::byte> out) const override {
        source_.read(piece, offset, out);
    }
    void expect(const model::Piece& piece, std::uint64_t offset,
                std::uint64_t bytes) const override {
        source_.expect(piece, offset, bytes);
    }

    void check() const override { source_.check(); }
    std::shared_ptr<const std::atomic<bool>> failed() const noexcept override {
        return source_.failed();
    }

  private:
    model::GgufFile file_;
    model::FileSource source_;
};

}  // namespace

Catalogue::Catalogue(std::filesystem::path state_dir, model::Tokenizer::UnknownPre unknown_pre)
    : hashes_path_(std::move(state_dir) / "model-hashes"), unknown_pre_(unknown_pre) {
    // Lines of "hash bytes changed path". A damaged line costs a hash, no more.
    std::ifstream file(hashes_path_);
    std::string line;
    while (known_.size() < kMaxKnown && std::getline(file, line)) {
        std::istringstream fields(line);
        std::string hash;
        std::string path;
        Known known;
        if (!(fields >> hash >> known.stamp.bytes >> known.stamp.changed)) continue;
        std::getline(fields >> std::ws, path);
        const auto parsed = mesh::ModelHash::from_hex(hash);
        if (!parsed || path.empty()) continue;
        known.hash = *parsed;
        known.path = path;
        known_.push_back(std::move(known));
    }
}

void Catalogue::remember(Known known) {
    // A line of the file could not hold it.
    if (known.path.string().find('\n') != std::string::npos) return;
    std::vector<Known> all;
    const std::lock_guard saving(saving_);  // not mutex_: others must not wait for the disk
    {
        const std::lock_guard lock(mutex_);
        std::erase_if(known_, [&](const Known& k) { return k.path == known.path; });
        if (known_.size() == kMaxKnown) known_.erase(known_.begin());
        known_.push_back(std::move(known));
        all = known_;
    }
    std::string lines;
    for (const Known& k : all) {
        lines += fmt::format("{} {} {} {}\n", k.hash.hex(), k.stamp.bytes, k.stamp.changed,
                             k.path.string());
    }
    try {
        disk::replace_file(hashes_path_, lines, kHashesMode);
    } catch (const std::runtime_error&) {
        // A full disk costs the next start a hash, no more.
    }
}

mesh::ModelHash Catalogue::hash_of(const std::filesystem::path& path,
                                   const model::FileStamp& stamp) {
    {
        const std::lock_guard lock(mutex_);
        for (const Known& k : known_) {
            if (k.path == path && k.stamp == stamp) return k.hash;
        }
    }
    const auto files = model::model_files(path);
    const mesh::ModelHash hash = hash_files(files, stopping_);
    // A file that is being written: what was read is no one's content.
    if (stamp_of(files) != stamp) {
        throw ModelError(path.string() + ": changed while it was read; try again when it is whole");
    }
    remember({path, stamp, hash});
    return hash;
}

void Catalogue::vouch(const std::filesystem::path& path, const model::FileStamp& stamp,
                      const mesh::ModelHash& hash) {
    remember({path, stamp, hash});
}

CatalogueEntry Catalogue::add(const std::filesystem::path& given) {
    const auto path = first_file(plain_path(given));
    const auto files = model::model_files(path);
    std::error_code error;
    const bool there = std::any_of(files.begin(), files.end(), [&](const auto& file) {
        return std::filesystem::exists(file, error);
    });
    if (!there) {
        if (!error) error = std::make_error_code(std::errc::no_such_file_or_directory);
        throw ModelError(given.string() + ": " + error.message() +
                         " (the daemon must be able to read the file, not only you)");
    }
    // A usable model is one whose header, description and vocabulary can all be read.
    const model::GgufFile file(path);
    const model::Hparams hparams = model::read_hparams(file);
    static_cast<void>(model::Tokenizer::from_header(file.header(), unknown_pre_));

    CatalogueEntry entry;
    entry.name = model::model_name(path);
    entry.path = path;
    entry.architecture = hparams.architecture;
    entry.quantisation = model::quantisation_name(file.header());
    entry.file_bytes = file.bytes();
    entry.parameters = model::parameter_count(file.header());
    entry.context = hparams.n_context;
    entry.stamp = file.stamp();
    entry.hash = hash_of(path, entry.stamp);

    const std::lock_guard lock(mutex_);
    std::erase_if(entries_, [&](const CatalogueEntry& e) { return e.path == entry.path; });
    std::erase_if(unusable_, [&](const UnusableFile& u) { return u.path == entry.path; });
    entries_.push_back(entry);
    ++changes_;
    return entry;
}

// Whether a model's files are to be opened: not when nothing about them has changed since they were
// taken in or refused, and not while somebody may be writing to one.
Catalogue::Sight Catalogue::sight(const std::filesystem::path& path, const FileNews& news,
                                  Scan& scan) {
    const auto files = model::model_files(path);
    const auto any_in = [&](const std::set<std::filesystem::path>& told) {
        return std::any_of(files.begin(), files.end(),
                           [&](const auto& file) { return told.contains(file); });
    };
    const bool whole = any_in(news.whole);
    std::optional<model::FileStamp> stamp;
    try {
        stamp = stamp_of(files);
    } catch (const ModelError&) {
        // One is missing, or is no file; opening it says why.
        if (files.size() == 1) return Sight::open;
    }
    if (stamp) {
        const auto is_it = [&](const auto& f) { return f.path == path && f.stamp == *stamp; };
        const std::lock_guard lock(mutex_);
        if (std::any_of(entries_.begin(), entries_.end(), is_it)) return Sight::known;
        // News of a file that was refused may be that it can be read now.
        if (!whole && std::any_of(unusable_.begin(), unusable_.end(), is_it)) return Sight::known;
    }
    const bool writing = std::any_of(files.begin(), files.end(), [&](const auto& file) {
        return news.writing.contains(file) && is_own_file(file);
    });
    if (!writing && ((whole && stamp) || !scanned_)) return Sight::open;
    const std::chrono::seconds wait = writing ? kAbandoned : kSettled;
    const auto age = age_of(files);
    if (age < age.zero() || age >= wait) return Sight::open;
    scan.again = std::min(scan.again.value_or(wait), wait);
    return Sight::early;
}

void Catalogue::refuse(const std::filesystem::path& path, const model::FileStamp& stamp,
                       const std::string& reason, std::vector<std::string>& complaints) {
    const std::lock_guard lock(mutex_);
    const bool was_model =
        std::erase_if(entries_, [&](const CatalogueEntry& e) { return e.path == path; }) != 0;
    const auto it = std::find_if(unusable_.begin(), unusable_.end(),
                                 [&](const UnusableFile& u) { return u.path == path; });
    const bool said = it != unusable_.end() && it->reason == reason;
    if (!said) complaints.push_back(reason);
    if (!said || was_model) ++changes_;
    if (it != unusable_.end()) unusable_.erase(it);
    if (unusable_.size() == kMaxUnusable) unusable_.erase(unusable_.begin());
    unusable_.push_back({model::model_name(path), path, stamp, reason});
}

void Catalogue::forget_missing() {
    std::vector<std::filesystem::path> models;
    std::vector<std::filesystem::path> others;
    {
        const std::lock_guard lock(mutex_);
        for (const auto& e : entries_) models.push_back(e.path);
        for (const auto& u : unusable_) others.push_back(u.path);
    }
    using std::filesystem::file_type;
    std::error_code error;
    std::erase_if(models, [&](const auto& path) {
        return std::filesystem::status(path, error).type() != file_type::not_found;
    });
    // A link to nothing is there, and unusable, and so is a part without the first.
    std::erase_if(others, [&](const auto& path) {
        const auto files = model::model_files(path);
        return std::any_of(files.begin(), files.end(), [&](const auto& file) {
            return std::filesystem::symlink_status(file, error).type() != file_type::not_found;
        });
    });
    const auto forget = [](auto& list, const std::vector<std::filesystem::path>& gone) {
        return std::erase_if(list, [&](const auto& f) {
            return std::find(gone.begin(), gone.end(), f.path) != gone.end();
        });
    };
    const std::lock_guard lock(mutex_);
    changes_ += forget(entries_, models) + forget(unusable_, others);
}

void Catalogue::take_in(const std::filesystem::path& path, std::vector<std::string>& complaints) {
    // Of what is read here, not of another file that takes its place meanwhile.
    model::FileStamp stamp;
    try {
        stamp = stamp_of(model::model_files(path));
    } catch (const ModelError&) {
        // No plain file, or a part is missing: it is looked at again each time.
    }
    try {
        add(path);
    } catch (const std::exception& e) {
        if (!stopping_) refuse(path, stamp, e.what(), complaints);
    }
}

Scan Catalogue::scan(const std::vector<std::string>& directories, const FileNews& news) {
    Scan found;
    const auto changes = [this] {
        const std::lock_guard lock(mutex_);
        return changes_;
    };
    const std::uint64_t before = changes();
    for (const std::string& directory : directories) {
        std::error_code error;
        const auto folder = std::filesystem::canonical(directory, error);
        // Not assigned: GCC 12 lacks a function for that in code that is to be small.
        auto it = error ? std::filesystem::directory_iterator()
                        : std::filesystem::directory_iterator(folder, error);
        if (error) {
            found.all_folders = false;
            const std::lock_guard lock(mutex_);
            if (error != std::errc::no_such_file_or_directory &&
                complained_.insert(directory).second) {
                found.complaints.push_back(directory + ": " + error.message());
            }
            continue;
        }
        std::set<std::filesystem::path> models;
        for (; it != std::filesystem::directory_iterator(); it.increment(error)) {
            if (error) break;
            if (it->path().extension() == ".gguf") models.insert(first_file(it->path()));
        }
        for (const auto& path : models) {
            if (stopping_) break;
            if (sight(path, news, found) == Sight::open) take_in(path, found.complaints);
        }
    }
    forget_missing();
    scanned_ = true;
    found.changed = changes() != before;
    return found;
}

std::vector<UnusableFile> Catalogue::unusable() const {
    const std::lock_guard lock(mutex_);
    return unusable_;
}

std::vector<CatalogueEntry> Catalogue::list() const {
    const std::lock_guard lock(mutex_);
    return entries_;
}

std::optional<CatalogueEntry> Catalogue::find(const mesh::ModelHash& hash) const {
    const std::lock_guard lock(mutex_);
    for (const CatalogueEntry& entry : entries_) {
        if (entry.hash == hash) return entry;
    }
    return std::nullopt;
}

bool Catalogue::drop(const CatalogueEntry& entry) {
    const std::lock_guard lock(mutex_);
    const auto same = [&](const CatalogueEntry& e) {
        return e.path == entry.path && e.stamp == entry.stamp;
    };
    if (std::erase_if(entries_, same) == 0) return false;
    ++changes_;
    std::erase_if(known_, [&](const Known& k) { return k.path == entry.path; });
    return true;
}

std::shared_ptr<const OpenModel> Catalogue::open(const CatalogueEntry& entry) {
    auto source = std::make_unique<OwnSource>(entry);
    auto model = std::make_shared<OpenModel>();
    model->hash = entry.hash;
    model->name = entry.name;
    model->hparams = model::read_hparams(source->file());
    // It is in the catalogue, so its pre-tokenizer is known, or allowed to be guessed.
    model->tokenizer =
        model::Tokenizer::from_header(source->header(), model::Tokenizer::UnknownPre::guess);
    model->source = std::move(source);
    return model;
}

mesh::messages::AnnouncedProblem announced(const UnusableFile& file) {
    return {file.name.substr(0, mesh::messages::kMaxProblemText),
            file.reason.substr(0, mesh::messages::kMaxProblemText)};
}

mesh::messages::AnnouncedModel announced(const CatalogueEntry& entry) {
    return {entry.hash.bytes, entry.name,       entry.architecture, entry.quantisation,
            entry.file_bytes, entry.parameters, entry.context};
}

}  // namespace shoal
