// Reads schemas into expressions, one function for each kind of keyword.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "daemon/grammar/json_text.hpp"
#include "daemon/grammar/properties.hpp"
#include "daemon/grammar/schema_json.hpp"

namespace shoal::grammar {

/// Every function throws Refusal with the JSON pointer `where`.
class SchemaReader {
  public:
    /// The document is kept by reference.
    SchemaReader(const Json& document, RuleSet& rules)
        : SchemaReader(document, rules, JsonText(rules)) {}
    /// With strings as `text` writes them.
    SchemaReader(const Json& document, RuleSet& rules, JsonText text)
        : rules_(rules), json_(std::move(text)), references_(document) {}

    /// The schema at this place of the document, a JSON pointer behind #.
    RuleId read(const std::string& pointer = "#");

  private:
    /// How often something may be there.
    struct Counts {
        std::uint32_t min, max;
    };
    struct Deeper;

    ExpressionId read_schema(const Json& schema, const std::string& where);
    ExpressionId read_object_schema(const Json& schema, const std::string& where);
    RuleId rule_of(const std::string& pointer);
    ExpressionId read_alternatives(const Json& schema, const char* keyword,
                                   const std::string& where);
    ExpressionId read_values(const Json& schema, const std::string& where);
    ExpressionId read_types(const Json& schema, const std::string& where);
    ExpressionId read_type(const std::string& type, const Json& schema, const std::string& where);

    ExpressionId read_string(const Json& schema, const std::string& where);
    ExpressionId read_pattern_of(const std::string& pattern, const std::string& where);
    ExpressionId read_number(const Json& schema, bool integer, const std::string& where);

    // schema_containers.cpp
    ExpressionId read_array(const Json& schema, const std::string& where);
    ExpressionId read_tuple(const std::vector<ExpressionId>& prefix,
                            std::optional<ExpressionId> item, Counts counts);
    ExpressionId read_object(const Json& schema, const std::string& where);
    std::vector<Property> read_properties(const Json& schema, bool closed,
                                          const std::string& where);
    ExpressionId read_named_object(const std::vector<Property>& properties,
                                   std::optional<ExpressionId> additional, bool may_be_empty);
    /// The pair of any name but these, when more properties than the named ones are allowed.
    std::optional<ExpressionId> read_additional(const Json& schema, bool named,
                                                std::vector<std::string> names,
                                                const std::string& where);
    Counts read_counts(const Json& schema, const char* min, const char* max,
                       const std::string& where);

    RuleSet& rules_;
    JsonText json_;
    References references_;
    std::map<std::string, RuleId> by_pointer_;
    std::vector<std::pair<std::string, RuleId>> pending_;
    std::size_t done_ = 0;  ///< of them
    std::size_t depth_ = 0;
};

}  // namespace shoal::grammar
