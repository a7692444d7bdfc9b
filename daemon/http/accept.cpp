#include "daemon/http/accept.hpp"

#include <algorithm>

#include "daemon/http/guard.hpp"

namespace shoal::http {
namespace {

constexpr std::string_view kBlanks = " \t";

}  // namespace

bool names_type(std::string_view accept, std::string_view type) noexcept {
    while (!accept.empty()) {
        const std::size_t end = std::min(accept.find(','), accept.size());
        std::string_view one = accept.substr(0, end);
        one = one.substr(0, one.find(';'));
        one.remove_prefix(std::min(one.find_first_not_of(kBlanks), one.size()));
        one = one.substr(0, one.find_last_not_of(kBlanks) + 1);
        if (equal_caseless(one, type)) return true;
        accept.remove_prefix(std::min(end + 1, accept.size()));
    }
    return false;
}

}  // namespace shoal::http
