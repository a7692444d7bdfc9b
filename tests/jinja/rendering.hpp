// Short ways to render, for tests.
#pragma once

#include <cstdio>
#include <ctime>
#include <string>

#include "daemon/jinja/template.hpp"

namespace shoal::jinja {

/// Of "2026-03-09T07:05:00".
inline std::tm time_of(const std::string& iso) {
    std::tm out{};
    std::sscanf(iso.c_str(), "%d-%d-%dT%d:%d:%d", &out.tm_year, &out.tm_mon, &out.tm_mday,
                &out.tm_hour, &out.tm_min, &out.tm_sec);
    out.tm_year -= 1900;
    out.tm_mon -= 1;
    timegm(&out);  // which fills in the days of week and year
    return out;
}

inline Rendered rendered(const std::string& source, const Value& variables,
                         const Limits& limits = {}) {
    return Template::parse(source, "t").render(variables, time_of("2026-03-09T07:05:00"), limits);
}

/// With variables as JSON, all of it input.
inline std::string render(const std::string& source, const std::string& variables = "{}",
                          const Limits& limits = {}) {
    return rendered(source, Value::from_json(variables, Origin::input), limits).text();
}

/// What goes wrong; empty when nothing does.
inline std::string error_of(const std::string& source, const std::string& variables = "{}",
                            const Limits& limits = {}) {
    try {
        render(source, variables, limits);
    } catch (const TemplateError& error) {
        return error.what();
    }
    return {};
}

}  // namespace shoal::jinja
