// Tokens one after the other, and the names they mention. Internal to this folder.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "daemon/jinja/ast.hpp"
#include "daemon/jinja/lexer.hpp"

namespace shoal::jinja {

/// Owned by one parse. What does not fit throws Failure with its line.
class TokenStream {
  public:
    explicit TokenStream(std::vector<Token> tokens) noexcept : tokens_(std::move(tokens)) {}

    const Token& now() const noexcept { return tokens_[at_]; }
    const Token& ahead() const noexcept {
        return tokens_[at_ + 1 < tokens_.size() ? at_ + 1 : at_];
    }
    std::uint32_t line() const noexcept { return now().line; }
    Token take();

    bool skip_name(std::string_view name);
    bool skip_sign(std::string_view sign);
    void expect_name(std::string_view name);
    void expect_sign(std::string_view sign);
    void expect(Token::Kind kind);
    std::string expect_any_name();
    [[noreturn]] void fail_here(std::string_view wanted) const;

    NameId id_of(const std::string& name);
    /// How many times a variable was mentioned up to now.
    std::size_t mentions() const noexcept { return mentions_; }
    /// Whether this one was, after `since` mentions.
    bool mentioned(const std::string& name, std::size_t since) const;
    std::vector<std::string> take_names() { return std::move(names_); }

    /// One level deeper, as long as it lives; throws Failure beyond kMaxParseDepth.
    class Level {
      public:
        explicit Level(TokenStream& tokens);
        ~Level() { --tokens_.depth_; }
        Level(const Level&) = delete;
        Level& operator=(const Level&) = delete;

      private:
        TokenStream& tokens_;
    };

  private:
    std::vector<Token> tokens_;
    std::size_t at_ = 0;
    std::uint32_t depth_ = 0;
    std::vector<std::string> names_;
    std::size_t mentions_ = 0;
    struct Known {
        NameId id;
        std::size_t last_mention;
    };
    std::unordered_map<std::string, Known> known_;
};

/// How a message names a token.
std::string described(const Token& token);

}  // namespace shoal::jinja
