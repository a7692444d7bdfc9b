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

/// Owned by one thread, which never waits for a disk here: what does is arrange().
class FolderWatch {
  public:
    /// What one watch is for.
    struct Watched {
        std::filesystem::path folder;
        bool models = false;            // it is one of the folders
        std::set<std::string> awaited;  // names on the way to folders that are not there
    };
    struct Watches {
        std::map<int, Watched> by_descriptor;
        bool hears_all = false;  ///< false: in one of the folders something may happen unheard
        std::string trouble;     ///< why nothing is heard, for a person; empty: nothing is wrong
    };

    /// Without inotify it hears nothing, and says so.
    FolderWatch();
    ~FolderWatch();
    FolderWatch(const FolderWatch&) = delete;
    FolderWatch& operator=(const FolderWatch&) = delete;

    /// Begins to watch folders as they are now, also those that are not there yet; what it heard of
    /// before it hears of on. For any thread, one at a time.
    Watches arrange(const std::vector<std::string>& directories) const;
    /// What is heard of counts from now on, and nothing else does. True when something may have
    /// happened in a folder since it was arranged: look through the folders again.
    [[nodiscard]] bool adopt(Watches watches);

    /// Readable when something has happened; -1: never.
    int descriptor() const noexcept { return descriptor_; }
    /// Takes what has happened. True when watches should be arranged again and folders looked
    /// through.
    bool take();
    /// Of files that are whole it tells once.
    FileNews news();

    /// As of the watches adopted.
    bool hears_all() const noexcept { return watches_.hears_all; }
    const std::string& trouble() const noexcept { return watches_.trouble; }

  private:
    void watch_folder(const std::filesystem::path& directory, Watches& watches) const;
    bool add(const std::filesystem::path& folder, const std::string& awaited,
             Watches& watches) const;
    bool hear(const inotify_event& event, const std::string& name);

    int descriptor_ = -1;
    std::string no_inotify_;
    Watches watches_;
    FileNews news_;
};

}  // namespace shoal
