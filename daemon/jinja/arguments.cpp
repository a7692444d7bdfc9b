#include "daemon/jinja/arguments.hpp"

#include "daemon/jinja/error.hpp"
#include "daemon/jinja/names.hpp"
#include "daemon/jinja/operators.hpp"

namespace shoal::jinja {

std::optional<Value> ArgumentReader::take(std::string_view name) {
    if (next_ < arguments_.positional.size()) return arguments_.positional[next_++];
    for (std::size_t i = 0; i < taken_.size(); ++i) {
        if (taken_[i] || arguments_.named[i].first != name) continue;
        taken_[i] = true;
        return arguments_.named[i].second;
    }
    return std::nullopt;
}

Value ArgumentReader::need(std::string_view name) {
    std::optional<Value> value = take(name);
    if (!value) fail(std::string(function_) + "() lacks its argument '" + std::string(name) + "'");
    return *value;
}

bool ArgumentReader::flag(std::string_view name, bool preset) {
    const std::optional<Value> value = take(name);
    return value ? truth(*value) : preset;
}

std::int64_t ArgumentReader::integer(std::string_view name, std::int64_t preset) {
    const std::optional<Value> value = take(name);
    return value ? need_integer(*value, name) : preset;
}

void ArgumentReader::done() const {
    if (next_ < arguments_.positional.size()) {
        fail(std::string(function_) + "() takes at most " + std::to_string(next_) +
             " arguments, but " + std::to_string(arguments_.positional.size()) + " were given");
    }
    for (std::size_t i = 0; i < taken_.size(); ++i) {
        if (taken_[i]) continue;
        fail(std::string(function_) + "() takes no argument '" + arguments_.named[i].first + "'");
    }
}

const Value& need_string(const Value& value, std::string_view what) {
    if (!value.is_string()) {
        require_defined(value);
        fail(std::string(what) + " must be a string, not " + type_name(value));
    }
    return value;
}

std::int64_t need_integer(const Value& value, std::string_view what) {
    if (!value.is_integral()) {
        require_defined(value);
        fail(std::string(what) + " must be an integer, not " + type_name(value));
    }
    return value.as_integer();
}

}  // namespace shoal::jinja
