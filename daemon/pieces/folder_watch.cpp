#include "daemon/pieces/folder_watch.hpp"

#include <sys/inotify.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <system_error>
#include <utility>

namespace shoal {
namespace {

// Of a folder of models, and of one in which such a folder may appear. Writing is not heard, but
// its end: a file of gigabytes would wake us for each of its parts.
constexpr std::uint32_t kFolderEvents = IN_CREATE | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF;
constexpr std::uint32_t kModelEvents =
    kFolderEvents | IN_CLOSE_WRITE | IN_MOVED_FROM | IN_DELETE | IN_ATTRIB;

constexpr std::size_t kReadBytes = std::size_t{64} << 10;
// In one go; what is left keeps the descriptor readable.
constexpr int kMaxReads = 16;
// How often a folder may appear while its parent is looked at.
constexpr int kMaxTries = 8;

// File systems on which others than this kernel change files.
constexpr std::array<std::uint32_t, 11> kRemote = {
    0x6969,      // NFS
    0xFF534D42,  // CIFS
    0xFE534D42,  // SMB 2
    0x517B,      // SMB
    0x65735546,  // FUSE
    0x01021997,  // 9P
    0x00C36400,  // Ceph
    0x5346414F,  // AFS
    0x73757245,  // Coda
    0x47504653,  // GPFS
    0x786F4256,  // VirtualBox's shared folders
};

bool is_remote(const std::filesystem::path& folder) {
    struct statfs info {};
    if (::statfs(folder.c_str(), &info) != 0) return true;
    const auto type = static_cast<std::uint32_t>(info.f_type);
    return std::find(kRemote.begin(), kRemote.end(), type) != kRemote.end();
}

}  // namespace

FolderWatch::FolderWatch() : descriptor_(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)) {
    if (descriptor_ >= 0) return;
    no_inotify_ = "inotify cannot be used: " + std::generic_category().message(errno) +
                  (errno == EMFILE ? " (fs.inotify.max_user_instances)" : "");
}

FolderWatch::~FolderWatch() {
    if (descriptor_ >= 0) ::close(descriptor_);
}

FolderWatch::Watches FolderWatch::arrange(const std::vector<std::string>& directories) const {
    Watches watches{{}, descriptor_ >= 0, no_inotify_};
    if (descriptor_ < 0) return watches;
    for (const std::string& directory : directories) watch_folder(directory, watches);
    return watches;
}

bool FolderWatch::adopt(Watches watches) {
    const auto& now = watches.by_descriptor;
    for (const auto& [descriptor, unused] : watches_.by_descriptor) {
        if (!now.contains(descriptor)) ::inotify_rm_watch(descriptor_, descriptor);
    }
    const bool more = std::any_of(now.begin(), now.end(), [&](const auto& entry) {
        const auto it = watches_.by_descriptor.find(entry.first);
        return it == watches_.by_descriptor.end() || it->second.models != entry.second.models ||
               it->second.awaited != entry.second.awaited;
    });
    watches_ = std::move(watches);
    return more;
}

// The folder, or the nearest one above it that is there.
void FolderWatch::watch_folder(const std::filesystem::path& directory, Watches& watches) const {
    std::error_code error;
    const auto whole = std::filesystem::absolute(directory, error).lexically_normal();
    for (int tries = 0; tries < kMaxTries; ++tries) {
        std::filesystem::path at = whole.has_filename() ? whole : whole.parent_path();
        std::string awaited;
        while (!add(at, awaited, watches)) {
            if ((errno != ENOENT && errno != ENOTDIR) || at == at.parent_path()) {
                watches.hears_all = false;
                if (errno == ENOSPC) {
                    watches.trouble =
                        at.string() +
                        ": cannot be watched: this user has as many watches as the system allows "
                        "(fs.inotify.max_user_watches)";
                }
                return;
            }
            awaited = at.filename();
            at = at.parent_path();
        }
        // It may have come before its parent was watched.
        if (awaited.empty() || !std::filesystem::is_directory(at / awaited, error)) return;
    }
    watches.hears_all = false;
}

// With errno when it cannot be.
bool FolderWatch::add(const std::filesystem::path& folder, const std::string& awaited,
                      Watches& watches) const {
    const bool models = awaited.empty();
    const int descriptor =
        ::inotify_add_watch(descriptor_, folder.c_str(),
                            (models ? kModelEvents : kFolderEvents) | IN_ONLYDIR | IN_MASK_ADD);
    if (descriptor < 0) return false;
    std::error_code error;
    Watched& entry = watches.by_descriptor[descriptor];
    if (entry.folder.empty()) entry.folder = std::filesystem::canonical(folder, error);
    if (!models) {
        entry.awaited.insert(awaited);
    } else {
        entry.models = true;
        if (is_remote(folder)) watches.hears_all = false;
    }
    return true;
}

bool FolderWatch::take() {
    if (descriptor_ < 0) return false;
    bool look = false;
    alignas(inotify_event) std::array<char, kReadBytes> buffer;
    for (int reads = 0; reads < kMaxReads; ++reads) {
        const ssize_t bytes = ::read(descriptor_, buffer.data(), buffer.size());
        if (bytes <= 0) break;
        for (std::size_t at = 0; at < static_cast<std::size_t>(bytes);) {
            inotify_event event;
            std::memcpy(&event, buffer.data() + at, sizeof event);
            at += sizeof event;
            // Padded with zeros.
            look |= hear(event, event.len == 0 ? "" : std::string(buffer.data() + at));
            at += event.len;
        }
    }
    return look;
}

// True when the folders should be looked through.
bool FolderWatch::hear(const inotify_event& event, const std::string& name) {
    if ((event.mask & IN_Q_OVERFLOW) != 0) {
        // Too much to be told: nothing is known of any file.
        news_ = {};
        return true;
    }
    const auto it = watches_.by_descriptor.find(event.wd);
    if (it == watches_.by_descriptor.end()) return false;  // not yet adopted, or not any more
    if ((event.mask & (IN_IGNORED | IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT)) != 0) return true;
    const Watched& watched = it->second;
    if ((event.mask & (IN_CREATE | IN_MOVED_TO)) != 0 && watched.awaited.contains(name)) {
        return true;
    }
    if (!watched.models || !name.ends_with(".gguf")) return false;
    const auto path = watched.folder / name;
    if ((event.mask & (IN_CLOSE_WRITE | IN_MOVED_TO)) != 0) {
        news_.writing.erase(path);
        news_.whole.insert(path);
    } else if ((event.mask & (IN_DELETE | IN_MOVED_FROM)) != 0) {
        news_.writing.erase(path);
        news_.whole.erase(path);
    } else if ((event.mask & IN_CREATE) != 0) {
        news_.writing.insert(path);
    } else if ((event.mask & IN_ATTRIB) != 0) {
        // Others may read it now, say.
        if (news_.writing.contains(path)) return false;
        news_.whole.insert(path);
    }
    return true;
}

FileNews FolderWatch::news() {
    FileNews out = news_;
    news_.whole.clear();
    return out;
}

}  // namespace shoal
