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

// A file that was not written to for so long is taken for whole.
constexpr std::chrono::seconds kSettled{3};

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

mesh::ModelHash hash_file(const std::filesystem::path& path, const std::atomic<bool>& stopping) {
    const FileDescriptor file(path);
    crypto_generichash_state state;
    mesh::ModelHash hash;
    crypto_generichash_init(&state, nullptr, 0, hash.bytes.size());
    std::vector<unsigned char> buffer(kHashBytes);
    for (;;) {
        if (stopping)
            throw ModelError(path.string() + ": not read to its end, as the daemon stops");
        const ssize_t n = read(file.get(), buffer.data(), buffer.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) throw ModelError(path.string() + ": cannot be read: " + reason(errno));
        if (n == 0) break;
        crypto_generichash_update(&state, buffer.data(), static_cast<std::uint64_t>(n));
    }
    crypto_generichash_final(&state, hash.bytes.data(), hash.bytes.size());
    return hash;
}

bool is_unchanged(const CatalogueEntry& entry) {
    try {
        return model::FileStamp::of(entry.path) == entry.stamp();
    } catch (const ModelError&) {
        return false;
    }
}

// A file and the source that reads it.
class OwnSource final : public model::WeightSource {
  public:
    explicit OwnSource(const CatalogueEntry& entry)
        : file_(entry.path, entry.stamp()), source_(file_) {}
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
        if (!(fields >> hash >> known.bytes >> known.changed)) continue;
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
        lines += fmt::format("{} {} {} {}\n", k.hash.hex(), k.bytes, k.changed, k.path.string());
    }
    try {
        disk::replace_file(hashes_path_, lines, kHashesMode);
    } catch (const std::runtime_error&) {
        // A full disk costs the next start a hash, no more.
    }
}

mesh::ModelHash Catalogue::hash_of(const std::filesystem::path& path, std::uint64_t bytes,
                                   std::int64_t changed) {
    {
        const std::lock_guard lock(mutex_);
        for (const Known& k : known_) {
            if (k.path == path && k.bytes == bytes && k.changed == changed) return k.hash;
        }
    }
    const mesh::ModelHash hash = hash_file(path, stopping_);
    // A file that is being written: what was read is no one's content.
    if (model::FileStamp::of(path) != model::FileStamp{bytes, changed}) {
        throw ModelError(path.string() + ": changed while it was read; try again when it is whole");
    }
    remember({path, bytes, changed, hash});
    return hash;
}

CatalogueEntry Catalogue::add(const std::filesystem::path& given) {
    std::error_code error;
    const auto path = std::filesystem::canonical(given, error);
    if (error) {
        throw ModelError(given.string() + ": " + error.message() +
                         " (the daemon must be able to read the file, not only you)");
    }
    // A usable model is one whose header, description and vocabulary can all be read.
    const model::GgufFile file(path);
    const model::Hparams hparams = model::read_hparams(file);
    static_cast<void>(model::Tokenizer::from_header(file.header(), unknown_pre_));

    CatalogueEntry entry;
    entry.name = path.stem().string();
    entry.path = path;
    entry.architecture = hparams.architecture;
    entry.quantisation = model::quantisation_name(file.header());
    entry.file_bytes = file.file().stamp().bytes;
    entry.parameters = model::parameter_count(file.header());
    entry.context = hparams.n_context;
    entry.changed = file.file().stamp().changed;
    entry.hash = hash_of(path, entry.file_bytes, entry.changed);

    const std::lock_guard lock(mutex_);
    std::erase_if(entries_, [&](const CatalogueEntry& e) { return e.path == entry.path; });
    std::erase_if(unusable_, [&](const UnusableFile& u) { return u.path == entry.path; });
    // The same content under another name: what others know it by stays, unless that file is gone.
    const auto same = std::find_if(entries_.begin(), entries_.end(),
                                   [&](const CatalogueEntry& e) { return e.hash == entry.hash; });
    if (same == entries_.end()) {
        entries_.push_back(entry);
    } else if (is_unchanged(*same)) {
        return *same;
    } else {
        *same = entry;
    }
    return entry;
}

