#include "mesh/transport/state_lock.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <system_error>

#include "mesh/transport/state_file.hpp"

namespace shoal::mesh::transport {

namespace {

/// Who holds the lock of an opened file, in words; empty when the system does not tell. A line of
/// /proc/locks is "1: FLOCK  ADVISORY  WRITE 1234 fd:01:5678 0 EOF", with the inode last of three.
std::string holder(int descriptor) {
    struct stat info {};
    if (::fstat(descriptor, &info) != 0) return "";
    const std::string inode = std::string(1, ':').append(std::to_string(info.st_ino));
    std::ifstream locks("/proc/locks");
    for (std::string line; std::getline(locks, line);) {
        std::istringstream fields(line);
        std::string number, kind, mode, access, process, file;
        fields >> number >> kind >> mode >> access >> process >> file;
        if (kind == "FLOCK" && file.ends_with(inode)) return std::string(", process ").append(process);
    }
    return "";
}

}  // namespace

StateLock::StateLock(const std::filesystem::path& folder) {
    make_state_folder(folder);
    descriptor_ = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor_ < 0) {
        throw std::runtime_error("cannot open the state folder " + folder.string() + ": " +
                                 std::system_category().message(errno));
    }
    if (::flock(descriptor_, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return;
    const std::string other = holder(descriptor_);
    ::close(descriptor_);
    throw std::runtime_error("the state folder " + folder.string() +
                             " is in use by another shoald" + other +
                             "; stop that one, or give this one a folder of its own with "
                             "device.state_dir");
}

StateLock::~StateLock() {
    ::close(descriptor_);
}

}  // namespace shoal::mesh::transport
