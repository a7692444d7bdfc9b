#include "daemon/jinja/token_stream.hpp"

#include "daemon/jinja/error.hpp"
#include "daemon/jinja/limits.hpp"

namespace shoal::jinja {
namespace {

using Kind = Token::Kind;

}  // namespace

std::string described(const Token& token) {
    switch (token.kind) {
        case Kind::data:
            return "text";
        case Kind::variable_begin:
            return "'{{'";
        case Kind::variable_end:
            return "'}}'";
        case Kind::block_begin:
            return "'{%'";
        case Kind::block_end:
            return "'%}'";
        case Kind::string:
            return "a string";
        case Kind::end:
            return "the end of the template";
        default:
            return "'" + token.text.substr(0, 40) + "'";
    }
}

Token TokenStream::take() {
    Token out = now();
    if (at_ + 1 < tokens_.size()) ++at_;
    return out;
}

bool TokenStream::skip_name(std::string_view name) {
    const bool there = now().is_name(name);
    if (there) ++at_;
    return there;
}

bool TokenStream::skip_sign(std::string_view sign) {
    const bool there = now().is_sign(sign);
    if (there) ++at_;
    return there;
}

void TokenStream::expect_name(std::string_view name) {
    if (!skip_name(name)) fail_here("'" + std::string(name) + "'");
}

void TokenStream::expect_sign(std::string_view sign) {
    if (!skip_sign(sign)) fail_here("'" + std::string(sign) + "'");
}

void TokenStream::expect(Token::Kind kind) {
    if (now().kind != kind) fail_here(described({kind, 0, {}}));
    ++at_;
}

std::string TokenStream::expect_any_name() {
    if (now().kind != Token::Kind::name) fail_here("a name");
    return take().text;
}

void TokenStream::fail_here(std::string_view wanted) const {
    fail_at(line(), std::string("expected ").append(wanted) + ", found " + described(now()));
}

NameId TokenStream::id_of(const std::string& name) {
    const auto id = static_cast<NameId>(names_.size());
    const auto [at, fresh] = known_.try_emplace(name, Known{id, 0});
    if (fresh) names_.push_back(name);
    at->second.last_mention = ++mentions_;
    return at->second.id;
}

bool TokenStream::mentioned(const std::string& name, std::size_t since) const {
    const auto at = known_.find(name);
    return at != known_.end() && at->second.last_mention > since;
}

TokenStream::Level::Level(TokenStream& tokens) : tokens_(tokens) {
    if (tokens.depth_ == kMaxParseDepth) {
        throw Failure{"expressions or statements are nested deeper than " +
                          std::to_string(kMaxParseDepth) + " levels",
                      TemplateError::By::limit, tokens.line()};
    }
    ++tokens.depth_;
}

}  // namespace shoal::jinja
