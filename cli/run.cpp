// shoal run: a prompt in, text out as it comes.
#include <fmt/format.h>

#include <random>

#include "cli/commands.hpp"
#include "cli/exit_codes.hpp"
#include "cli/json.hpp"

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

/// One or two lines for people who want to know how fast it was.
std::string summary(const messages::Done& done, std::uint64_t seed, bool sampled) {
    std::string text = fmt::format(
        "{} in {}{}; prompt of {} in {}{}", plural(done.generated_tokens, "token"),
        seconds_text(done.decode_seconds), rate(done.generated_tokens, done.decode_seconds),
        plural(done.prompt_tokens, "token"), seconds_text(done.prefill_seconds),
        rate(done.prompt_tokens, done.prefill_seconds));
    if (done.load_seconds >= 0.005) {
        text += fmt::format("; loaded in {}", seconds_text(done.load_seconds));
    }
    if (done.queue_seconds >= 0.005) {
        text += fmt::format("; waited {}", seconds_text(done.queue_seconds));
    }
    text += fmt::format("; {} on {}", one_line(done.model), plural(done.devices, "device"));
    if (sampled) text += fmt::format("; seed {}", seed);
    switch (done.reason) {
        case messages::StopReason::end:
            break;
        case messages::StopReason::length:
            text += "; stopped at the length limit";
            break;
        case messages::StopReason::stop:
            text += "; stopped at a stop text";
            break;
        case messages::StopReason::cancelled:
            text += "; cancelled";
            break;
    }
    return text;
}

}  // namespace

int run(const Common& common, const RunOptions& options) {
    messages::Generate generate;
    generate.model = model_name(options.model);
    generate.prompt = read_text(options.prompt, "prompt");
    generate.max_tokens = options.max_tokens;
    generate.sampling = options.sampling;
    std::random_device random;
    generate.sampling.seed =
        options.seed.value_or(std::uint64_t{random()} << 32 | std::uint64_t{random()});
    generate.stop = options.stop;
    generate.ignore_eos = options.ignore_eos;

    Session session(common);
    std::uint32_t expected = 0;
    const auto show = [&](const std::string& text) {
        if (common.json || text.empty()) return;
        session.progress().clear();
        // A model can write anything, so also what commands a terminal.
        session.output().write(session.terminal().interactive ? harmless(text) : text);
    };
    const auto on_token = [&](const messages::Event& event) {
        const auto& token = Session::expect<messages::Token>(event);
        if (token.index != expected) {
            throw Error(kFailed, fmt::format("part of the answer is missing: token {} came where "
                                             "{} was due",
                                             token.index, expected));
        }
        ++expected;
        show(token.text);
    };
    std::optional<messages::Event> final;
    try {
        final = session.ask(generate, on_token);
    } catch (const Error&) {
        // The message starts on a line of its own, and so does what the user types next.
        session.end_line();
        throw;
    }
    if (final) show(Session::expect<messages::Done>(*final).text);
    session.end_line();
    if (final && !common.quiet) {
        complain(summary(Session::expect<messages::Done>(*final), generate.sampling.seed,
                         generate.sampling.temperature > 0));
    }
    return session.code();
}

}  // namespace shoal::cli
