#include "cli/session.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include "cli/exit_codes.hpp"
#include "cli/json.hpp"

namespace shoal::cli {
namespace messages = mesh::messages;

void print_error(std::string_view text) {
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, text.data(), text.size());
}

void complain(std::string_view message) {
    print_error(fmt::format("shoal: {}\n", harmless(message)));
}

Session::Session(const Common& common)
    : common_(common),
      terminal_(terminal_of(STDOUT_FILENO, common.color)),
      output_(signals_.descriptor()),
      progress_(!common.quiet && terminal_of(STDERR_FILENO).interactive),
      client_(common.socket,
              std::chrono::milliseconds(static_cast<std::int64_t>(common.patience_seconds * 1000)),
              signals_, output_) {}

void Session::unexpected() {
    throw Error(kFailed,
                "the daemon's answer does not belong to the question; are both of the same "
                "version? See `shoal --version`.");
}

void Session::end_line() {
    if (!common_.json && output_.last() != '\n') output_.write("\n");
}

int Session::report(const messages::Failed& failed) {
    complain(failed.message.empty() ? "the daemon failed without saying why" : failed.message);
    return exit_code(failed.code);
}

std::optional<messages::Event> Session::ask(const messages::Request& request) {
    return ask(request, [](const messages::Event&) {});
}

std::optional<messages::Event> Session::ask(const messages::Request& request,
                                            const OnEvent& on_event) {
    auto outcome = client_.ask(request, [&](const messages::Event& event) {
        if (common_.json) output_.write(json_line(event));
        if (const auto* progress = std::get_if<messages::Progress>(&event)) {
            const bool in_line = terminal_.interactive && output_.last() != '\n';
            progress_.show(progress->what, progress->done, progress->total, in_line);
        } else {
            on_event(event);
        }
    });
    progress_.clear();
    const bool failed_here =
        outcome.final && std::holds_alternative<messages::Failed>(*outcome.final);
    if (outcome.final && common_.json && (print_result_ || failed_here)) {
        output_.write(json_line(*outcome.final));
    }
    if (outcome.signal != 0) {
        code_ = kSignalled + outcome.signal;
    } else if (outcome.output_closed || output_.closed()) {
        code_ = kOutputClosed;
    } else if (outcome.final) {
        const auto* failed = std::get_if<messages::Failed>(&*outcome.final);
        if (failed == nullptr) return std::move(outcome.final);
        // An answer that breaks off ends in the middle of a line.
        end_line();
        code_ = report(*failed);
    }
    // The end of a request that the user stopped may still hold its timing.
    const bool done = outcome.final && std::holds_alternative<messages::Done>(*outcome.final);
    return done ? std::move(outcome.final) : std::nullopt;
}

std::optional<messages::Event> Session::inquire(const messages::Request& request) {
    auto outcome = client_.ask(request, [&](const messages::Event& event) {
        if (const auto* progress = std::get_if<messages::Progress>(&event)) {
            progress_.show(progress->what, progress->done, progress->total);
        }
    });
    progress_.clear();
    if (outcome.signal != 0) {
        code_ = kSignalled + outcome.signal;
    } else if (outcome.output_closed || output_.closed()) {
        code_ = kOutputClosed;
    } else {
        return std::move(outcome.final);
    }
    return std::nullopt;
}

void Session::tell(const messages::Failed& failed) {
    if (common_.json) output_.write(json_line(failed));
    code_ = report(failed);
}

std::optional<messages::DescribeReply> Session::describe(const std::string& model) {
    print_result_ = false;
    const auto final = ask(messages::DescribeRequest{model});
    print_result_ = true;
    if (!final) return std::nullopt;
    return expect<messages::DescribeReply>(*final);
}

bool Session::interrupted_within(std::chrono::milliseconds time) {
    pollfd fds[] = {{signals_.descriptor(), POLLIN, 0}, {output_.watched(), 0, 0}};
    if (poll(fds, 2, static_cast<int>(time.count())) <= 0) return false;
    const int number = signals_.take();
    code_ = number != 0 ? kSignalled + number : kOutputClosed;
    return true;
}

}  // namespace shoal::cli
