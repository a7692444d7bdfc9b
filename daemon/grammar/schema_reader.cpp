#include "daemon/grammar/schema_reader.hpp"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "daemon/grammar/formats.hpp"
#include "daemon/grammar/limits.hpp"
#include "daemon/grammar/number_range.hpp"
#include "daemon/grammar/pattern.hpp"
#include "daemon/grammar/refusal.hpp"

namespace shoal::grammar {
namespace {

/// The largest divisor of a multipleOf; each takes as many rules as it has remainders.
constexpr std::uint32_t kMaxDivisor = 100;
constexpr std::size_t kMaxSignificantDigits = 15;

bool has_type(const Json& value, const std::string& type) {
    if (type == "object") return value.is_object();
    if (type == "array") return value.is_array();
    if (type == "string") return value.is_string();
    if (type == "number") return value.is_number();
    if (type == "boolean") return value.is_boolean();
    if (type == "null") return value.is_null();
    return value.is_number_integer() ||
           (value.is_number_float() && value.get<double>() == std::floor(value.get<double>()));
}

/// The type that a schema without `type` is about, by its keywords; empty when it says nothing.
std::string implied_type(const Json& schema, const std::string& where) {
    static constexpr std::pair<const char*, const char*> kOf[] = {
        {"properties", "object"},
        {"required", "object"},
        {"additionalProperties", "object"},
        {"minProperties", "object"},
        {"maxProperties", "object"},
        {"items", "array"},
        {"prefixItems", "array"},
        {"minItems", "array"},
        {"maxItems", "array"},
        {"minLength", "string"},
        {"maxLength", "string"},
        {"pattern", "string"},
        {"format", "string"},
        {"minimum", "number"},
        {"maximum", "number"},
        {"exclusiveMinimum", "number"},
        {"exclusiveMaximum", "number"},
        {"multipleOf", "number"}};
    std::string implied;
    for (const auto& [keyword, type] : kOf) {
        if (!schema.contains(keyword) || implied == type) continue;
        if (!implied.empty()) {
            refuse(where, "it has keywords for the types \"" + implied + "\" and \"" + type +
                              "\"; say which with \"type\"");
        }
        implied = type;
    }
    return implied;
}

/// A bound of a number, and the same in draft 4's way, where "exclusive" is true or false.
void tighten(std::optional<NumberBound>& bound, const Json& value, bool exclusive, int sign,
             const std::string& where) {
    if (!value.is_number()) refuse(where, "a bound is a number");
    const auto other = parse_bound(value.dump(), exclusive);
    if (!other) {
        refuse(where, "a bound has at most " + std::to_string(kMaxWholeDigits) +
                          " digits before the point and " + std::to_string(kMaxFractionDigits) +
                          " behind it");
    }
    const int order = bound ? compare(*other, *bound) * sign : 1;
    if (order > 0 || (order == 0 && exclusive)) bound = other;
}

std::optional<NumberBound> read_bound(const Json& schema, const char* inclusive,
                                      const char* exclusive, int sign, const std::string& where) {
    std::optional<NumberBound> bound;
    const Json* value = find(schema, inclusive);
    const Json* strict = find(schema, exclusive);
    const bool draft4 = strict != nullptr && strict->is_boolean();
    if (value != nullptr) {
        tighten(bound, *value, draft4 && *strict == true, sign, inside(where, inclusive));
    }
    if (strict != nullptr && !draft4) tighten(bound, *strict, true, sign, inside(where, exclusive));
    return bound;
}

/// How many digits behind the point a multipleOf of 0.1, 0.01 and so on allows.
std::optional<std::uint32_t> decimals_of(const Json& divisor) {
    const auto bound = parse_bound(divisor.dump(), false);
    if (!bound || bound->negative) return std::nullopt;
    if (bound->whole == 1 && bound->fraction.empty()) return 0;
    if (bound->whole != 0 || bound->fraction.empty()) return std::nullopt;
    if (bound->fraction.find_first_not_of('0') != bound->fraction.size() - 1) return std::nullopt;
    if (bound->fraction.back() != '1') return std::nullopt;
    return static_cast<std::uint32_t>(bound->fraction.size());
}

std::size_t whole_digits(const std::optional<NumberBound>& bound) {
    return bound ? std::to_string(bound->whole).size() : 1;
}

}  // namespace

/// Counts schemas within schemas.
struct SchemaReader::Deeper {
    Deeper(std::size_t& of, const std::string& where) : depth(of) {
        if (++depth > kMaxNesting) {
            refuse(where, "schemas are nested deeper than " + std::to_string(kMaxNesting));
        }
    }
    ~Deeper() { --depth; }
    Deeper(const Deeper&) = delete;
    Deeper& operator=(const Deeper&) = delete;

