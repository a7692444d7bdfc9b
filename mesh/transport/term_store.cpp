#include "mesh/transport/term_store.hpp"

#include <charconv>
#include <stdexcept>
#include <string>

#include "mesh/disk/whole_file.hpp"
#include "mesh/transport/state_file.hpp"
#include "mesh/wire/control.hpp"

namespace shoal::mesh::transport {

namespace {

constexpr char kName[] = "term";

}  // namespace

std::uint64_t load_term_counter(const std::filesystem::path& state_dir) {
    const auto path = state_dir / kName;
    const auto file = read_state_file(path);
    if (!file) return 0;
    std::uint64_t counter = 0;
    const char* const end = file->text.data() + file->text.size();
    const auto [next, error] = std::from_chars(file->text.data(), end, counter);
    if (error != std::errc() || std::string_view(next, end) != "\n" ||
        counter > wire::kMaxTermCounter) {
        throw std::runtime_error(path.string() +
                                 " is damaged: it must hold one number. Delete it; this device "
                                 "then learns the present term from the others");
    }
    return counter;
}

void store_term_counter(const std::filesystem::path& state_dir, std::uint64_t counter) {
    disk::replace_file(state_dir / kName, std::to_string(counter) + "\n", 0600);
}

}  // namespace shoal::mesh::transport
