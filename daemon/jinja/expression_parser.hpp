// Parses expressions. Internal to this folder.
#pragma once

#include "daemon/jinja/ast.hpp"
#include "daemon/jinja/token_stream.hpp"

namespace shoal::jinja {

enum class Conditionals : std::uint8_t { allowed, refused };

/// "a if b else c" and everything that binds closer.
ExprPtr parse_expression(TokenStream& tokens, Conditionals conditionals = Conditionals::allowed);
/// An expression, or several with commas as a tuple. With `stop`, that name ends it.
ExprPtr parse_expressions(TokenStream& tokens, Conditionals conditionals = Conditionals::allowed,
                          std::string_view stop = {});
/// "name(arguments) | name ..." with the subject left out; null when there is no "|". With
/// `named_first` the first filter stands there without "|".
ExprPtr parse_filters(TokenStream& tokens, bool named_first);

}  // namespace shoal::jinja
