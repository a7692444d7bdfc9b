#include "daemon/grammar/grammar.hpp"

#include <utility>
#include <vector>

#include "daemon/grammar/arguments.hpp"
#include "daemon/grammar/compiler.hpp"
#include "daemon/grammar/gbnf.hpp"
#include "daemon/grammar/json_text.hpp"
#include "daemon/grammar/limits.hpp"
#include "daemon/grammar/refusal.hpp"
#include "daemon/grammar/schema.hpp"

namespace shoal::grammar {
namespace {

/// `read` fills the rules and returns the root.
template <class Read>
GrammarOrError compile_with(const Read& read) {
    try {
        RuleSet rules;
        const RuleId root = read(rules);
        return std::make_shared<const Grammar>(compile(rules, root));
    } catch (const Refusal& refusal) {
        return GrammarError{refusal.what()};
    }
}

void check_size(std::string_view text) {
    if (text.size() > kMaxSourceBytes) {
        throw Refusal("it has " + std::to_string(text.size()) + " bytes; at most " +
                      std::to_string(kMaxSourceBytes) + " are read");
    }
}

}  // namespace

Grammar::Grammar(Program program) : program_(std::make_unique<const Program>(std::move(program))) {}
Grammar::~Grammar() = default;

GrammarOrError compile_gbnf(std::string_view text) {
    return compile_with([&](RuleSet& rules) {
        check_size(text);
        return read_gbnf(text, rules);
    });
}

GrammarOrError compile_json_schema(std::string_view schema) {
    return compile_with([&](RuleSet& rules) {
        check_size(schema);
        return read_schema(schema, rules);
    });
}

GrammarOrError compile_calls(const CallFrame& frame, std::span<const Callable> functions,
                             bool several) {
    return compile_with([&](RuleSet& rules) {
        const RuleId root = rules.add_rule("root");
        std::vector<ExpressionId> calls;
        for (const Callable& function : functions) {
            const auto arguments = [&] {
                try {
                    check_size(function.parameters);
                    return frame.arguments.one_by_one()
                               ? read_arguments(function, frame.arguments, rules)
                               : rules.reference(read_schema(function.parameters, rules));
                } catch (const Refusal& refusal) {
                    throw Refusal("the parameters of " + function.name + ": " + refusal.what());
                }
            };
            calls.push_back(
                rules.sequence({rules.literal(frame.before + function.name + frame.between),
                                arguments(), rules.literal(frame.after)}));
        }
        const ExpressionId call = rules.shared("call", rules.alternatives(std::move(calls)));
        std::vector<ExpressionId> all{rules.literal(frame.open), call};
        if (several) {
            const ExpressionId next = rules.sequence({rules.literal(frame.separator), call});
            all.push_back(rules.repetition(next, 0, kMaxCalls - 1));
        }
        all.push_back(rules.literal(frame.close));
        rules.define(root, rules.sequence(std::move(all)));
        return root;
    });
}

GrammarOrError compile_json_object() {
    return compile_with([](RuleSet& rules) {
        const RuleId root = rules.add_rule("root");
        rules.define(root, JsonText(rules).object());
        return root;
    });
}

}  // namespace shoal::grammar
