#include "daemon/contact/boot_key.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <stdexcept>
#include <system_error>

#include "daemon/log/log.hpp"
#include "mesh/discovery/cluster_key.hpp"
#include "mesh/disk/whole_file.hpp"
#include "mesh/transport/state_file.hpp"

namespace shoal {
namespace {

namespace fs = std::filesystem;

std::string why_not() {
    return std::generic_category().message(errno);
}

/// Overwrites and deletes a file. Why not; empty: it is gone.
std::string erased(const fs::path& path) {
    const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return why_not();
    struct stat info {};
    std::string error;
    if (::fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        error = "it is no file";
    } else {
        const std::string zeros(static_cast<std::size_t>(std::min<off_t>(
                                    info.st_size, mesh::transport::kMaxStateFileBytes)),
                                '\0');
        const bool written = ::write(fd, zeros.data(), zeros.size()) >= 0 && ::fsync(fd) == 0;
        if (!written || ::unlink(path.c_str()) != 0) error = why_not();
    }
    ::close(fd);
    if (error.empty()) disk::flush_folder(path.parent_path());
    return error;
}

void erase(const fs::path& path, const std::string& done) {
    const std::string error = erased(path);
    if (error.empty()) return log::info("{}, and {} was erased", done, path.string());
    log::warn(
        "{}, but {} cannot be erased: {}. Delete it, since whoever reads the card has the key; "
        "where the partition is read-only, remount it first",
        done, path.string(), error);
}

/// Whose the folder is, its key is.
void give_to_owner(const fs::path& path) {
    struct stat folder {};
    if (::geteuid() != 0 || ::stat(path.parent_path().c_str(), &folder) != 0) return;
    if (::lchown(path.c_str(), folder.st_uid, folder.st_gid) != 0) {
        log::warn("{} cannot be given to the owner of its folder: {}", path.string(), why_not());
    }
}

std::optional<mesh::ClusterKey> stored(const fs::path& path) {
    try {
        const auto file = mesh::transport::read_state_file(path);
        if (!file) return std::nullopt;
        return mesh::read_cluster_keys(file->text, path).front();
    } catch (const std::runtime_error& error) {
        // The daemon will say so, and end.
        return mesh::ClusterKey{};
    }
}

}  // namespace

void take_boot_key(const std::vector<std::string>& places, const fs::path& key_path) {
    for (const std::string& place : places) {
        try {
            const auto file = mesh::transport::read_state_file(place);
            if (!file) continue;
            const mesh::ClusterKey key = mesh::read_cluster_keys(file->text, place).front();
            if (const auto own = stored(key_path)) {
                // It may have been taken up before the power went.
                if (*own == key) return erase(place, "the cluster key was taken up before");
                return log::warn(
                    "the cluster key in {} is left alone, because this device has one already; "
                    "delete the file, and bring the device into the cluster with shoal join",
                    place);
            }
            mesh::transport::make_state_folder(key_path.parent_path());
            mesh::save_cluster_key(key, key_path);
            give_to_owner(key_path);
            return erase(place, "took up the cluster key " + key.fingerprint());
        } catch (const std::runtime_error& error) {
            log::error("no cluster key is taken up: {}", error.what());
        }
    }
}

}  // namespace shoal
