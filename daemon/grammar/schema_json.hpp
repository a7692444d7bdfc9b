// Schemas as JSON values: where they are, what they refer to, and several merged to one.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace shoal::grammar {

/// Properties stay in the order in which they were written.
using Json = nlohmann::ordered_json;

/// The text as JSON. Throws Refusal when it is none or nested too deeply.
Json parse_schema_text(std::string_view text);

/// `where` with a step into `name`, as a JSON pointer writes it.
std::string inside(const std::string& where, std::string_view name);

[[noreturn]] void refuse(const std::string& where, const std::string& what);

/// The value of a keyword; null when it is not there.
const Json* find(const Json& schema, const char* keyword);

/// Throws Refusal for keywords that change what is valid and are not honoured.
void check_keywords(const Json& schema, const std::string& where);

/// Whether the schema says anything about what is valid beside `except`.
bool constrains(const Json& schema, std::initializer_list<std::string_view> except);

/// The types that a schema names, all of them known; none when it has no `type`. `nullable` adds
/// "null".
std::vector<std::string> types_of(const Json& schema, const std::string& where);

/// Follows references within one document. Externally synchronised.
class References {
  public:
    explicit References(const Json& document) : document_(document) {}

    /// The JSON pointer, starting with #, in the one spelling that equal references share.
    /// Throws Refusal when it leaves the document.
    static std::string pointer_of(const Json& reference, const std::string& where);
    /// Throws Refusal when there is nothing.
    const Json& at(const std::string& pointer, const std::string& where) const;

    /// The schema without `$ref` and `allOf`: what they say is merged into it. Throws Refusal where
    /// that is not possible, and when the references never end.
    Json flattened(const Json& schema, const std::string& where);
    /// What is valid by both. The same.
    Json merged(const Json& first, const Json& second, const std::string& where);

  private:
    Json flattened(const Json& schema, const std::string& where, std::size_t depth);

    const Json& document_;
    std::size_t merges_ = 0;
};

}  // namespace shoal::grammar
