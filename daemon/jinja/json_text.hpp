// Values as JSON, and JSON as values. Internal to this folder.
#pragma once

#include <optional>
#include <string_view>

#include "daemon/jinja/run.hpp"

namespace shoal::jinja {

/// The parameters of Python's json.dumps().
struct JsonStyle {
    bool ascii = false;                  ///< other characters as \u....
    bool sorted = false;                 ///< names of dicts
    std::optional<Value> indent;         ///< a string, put before an item once for each level
    std::optional<Value> between_items;  ///< strings; the defaults depend on indent
    std::optional<Value> behind_name;
};

/// Throws Failure for what is no JSON: undefined values, functions, name spaces, generators.
Value json_of(Run& run, const Value& value, const JsonStyle& style);

/// As Value::from_json; with a run its memory is counted there. Throws JsonError.
Value value_of_json(std::string_view json, Origin origin, Run* run);

}  // namespace shoal::jinja
