#include "daemon/catalogue.hpp"

#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>
#include <system_error>

#include "daemon/model/gguf.hpp"

namespace shoal {
namespace {

using model::ModelError;

// Read in parts of this size while hashing.
constexpr std::size_t kHashBytes = std::size_t{4} << 20;

// Remembered hashes at most; the oldest are forgotten first.
constexpr std::size_t kMaxKnown = 4096;

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

// The file's time of change in nanoseconds.
std::int64_t time_of(const struct stat& info) noexcept {
    return std::int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec;
}

// The same of a file by its name. Opening a pipe would wait for its writer, so what is
// no plain file is refused here, before it is opened.
std::int64_t changed_at(const std::filesystem::path& path) {
    struct stat info {};
    if (stat(path.c_str(), &info) != 0) {
        throw ModelError(path.string() + ": " + reason(errno));
    }
    if (!S_ISREG(info.st_mode)) throw ModelError(path.string() + ": is no plain file");
    return time_of(info);
}

bool is_unchanged(const CatalogueEntry& entry) {
    struct stat info {};
    return stat(entry.path.c_str(), &info) == 0 && time_of(info) == entry.changed;
}

// A mapped file and the source that reads it.
class MappedSource final : public model::WeightSource {
  public:
    explicit MappedSource(const std::filesystem::path& path) : file_(path), source_(file_) {}
    const model::GgufFile& file() const noexcept { return file_; }
    const model::GgufHeader& header() const noexcept override { return file_.header(); }
    std::span<const std::byte> header_bytes() const noexcept override {
        return source_.header_bytes();
    }
    model::MappedRows rows(const model::Piece& piece) const override { return source_.rows(piece); }

  private:
    model::GgufFile file_;
    model::FileSource source_;
};

}  // namespace

Catalogue::Catalogue(std::filesystem::path state_dir)
    : hashes_path_(std::move(state_dir) / "model-hashes") {
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
    const std::lock_guard lock(mutex_);
    std::erase_if(known_, [&](const Known& k) { return k.path == known.path; });
    // A line of the file could not hold it.
    if (known.path.string().find('\n') != std::string::npos) return;
    if (known_.size() == kMaxKnown) known_.erase(known_.begin());
    known_.push_back(std::move(known));
    const auto temporary = std::filesystem::path(hashes_path_).concat(".new");
    {
        std::ofstream file(temporary);
        for (const Known& k : known_) {
            file << k.hash.hex() << ' ' << k.bytes << ' ' << k.changed << ' ' << k.path.string()
                 << '\n';
        }
        if (!file.flush()) return;  // A full disk costs the next start a hash, no more.
    }
    std::error_code ignored;
    std::filesystem::rename(temporary, hashes_path_, ignored);
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
    if (changed_at(path) != changed) {
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
    const std::int64_t changed = changed_at(path);
    // A usable model is one whose header, description and vocabulary can all be read.
    const model::GgufFile file(path);
    const model::Hparams hparams = model::read_hparams(file);
    static_cast<void>(model::Tokenizer::from_header(file.header()));

    CatalogueEntry entry;
    entry.name = path.stem().string();
    entry.path = path;
    entry.architecture = hparams.architecture;
    entry.quantisation = model::quantisation_name(file.header());
    entry.file_bytes = file.bytes().size();
    entry.parameters = model::parameter_count(file.header());
    entry.context = hparams.n_context;
    entry.changed = changed;
    entry.hash = hash_of(path, entry.file_bytes, changed);

    const std::lock_guard lock(mutex_);
    std::erase_if(entries_, [&](const CatalogueEntry& e) { return e.path == entry.path; });
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

std::vector<std::string> Catalogue::scan(const std::vector<std::string>& directories) {
    std::vector<std::string> complaints;
    for (const std::string& directory : directories) {
        std::error_code error;
        auto it = std::filesystem::directory_iterator(directory, error);
        if (error) {
            if (error != std::errc::no_such_file_or_directory) {
                complaints.push_back(directory + ": " + error.message());
            }
            continue;
        }
        for (; it != std::filesystem::directory_iterator(); it.increment(error)) {
            if (error) break;
            if (it->path().extension() != ".gguf") continue;
            try {
                add(it->path());
            } catch (const std::exception& e) {
                complaints.emplace_back(e.what());
            }
        }
    }
    return complaints;
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

std::shared_ptr<const OpenModel> Catalogue::open(const CatalogueEntry& entry) {
    const auto gone = [&] {
        return ModelError(entry.path.string() +
                          ": is not the file any more that it was; give its path again, or start "
                          "shoald again, to take in the new one");
    };
    if (!is_unchanged(entry)) throw gone();
    auto source = std::make_unique<MappedSource>(entry.path);
    if (source->file().bytes().size() != entry.file_bytes) throw gone();
    auto model = std::make_shared<OpenModel>();
    model->hash = entry.hash;
    model->name = entry.name;
    model->hparams = model::read_hparams(source->file());
    model->tokenizer = model::Tokenizer::from_header(source->header());
    model->source = std::move(source);
    return model;
}

mesh::wire::AnnouncedModel announced(const CatalogueEntry& entry) {
    return {entry.hash.bytes, entry.name,       entry.architecture, entry.quantisation,
            entry.file_bytes, entry.parameters, entry.context};
}

}  // namespace shoal
