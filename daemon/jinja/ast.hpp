// A parsed template. Constant once it is made: several threads may render it at a time. Internal
// to this folder.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "daemon/jinja/value.hpp"

namespace shoal::jinja {

struct Expr;
struct Stmt;
using ExprPtr = std::unique_ptr<Expr>;
using Body = std::vector<Stmt>;
/// A variable's place in ParsedTemplate::names.
using NameId = std::uint32_t;

// ---- Expressions ----

struct CallArguments {
    std::vector<ExprPtr> positional;
    std::vector<std::pair<std::string, ExprPtr>> named;
    ExprPtr list;  ///< behind "*", or null
    ExprPtr dict;  ///< behind "**", or null
};

struct Constant {
    Value value;
};
struct Variable {
    NameId name;
};
struct Display {  ///< [a, b] or (a, b)
    std::vector<ExprPtr> items;
    bool tuple;
};
struct DictDisplay {
    std::vector<std::pair<ExprPtr, ExprPtr>> entries;
};
struct Attribute {
    ExprPtr object;
    Value name;
};
struct Subscript {
    ExprPtr object, index;
};
struct Slice {
    ExprPtr object, from, to, step;  ///< all but the first may be null
};
struct Call {
    ExprPtr callee;
    CallArguments arguments;
};
struct Filtering {
    ExprPtr subject;  ///< null in {% filter %}, where the body is it
    std::string name;
    CallArguments arguments;
};
struct Testing {
    ExprPtr subject;
    std::string name;
    CallArguments arguments;
};
struct Not {
    ExprPtr operand;
};
struct Sign {
    ExprPtr operand;
    bool negative;
};
enum class Operator : std::uint8_t { add, subtract, multiply, divide, floor_divide, modulo, power };
/// From left to right. A chain, so that a long sum is not a deep tree.
struct Arithmetic {
    ExprPtr first;
    std::vector<std::pair<Operator, ExprPtr>> rest;
};
struct Concatenation {
    std::vector<ExprPtr> parts;
};
enum class Relation : std::uint8_t {
    equal,
    unequal,
    less,
    less_equal,
    greater,
    greater_equal,
    in,
    not_in
};
struct Comparison {
    ExprPtr first;
    std::vector<std::pair<Relation, ExprPtr>> rest;
};
struct Logical {
    std::vector<ExprPtr> operands;
    bool any;  ///< or; else and
};
struct Conditional {
    ExprPtr test, then, otherwise;  ///< the last may be null
};

using ExprNode = std::variant<Constant, Variable, Display, DictDisplay, Attribute, Subscript, Slice,
                              Call, Filtering, Testing, Not, Sign, Arithmetic, Concatenation,
                              Comparison, Logical, Conditional>;
struct Expr {
    std::uint32_t line;
    std::uint32_t depth;  ///< of the tree that it is the root of
    ExprNode node;
};
/// Throws Failure when the tree would be deeper than kMaxParseDepth.
ExprPtr make_expr(std::uint32_t line, ExprNode node);

// ---- Statements ----

struct Target {
    enum class Kind : std::uint8_t { name, attribute, tuple };
    Kind kind;
    NameId name = 0;  ///< also of the name space with the attribute
    Value attribute;  ///< its name
    std::vector<Target> items;
};

struct OutputText {
    Text text;
};
struct OutputValue {
    ExprPtr value;
};
struct If {
    std::vector<std::pair<ExprPtr, Body>> branches;
    Body otherwise;
};
struct For {
    Target target;
    ExprPtr items;
    ExprPtr condition;  ///< or null
    bool recursive;
    Body body, otherwise;
};
struct Set {
    Target target;
    ExprPtr value;
};
struct SetBlock {
    Target target;
    ExprPtr filter;  ///< a chain of Filtering with no subject at its bottom, or null
    Body body;
};
struct Parameter {
    NameId name;
    std::string text;
    ExprPtr preset;  ///< or null
};
struct Macro {
    NameId name;
    std::string text;
    std::vector<Parameter> parameters;
    Body body;
    bool takes_more = false;        ///< the body uses varargs
    bool takes_more_named = false;  ///< kwargs
    bool uses_caller = false;
};
struct CallBlock {
    ExprPtr call;
    Macro caller;
};
struct FilterBlock {
    ExprPtr filter;
    Body body;
};
struct With {
    std::vector<std::pair<Target, ExprPtr>> variables;
    Body body;
};
/// {% generation %} and {% block %}: a scope and nothing else.
struct Scoped {
    Body body;
};
struct Do {
    ExprPtr value;
};
struct Break {};
struct Continue {};

struct Stmt {
    std::uint32_t line;
    std::variant<OutputText, OutputValue, If, For, Set, SetBlock, Macro, CallBlock, FilterBlock,
                 With, Scoped, Do, Break, Continue>
        node;
};

struct ParsedTemplate {
    Body body;
    std::vector<std::string> names;
};

}  // namespace shoal::jinja
