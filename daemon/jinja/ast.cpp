#include "daemon/jinja/ast.hpp"

#include <algorithm>

#include "daemon/jinja/error.hpp"
#include "daemon/jinja/limits.hpp"

namespace shoal::jinja {
namespace {

/// The depth of the deepest child of a node.
struct Deepest {
    std::uint32_t depth = 0;

    void see(const ExprPtr& child) {
        if (child) depth = std::max(depth, child->depth);
    }
    void see(const std::vector<ExprPtr>& children) {
        for (const ExprPtr& child : children) see(child);
    }
    void see(const CallArguments& arguments) {
        see(arguments.positional);
        for (const auto& named : arguments.named) see(named.second);
        see(arguments.list);
        see(arguments.dict);
    }

    void operator()(const Constant&) {}
    void operator()(const Variable&) {}
    void operator()(const Display& node) { see(node.items); }
    void operator()(const DictDisplay& node) {
        for (const auto& [key, value] : node.entries) {
            see(key);
            see(value);
        }
    }
    void operator()(const Attribute& node) { see(node.object); }
    void operator()(const Subscript& node) {
        see(node.object);
        see(node.index);
    }
    void operator()(const Slice& node) {
        for (const ExprPtr* child : {&node.object, &node.from, &node.to, &node.step}) see(*child);
    }
    void operator()(const Call& node) {
        see(node.callee);
        see(node.arguments);
    }
    void operator()(const Filtering& node) {
        see(node.subject);
        see(node.arguments);
    }
    void operator()(const Testing& node) {
        see(node.subject);
        see(node.arguments);
    }
    void operator()(const Not& node) { see(node.operand); }
    void operator()(const Sign& node) { see(node.operand); }
    void operator()(const Arithmetic& node) {
        see(node.first);
        for (const auto& link : node.rest) see(link.second);
    }
    void operator()(const Concatenation& node) { see(node.parts); }
    void operator()(const Comparison& node) {
        see(node.first);
        for (const auto& link : node.rest) see(link.second);
    }
    void operator()(const Logical& node) { see(node.operands); }
    void operator()(const Conditional& node) {
        for (const ExprPtr* child : {&node.test, &node.then, &node.otherwise}) see(*child);
    }
};

}  // namespace

ExprPtr make_expr(std::uint32_t line, ExprNode node) {
    Deepest deepest;
    std::visit(deepest, node);
    if (deepest.depth >= kMaxParseDepth) {
        throw Failure{
            "an expression is nested deeper than " + std::to_string(kMaxParseDepth) + " levels",
            TemplateError::By::limit, line};
    }
    return ExprPtr(new Expr{line, deepest.depth + 1, std::move(node)});
}

}  // namespace shoal::jinja
