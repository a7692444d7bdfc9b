// What an answer took, for people.
#pragma once

#include <cstdint>
#include <string>

#include "mesh/messages/requests.hpp"

namespace shoal::cli {

/// On one line: "3 tokens in 0.50 s (6.0 tokens/s); prompt of 12 tokens ...; story on 3 devices".
/// The seed is told of answers that were sampled by it.
std::string summary(const mesh::messages::Done& done, std::uint64_t seed, bool sampled);

/// The same and what a summary leaves out, a line for each, ending with a newline.
std::string stats(const mesh::messages::Done& done, std::uint64_t seed, bool sampled);

}  // namespace shoal::cli
