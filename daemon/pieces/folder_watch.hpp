// Hears when files come into folders of models, are whole, change or go: inotify.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "daemon/pieces/catalogue.hpp"

struct inotify_event;

namespace shoal {

/// Externally synchronised.
class FolderWatch {
  public:
    /// Without inotify it hears nothing, and says so.
    FolderWatch();
    ~FolderWatch();
    FolderWatch(const FolderWatch&) = delete;
    FolderWatch& operator=(const FolderWatch&) = delete;

    /// Hears of these folders from now on, also of those that are not there yet.
    void watch(std::vector<std::string> directories);
    /// Again, in case that folders are others than they were (a link that leads elsewhere, a disk
    /// that was mounted): of that nothing is heard.
    void watch_again();

    /// Readable when something has happened; -1: never.
    int descriptor() const noexcept { return descriptor_; }
    /// Takes what has happened. True when the folders should be looked through.
    bool take();
    /// Of files that are whole it tells once.
    FileNews news();

    /// False when something may happen in one of the folders that is not heard.
    bool hears_all() const noexcept { return hears_all_; }
    /// Why nothing is heard, for a person; empty: nothing is wrong.
    const std::string& trouble() const noexcept { return trouble_; }

  private:
    // What one watch is for.
    struct Watched {
        std::filesystem::path folder;
        bool models = false;            // it is one of the folders
        std::set<std::string> awaited;  // names on the way to folders that are not there
    };

    void watch_folder(const std::filesystem::path& directory, std::map<int, Watched>& watched);
    bool add(const std::filesystem::path& folder, const std::string& awaited,
             std::map<int, Watched>& watched);
    bool hear(const inotify_event& event, const std::string& name);

    int descriptor_ = -1;
    bool hears_all_ = false;
    bool stale_ = false;  // watches are not those of the folders any more
    std::string trouble_;
    std::vector<std::string> directories_;
    std::map<int, Watched> watched_;  // by watch descriptor
    FileNews news_;
};

}  // namespace shoal
