#include "daemon/contact/device_name.hpp"

#include <stdexcept>
#include <utility>

#include "mesh/disk/whole_file.hpp"
#include "mesh/transport/state_file.hpp"

namespace shoal {

DeviceName::DeviceName(const std::filesystem::path& state_dir, std::string configured,
                       std::string host)
    : path_(state_dir / "name"), configured_(std::move(configured)), host_(std::move(host)) {
    if (const auto file = mesh::transport::read_state_file(path_)) {
        given_ = file->text.substr(0, file->text.find('\n'));
    }
}

const std::string& DeviceName::get() const noexcept {
    return !configured_.empty() ? configured_ : !given_.empty() ? given_ : host_;
}

std::string DeviceName::set(const std::string& name) {
    if (!configured_.empty()) {
        return "it has its name, " + configured_ +
               ", from its settings; change device.name there and restart it";
    }
    try {
        disk::replace_file(path_, name + "\n", 0640);
    } catch (const std::runtime_error& error) {
        return error.what();
    }
    given_ = name;
    return "";
}

}  // namespace shoal
