#include "cli/hub_name.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "cli/exit_codes.hpp"
#include "cli/terminal.hpp"

namespace shoal::cli {
namespace {

constexpr std::array<std::string_view, 2> kHosts{"hf.co/", "huggingface.co/"};

const std::string_view* host_of(std::string_view text) noexcept {
    return std::ranges::find_if(kHosts, [&](auto host) { return text.starts_with(host); });
}

}  // namespace

bool is_hub_name(std::string_view text) noexcept {
    return host_of(text) != kHosts.end();
}

std::string hub_address(const std::string& name) {
    const std::string_view path = std::string_view(name).substr(host_of(name)->size());
    const std::size_t owner = path.find('/');
    const std::size_t file = owner == path.npos ? owner : path.find('/', owner + 1);
    if (file == path.npos || file + 1 == path.size()) {
        throw Error(kUsage,
                    fmt::format("{}: this names no file; write {}OWNER/REPOSITORY/FILE.gguf, "
                                "with one of those that the repository's page lists",
                                one_line(name), *host_of(name)));
    }
    const std::string_view rest = path.substr(file);
    const bool has_revision = rest.starts_with("/resolve/") || rest.starts_with("/blob/");
    return fmt::format("https://huggingface.co/{}{}{}", path.substr(0, file),
                       has_revision ? "" : "/resolve/main", rest);
}

}  // namespace shoal::cli
