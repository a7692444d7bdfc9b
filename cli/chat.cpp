// shoal chat: a conversation with a chat model.
#include <fcntl.h>
#include <fmt/format.h>
#include <langinfo.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <clocale>
#include <cstdlib>
#include <cstring>
#include <optional>

#include "cli/answer_stats.hpp"
#include "cli/answer_view.hpp"
#include "cli/chat_command.hpp"
#include "cli/chat_settings.hpp"
#include "cli/commands.hpp"
#include "cli/composer.hpp"
#include "cli/conversation.hpp"
#include "cli/exit_codes.hpp"
#include "cli/history.hpp"
#include "cli/line_editor.hpp"

namespace shoal::cli {
namespace messages = mesh::messages;
namespace {

constexpr const char* kPrompt = ">>> ";
constexpr const char* kPromptInside = "... ";
/// Where settings_text() and chat_help() begin to explain.
constexpr std::size_t kSettingIndent = 32;
constexpr std::size_t kHelpIndent = 22;
/// How much of a message is shown to say which one it is.
constexpr std::size_t kShownCharacters = 60;

/// Answers are UTF-8 and so is what terminals send, whatever the locale has forgotten to say.
void use_utf8() {
    if (std::strcmp(nl_langinfo(CODESET), "UTF-8") != 0) std::setlocale(LC_CTYPE, "C.UTF-8");
}

bool blank(std::string_view text) noexcept {
    return text.find_first_not_of(" \t\r\n") == std::string_view::npos;
}

std::string beginning(std::string_view text) {
    std::string line = one_line(text);
    std::size_t end = 0;
    for (std::size_t shown = 0; end < line.size(); ++end) {
        const bool begins = (static_cast<unsigned char>(line[end]) & 0xC0) != 0x80;
        if (begins && shown++ == kShownCharacters) return line.substr(0, end) + " ...";
    }
    return line;
}

/// Lines of two columns, of which the second begins at `indent`, as they fit the terminal.
std::string fitted(const Terminal& terminal, std::string_view lines, std::size_t indent) {
    std::string text;
    while (!lines.empty()) {
        const std::size_t end = std::min(lines.find('\n'), lines.size() - 1);
        text += wrapped(terminal, lines.substr(0, end), indent) + '\n';
        lines.remove_prefix(end + 1);
    }
    return text;
}

/// A path as a shell would read it.
std::string path_of(const std::string& given) {
    const char* home = std::getenv("HOME");
    return given.starts_with("~/") && home != nullptr ? home + given.substr(1) : given;
}

/// Throws Error when the file is there already or cannot be written.
void write_new_file(const std::string& path, std::string_view text) {
    const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        throw Error(kUsage, errno == EEXIST
                                ? fmt::format("{} exists already and is left as it is; choose "
                                              "another name",
                                              path)
                                : fmt::format("cannot write {}: {}", path, std::strerror(errno)));
    }
    int error = 0;
    while (!text.empty() && error == 0) {
        const ssize_t written = ::write(fd, text.data(), text.size());
        if (written < 0)
            error = errno == EINTR ? 0 : errno;
        else
            text.remove_prefix(static_cast<std::size_t>(written));
    }
    if (close(fd) != 0 && error == 0) error = errno;
    if (error == 0) return;
    unlink(path.c_str());
    throw Error(kFailed, fmt::format("cannot write {}: {}", path, std::strerror(error)));
}

class Chat {
  public:
    Chat(const Common& common, const ChatOptions& options)
        : common_(common),
          options_(options),
          terminal_(terminal_of(STDOUT_FILENO, common.color)),
          output_(signals_.descriptor()),
          progress_(!common.quiet && terminal_of(STDERR_FILENO).interactive),
          model_(model_name(options.model)),
          editor_(signals_, !terminal_.interactive, terminal_.color),
          history_(HistoryFile::usual_path()) {
        settings_.answer = options.answer;
        conversation_.instruct(options.system);
    }

    int run();

  private:
    using Outcome = Client::Outcome;
    Outcome ask(const messages::Request& request,
                const std::function<void(const messages::Event&)>& on_event);
    void greet();
    void interrupted();
    void typed(const std::string& text);
    void take_message();
    void execute(const ChatCommand& command);
    void answer();
    void settle(const Outcome& outcome, const AnswerView& view, std::uint64_t seed);
    void show_system(const std::string& text);
    void save(const std::string& file);
    void load(const std::string& file);
    void regenerate();
    void undo();
    void clear();
    /// To the person, not to a file that gets the answers.
    void say(const std::string& text) {
        if (terminal_.interactive)
            output_.write(text);
        else
            print_error(text);
    }
    void end_line() {
        if (output_.last() != '\n') output_.write("\n");
    }

