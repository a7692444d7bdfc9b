#include "daemon/grammar/schema_json.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "daemon/grammar/limits.hpp"
#include "daemon/grammar/refusal.hpp"

namespace shoal::grammar {
namespace {

/// A schema within a schema is two values deeper: `properties`, and the name.
constexpr std::size_t kMaxJsonDepth = 2 * kMaxNesting + 8;

/// Looked at before anything is built, as a value is built and copied by recursion.
void check_depth(std::string_view text) {
    std::size_t depth = 0;
    bool in_string = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (in_string) {
            if (c == '\\') ++i;
            if (c == '"') in_string = false;
            continue;
        }
        if (c == '"') in_string = true;
        if (c == '[' || c == '{') ++depth;
        if ((c == ']' || c == '}') && depth > 0) --depth;
        if (depth > kMaxJsonDepth) {
            throw Refusal("#: the schema is nested deeper than " + std::to_string(kMaxNesting) +
                          " schemas");
        }
    }
}

constexpr std::string_view kRefused[] = {"not",
                                         "if",
                                         "then",
                                         "else",
                                         "dependentSchemas",
                                         "dependentRequired",
                                         "dependencies",
                                         "patternProperties",
                                         "propertyNames",
                                         "unevaluatedProperties",
                                         "unevaluatedItems",
                                         "contains",
                                         "minContains",
                                         "maxContains",
                                         "uniqueItems",
                                         "$dynamicRef",
                                         "$recursiveRef",
                                         "extends",
                                         "disallow",
                                         "divisibleBy"};

constexpr std::string_view kHonoured[] = {"$ref",
                                          "allOf",
                                          "anyOf",
                                          "oneOf",
                                          "enum",
                                          "const",
                                          "type",
                                          "nullable",
                                          "properties",
                                          "required",
                                          "additionalProperties",
                                          "minProperties",
                                          "maxProperties",
                                          "items",
                                          "prefixItems",
                                          "additionalItems",
                                          "minItems",
                                          "maxItems",
                                          "minLength",
                                          "maxLength",
                                          "pattern",
                                          "format",
                                          "minimum",
                                          "maximum",
                                          "exclusiveMinimum",
                                          "exclusiveMaximum",
                                          "multipleOf"};

/// A keyword that is not honoured, but says nothing with this value.
bool says_nothing(const Json& value) {
    return value.is_boolean() || ((value.is_object() || value.is_array()) && value.empty());
}
bool is_harmless(std::string_view keyword, const Json& value) {
    if (!says_nothing(value) || keyword == "not") return false;
    if (keyword == "uniqueItems") return value == false;
    if (keyword == "contains" || value.is_array()) return false;
    return value != false;
}

template <class List>
bool among(const List& list, std::string_view word) {
    return std::find(std::begin(list), std::end(list), word) != std::end(list);
}

}  // namespace

Json parse_schema_text(std::string_view text) {
    check_depth(text);
    try {
        return Json::parse(text);
    } catch (const Json::exception& error) {
        // "[json.exception.parse_error.101] parse error at line 1, column 2: ..."
        std::string_view what = error.what();
        if (const auto end = what.find("] "); end != what.npos) what.remove_prefix(end + 2);
        throw Refusal("the schema is not valid JSON: " + std::string(what.substr(0, 200)));
    }
}

std::string inside(const std::string& where, std::string_view name) {
    std::string pointer = where + "/";
    for (const char c : name.substr(0, 100)) {
        if (c == '~') {
            pointer += "~0";
        } else if (c == '/') {
            pointer += "~1";
        } else {
            pointer += c;
        }
    }
    return pointer;
}

void refuse(const std::string& where, const std::string& what) {
    throw Refusal(where + ": " + what);
}

const Json* find(const Json& schema, const char* keyword) {
    const auto at = schema.find(keyword);
    return at == schema.end() ? nullptr : &*at;
}

