// The interpreter's expressions.
#include "daemon/jinja/attributes.hpp"
#include "daemon/jinja/error.hpp"
#include "daemon/jinja/filters.hpp"
#include "daemon/jinja/interpreter.hpp"
#include "daemon/jinja/meanwhile.hpp"
#include "daemon/jinja/operators.hpp"
#include "daemon/jinja/tests.hpp"

namespace shoal::jinja {

Value Interpreter::evaluate(const Expr& expr) {
    const Run::Level level(run_);
    run_.step();
    run_.line = expr.line;
    return std::visit([this](const auto& node) { return evaluate(node); }, expr.node);
}

Value Interpreter::look_up(NameId name) {
    if (const Value* value = scope_->find(name)) return *value;
    if (given_[name]) return *given_[name];
    return run_.undefined("'" + parsed_.names[name] + "' is undefined");
}

Value Interpreter::evaluate(const Display& node) {
    const Ref<ListCell> out = run_.list(node.tuple ? Flavour::tuple : Flavour::list);
    for (const ExprPtr& item : node.items) out->push(evaluate(*item));
    return Value(out);
}

Value Interpreter::evaluate(const DictDisplay& node) {
    const Ref<DictCell> out = run_.dict();
    for (const auto& [key, value] : node.entries) {
        const Value name = evaluate(*key);
        out->set(name, evaluate(*value));
    }
    return Value(out);
}

Value Interpreter::evaluate(const Attribute& node) {
    const Value object = evaluate(*node.object);
    return attribute_of(run_, object, node.name);
}

Value Interpreter::evaluate(const Subscript& node) {
    const Value object = evaluate(*node.object);
    return item_of(run_, object, evaluate(*node.index));
}

Value Interpreter::evaluate(const Slice& node) {
    const auto bound = [this](const ExprPtr& expr) {
        return expr ? evaluate(*expr) : Value::none();
    };
    const Value object = evaluate(*node.object);
    const Value from = bound(node.from), to = bound(node.to);
    return slice_of(run_, object, from, to, bound(node.step));
}

Value Interpreter::evaluate(const Filtering& node) {
    const std::uint32_t line = run_.line;
    const Value subject = node.subject ? evaluate(*node.subject) : *block_;
    const Arguments arguments = evaluated(node.arguments);
    run_.line = line;
    return filter_named(node.name).function(run_, subject, arguments);
}

Value Interpreter::filtered_block(const ExprPtr& filter, const Value& block) {
    if (!filter) return block;
    const Meanwhile<const Value*> meanwhile(block_, &block);
    return evaluate(*filter);
}

Value Interpreter::evaluate(const Testing& node) {
    const std::uint32_t line = run_.line;
    const Value subject = evaluate(*node.subject);
    const Arguments arguments = evaluated(node.arguments);
    run_.line = line;
    return Value::boolean(test_named(node.name)(run_, subject, arguments));
}

Value Interpreter::evaluate(const Not& node) {
    return Value::boolean(!truth(evaluate(*node.operand)));
}

Value Interpreter::evaluate(const Sign& node) {
    return signed_value(evaluate(*node.operand), node.negative);
}

Value Interpreter::evaluate(const Arithmetic& node) {
    Value out = evaluate(*node.first);
    for (const auto& [op, operand] : node.rest) {
        const Value right = evaluate(*operand);
        out = applied(run_, op, out, right);
    }
    return out;
}

Value Interpreter::evaluate(const Concatenation& node) {
    std::vector<Value> parts;
    for (const ExprPtr& part : node.parts) parts.push_back(evaluate(*part));
    return concatenated(run_, parts);
}

Value Interpreter::evaluate(const Comparison& node) {
    Value left = evaluate(*node.first);
    for (const auto& [relation, operand] : node.rest) {
        const Value right = evaluate(*operand);
        if (!related(run_, relation, left, right)) return Value::boolean(false);
        left = right;
    }
    return Value::boolean(true);
}

Value Interpreter::evaluate(const Logical& node) {
    Value out;
    for (const ExprPtr& operand : node.operands) {
        out = evaluate(*operand);
        if (truth(out) == node.any) break;
    }
    return out;
}

Value Interpreter::evaluate(const Conditional& node) {
    const std::uint32_t line = run_.line;
    if (truth(evaluate(*node.test))) return evaluate(*node.then);
    if (node.otherwise) return evaluate(*node.otherwise);
    return run_.undefined("the 'if' on line " + std::to_string(line) +
                          " is false and has no 'else'");
}

}  // namespace shoal::jinja
