// What this device measured of links as a root, kept in the state folder.
#pragma once

#include <filesystem>

#include "daemon/loop/loop.hpp"
#include "daemon/plan/link_book.hpp"

namespace shoal {

/// Owned by the control thread.
class StoredLinks {
  public:
    /// The file in the state folder.
    static constexpr const char* kFile = "links.json";

    StoredLinks(Background& background, const std::filesystem::path& state_folder)
        : background_(background), path_(state_folder / kFile) {}

    /// None, and a line in the log, when there is nothing that can be used.
    KnownLinks read() const;
    /// Soon, on the background: a state file is synchronised to the disk.
    void write(const KnownLinks& links);

  private:
    Background& background_;
    const std::filesystem::path path_;
};

}  // namespace shoal
