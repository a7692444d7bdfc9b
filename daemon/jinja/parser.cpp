#include "daemon/jinja/parser.hpp"

#include <algorithm>

#include "daemon/jinja/error.hpp"
#include "daemon/jinja/expression_parser.hpp"
#include "daemon/jinja/limits.hpp"
#include "daemon/jinja/token_stream.hpp"
#include "daemon/jinja/utf8.hpp"

namespace shoal::jinja {
namespace {

using Kind = Token::Kind;
using Names = std::initializer_list<std::string_view>;

class Parser {
  public:
    explicit Parser(std::vector<Token> tokens) noexcept : tokens_(std::move(tokens)) {}

    ParsedTemplate run();

  private:
    /// Statements up to a tag with one of the names, which is then the next token.
    Body body_until(Names ends, std::uint32_t opened);
    /// The rest of the tag, and all up to the tag that ends it.
    Body block(Names ends, std::uint32_t opened);
    Body block_to(std::string_view end, std::uint32_t opened);
    Stmt statement();
    Stmt if_statement(std::uint32_t line);
    Stmt for_statement(std::uint32_t line);
    Stmt set_statement(std::uint32_t line);
    Stmt macro_statement(std::uint32_t line);
    Stmt call_block(std::uint32_t line);
    Stmt with_block(std::uint32_t line);
    Stmt scoped_block(std::uint32_t line, const std::string& name);
    Stmt loop_control(std::uint32_t line, bool stops);
    std::vector<Parameter> signature();
    Body macro_body(Macro& macro, std::string_view end, std::uint32_t line);

    Target target(bool attributes, std::string_view stop);
    Target one_target(bool attributes);
    Target name_target(const std::string& name);
    std::string plain_name();