// True when nothing about the file has changed since it was taken in or refused.
bool Catalogue::is_seen(const std::filesystem::path& path) {
    std::error_code error;
    const auto real = std::filesystem::canonical(path, error);
    if (error) return false;
    try {
        const auto stamp = model::FileStamp::of(real);
        const auto age = std::chrono::system_clock::now().time_since_epoch() -
                         std::chrono::nanoseconds(stamp.changed);
        if (scanned_ && age >= age.zero() && age < kSettled) return true;
        const auto is_it = [&](const auto& f, const model::FileStamp& its) {
            return f.path == real && its == stamp;
        };
        const std::lock_guard lock(mutex_);
        return std::any_of(entries_.begin(), entries_.end(),
                           [&](const auto& e) { return is_it(e, e.stamp()); }) ||
               std::any_of(unusable_.begin(), unusable_.end(),
                           [&](const auto& u) { return is_it(u, u.stamp); });
    } catch (const ModelError&) {
        return false;
    }
}

void Catalogue::refuse(const std::filesystem::path& path, const std::string& reason,
                       std::vector<std::string>& complaints) {
    std::error_code error;
    auto real = std::filesystem::canonical(path, error);
    if (error) real = path;
    model::FileStamp stamp;
    try {
        stamp = model::FileStamp::of(real);
    } catch (const ModelError&) {
        // No plain file: it is looked at again each time.
    }
    const std::lock_guard lock(mutex_);
    std::erase_if(entries_, [&](const CatalogueEntry& e) { return e.path == real; });
    const auto it = std::find_if(unusable_.begin(), unusable_.end(),
                                 [&](const UnusableFile& u) { return u.path == real; });
    if (it == unusable_.end() || it->reason != reason) complaints.push_back(reason);
    if (it != unusable_.end()) unusable_.erase(it);
    if (unusable_.size() == kMaxUnusable) unusable_.erase(unusable_.begin());
    unusable_.push_back({path.stem().string(), real, stamp, reason});
}

void Catalogue::forget_missing() {
    std::vector<std::filesystem::path> paths;
    {
        const std::lock_guard lock(mutex_);
        for (const auto& e : entries_) paths.push_back(e.path);
        for (const auto& u : unusable_) paths.push_back(u.path);
    }
    std::error_code error;
    std::erase_if(paths, [&](const auto& path) {
        return std::filesystem::symlink_status(path, error).type() !=
               std::filesystem::file_type::not_found;
    });
    const auto gone = [&](const auto& f) {
        return std::find(paths.begin(), paths.end(), f.path) != paths.end();
    };
    const std::lock_guard lock(mutex_);
    std::erase_if(entries_, gone);
    std::erase_if(unusable_, gone);
}

std::vector<std::string> Catalogue::scan(const std::vector<std::string>& directories) {
    std::vector<std::string> complaints;
    for (const std::string& directory : directories) {
        std::error_code error;
        auto it = std::filesystem::directory_iterator(directory, error);
        if (error) {
            const std::lock_guard lock(mutex_);
            if (error != std::errc::no_such_file_or_directory &&
                complained_.insert(directory).second) {
                complaints.push_back(directory + ": " + error.message());
            }
            continue;
        }
        for (; it != std::filesystem::directory_iterator(); it.increment(error)) {
            if (error || stopping_) break;
            if (it->path().extension() != ".gguf" || is_seen(it->path())) continue;
            try {
                add(it->path());
            } catch (const std::exception& e) {
                if (!stopping_) refuse(it->path(), e.what(), complaints);
            }
        }
    }
    forget_missing();
    scanned_ = true;
    return complaints;
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
        return e.path == entry.path && e.stamp() == entry.stamp();
    };
    if (std::erase_if(entries_, same) == 0) return false;
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
