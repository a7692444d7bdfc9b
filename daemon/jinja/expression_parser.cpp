#include "daemon/jinja/expression_parser.hpp"

#include <charconv>
#include <optional>

#include "daemon/jinja/error.hpp"

namespace shoal::jinja {
namespace {

using Kind = Token::Kind;

Value name_value(std::string name) {
    return Value::trusted(std::move(name));
}

Value integer_value(const Token& token) {
    std::string_view digits = token.text;
    int base = 10;
    if (digits.size() > 2 && digits[0] == '0' && (digits[1] | 0x20) >= 'b') {
        const int letter = digits[1] | 0x20;
        base = letter == 'x' ? 16 : letter == 'o' ? 8 : 2;
        digits.remove_prefix(2);
    }
    std::int64_t value = 0;
    const auto [end, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
    if (error != std::errc() || end != digits.data() + digits.size()) {
        fail_at(token.line, "the integer " + token.text.substr(0, 40) + " is beyond 64 bits");
    }
    return Value::integer(value);
}

Value real_value(const Token& token) {
    double value = 0;
    const auto result =
        std::from_chars(token.text.data(), token.text.data() + token.text.size(), value);
    if (result.ec != std::errc()) {
        fail_at(token.line, "the number " + token.text.substr(0, 40) + " is beyond a float");
    }
    return Value::real(value);
}

class Parser {
  public:
    explicit Parser(TokenStream& tokens) noexcept : tokens_(tokens) {}

    ExprPtr conditional();
    ExprPtr disjunction();
    ExprPtr filtering(ExprPtr subject, bool named_first);

  private:
    ExprPtr conjunction();
    ExprPtr negation();
    ExprPtr comparison();
    std::optional<Relation> relation();
    ExprPtr sum();
    ExprPtr concatenation();
    ExprPtr product();
    ExprPtr power();
    ExprPtr unary(bool with_filters = true);
    ExprPtr primary();
    ExprPtr named(Token token);
    ExprPtr list();
    ExprPtr dict();
    ExprPtr postfix(ExprPtr expr);
    ExprPtr filters_and_tests(ExprPtr expr);
    ExprPtr attribute(ExprPtr object);
    ExprPtr subscript(ExprPtr object);
    ExprPtr call(ExprPtr callee);
    ExprPtr test(ExprPtr subject);
    ExprPtr test_argument();
    CallArguments arguments();
    void argument(CallArguments& arguments, std::uint32_t line);
    std::string dotted_name();

    template <class Operand>
    ExprPtr logical(Operand&& operand, std::string_view word, bool any);
    template <class Operand>
    ExprPtr arithmetic(Operand&& operand,
                       std::initializer_list<std::pair<std::string_view, Operator>> signs);

    TokenStream& tokens_;
};

ExprPtr Parser::conditional() {
    const TokenStream::Level level(tokens_);
    const std::uint32_t line = tokens_.line();
    ExprPtr expr = disjunction();
    while (tokens_.skip_name("if")) {
        Conditional node;
        node.test = disjunction();
        node.then = std::move(expr);
        if (tokens_.skip_name("else")) node.otherwise = conditional();
        expr = make_expr(line, std::move(node));
    }
    return expr;
}

template <class Operand>
ExprPtr Parser::logical(Operand&& operand, std::string_view word, bool any) {
    const std::uint32_t line = tokens_.line();
    ExprPtr first = operand();
    if (!tokens_.now().is_name(word)) return first;
    Logical node;
    node.any = any;
    node.operands.push_back(std::move(first));
    while (tokens_.skip_name(word)) node.operands.push_back(operand());
    return make_expr(line, std::move(node));
}

ExprPtr Parser::disjunction() {
    return logical([this] { return conjunction(); }, "or", true);
}
ExprPtr Parser::conjunction() {
    return logical([this] { return negation(); }, "and", false);
}

ExprPtr Parser::negation() {
    const std::uint32_t line = tokens_.line();
    if (!tokens_.skip_name("not")) return comparison();
    const TokenStream::Level level(tokens_);
    return make_expr(line, Not{negation()});
}

std::optional<Relation> Parser::relation() {
    static constexpr std::pair<std::string_view, Relation> kSigns[] = {
        {"==", Relation::equal},      {"!=", Relation::unequal}, {"<", Relation::less},
        {"<=", Relation::less_equal}, {">", Relation::greater},  {">=", Relation::greater_equal}};
    for (const auto& [sign, relation] : kSigns) {
        if (tokens_.skip_sign(sign)) return relation;
    }
    if (tokens_.skip_name("in")) return Relation::in;
    if (tokens_.now().is_name("not") && tokens_.ahead().is_name("in")) {
        tokens_.take();
        tokens_.take();
        return Relation::not_in;
    }
    return std::nullopt;
}

ExprPtr Parser::comparison() {
    const std::uint32_t line = tokens_.line();
    ExprPtr first = sum();
    Comparison node;
    while (const auto found = relation()) node.rest.emplace_back(*found, sum());
    if (node.rest.empty()) return first;
    node.first = std::move(first);
    return make_expr(line, std::move(node));
}

template <class Operand>
ExprPtr Parser::arithmetic(Operand&& operand,
                           std::initializer_list<std::pair<std::string_view, Operator>> signs) {
    const std::uint32_t line = tokens_.line();
    ExprPtr first = operand();
    Arithmetic node;
    for (bool more = true; more;) {
        more = false;
        for (const auto& [sign, which] : signs) {
            if (!tokens_.skip_sign(sign)) continue;
            node.rest.emplace_back(which, operand());
            more = true;
            break;
        }
    }
    if (node.rest.empty()) return first;
    node.first = std::move(first);
    return make_expr(line, std::move(node));
}

ExprPtr Parser::sum() {
    return arithmetic([this] { return concatenation(); },
                      {{"+", Operator::add}, {"-", Operator::subtract}});
}

ExprPtr Parser::concatenation() {
    const std::uint32_t line = tokens_.line();
    Concatenation node;
    node.parts.push_back(product());
    while (tokens_.skip_sign("~")) node.parts.push_back(product());
    if (node.parts.size() == 1) return std::move(node.parts.front());
    return make_expr(line, std::move(node));
}

ExprPtr Parser::product() {
    return arithmetic([this] { return power(); }, {{"*", Operator::multiply},
                                                   {"/", Operator::divide},
                                                   {"//", Operator::floor_divide},
                                                   {"%", Operator::modulo}});
}

ExprPtr Parser::power() {
    return arithmetic([this] { return unary(); }, {{"**", Operator::power}});
}

ExprPtr Parser::unary(bool with_filters) {
    const std::uint32_t line = tokens_.line();
    ExprPtr expr;
    if (tokens_.now().is_sign("-") || tokens_.now().is_sign("+")) {
        const TokenStream::Level level(tokens_);
        const bool negative = tokens_.take().text == "-";
        expr = make_expr(line, Sign{unary(false), negative});
    } else {
        expr = primary();
    }
    expr = postfix(std::move(expr));
    return with_filters ? filters_and_tests(std::move(expr)) : std::move(expr);
}

ExprPtr Parser::named(Token token) {
    const std::string& name = token.text;
    if (name == "true" || name == "True")
        return make_expr(token.line, Constant{Value::boolean(true)});
    if (name == "false" || name == "False") {
        return make_expr(token.line, Constant{Value::boolean(false)});
    }
    if (name == "none" || name == "None") return make_expr(token.line, Constant{Value::none()});
    return make_expr(token.line, Variable{tokens_.id_of(name)});
}

ExprPtr Parser::primary() {
    const Token& token = tokens_.now();
    const std::uint32_t line = token.line;
    switch (token.kind) {
        case Kind::name:
            return named(tokens_.take());
        case Kind::integer:
            return make_expr(line, Constant{integer_value(tokens_.take())});
        case Kind::real:
            return make_expr(line, Constant{real_value(tokens_.take())});
        case Kind::string: {
            std::string whole;
            while (tokens_.now().kind == Kind::string) whole += tokens_.take().text;
            return make_expr(line, Constant{Value::trusted(std::move(whole))});
        }
        default:
            break;
    }
    if (token.is_sign("[")) return list();
    if (token.is_sign("{")) return dict();
    if (!tokens_.skip_sign("(")) tokens_.fail_here("an expression");
    if (tokens_.skip_sign(")")) return make_expr(line, Display{{}, true});
    ExprPtr inside = parse_expressions(tokens_);
    tokens_.expect_sign(")");
    return inside;
}

ExprPtr Parser::list() {
    const std::uint32_t line = tokens_.take().line;
    Display node{{}, false};
    while (!tokens_.now().is_sign("]")) {
        if (!node.items.empty()) {
            tokens_.expect_sign(",");
            if (tokens_.now().is_sign("]")) break;
        }
        node.items.push_back(conditional());
    }
    tokens_.expect_sign("]");
    return make_expr(line, std::move(node));
}

ExprPtr Parser::dict() {
    const std::uint32_t line = tokens_.take().line;
    DictDisplay node;
    while (!tokens_.now().is_sign("}")) {
        if (!node.entries.empty()) {
            tokens_.expect_sign(",");
            if (tokens_.now().is_sign("}")) break;
        }
        ExprPtr key = conditional();
        tokens_.expect_sign(":");
        node.entries.emplace_back(std::move(key), conditional());
    }
    tokens_.expect_sign("}");
    return make_expr(line, std::move(node));
}

ExprPtr Parser::postfix(ExprPtr expr) {
    for (;;) {
        if (tokens_.now().is_sign(".")) {
            expr = attribute(std::move(expr));
        } else if (tokens_.now().is_sign("[")) {
            expr = subscript(std::move(expr));
        } else if (tokens_.now().is_sign("(")) {
            expr = call(std::move(expr));
        } else {
            return expr;
        }
    }
}

ExprPtr Parser::filters_and_tests(ExprPtr expr) {
    for (;;) {
        if (tokens_.now().is_sign("|")) {
            expr = filtering(std::move(expr), false);
        } else if (tokens_.now().is_name("is")) {
            expr = test(std::move(expr));
        } else if (tokens_.now().is_sign("(")) {
            expr = call(std::move(expr));
        } else {
            return expr;
        }
    }
}

ExprPtr Parser::attribute(ExprPtr object) {
    const std::uint32_t line = tokens_.take().line;
    if (tokens_.now().kind == Kind::integer) {
        ExprPtr index = make_expr(line, Constant{integer_value(tokens_.take())});
        return make_expr(line, Subscript{std::move(object), std::move(index)});
    }
    return make_expr(line, Attribute{std::move(object), name_value(tokens_.expect_any_name())});
}

ExprPtr Parser::subscript(ExprPtr object) {
    const std::uint32_t line = tokens_.take().line;
    const auto ends = [this] { return tokens_.now().is_sign("]") || tokens_.now().is_sign(":"); };
    Slice slice;
    if (!ends()) slice.from = conditional();
    if (tokens_.skip_sign("]")) {
        if (!slice.from) fail_at(line, "expected an index between '[' and ']'");
        return make_expr(line, Subscript{std::move(object), std::move(slice.from)});
    }
    tokens_.expect_sign(":");
    if (!ends()) slice.to = conditional();
    if (tokens_.skip_sign(":") && !ends()) slice.step = conditional();
    tokens_.expect_sign("]");
    slice.object = std::move(object);
    return make_expr(line, std::move(slice));
}

ExprPtr Parser::call(ExprPtr callee) {
    const std::uint32_t line = tokens_.line();
    return make_expr(line, Call{std::move(callee), arguments()});
}

CallArguments Parser::arguments() {
    const std::uint32_t line = tokens_.line();
    tokens_.expect_sign("(");
    CallArguments out;
    for (bool first = true; !tokens_.now().is_sign(")"); first = false) {
        if (!first) {
            tokens_.expect_sign(",");
            if (tokens_.now().is_sign(")")) break;
        }
        argument(out, line);
    }
    tokens_.expect_sign(")");
    return out;
}

void Parser::argument(CallArguments& arguments, std::uint32_t line) {
    const auto in_order = [&](bool fine) {
        if (!fine) fail_at(line, "the arguments of a call are in no order that is allowed");
    };
    if (tokens_.skip_sign("*")) {
        in_order(!arguments.list && !arguments.dict);
        arguments.list = conditional();
    } else if (tokens_.skip_sign("**")) {
        in_order(!arguments.dict);
        arguments.dict = conditional();
    } else if (tokens_.now().kind == Kind::name && tokens_.ahead().is_sign("=")) {
        in_order(!arguments.dict);
        std::string name = tokens_.take().text;
        tokens_.take();
        arguments.named.emplace_back(std::move(name), conditional());
    } else {
        in_order(!arguments.list && !arguments.dict && arguments.named.empty());
        arguments.positional.push_back(conditional());
    }
}

std::string Parser::dotted_name() {
    std::string name = tokens_.expect_any_name();
    while (tokens_.skip_sign(".")) name.append(".").append(tokens_.expect_any_name());
    return name;
}

ExprPtr Parser::filtering(ExprPtr subject, bool named_first) {
    while (named_first || tokens_.skip_sign("|")) {
        named_first = false;
        const std::uint32_t line = tokens_.line();
        Filtering node{std::move(subject), dotted_name(), {}};
        if (tokens_.now().is_sign("(")) node.arguments = arguments();
        subject = make_expr(line, std::move(node));
    }
    return subject;
}

ExprPtr Parser::test_argument() {
    return postfix(primary());
}

ExprPtr Parser::test(ExprPtr subject) {
    const std::uint32_t line = tokens_.take().line;
    const bool negated = tokens_.skip_name("not");
    Testing node{std::move(subject), dotted_name(), {}};
    const Token& next = tokens_.now();
    const bool word = next.is_name("else") || next.is_name("or") || next.is_name("and");
    if (next.is_sign("(")) {
        node.arguments = arguments();
    } else if (next.is_name("is")) {
        fail_at(line, "tests with 'is' cannot follow each other: put parentheses around the first");
    } else if ((next.kind == Kind::name && !word) || next.kind == Kind::string ||
               next.kind == Kind::integer || next.kind == Kind::real || next.is_sign("[") ||
               next.is_sign("{")) {
        node.arguments.positional.push_back(test_argument());
    }
    ExprPtr test = make_expr(line, std::move(node));
    return negated ? make_expr(line, Not{std::move(test)}) : std::move(test);
}

bool ends_tuple(const TokenStream& tokens, std::string_view stop) {
    const Token& token = tokens.now();
    return token.kind == Kind::variable_end || token.kind == Kind::block_end ||
           token.is_sign(")") || (!stop.empty() && token.is_name(stop));
}

}  // namespace

ExprPtr parse_expression(TokenStream& tokens, Conditionals conditionals) {
    Parser parser(tokens);
    return conditionals == Conditionals::allowed ? parser.conditional() : parser.disjunction();
}

ExprPtr parse_expressions(TokenStream& tokens, Conditionals conditionals, std::string_view stop) {
    const std::uint32_t line = tokens.line();
    ExprPtr first = parse_expression(tokens, conditionals);
    if (!tokens.now().is_sign(",")) return first;
    Display node{{}, true};
    node.items.push_back(std::move(first));
    while (tokens.skip_sign(",") && !ends_tuple(tokens, stop)) {
        node.items.push_back(parse_expression(tokens, conditionals));
    }
    return make_expr(line, std::move(node));
}

ExprPtr parse_filters(TokenStream& tokens, bool named_first) {
    return Parser(tokens).filtering(nullptr, named_first);
}

}  // namespace shoal::jinja