    TokenStream tokens_;
    std::uint32_t loops_ = 0;  ///< open ones that break and continue can mean
};

ParsedTemplate Parser::run() {
    ParsedTemplate out;
    out.body = body_until({}, 1);
    out.names = tokens_.take_names();
    return out;
}

Body Parser::body_until(Names ends, std::uint32_t opened) {
    const TokenStream::Level level(tokens_);
    Body body;
    for (;;) {
        const std::uint32_t line = tokens_.line();
        switch (tokens_.now().kind) {
            case Kind::data: {
                Text text(tokens_.take().text, Origin::written);
                body.push_back({line, OutputText{std::move(text)}});
                break;
            }
            case Kind::variable_begin: {
                tokens_.take();
                body.push_back({line, OutputValue{parse_expressions(tokens_)}});
                tokens_.expect(Kind::variable_end);
                break;
            }
            case Kind::block_begin: {
                tokens_.take();
                const auto is_end = [this](std::string_view end) {
                    return tokens_.now().is_name(end);
                };
                if (std::any_of(ends.begin(), ends.end(), is_end)) return body;
                body.push_back(statement());
                tokens_.expect(Kind::block_end);
                break;
            }
            default:
                if (ends.size() == 0) return body;
                fail_at(opened, "the block that begins here has no '{% " +
                                    std::string(*(ends.end() - 1)) + " %}'");
        }
    }
}

Body Parser::block(Names ends, std::uint32_t opened) {
    tokens_.skip_sign(":");
    tokens_.expect(Kind::block_end);
    return body_until(ends, opened);
}

Body Parser::block_to(std::string_view end, std::uint32_t opened) {
    Body body = block({end}, opened);
    tokens_.take();
    return body;
}

Stmt Parser::statement() {
    const std::uint32_t line = tokens_.line();
    if (tokens_.now().kind != Kind::name) tokens_.fail_here("the name of a tag");
    const Token token = tokens_.take();
    const std::string& name = token.text;
    if (name == "if") return if_statement(line);
    if (name == "for") return for_statement(line);
    if (name == "set") return set_statement(line);
    if (name == "macro") return macro_statement(line);
    if (name == "call") return call_block(line);
    if (name == "with") return with_block(line);
    if (name == "filter") {
        FilterBlock node{parse_filters(tokens_, true), {}};
        node.body = block_to("endfilter", line);
        return {line, std::move(node)};
    }
    if (name == "generation" || name == "block") return scoped_block(line, name);
    if (name == "break" || name == "continue") return loop_control(line, name == "break");
    if (name == "do") return {line, Do{parse_expressions(tokens_)}};
    if (name == "print") return {line, OutputValue{parse_expressions(tokens_)}};
    for (const char* file : {"include", "import", "from", "extends"}) {
        if (name == file) {
            fail_at(line, "'{% " + name + " %}' is not possible: a chat template has one file");
        }
    }
    fail_at(line, "unknown tag '{% " + name.substr(0, 40) + " %}'");
}

Stmt Parser::if_statement(std::uint32_t line) {
    If node;
    for (;;) {
        ExprPtr test = parse_expressions(tokens_, Conditionals::refused);
        Body body = block({"elif", "else", "endif"}, line);
        node.branches.emplace_back(std::move(test), std::move(body));
        if (tokens_.skip_name("elif")) continue;
        if (tokens_.skip_name("else")) {
            node.otherwise = block_to("endif", line);
        } else {
            tokens_.take();
        }
        return {line, std::move(node)};
    }
}

Stmt Parser::for_statement(std::uint32_t line) {
    For node;
    node.target = target(false, "in");
    tokens_.expect_name("in");
    node.items = parse_expressions(tokens_, Conditionals::refused, "recursive");
    if (tokens_.skip_name("if")) node.condition = parse_expression(tokens_);
    node.recursive = tokens_.skip_name("recursive");
    ++loops_;
    node.body = block({"else", "endfor"}, line);
    --loops_;
    if (tokens_.skip_name("else")) {
        node.otherwise = block_to("endfor", line);
    } else {
        tokens_.take();
    }
    return {line, std::move(node)};
}

Stmt Parser::set_statement(std::uint32_t line) {
    Target to = target(true, {});
    if (tokens_.skip_sign("=")) return {line, Set{std::move(to), parse_expressions(tokens_)}};
    SetBlock node{std::move(to), parse_filters(tokens_, false), {}};
    node.body = block_to("endset", line);
    return {line, std::move(node)};
}

std::vector<Parameter> Parser::signature() {
    std::vector<Parameter> out;
    tokens_.expect_sign("(");
    while (!tokens_.now().is_sign(")")) {
        if (!out.empty()) tokens_.expect_sign(",");
        Parameter parameter;
        parameter.text = plain_name();
        parameter.name = tokens_.id_of(parameter.text);
        if (tokens_.skip_sign("=")) {
            parameter.preset = parse_expression(tokens_);
        } else if (!out.empty() && out.back().preset) {
            fail_at(tokens_.line(), "a parameter without a default follows one with a default");
        }
        out.push_back(std::move(parameter));
    }
    tokens_.expect_sign(")");
    return out;
}

Body Parser::macro_body(Macro& macro, std::string_view end, std::uint32_t line) {
    // What the names mean to the macro is known when they occur in it.
    const std::size_t names_before = tokens_.mentions();
    const std::uint32_t outer_loops = std::exchange(loops_, 0);
    Body body = block_to(end, line);
    loops_ = outer_loops;
    macro.takes_more = tokens_.mentioned("varargs", names_before);
    macro.takes_more_named = tokens_.mentioned("kwargs", names_before);
    macro.uses_caller = tokens_.mentioned("caller", names_before);
    return body;
}

Stmt Parser::macro_statement(std::uint32_t line) {
    Macro node;
    node.text = plain_name();
    node.name = tokens_.id_of(node.text);
    node.parameters = signature();
    node.body = macro_body(node, "endmacro", line);
    return {line, std::move(node)};
}

Stmt Parser::call_block(std::uint32_t line) {
    CallBlock node;
    node.caller.text = "caller";
    node.caller.name = tokens_.id_of("caller");
    if (tokens_.now().is_sign("(")) node.caller.parameters = signature();
    node.call = parse_expression(tokens_);
    if (!std::holds_alternative<Call>(node.call->node)) {
        fail_at(line, "'{% call %}' takes a call, such as '{% call name() %}'");
    }
    node.caller.body = macro_body(node.caller, "endcall", line);
    return {line, std::move(node)};
}

Stmt Parser::with_block(std::uint32_t line) {
    With node;
    while (tokens_.now().kind != Kind::block_end && !tokens_.now().is_sign(":")) {
        if (!node.variables.empty()) tokens_.expect_sign(",");
        Target to = target(false, {});
        tokens_.expect_sign("=");
        node.variables.emplace_back(std::move(to), parse_expression(tokens_));
    }
    node.body = block_to("endwith", line);
    return {line, std::move(node)};
}

Stmt Parser::scoped_block(std::uint32_t line, const std::string& name) {
    if (name == "block") {
        plain_name();
        tokens_.skip_name("scoped");
        tokens_.skip_name("required");
    }
    const std::uint32_t outer_loops = std::exchange(loops_, 0);
    Scoped node{block_to("end" + name, line)};
    loops_ = outer_loops;
    if (name == "block" && tokens_.now().kind == Kind::name) tokens_.take();
    return {line, std::move(node)};
}

Stmt Parser::loop_control(std::uint32_t line, bool stops) {
    if (loops_ == 0) {
        fail_at(line, std::string(stops ? "'break'" : "'continue'") + " is in no loop");
    }
    if (stops) return {line, Break{}};
    return {line, Continue{}};
}

std::string Parser::plain_name() {
    const std::uint32_t line = tokens_.line();
    std::string name = tokens_.expect_any_name();
    for (const char* constant : {"true", "false", "none", "True", "False", "None"}) {
        if (name == constant) fail_at(line, "'" + name + "' is a constant, not a name");
    }
    return name;
}

Target Parser::name_target(const std::string& name) {
    return {Target::Kind::name, tokens_.id_of(name), {}, {}};
}

Target Parser::one_target(bool attributes) {
    if (tokens_.skip_sign("(")) {
        Target inside = target(attributes, {});
        tokens_.expect_sign(")");
        return inside;
    }
    const std::string name = plain_name();
    Target out = name_target(name);
    if (attributes && tokens_.skip_sign(".")) {
        out.kind = Target::Kind::attribute;
        out.attribute = Value::trusted(tokens_.expect_any_name());
    }
    return out;
}

Target Parser::target(bool attributes, std::string_view stop) {
    const TokenStream::Level level(tokens_);
    Target first = one_target(attributes);
    if (!tokens_.now().is_sign(",")) return first;
    Target tuple{Target::Kind::tuple, 0, {}, {}};
    tuple.items.push_back(std::move(first));
    while (tokens_.skip_sign(",")) {
        const Token& next = tokens_.now();
        if (next.is_sign("=") || next.is_sign(")") || (!stop.empty() && next.is_name(stop))) break;
        tuple.items.push_back(one_target(attributes));
    }
    return tuple;
}

}  // namespace

ParsedTemplate parse(std::string_view source) {
    if (source.size() > kMaxSourceBytes) {
        fail_limit("its source has " + std::to_string(source.size()) + " bytes, more than " +
                   std::to_string(kMaxSourceBytes));
    }
    if (!utf8::valid(source)) fail("its source is not UTF-8");
    return Parser(tokens_of(unified_lines(source))).run();
}

}  // namespace shoal::jinja
