// The model files of this device, by content hash and by name.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/plan_spec.hpp"
#include "mesh/wire/identity.hpp"
#include "mesh/wire/plan.hpp"

namespace shoal {

struct CatalogueEntry {
    mesh::ModelHash hash;
    std::string name;  ///< the file's name without ".gguf"
    std::filesystem::path path;
    std::string architecture, quantisation;
    std::uint64_t file_bytes = 0;
    std::uint64_t parameters = 0;
    std::uint32_t context = 0;
    std::int64_t changed = 0;  ///< the file's time of change, in nanoseconds
};

/// Thread-safe. Hashes are remembered in `<state_dir>/model-hashes` by path, size and time of
/// change, so that a file is read through once.
class Catalogue {
  public:
    explicit Catalogue(std::filesystem::path state_dir);

    /// Look through folders for *.gguf; slow where there are new files. Files that are no usable
    /// models are left out; the text says which and why.
    std::vector<std::string> scan(const std::vector<std::string>& directories);
    /// Take in one file, wherever it lies. Content that is here already keeps its name while that
    /// file is there. Throws model::ModelError when it is no usable model.
    CatalogueEntry add(const std::filesystem::path& path);

    std::vector<CatalogueEntry> list() const;
    std::optional<CatalogueEntry> find(const mesh::ModelHash& hash) const;

    /// Whoever reads a file for its hash gives up with a ModelError from now on. Thread-safe.
    void stop() noexcept { stopping_ = true; }

    /// Map a file and read its description and vocabulary. Throws model::ModelError, also when
    /// the file is not the one any more that was hashed.
    static std::shared_ptr<const OpenModel> open(const CatalogueEntry& entry);

  private:
    struct Known {
        std::filesystem::path path;
        std::uint64_t bytes = 0;
        std::int64_t changed = 0;
        mesh::ModelHash hash;
    };

    mesh::ModelHash hash_of(const std::filesystem::path& path, std::uint64_t bytes,
                            std::int64_t changed);
    void remember(Known known);

    const std::filesystem::path hashes_path_;
    std::atomic<bool> stopping_{false};
    mutable std::mutex mutex_;
    std::vector<CatalogueEntry> entries_;  // guarded by mutex_
    std::vector<Known> known_;             // guarded by mutex_
};

/// What the mesh is told of an entry.
mesh::wire::AnnouncedModel announced(const CatalogueEntry& entry);

}  // namespace shoal
