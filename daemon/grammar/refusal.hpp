// How the readers of grammars give up, from however deep.
#pragma once

#include <stdexcept>

namespace shoal::grammar {

/// Thrown within this folder only; whoever compiles a grammar turns it into a GrammarError. The
/// text says what is wrong and where.
struct Refusal : std::runtime_error {
    using std::runtime_error::runtime_error;
};

}  // namespace shoal::grammar
