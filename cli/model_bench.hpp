// How fast a model is, in the figures that others tell: prompts and answers in tokens a second.
#pragma once

#include <string>
#include <vector>

#include "mesh/messages/requests.hpp"

namespace shoal::cli {

/// Of several runs.
struct Rate {
    std::string test;  ///< "pp512": a prompt of so many tokens; "tg128": an answer of so many
    std::vector<double> tokens_per_second;
    double mean() const noexcept;
    double deviation() const noexcept;  ///< of the sample; 0 of one run
};

/// A table in Markdown, to be pasted.
std::string bench_table(const mesh::messages::DescribeReply& model, std::uint32_t devices,
                        const std::vector<Rate>& rates);
std::string bench_json(const mesh::messages::DescribeReply& model, std::uint32_t devices,
                       const std::vector<Rate>& rates);

/// Ids of a prompt of so many tokens, of the middle of a vocabulary: at its ends are tokens that
/// mean something to a model. With another seed it begins otherwise.
std::vector<std::int32_t> bench_prompt(std::uint32_t tokens, std::uint32_t vocabulary,
                                       std::uint32_t seed);

}  // namespace shoal::cli