void check_keywords(const Json& schema, const std::string& where) {
    for (const auto& [keyword, value] : schema.items()) {
        if (!among(kRefused, keyword) || is_harmless(keyword, value)) continue;
        refuse(inside(where, keyword), "\"" + keyword + "\" is not supported");
    }
}

bool constrains(const Json& schema, std::initializer_list<std::string_view> except) {
    return std::any_of(schema.items().begin(), schema.items().end(), [&](const auto& item) {
        return among(kHonoured, item.key()) && !among(except, item.key());
    });
}

std::vector<std::string> types_of(const Json& schema, const std::string& where) {
    static constexpr std::string_view kTypes[] = {"object",  "array",   "string", "number",
                                                  "integer", "boolean", "null"};
    std::vector<std::string> types;
    const auto add = [&](const Json& type) {
        if (!type.is_string() || !among(kTypes, type.get_ref<const std::string&>())) {
            refuse(inside(where, "type"),
                   "a type is \"object\", \"array\", \"string\", \"number\", \"integer\", "
                   "\"boolean\" or \"null\"");
        }
        if (!among(types, type.get_ref<const std::string&>()))
            types.push_back(type.get<std::string>());
    };
    const Json* type = find(schema, "type");
    if (type == nullptr) return types;
    if (type->is_array()) {
        for (const Json& one : *type) add(one);
    } else {
        add(*type);
    }
    if (types.empty()) refuse(inside(where, "type"), "the list of types is empty");
    const Json* nullable = find(schema, "nullable");
    if (nullable != nullptr && *nullable == true) add("null");
    return types;
}

std::string References::pointer_of(const Json& reference, const std::string& where) {
    const std::string place = inside(where, "$ref");
    if (!reference.is_string()) refuse(place, "a reference is a string");
    const auto& text = reference.get_ref<const std::string&>();
    if (text != "#" && !text.starts_with("#/")) {
        refuse(place, "\"" + text.substr(0, 100) +
                          "\" is not within this schema; a reference starts with #/");
    }
    std::string pointer;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '%') {
            pointer += text[i];
            continue;
        }
        const auto digit = [&](std::size_t at) {
            const char c = at < text.size() ? text[at] : 'x';
            if (c >= '0' && c <= '9') return c - '0';
            if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f') return (c | 0x20) - 'a' + 10;
            refuse(place, "% is not followed by two hexadecimal digits");
        };
        pointer += static_cast<char>(digit(i + 1) * 16 + digit(i + 2));
        i += 2;
    }
    return pointer;
}

const Json& References::at(const std::string& pointer, const std::string& where) const {
    try {
        return document_.at(Json::json_pointer(pointer.substr(1)));
    } catch (const Json::exception&) {
        refuse(inside(where, "$ref"), "there is no \"" + pointer.substr(0, 100) + "\"");
    }
}

Json References::flattened(const Json& schema, const std::string& where) {
    return flattened(schema, where, 0);
}

Json References::flattened(const Json& schema, const std::string& where, std::size_t depth) {
    if (schema.is_boolean()) {
        if (schema == true) return Json::object();
        refuse(where, "nothing is valid by a schema that is false, nor by others together with it");
    }
    if (!schema.is_object()) refuse(where, "a schema is an object, true or false");
    if (depth > kMaxNesting) {
        refuse(where, "these schemas refer to each other, or are nested, without end");
    }
    if (++merges_ > kMaxRules) refuse(where, "too many schemas are merged by allOf and $ref");
    check_keywords(schema, where);
    Json rest = schema;
    rest.erase("$ref");
    rest.erase("allOf");
    if (const Json* reference = find(schema, "$ref")) {
        const std::string pointer = pointer_of(*reference, where);
        rest = merged(flattened(at(pointer, where), pointer, depth + 1), rest, where);
    }
    if (const Json* all = find(schema, "allOf")) {
        const std::string place = inside(where, "allOf");
        if (!all->is_array() || all->empty()) refuse(place, "allOf is a list of schemas");
        for (std::size_t i = 0; i < all->size(); ++i) {
            const std::string part = inside(place, std::to_string(i));
            rest = merged(rest, flattened((*all)[i], part, depth + 1), where);
        }
    }
    return rest;
}