    const Common& common_;
    const ChatOptions& options_;
    Signals signals_;
    Terminal terminal_;
    Output output_;
    ProgressLine progress_;
    std::string model_;
    LineEditor editor_;
    HistoryFile history_;
    Composer composer_;
    Conversation conversation_;
    ChatSettings settings_;
    std::string stats_;         ///< of the last answer
    bool interrupted_ = false;  ///< Ctrl-C was the last key, at the prompt
    std::optional<int> leave_;  ///< the exit code
};

int Chat::run() {
    greet();
    for (const std::string& entry : history_.read()) editor_.remember(entry);
    while (!leave_) {
        // The terminal's size may be another one by now.
        terminal_.columns = terminal_of(STDOUT_FILENO, common_.color).columns;
        const auto input = editor_.read(composer_.unfinished() ? kPromptInside : kPrompt);
        switch (input.end) {
            case LineEditor::End::line:
                interrupted_ = false;
                typed(input.text);
                break;
            case LineEditor::End::interrupt:
                if (interrupted_ && input.empty)
                    leave_ = kSignalled + SIGINT;
                else
                    interrupted();
                break;
            case LineEditor::End::end_of_input:
                leave_ = kOk;
                break;
            case LineEditor::End::signal:
                leave_ = kSignalled + input.signal;
                break;
        }
    }
    return *leave_;
}

Chat::Outcome Chat::ask(const messages::Request& request,
                        const std::function<void(const messages::Event&)>& on_event) {
    // Each question has a connection of its own, so that the daemon may come and go between them.
    Client client(
        common_.socket,
        std::chrono::milliseconds(static_cast<std::int64_t>(common_.patience_seconds * 1000)),
        signals_, output_);
    Outcome outcome = client.ask(request, [&](const messages::Event& event) {
        if (const auto* progress = std::get_if<messages::Progress>(&event)) {
            progress_.show(progress->what, progress->done, progress->total,
                           terminal_.interactive && output_.last() != '\n');
        } else {
            on_event(event);
        }
    });
    progress_.clear();
    return outcome;
}

void Chat::greet() {
    const Outcome outcome = ask(messages::DescribeRequest{model_}, [](const messages::Event&) {});
    if (outcome.signal != 0) {
        leave_ = kSignalled + outcome.signal;
        return;
    }
    if (outcome.final && std::holds_alternative<messages::Failed>(*outcome.final)) {
        const auto& failed = std::get<messages::Failed>(*outcome.final);
        throw Error(exit_code(failed.code), failed.message);
    }
    if (!outcome.final) throw Error(kFailed, "the daemon did not say what the model is");
    const auto& about = Session::expect<messages::DescribeReply>(*outcome.final);
    const std::string name = one_line(about.info.name.empty() ? model_ : about.info.name);
    if (model_.empty()) model_ = about.info.name;
    if (common_.quiet) return;
    std::string greeting =
        fmt::format("This is {}. /help lists what can be typed, Ctrl-D leaves.", name);
    if (about.chat_template.empty()) greeting += ' ' + without_template("Its file");
    say(wrapped(terminal_, greeting, 0) + '\n');
}

void Chat::interrupted() {
    interrupted_ = true;
    composer_.clear();
    say("Ctrl-C once more leaves, as /bye and Ctrl-D do.\n");
}

void Chat::typed(const std::string& text) {
    if (!composer_.unfinished() && blank(text)) return;
    const bool whole = composer_.add(text);
    if (composer_.text().size() > messages::kMaxChatBytes) {
        complain(
            fmt::format("the message has more than {} bytes, which is the most that there may "
                        "be; it is dropped",
                        messages::kMaxChatBytes));
        composer_.clear();
        return;
    }
    if (!whole) return;
    try {
        take_message();
    } catch (const Error& error) {
        end_line();
        complain(error.what());
    }
    composer_.clear();
}

void Chat::take_message() {
    if (blank(composer_.text())) return;
    editor_.remember(composer_.as_typed());
    history_.add(composer_.as_typed());
    const auto command = composer_.quoted() ? std::nullopt : chat_command(composer_.text());
    if (command) {
        execute(*command);
        return;
    }
    conversation_.say(composer_.text());
    answer();
}

void Chat::execute(const ChatCommand& command) {
    const std::string& argument = command.argument;
    switch (command.name) {
        case ChatCommand::Name::system:
            return show_system(argument);
        case ChatCommand::Name::set:
            if (argument.find_first_of(" \t=") != std::string::npos) {
                return set_setting(settings_, argument);
            }
            return say(fitted(terminal_, settings_text(settings_, argument), kSettingIndent));
        case ChatCommand::Name::save:
            return save(path_of(argument));
        case ChatCommand::Name::load:
            return load(path_of(argument));
        case ChatCommand::Name::regenerate:
            return regenerate();
        case ChatCommand::Name::undo:
            return undo();
        case ChatCommand::Name::stats:
            return say(stats_.empty() ? "There is no answer yet.\n" : stats_);
        case ChatCommand::Name::clear:
            return clear();
        case ChatCommand::Name::help:
            return say(fitted(terminal_, chat_help(), kHelpIndent));
        case ChatCommand::Name::bye:
            leave_ = kOk;
    }
}

void Chat::answer() {
    messages::Generate generate = request_for(settings_.answer);
    generate.model = model_;
    generate.chat = conversation_.request(settings_.thinking);
    const Look look = !terminal_.interactive     ? Look::text
                      : settings_.show_reasoning ? Look::chat
                                                 : Look::answer;
    AnswerView view(output_, progress_, terminal_, look);
    const HiddenTyping hidden;
    Outcome outcome;
    try {
        outcome = ask(generate, [&](const messages::Event& event) {
            view.add(Session::expect<messages::Token>(event));
        });
        if (outcome.final) {
            if (const auto* done = std::get_if<messages::Done>(&*outcome.final)) view.add(*done);
        }
    } catch (const Error& error) {
        progress_.clear();
        end_line();
        complain(error.what());
    }
    end_line();
    settle(outcome, view, generate.sampling.seed);
}

void Chat::settle(const Outcome& outcome, const AnswerView& view, std::uint64_t seed) {
    if (!blank(view.text())) conversation_.answer(view.text(), view.reasoning());
    if (outcome.output_closed) leave_ = kOutputClosed;
    if (outcome.signal != 0 && outcome.signal != SIGINT) leave_ = kSignalled + outcome.signal;
    if (leave_) return;
    const messages::Event* final = outcome.final ? &*outcome.final : nullptr;
    if (const auto* failed = final ? std::get_if<messages::Failed>(final) : nullptr) {
        if (outcome.signal == 0) complain(failed->message);
        if (failed->code == messages::ErrorCode::context_length) {
            say(wrapped(terminal_,
                        "The conversation does not fit the context any more. It is kept: /undo "
                        "takes the last message back, /clear forgets all, /save FILE writes it "
                        "down.",
                        0) +
                '\n');
            return;
        }
    }
    if (const auto* done = final ? std::get_if<messages::Done>(final) : nullptr) {
        stats_ = stats(*done, seed, settings_.answer.sampling.temperature > 0);
        if (options_.stats) say(stats_);
        if (done->reason == messages::StopReason::length) {
            say("The answer was cut short: by max_tokens, or since the context is full.\n");
        }
    }
    if (conversation_.unanswered()) {
        say("There is no answer. /regenerate asks again; another message takes this one's "
            "place.\n");
    }
}

void Chat::show_system(const std::string& text) {
    if (text.empty()) {
        const std::string_view now = conversation_.instruction();
        return say(now.empty() ? "There is no system message.\n" : harmless(now) + '\n');
    }
    conversation_.instruct(text == "none" ? "" : text);
}

void Chat::save(const std::string& file) {
    write_new_file(file, conversation_.to_json(model_));
    say(fmt::format("{} messages are in {}\n", conversation_.messages().size(), one_line(file)));
}

void Chat::load(const std::string& file) {
    if (conversation_.asked()) {
        throw Error(kUsage,
                    "there is a conversation already; /save FILE keeps it, /clear forgets "
                    "it, and then another can be loaded");
    }
    const std::string text = read_file(file, messages::kMaxChatBytes);
    try {
        conversation_ = Conversation::from_json(text);
    } catch (const Error& error) {
        throw Error(kUsage, fmt::format("cannot go on with {}: {}", file, error.what()));
    }
    say(fmt::format("{} messages were in {}\n", conversation_.messages().size(), one_line(file)));
    if (conversation_.unanswered()) say("The last one has no answer yet; /regenerate asks.\n");
}

void Chat::regenerate() {
    const Conversation before = conversation_;
    if (!conversation_.take_back_answer()) {
        throw Error(kUsage, "nothing has been asked yet");
    }
    answer();
    // An answer that could not be had anew is better than none.
    if (conversation_.unanswered()) conversation_ = before;
}

void Chat::undo() {
    const auto taken = conversation_.undo();
    if (!taken) throw Error(kUsage, "nothing has been asked yet");
    say(fmt::format("Taken back: {}\n", beginning(*taken)));
}

void Chat::clear() {
    conversation_.clear();
    stats_.clear();
    say("The conversation is forgotten.\n");
}

}  // namespace

int chat(const Common& common, const ChatOptions& options) {
    if (isatty(STDIN_FILENO) != 1) {
        RunOptions once;
        once.model = options.model;
        once.answer = options.answer;
        once.system = options.system;
        once.stats = options.stats;
        once.chat_only = true;
        return run(common, once);
    }
    if (common.json) {
        throw Error(kUsage, "--json is for programs, which give the message on standard input");
    }
    if (!terminal_of(STDOUT_FILENO).interactive && isatty(STDERR_FILENO) != 1) {
        throw Error(kUsage,
                    "a chat needs a terminal for its prompt; `shoal run` answers one "
                    "question without");
    }
    use_utf8();
    return Chat(common, options).run();
}

}  // namespace shoal::cli
