// shoal run: a prompt in, text out as it comes.
#include <fmt/format.h>
#include <unistd.h>

#include <random>

#include "cli/answer_stats.hpp"
#include "cli/answer_view.hpp"
#include "cli/commands.hpp"
#include "cli/conversation.hpp"
#include "cli/exit_codes.hpp"

namespace shoal::cli {
namespace messages = mesh::messages;
namespace {

/// Whether the prompt is a message to a chat model; nothing when that cannot be known, which the
/// session's code tells. Throws Error when the options want what the model has not.
std::optional<bool> is_chat(Session& session, const std::string& model, const RunOptions& options,
                            bool quiet) {
    if (options.raw) return false;
    const auto about = session.describe(model);
    if (!about) return std::nullopt;
    const bool own = !about->chat_template.empty(), chat = own || options.chat_only;
    const std::string name = one_line(about->info.name.empty() ? model : about->info.name);
    if (!chat && !options.system.empty()) {
        throw Error(kUsage, fmt::format("{} has no chat template, so there is no place for "
                                        "--system; write it into the prompt",
                                        name));
    }
    if (!own && options.chat_only && !quiet) complain(without_template(name));
    if (chat && !options.chat_only && !quiet && terminal_of(STDERR_FILENO).interactive) {
        complain(
            fmt::format("{} is a chat model, so the prompt is asked as a message; --raw "
                        "goes on from its text",
                        name));
    }
    return chat;
}

/// Makes the prompt a message, which the model's template will put into its form.
void make_chat(messages::Generate& generate, const std::string& system) {
    Conversation conversation;
    conversation.instruct(system);
    conversation.say(std::move(generate.prompt));
    generate.prompt.clear();
    generate.chat = conversation.request({});
}

}  // namespace

messages::Generate request_for(const AnswerOptions& options) {
    messages::Generate generate;
    generate.max_tokens = options.max_tokens;
    generate.sampling = options.sampling;
    std::random_device random;
    generate.sampling.seed =
        options.seed.value_or(std::uint64_t{random()} << 32 | std::uint64_t{random()});
    generate.stop = options.stop;
    generate.priority = options.priority;
    return generate;
}

int run(const Common& common, const RunOptions& options) {
    if (options.raw && !options.system.empty()) {
        throw Error(kUsage, "--system is for chats, and --raw asks for none; leave one out");
    }
    messages::Generate generate = request_for(options.answer);
    generate.model = model_name(options.model);
    generate.ignore_eos = options.ignore_eos;
    if (!options.schema.empty()) {
        generate.constraint = {messages::Constraint::Kind::json_schema,
                               read_schema(options.schema)};
    }
    generate.prompt = read_text(options.prompt, options.chat_only ? "message" : "prompt");
    Client::check(generate);

    Session session(common);
    const auto chat = is_chat(session, generate.model, options, common.quiet);
    if (!chat) return session.code();
    if (*chat) make_chat(generate, options.system);
    const Look look = common.json                               ? Look::nothing
                      : *chat && session.terminal().interactive ? Look::chat
                                                                : Look::text;
    AnswerView view(session.output(), session.progress(), session.terminal(), look);
    std::optional<messages::Event> final;
    try {
        final = session.ask(generate, [&](const messages::Event& event) {
            view.add(Session::expect<messages::Token>(event));
        });
    } catch (const Error&) {
        // The message starts on a line of its own, and so does what the user types next.
        session.end_line();
        throw;
    }
    if (final) view.add(Session::expect<messages::Done>(*final));
    session.end_line();
    if (!final) return session.code();
    const auto& done = Session::expect<messages::Done>(*final);
    const bool sampled = generate.sampling.temperature > 0;
    if (options.stats) {
        print_error(stats(done, generate.sampling.seed, sampled));
    } else if (!common.quiet && !options.chat_only) {
        complain(summary(done, generate.sampling.seed, sampled));
    }
    return session.code();
}

}  // namespace shoal::cli
