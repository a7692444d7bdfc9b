#include "daemon/grammar/arguments.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>

#include "daemon/grammar/refusal.hpp"
#include "daemon/grammar/schema_reader.hpp"

namespace shoal::grammar {
namespace {

constexpr std::uint32_t kMaxNameLength = 64;

/// The schema in one piece, which is about an object's properties and nothing else.
Json parameters_of(const Callable& function) {
    const Json document = parse_schema_text(function.parameters);
    Json schema = References(document).flattened(document, "#");
    const auto types = types_of(schema, "#");
    if (!types.empty() && std::find(types.begin(), types.end(), "object") == types.end()) {
        refuse("#/type", "arguments are an object");
    }
    if (constrains(schema,
                   {"type", "nullable", "properties", "required", "additionalProperties"})) {
        refuse("#",
               "this model writes arguments one by one, for which a schema says no more than "
               "\"properties\", \"required\" and \"additionalProperties\"");
    }
    return schema;
}

class ArgumentsReader {
  public:
    ArgumentsReader(const Callable& function, const ArgumentFrame& frame, RuleSet& rules)
        : frame_(frame),
          rules_(rules),
          schema_(parameters_of(function)),
          texts_(function.texts.begin(), function.texts.end()),
          values_(schema_, rules),
          plain_(schema_, rules, JsonText(rules, frame.after)) {}

    ExpressionId read() {
        const std::set<std::string> required = required_names();
        std::vector<Property> arguments;
        if (const Json* named = find(schema_, "properties")) {
            if (!named->is_object()) refuse("#/properties", "it is an object of schemas");
            for (const auto& [name, schema] : named->items()) {
                if (schema == false && !required.contains(name)) continue;
                const bool text = texts_.contains(name);
                SchemaReader& reader = text ? plain_ : values_;
                const auto value = rules_.reference(reader.read(inside("#/properties", name)));
                arguments.push_back(
                    {name, argument(rules_.literal(name), text, value), required.contains(name)});
            }
        }
        for (const std::string& name : required) {
            if (std::any_of(arguments.begin(), arguments.end(),
                            [&](const Property& each) { return each.name == name; })) {
                continue;
            }
            arguments.push_back({name, argument(rules_.literal(name), false, any_value()), true});
        }
        const bool free = arguments.empty() && any_allowed();
        const auto additional =
            free ? std::optional(argument(any_name(), false, any_value())) : std::nullopt;
        const auto some = in_order(rules_, arguments, additional, rules_.literal(frame_.separator));
        return required.empty() ? rules_.optional(some) : some;
    }

  private:
    ExpressionId argument(ExpressionId name, bool text, ExpressionId value) {
        // A rule, as it stands at two places of the arguments.
        return rules_.shared(
            "an argument",
            rules_.sequence({rules_.literal(frame_.before), name,
                             rules_.literal(text ? frame_.between_text : frame_.between), value,
                             rules_.literal(frame_.after)}));
    }

    std::set<std::string> required_names() const {
        std::set<std::string> names;
        const Json* required = find(schema_, "required");
        if (required == nullptr || required->is_boolean()) return names;
        const bool list =
            required->is_array() && std::all_of(required->begin(), required->end(),
                                                [](const Json& name) { return name.is_string(); });
        if (!list) refuse("#/required", "it is a list of names");
        for (const Json& name : *required) names.insert(name.get<std::string>());
        return names;
    }

    bool any_allowed() const {
        const Json* additional = find(schema_, "additionalProperties");
        const Json* named = find(schema_, "properties");
        return additional == nullptr ? named == nullptr : *additional != false;
    }
    ExpressionId any_value() {
        const Json* additional = find(schema_, "additionalProperties");
        return additional != nullptr && additional->is_object()
                   ? rules_.reference(values_.read("#/additionalProperties"))
                   : JsonText(rules_).value();
    }
    ExpressionId any_name() {
        const CodePointSet letters({{'A', 'Z'}, {'_', '_'}, {'a', 'z'}});
        const CodePointSet more({{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}});
        return rules_.sequence({rules_.character(letters),
                                rules_.repetition(rules_.character(more), 0, kMaxNameLength - 1)});
    }

    const ArgumentFrame& frame_;
    RuleSet& rules_;
    const Json schema_;
    const std::set<std::string> texts_;
    SchemaReader values_, plain_;
};

}  // namespace

ExpressionId read_arguments(const Callable& function, const ArgumentFrame& frame, RuleSet& rules) {
    return ArgumentsReader(function, frame, rules).read();
}

}  // namespace shoal::grammar
