// The model files of this device, by content hash and by name.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/pieces/open_model.hpp"
#include "mesh/messages/plan.hpp"
#include "mesh/wire/identity.hpp"

namespace shoal {

struct CatalogueEntry {
    mesh::ModelHash hash;
    std::string name;            ///< the file's name without ".gguf" and the number of a part
    std::filesystem::path path;  ///< of a model in several files the first
    std::string architecture, quantisation;
    std::uint64_t file_bytes = 0;  ///< of the one file that several would make
    std::uint64_t parameters = 0;
    std::uint32_t context = 0;
    model::FileStamp stamp;  ///< of all its files
};

/// A file in a models folder that is no usable model, or several that should be one.
struct UnusableFile {
    std::string name;  ///< as of a model
    std::filesystem::path path;
    model::FileStamp stamp;
    std::string reason;  ///< with the path
};

/// What those who watch folders know of files, by path: a canonical folder and the name in it.
struct FileNews {
    std::set<std::filesystem::path> whole;    ///< closed by their writer, or renamed into place
    std::set<std::filesystem::path> writing;  ///< begun, and not closed yet
};

/// What a look through folders brought.
struct Scan {
    std::vector<std::string> complaints;  ///< files left out, with the reason; not said before
    bool changed = false;                 ///< models or unusable files are not those of before
    bool all_folders = true;              ///< each could be looked through
    /// Something may not be whole yet: look again after this time.
    std::optional<std::chrono::seconds> again;
};

/// Every model's file has an entry of its own: one content under two names is known by both. A
/// model in several files (model/split.hpp) is one, with the hash of their bytes one after another.
/// Thread-safe. Hashes are remembered in `<state_dir>/model-hashes` by path, size and time of
/// change, so that a file is read through once.
class Catalogue {
  public:
    /// `unknown_pre`: whether models are taken in whose pre-tokenizer is not known here.
    explicit Catalogue(std::filesystem::path state_dir, model::Tokenizer::UnknownPre unknown_pre =
                                                            model::Tokenizer::UnknownPre::refuse);

    /// Look through folders for *.gguf; slow where there are new files. Files that are no usable
    /// models are left out, files that are gone are forgotten. Left for the next time is what is
    /// being written, and from the second time on what was written to a moment ago, unless it is
    /// known to be whole.
    Scan scan(const std::vector<std::string>& directories, const FileNews& news = {});
    /// Take in one file, wherever it lies; a part brings the others. Throws model::ModelError when
    /// it is no usable model.
    CatalogueEntry add(const std::filesystem::path& path);

    std::vector<CatalogueEntry> list() const;
    std::vector<UnusableFile> unusable() const;
    /// One of the files of this content.
    std::optional<CatalogueEntry> find(const mesh::ModelHash& hash) const;

    /// Forget a file that is not what it was, so that it is read again before it is used again.
    /// False when that was done already, or a newer one has taken its place.
    bool drop(const CatalogueEntry& entry);

    /// Files with this stamp and content are about to be called so: they need not be read for their
    /// hash. `path`: the first one's, without links; the stamp is that of all.
    void vouch(const std::filesystem::path& path, const model::FileStamp& stamp,
               const mesh::ModelHash& hash);

    /// Whoever reads a file for its hash gives up with a ModelError from now on. Thread-safe.
    void stop() noexcept { stopping_ = true; }

    /// Open a file and read its description and vocabulary. Throws model::FileFailed
    /// when the file is not the one any more that was hashed, model::ModelError otherwise.
    static std::shared_ptr<const OpenModel> open(const CatalogueEntry& entry);

  private:
    struct Known {
        std::filesystem::path path;
        model::FileStamp stamp;
        mesh::ModelHash hash;
    };

    mesh::ModelHash hash_of(const std::filesystem::path& path, const model::FileStamp& stamp);
    void remember(Known known);
    enum class Sight : std::uint8_t { known, early, open };
    Sight sight(const std::filesystem::path& path, const FileNews& news, Scan& scan);
    void take_in(const std::filesystem::path& path, std::vector<std::string>& complaints);
    void refuse(const std::filesystem::path& path, const model::FileStamp& stamp,
                const std::string& reason, std::vector<std::string>& complaints);
    void forget_missing();

    const std::filesystem::path hashes_path_;
    const model::Tokenizer::UnknownPre unknown_pre_;
    std::atomic<bool> stopping_{false};
    mutable std::mutex mutex_;
    std::vector<CatalogueEntry> entries_;  // guarded by mutex_
    std::vector<Known> known_;             // guarded by mutex_
    std::vector<UnusableFile> unusable_;   // guarded by mutex_
    std::set<std::string> complained_;     // folders; guarded by mutex_
    std::uint64_t changes_ = 0;            // of entries_ and unusable_; guarded by mutex_
    std::atomic<bool> scanned_{false};
    std::mutex saving_;  // of the file of hashes
};

/// What the mesh is told of an entry.
mesh::messages::AnnouncedModel announced(const CatalogueEntry& entry);
mesh::messages::AnnouncedProblem announced(const UnusableFile& file);

}  // namespace shoal
