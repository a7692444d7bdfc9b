#include "daemon/stored_links.hpp"

#include <exception>
#include <functional>

#include "daemon/log/log.hpp"
#include "daemon/plan/link_record.hpp"
#include "mesh/disk/whole_file.hpp"
#include "mesh/transport/state_file.hpp"

namespace shoal {
namespace {

// Far more than kMaxKeptLinks take.
constexpr std::size_t kMaxLinksFileBytes = 4u << 20;
constexpr mode_t kLinksMode = 0600;

}  // namespace

KnownLinks StoredLinks::read() const {
    try {
        const auto file = mesh::transport::read_state_file(path_, kMaxLinksFileBytes);
        return file ? links_from_text(file->text) : KnownLinks();
    } catch (const std::exception& e) {
        log::warn("{} is of no use, and links are measured anew: {}", path_.string(), e.what());
        return {};
    }
}

void StoredLinks::write(const KnownLinks& links) {
    background_.post(std::function<void()>([path = path_, text = to_text(links)] {
        try {
            disk::replace_file(path, text, kLinksMode);
        } catch (const std::exception& e) {
            log::info("what was measured of links is lost when the daemon ends: {}", e.what());
        }
    }));
}

}  // namespace shoal
