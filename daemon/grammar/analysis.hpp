// What holds for the states and rules of a program: found once, after it is written.
#pragma once

#include "daemon/grammar/program.hpp"

namespace shoal::grammar {

/// Fills in `live`, `nullable`, `order` and the classes of bytes. Throws Refusal when a rule can
/// begin with itself or when the root matches no text.
void analyse(Program& program);

}  // namespace shoal::grammar
