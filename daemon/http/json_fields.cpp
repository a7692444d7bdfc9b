#include "daemon/http/json_fields.hpp"

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

namespace shoal::http {
namespace {

template <std::unsigned_integral T>
Problem take_unsigned(const std::string& field, const Json& value, T& out) {
    constexpr T kMax = std::numeric_limits<T>::max();
    // Parsed text has a negative number, and only that, as a signed integer.
    if (!value.is_number_unsigned() || value.get<std::uint64_t>() > kMax) {
        return wrong(field, value, fmt::format("an integer from 0 to {}", kMax));
    }
    out = static_cast<T>(value.get<std::uint64_t>());
    return {};
}

}  // namespace

std::string quoted(const Json& value) {
    if (value.is_structured()) return value.is_array() ? "an array" : "an object";
    std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
    if (text.size() > kQuotedValueBytes) text = text.substr(0, kQuotedValueBytes) + "...";
    return text;
}

ApiError wrong(const std::string& field, const Json& value, std::string_view expected) {
    return bad_field(field, fmt::format("{} is {}; expected {}", field, quoted(value), expected));
}

ApiError unknown_field(std::string_view name) {
    const std::string shown(name.substr(0, kQuotedValueBytes));
    return bad_field(shown, fmt::format("the field \"{}\" is not supported; leave it out", shown));
}

ApiError missing_field(const std::string& name) {
    return bad_field(name, name + " is missing");
}

Problem take(const std::string& field, const Json& value, bool& out) {
    if (!value.is_boolean()) return wrong(field, value, "true or false");
    out = value.get<bool>();
    return {};
}

Problem take(const std::string& field, const Json& value, std::string& out) {
    if (!value.is_string()) return wrong(field, value, "a string");
    out = value.get_ref<const std::string&>();
    return {};
}

Problem take(const std::string& field, const Json& value, float& out) {
    // A double beyond float's range may not be converted; validate() then says what is allowed.
    constexpr double kMax = std::numeric_limits<float>::max();
    if (!value.is_number() || std::abs(value.get<double>()) > kMax) {
        return wrong(field, value, "a number");
    }
    out = static_cast<float>(value.get<double>());
    return {};
}

Problem take(const std::string& field, const Json& value, std::uint32_t& out) {
    return take_unsigned(field, value, out);
}

Problem take(const std::string& field, const Json& value, std::uint64_t& out) {
    return take_unsigned(field, value, out);
}

Problem take(const std::string& field, const Json& value, std::vector<std::int32_t>& out) {
    constexpr std::uint64_t kMax = std::numeric_limits<std::int32_t>::max();
    if (!value.is_array()) return wrong(field, value, "an array of token ids");
    out.clear();
    out.reserve(value.size());
    for (std::size_t i = 0; i < value.size(); ++i) {
        if (!value[i].is_number_unsigned() || value[i].get<std::uint64_t>() > kMax) {
            ApiError problem = wrong(fmt::format("{}[{}]", field, i), value[i], "a token id");
            problem.param = field;
            return problem;
        }
        out.push_back(static_cast<std::int32_t>(value[i].get<std::uint64_t>()));
    }
    return {};
}

Problem accept_string(const std::string& field, const Json& value) {
    if (!value.is_string()) return wrong(field, value, "a string");
    return {};
}

Problem accept_bool(const std::string& field, const Json& value) {
    if (!value.is_boolean()) return wrong(field, value, "true or false");
    return {};
}

Problem accept_object(const std::string& field, const Json& value) {
    if (!value.is_object()) return wrong(field, value, "an object");
    return {};
}

bool is_null(const Json& value) noexcept {
    return value.is_null();
}

bool given(const Json& object, const char* name) {
    const auto found = object.find(name);
    return found != object.end() && !found->is_null();
}

Problem refused(const mesh::messages::Request& request, std::string_view on_wire,
                std::string_view here) {
    auto failed = mesh::messages::validate(request, mesh::messages::Door::http);
    if (!failed) return {};
    if (!on_wire.empty() && failed->message.starts_with(on_wire)) {
        failed->message.replace(0, on_wire.size(), here);
    }
    ApiError error = api_error(*failed);
    // Mostly the name of the field in the body.
    error.param =
        failed->message.substr(0, failed->message.find_first_not_of("abcdefghijklmnopqrstuvwxyz_"));
    return error;
}

}  // namespace shoal::http