    std::size_t& depth;
};

RuleId SchemaReader::read(const std::string& pointer) {
    const RuleId asked = rule_of(pointer);
    // Reading one finds others that it refers to.
    while (done_ < pending_.size()) {
        const auto [place, rule] = pending_[done_++];
        rules_.define(rule, read_schema(references_.at(place, place), place));
    }
    return asked;
}

RuleId SchemaReader::rule_of(const std::string& pointer) {
    const auto known = by_pointer_.find(pointer);
    if (known != by_pointer_.end()) return known->second;
    const RuleId rule = rules_.add_rule(pointer);
    by_pointer_.emplace(pointer, rule);
    pending_.emplace_back(pointer, rule);
    return rule;
}

ExpressionId SchemaReader::read_schema(const Json& schema, const std::string& where) {
    const Deeper deeper(depth_, where);
    if (schema.is_boolean()) return schema == true ? json_.value() : rules_.never();
    if (!schema.is_object()) refuse(where, "a schema is an object, true or false");
    try {
        return read_object_schema(schema, where);
    } catch (const Refusal& refusal) {
        // What the rule set refuses has no place yet.
        if (std::string_view(refusal.what()).starts_with("#")) throw;
        refuse(where, refusal.what());
    }
}

ExpressionId SchemaReader::read_object_schema(const Json& schema, const std::string& where) {
    check_keywords(schema, where);
    const Json* reference = find(schema, "$ref");
    if (reference != nullptr && !constrains(schema, {"$ref"})) {
        const std::string pointer = References::pointer_of(*reference, where);
        references_.at(pointer, where);
        return rules_.reference(rule_of(pointer));
    }
    if (reference != nullptr || schema.contains("allOf")) {
        return read_object_schema(references_.flattened(schema, where), where);
    }
    const bool any = schema.contains("anyOf"), one = schema.contains("oneOf");
    if (any && one) refuse(where, "anyOf and oneOf together are not supported");
    if (any || one) return read_alternatives(schema, any ? "anyOf" : "oneOf", where);
    if (schema.contains("enum") || schema.contains("const")) return read_values(schema, where);
    return read_types(schema, where);
}

ExpressionId SchemaReader::read_alternatives(const Json& schema, const char* keyword,
                                             const std::string& where) {
    const Json& list = schema[keyword];
    const std::string place = inside(where, keyword);
    if (!list.is_array() || list.empty()) refuse(place, "it is a list of schemas");
    Json around = schema;
    around.erase(keyword);
    const bool alone = !constrains(around, {});
    std::vector<ExpressionId> ways;
    for (std::size_t i = 0; i < list.size(); ++i) {
        const std::string part = inside(place, std::to_string(i));
        if (alone) {
            ways.push_back(read_schema(list[i], part));
        } else if (list[i] != false) {
            const Json branch = references_.flattened(list[i], part);
            ways.push_back(read_schema(references_.merged(around, branch, part), part));
        }
    }
    if (ways.empty()) refuse(place, "none of these can be valid");
    return rules_.alternatives(std::move(ways));
}

ExpressionId SchemaReader::read_values(const Json& schema, const std::string& where) {
    if (constrains(schema, {"enum", "const", "type", "nullable"})) {
        refuse(where, "enum and const are supported beside \"type\" only");
    }
    const auto types = types_of(schema, where);
    const Json* only = find(schema, "const");
    const Json* list = find(schema, "enum");
    if (list != nullptr && (!list->is_array() || list->empty())) {
        refuse(inside(where, "enum"), "it is a list of values");
    }
    std::vector<std::string> texts;
    const auto add = [&](const Json& value) {
        const bool fits =
            types.empty() || std::any_of(types.begin(), types.end(), [&](const std::string& type) {
                return has_type(value, type);
            });
        const bool same = only == nullptr || *only == value;
        if (!fits || !same) return;
        texts.push_back(value.is_string() ? json_.written(value.get_ref<const std::string&>())
                                          : value.dump());
    };
    if (list != nullptr) {
        for (const Json& value : *list) add(value);
    } else {
        add(*only);
    }
    const Json* nullable = find(schema, "nullable");
    if (nullable != nullptr && *nullable == true && only == nullptr) texts.push_back("null");
    if (texts.empty()) refuse(where, "none of its values is valid by \"type\" and \"const\"");
    return rules_.words(std::move(texts));
}

ExpressionId SchemaReader::read_types(const Json& schema, const std::string& where) {
    auto types = types_of(schema, where);
    if (types.empty()) {
        const std::string implied = implied_type(schema, where);
        if (implied.empty()) return json_.value();
        types.push_back(implied);
        const Json* nullable = find(schema, "nullable");
        if (nullable != nullptr && *nullable == true) types.push_back("null");
    }
    std::vector<ExpressionId> ways;
    for (const std::string& type : types) {
        const bool covered =
            type == "integer" && std::find(types.begin(), types.end(), "number") != types.end();
        if (!covered) ways.push_back(read_type(type, schema, where));
    }
    return rules_.alternatives(std::move(ways));
}

ExpressionId SchemaReader::read_type(const std::string& type, const Json& schema,
                                     const std::string& where) {
    if (type == "object") return read_object(schema, where);
    if (type == "array") return read_array(schema, where);
    if (type == "string") return read_string(schema, where);
    if (type == "number") return read_number(schema, false, where);
    if (type == "integer") return read_number(schema, true, where);
    if (type == "boolean") return rules_.words({"true", "false"});
    return rules_.literal("null");
}

ExpressionId SchemaReader::read_string(const Json& schema, const std::string& where) {
    const auto counts = read_counts(schema, "minLength", "maxLength", where);
    const Json* pattern = find(schema, "pattern");
    const Json* format = find(schema, "format");
    std::optional<std::string> known;
    if (format != nullptr) {
        if (!format->is_string()) refuse(inside(where, "format"), "a format is a string");
        known = format_pattern(format->get_ref<const std::string&>());
    }
    const bool counted = counts.min > 0 || counts.max != kUnbounded;
    if ((pattern != nullptr) + known.has_value() + counted > 1) {
        refuse(where,
               "pattern, format and lengths are not supported together; a pattern can say "
               "lengths, as ^[a-z]{1,9}$ does");
    }
    if (pattern != nullptr) {
        if (!pattern->is_string()) refuse(inside(where, "pattern"), "a pattern is a string");
        return read_pattern_of(pattern->get_ref<const std::string&>(), inside(where, "pattern"));
    }
    if (known) return read_pattern_of(*known, inside(where, "format"));
    if (!counted) return json_.string();
    return json_.quoted(rules_.repetition(json_.character(), counts.min, counts.max));
}

ExpressionId SchemaReader::read_pattern_of(const std::string& pattern, const std::string& where) {
    try {
        return rules_.shared(where, json_.quoted(read_pattern(pattern, rules_, json_)));
    } catch (const Refusal& refusal) {
        refuse(where, refusal.what());
    }
}

ExpressionId SchemaReader::read_number(const Json& schema, bool integer, const std::string& where) {
    const auto low = read_bound(schema, "minimum", "exclusiveMinimum", 1, where);
    const auto high = read_bound(schema, "maximum", "exclusiveMaximum", -1, where);
    const bool bounded = low || high;
    if (low && high) {
        const int order = compare(*low, *high);
        if (order > 0 || (order == 0 && (low->exclusive || high->exclusive))) {
            refuse(where, "no number lies between its bounds");
        }
    }
    std::optional<std::uint32_t> decimals;
    if (const Json* divisor = find(schema, "multipleOf")) {
        const std::string place = inside(where, "multipleOf");
        if (!divisor->is_number() || *divisor <= 0) refuse(place, "it is a number above 0");
        decimals = decimals_of(*divisor);
        const bool whole = divisor->is_number_integer() && *divisor <= kMaxDivisor;
        if (!decimals && whole && !bounded) {
            return multiples(rules_, divisor->get<std::uint32_t>());
        }
        if (!decimals) {
            refuse(place,
                   "supported are 1, 0.1, 0.01 and so on, and without bounds whole numbers "
                   "up to " +
                       std::to_string(kMaxDivisor));
        }
    }
    if (!bounded && !decimals) return integer ? json_.integer() : json_.number();
    // No more digits than a double tells from the bound.
    const std::size_t whole = std::max(whole_digits(low), whole_digits(high));
    auto fraction = static_cast<std::uint32_t>(
        whole < kMaxSignificantDigits ? kMaxSignificantDigits - whole : 1);
    if (decimals) fraction = std::min(fraction, *decimals);
    return rules_.shared(where, number_range(rules_, low, high, integer ? 0 : fraction));
}

}  // namespace shoal::grammar
