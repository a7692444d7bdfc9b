#include "cli/answer_stats.hpp"

#include <fmt/format.h>

#include "cli/terminal.hpp"

namespace shoal::cli {
namespace messages = mesh::messages;
namespace {

std::string rate(std::uint32_t tokens, double seconds) {
    if (!(seconds > 0)) return "";
    return fmt::format(" ({:.1f} tokens/s)", tokens / seconds);
}

std::string plural(std::uint32_t count, std::string_view word) {
    return fmt::format("{} {}{}", count, word, count == 1 ? "" : "s");
}

/// "12 tokens, 8 of them known, in 0.10 s (40.0 tokens/s)".
std::string prompt_text(const messages::Done& done) {
    const std::string known =
        done.cached_tokens == 0 ? "" : fmt::format(", {} of them known,", done.cached_tokens);
    return fmt::format("{}{} in {}{}", plural(done.prompt_tokens, "token"), known,
                       seconds_text(done.prefill_seconds),
                       rate(done.prompt_tokens - done.cached_tokens, done.prefill_seconds));
}

/// Why it ended, where that was not by itself.
std::string ending(const messages::Done& done) {
    switch (done.reason) {
        case messages::StopReason::end:
            break;
        case messages::StopReason::length:
            return "stopped at the length limit";
        case messages::StopReason::stop:
            return "stopped at a stop text";
        case messages::StopReason::cancelled:
            return "cancelled";
    }
    return "";
}

}  // namespace

std::string summary(const messages::Done& done, std::uint64_t seed, bool sampled) {
    std::string text =
        fmt::format("{} in {}{}; prompt of {}", plural(done.generated_tokens, "token"),
                    seconds_text(done.decode_seconds),
                    rate(done.generated_tokens, done.decode_seconds), prompt_text(done));
    if (done.load_seconds >= 0.005) {
        text += fmt::format("; loaded in {}", seconds_text(done.load_seconds));
    }
    if (done.queue_seconds >= 0.005) {
        text += fmt::format("; waited {}", seconds_text(done.queue_seconds));
    }
    text += fmt::format("; {} on {}", one_line(done.model), plural(done.devices, "device"));
    if (sampled) text += fmt::format("; seed {}", seed);
    const std::string ended = ending(done);
    return ended.empty() ? text : text + "; " + ended;
}

std::string stats(const messages::Done& done, std::uint64_t seed, bool sampled) {
    std::string text =
        fmt::format("Model     {} on {}\n", one_line(done.model), plural(done.devices, "device"));
    text += fmt::format("Prompt    {}\n", prompt_text(done));
    text += fmt::format("Answer    {} in {}{}", plural(done.generated_tokens, "token"),
                        seconds_text(done.decode_seconds),
                        rate(done.generated_tokens, done.decode_seconds));
    if (done.reasoning_tokens > 0) text += fmt::format(", {} of thinking", done.reasoning_tokens);
    text += fmt::format("\nTogether  {}\n",
                        plural(done.prompt_tokens + done.generated_tokens, "token"));
    if (done.load_seconds >= 0.005) {
        text += fmt::format("Loaded    in {}\n", seconds_text(done.load_seconds));
    }
    if (done.queue_seconds >= 0.005) {
        text += fmt::format("Waited    {} for others\n", seconds_text(done.queue_seconds));
    }
    if (sampled) text += fmt::format("Seed      {}\n", seed);
    const std::string ended = ending(done);
    return ended.empty() ? text : text + "Ended     " + ended + '\n';
}

}  // namespace shoal::cli
