// Arrays and objects.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "daemon/grammar/limits.hpp"
#include "daemon/grammar/refusal.hpp"
#include "daemon/grammar/schema_reader.hpp"

namespace shoal::grammar {

SchemaReader::Counts SchemaReader::read_counts(const Json& schema, const char* min_keyword,
                                               const char* max_keyword, const std::string& where) {
    const auto read = [&](const char* keyword, std::uint32_t missing) {
        const Json* value = find(schema, keyword);
        if (value == nullptr) return missing;
        const bool whole = value->is_number_unsigned() ||
                           (value->is_number() && *value >= 0 && *value < 1e15 &&
                            value->get<double>() == std::floor(value->get<double>()));
        if (!whole) refuse(inside(where, keyword), "it is a whole number, 0 or more");
        // Beyond that no answer goes.
        return *value > kMaxRepetition ? kUnbounded
                                       : static_cast<std::uint32_t>(value->get<double>());
    };
    const Counts counts{read(min_keyword, 0), read(max_keyword, kUnbounded)};
    if (counts.min > kMaxRepetition) {
        refuse(inside(where, min_keyword),
               "at most " + std::to_string(kMaxRepetition) + " is supported");
    }
    if (counts.min > counts.max) {
        refuse(where, std::string(min_keyword) + " is larger than " + max_keyword);
    }
    return counts;
}

ExpressionId SchemaReader::read_array(const Json& schema, const std::string& where) {
    const auto counts = read_counts(schema, "minItems", "maxItems", where);
    const Json* items = find(schema, "items");
    const Json* prefix = find(schema, "prefixItems");
    const char* prefix_name = "prefixItems";
    const char* items_name = "items";
    if (items != nullptr && items->is_array() && prefix == nullptr) {
        // As until draft 2019-09.
        prefix = items;
        prefix_name = "items";
        items_name = "additionalItems";
        items = find(schema, items_name);
    }
    std::vector<ExpressionId> first;
    if (prefix != nullptr) {
        const std::string place = inside(where, prefix_name);
        if (!prefix->is_array()) refuse(place, "it is a list of schemas");
        for (std::size_t i = 0; i < prefix->size() && i < counts.max; ++i) {
            first.push_back(read_schema((*prefix)[i], inside(place, std::to_string(i))));
        }
    }
    std::optional<ExpressionId> item;
    if (counts.max > first.size() && (items == nullptr || *items != false)) {
        item = items == nullptr ? json_.value() : read_schema(*items, inside(where, items_name));
    }
    if (!item && counts.min > first.size()) {
        refuse(where, "minItems asks for more items than the other keywords allow");
    }
    return read_tuple(first, item, counts);
}

ExpressionId SchemaReader::read_tuple(const std::vector<ExpressionId>& prefix,
                                      std::optional<ExpressionId> item, Counts counts) {
    const auto n = static_cast<std::uint32_t>(prefix.size());
    if (n == 0)
        return json_.list("[", item.value_or(rules_.never()), "]", counts.min,
                          item ? counts.max : 0);
    ExpressionId rest = rules_.empty();
    if (item) {
        const auto more = rules_.sequence({json_.comma(), *item});
        rest = rules_.repetition(more, counts.min > n ? counts.min - n : 0,
                                 counts.max == kUnbounded ? kUnbounded : counts.max - n);
    }
    for (std::uint32_t i = n; i-- > 1;) {
        // A rule for each keeps expressions flat.
        const auto tail = rules_.sequence({json_.comma(), prefix[i], rest});
        const RuleId rule = rules_.add_rule("the rest of an array");
        rules_.define(rule, i < counts.min ? tail : rules_.optional(tail));
        rest = rules_.reference(rule);
    }
    const auto some = rules_.sequence(
        {rules_.literal("["), json_.gap(), prefix[0], rest, json_.gap(), rules_.literal("]")});
    if (counts.min > 0) return some;
    return rules_.alternatives({json_.list("[", rules_.never(), "]", 0, 0), some});
}

ExpressionId SchemaReader::read_object(const Json& schema, const std::string& where) {
    const auto counts = read_counts(schema, "minProperties", "maxProperties", where);
    const Json* additional = find(schema, "additionalProperties");
    const bool closed = additional != nullptr && *additional == false;
    const auto properties = read_properties(schema, closed, where);
    const auto n = static_cast<std::uint32_t>(properties.size());
    std::vector<std::string> names;
    std::uint32_t required = 0;
    for (const Property& property : properties) {
        names.push_back(property.name);
        required += property.required ? 1 : 0;
    }
    const auto more = read_additional(schema, n > 0, std::move(names), where);
    const std::uint32_t min = std::max(counts.min, required);
    if (min > std::max(required, 1U)) {
        refuse(inside(where, "minProperties"),
               "more than 1, or the number of required "
               "properties, is not supported");
    }
    if (n == 0) {
        if (!more && min > 0) refuse(where, "minProperties asks for properties that none may be");
        return json_.list("{", more.value_or(rules_.never()), "}", min, more ? counts.max : 0);
    }
    if (counts.max < n || (more && counts.max != kUnbounded)) {
        refuse(inside(where, "maxProperties"),
               "it is supported without \"properties\" only, or "
               "when all of them fit");
    }
    return read_named_object(properties, more, min == 0);
}

std::vector<Property> SchemaReader::read_properties(const Json& schema, bool closed,
                                                    const std::string& where) {
    std::vector<Property> properties;
    const auto add = [&](const std::string& name, ExpressionId value, bool required) {
        const auto quoted = rules_.literal("\"" + json_escaped(name) + "\"");
        // A rule, as a pair stands at two places of the object.
        const RuleId rule = rules_.add_rule(inside(where, name));
        rules_.define(rule, json_.pair(quoted, value));
        properties.push_back({name, rules_.reference(rule), required});
    };
    const Json* required = find(schema, "required");
    const bool names = required == nullptr || required->is_array();
    if (!names && !required->is_boolean()) {
        refuse(inside(where, "required"), "it is a list of names");
    }
    std::map<std::string, bool> missing;
    if (required != nullptr && required->is_array()) {
        for (const Json& name : *required) {
            if (!name.is_string()) refuse(inside(where, "required"), "it is a list of names");
            missing[name.get_ref<const std::string&>()] = true;
        }
    }
    if (const Json* named = find(schema, "properties")) {
        const std::string place = inside(where, "properties");
        if (!named->is_object()) refuse(place, "it is an object of schemas");
        for (const auto& [name, property] : named->items()) {
            const bool must = missing.erase(name) > 0;
            // A property that nothing is valid for stays away.
            if (property == false && !must) continue;
            add(name, read_schema(property, inside(place, name)), must);
        }
    }
    for (const auto& [name, unused] : missing) {
        if (closed) {
            refuse(inside(where, "required"), "\"" + name.substr(0, 100) +
                                                  "\" is not among the "
                                                  "properties, and no others are allowed");
        }
        const Json* additional = find(schema, "additionalProperties");
        const auto value = additional == nullptr
                               ? json_.value()
                               : read_schema(*additional, inside(where, "additionalProperties"));
        add(name, value, true);
    }
    return properties;
}

std::optional<ExpressionId> SchemaReader::read_additional(const Json& schema, bool named,
                                                          std::vector<std::string> names,
                                                          const std::string& where) {
    const Json* additional = find(schema, "additionalProperties");
    // Properties that nobody asked for are valid where nothing is said, and not written.
    if (additional == nullptr && (named || schema.contains("properties"))) return std::nullopt;
    if (additional != nullptr && *additional == false) return std::nullopt;
    // Named ones that nothing is valid for are no others, either.
    if (const Json* all = find(schema, "properties")) {
        for (const auto& [name, unused] : all->items()) names.push_back(name);
    }
    const auto value = additional == nullptr
                           ? json_.value()
                           : read_schema(*additional, inside(where, "additionalProperties"));
    const auto name = names.empty() ? json_.string() : json_.string_but(std::move(names));
    return rules_.shared(inside(where, "additionalProperties"), json_.pair(name, value));
}

ExpressionId SchemaReader::read_named_object(const std::vector<Property>& properties,
                                             std::optional<ExpressionId> additional,
                                             bool may_be_empty) {
    const auto start = in_order(rules_, properties, additional, json_.comma());
    const auto some = rules_.sequence(
        {rules_.literal("{"), json_.gap(), start, json_.gap(), rules_.literal("}")});
    if (!may_be_empty) return some;
    return rules_.alternatives({json_.list("{", rules_.never(), "}", 0, 0), some});
}

}  // namespace shoal::grammar
