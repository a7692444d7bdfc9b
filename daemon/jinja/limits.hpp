// How much a template may take. Templates come with model files, so from strangers.
#pragma once

#include <cstddef>
#include <cstdint>

namespace shoal::jinja {

/// What one rendering may take; exceeding any ends it with a TemplateError of By::limit.
struct Limits {
    /// Nodes evaluated, plus work in proportion to bytes and items handled. The defaults take
    /// about two seconds at most; published templates need some hundred steps per message.
    std::uint64_t steps = 20'000'000;
    /// Bytes alive at one time in values that the template made. What vectors and strings hold in
    /// reserve is not counted, so the process may take up to about twice as much. Below 4 GiB.
    std::size_t memory_bytes = std::size_t{256} << 20;
    /// Bytes of the rendered text.
    std::size_t output_bytes = std::size_t{32} << 20;
    /// Expressions, statements and macro calls inside each other while rendering. A level takes
    /// below 1 KiB of stack, and below 8 KiB with a sanitizer.
    std::uint32_t depth = 800;
};

/// The largest published template has 20 kB.
inline constexpr std::size_t kMaxSourceBytes = std::size_t{1} << 20;
/// Statements and expressions inside each other, in the source. A long chain such as a + b + ...
/// is nested as deeply as it has operators.
inline constexpr std::uint32_t kMaxParseDepth = 200;
/// Lists and objects inside each other, in JSON that comes in.
inline constexpr std::size_t kMaxJsonDepth = 128;
/// Lists and dicts inside each other when they are printed, compared or written as JSON.
inline constexpr std::uint32_t kMaxValueDepth = 128;
/// Arguments that "*" and "**" make of a list or dict.
inline constexpr std::size_t kMaxSpreadArguments = 1000;
/// As jinja2's sandbox has it.
inline constexpr std::int64_t kMaxRange = 100'000;

}  // namespace shoal::jinja