namespace {

/// Properties that the other schema has and this one does not name are what its
/// additionalProperties is about.
void apply_additional(const Json& by, Json& to, const std::string& where) {
    const Json* additional = find(by, "additionalProperties");
    const auto properties = to.find("properties");
    if (additional == nullptr || *additional == true || properties == to.end()) return;
    const Json* named = find(by, "properties");
    Json kept = Json::object();
    for (const auto& [name, schema] : properties->items()) {
        if (named != nullptr && named->contains(name)) {
            kept[name] = schema;
        } else if (*additional != false) {
            kept[name] = Json::object({{"allOf", Json::array({schema, *additional})}});
        } else if (const Json* required = find(to, "required");
                   required != nullptr &&
                   std::find(required->begin(), required->end(), name) != required->end()) {
            refuse(where, "\"" + name.substr(0, 100) +
                              "\" is required, and forbidden by additionalProperties");
        }
    }
    *properties = std::move(kept);
}

Json both(const Json& a, const Json& b) {
    return a == b ? a : Json::object({{"allOf", Json::array({a, b})}});
}

Json merged_types(const Json& a, const Json& b, const std::string& where) {
    const auto first = types_of({{"type", a}}, where), second = types_of({{"type", b}}, where);
    Json types = Json::array();
    for (const std::string& type : first) {
        if (among(second, type) || (type == "integer" && among(second, "number"))) {
            types.push_back(type);
        } else if (type == "number" && among(second, "integer")) {
            types.push_back("integer");
        }
    }
    if (types.empty()) refuse(where, "no type is valid by all of these schemas");
    return types;
}

Json merged_value(const std::string& keyword, const Json& a, const Json& b,
                  const std::string& where) {
    static constexpr std::string_view kLargest[] = {"minimum", "exclusiveMinimum", "minLength",
                                                    "minItems", "minProperties"};
    static constexpr std::string_view kSmallest[] = {"maximum", "exclusiveMaximum", "maxLength",
                                                     "maxItems", "maxProperties"};
    if (a == b || !among(kHonoured, keyword)) return a;
    const bool numbers = a.is_number() && b.is_number();
    if (numbers && among(kLargest, keyword)) return std::max(a, b);
    if (numbers && among(kSmallest, keyword)) return std::min(a, b);
    if (keyword == "type") return merged_types(a, b, where);
    if (keyword == "items" || keyword == "additionalProperties") {
        if (a == false || b == false) return false;
        return both(a, b);
    }
    if (keyword == "nullable") return a == true && b == true;
    if (keyword == "properties" && a.is_object() && b.is_object()) {
        Json all = a;
        for (const auto& [name, schema] : b.items()) {
            all[name] = a.contains(name) ? both(a[name], schema) : schema;
        }
        return all;
    }
    if ((keyword == "required" || keyword == "enum") && a.is_array() && b.is_array()) {
        Json list = keyword == "required" ? a : Json::array();
        for (const Json& one : b) {
            const bool in_both = std::find(a.begin(), a.end(), one) != a.end();
            if (in_both == (keyword == "enum")) list.push_back(one);
        }
        return list;
    }
    refuse(where, "\"" + keyword +
                      "\" differs between schemas that must hold together, which is "
                      "not supported");
}

}  // namespace

Json References::merged(const Json& first, const Json& second, const std::string& where) {
    Json a = first, b = second;
    apply_additional(first, b, where);
    apply_additional(second, a, where);
    for (const auto& [keyword, value] : b.items()) {
        const auto known = a.find(keyword);
        if (known == a.end()) {
            a[keyword] = value;
        } else {
            *known = merged_value(keyword, *known, value, where);
        }
    }
    return a;
}

}  // namespace shoal::grammar
