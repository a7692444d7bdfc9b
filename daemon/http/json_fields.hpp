// Fields of a JSON object from outside, taken one by one: each value is of the kind expected, or
// the error names the field, the value and what was expected.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/http/api_error.hpp"
#include "daemon/http/json_input.hpp"

namespace shoal::http {

using Problem = std::optional<ApiError>;

/// How much of a wrong value an error repeats.
inline constexpr std::size_t kQuotedValueBytes = 80;

/// A value as an error repeats it.
std::string quoted(const Json& value);
/// "FIELD is VALUE; expected ..."
ApiError wrong(const std::string& field, const Json& value, std::string_view expected);
ApiError unknown_field(std::string_view name);
ApiError missing_field(const std::string& name);

Problem take(const std::string& field, const Json& value, bool& out);
Problem take(const std::string& field, const Json& value, std::string& out);
Problem take(const std::string& field, const Json& value, float& out);
Problem take(const std::string& field, const Json& value, std::uint32_t& out);
Problem take(const std::string& field, const Json& value, std::uint64_t& out);
/// Token ids.
Problem take(const std::string& field, const Json& value, std::vector<std::int32_t>& out);

/// What a field that means nothing here may hold: anything of these kinds.
Problem accept_string(const std::string& field, const Json& value);
Problem accept_bool(const std::string& field, const Json& value);
Problem accept_object(const std::string& field, const Json& value);

bool is_null(const Json& value) noexcept;
/// A member that is there and not null, which means "not given" nearly everywhere.
bool given(const Json& object, const char* name);

/// How a field of a request R is taken.
template <typename R>
struct Field {
    std::string_view name;
    Problem (*take)(const std::string& name, const Json& value, R& out);
    bool null_is_absent = true;
};

template <typename R, std::size_t kCount>
const Field<R>* find_field(const Field<R> (&fields)[kCount], std::string_view name) noexcept {
    const auto* found = std::find_if(std::begin(fields), std::end(fields),
                                     [&](const Field<R>& field) { return field.name == name; });
    return found == std::end(fields) ? nullptr : found;
}

template <typename R, typename Out>
Problem take(const Field<R>& field, const std::string& name, const Json& value, Out& out) {
    if (field.null_is_absent && is_null(value)) return {};
    return field.take(name, value, out);
}

/// What validate() says of a request over HTTP, with the field's name in the body (`here`) instead
/// of that on the wire. The message begins with the field's name.
Problem refused(const mesh::messages::Request& request, std::string_view on_wire = {},
                std::string_view here = {});

}  // namespace shoal::http
