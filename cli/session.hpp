// What every command that asks the daemon needs.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "cli/client.hpp"
#include "cli/output.hpp"
#include "cli/signals.hpp"
#include "cli/terminal.hpp"
#include "mesh/messages/requests.hpp"

namespace shoal::cli {

/// The options that every command has.
struct Common {
    std::string socket;
    bool json = false;
    bool quiet = false;
    double patience_seconds = 60;
    Color color = Color::automatic;
};

/// A connection with the user on the other side. Construct it when all input has been read:
/// from then on Ctrl-C no longer ends the process by itself.
class Session {
  public:
    using OnEvent = std::function<void(const mesh::messages::Event&)>;

    /// Throws Error(kUnreachable) when there is no daemon.
    explicit Session(const Common& common);

    /// Asks and follows the answer: progress goes to the progress line, or in JSON mode every
    /// event to standard output; other events that are not final go to `on_event`. Gives the
    /// final event; nothing when the request ended without a result, which code() then tells.
    /// A failure has been reported to the user by then.
    std::optional<mesh::messages::Event> ask(const mesh::messages::Request& request,
                                             const OnEvent& on_event);
    std::optional<mesh::messages::Event> ask(const mesh::messages::Request& request);

    /// Asks for what is not shown: gives the final event, also a failure, which nobody has been
    /// told of; nothing when the user wants to stop.
    std::optional<mesh::messages::Event> inquire(const mesh::messages::Request& request);

    /// Tells the user of a failure that inquire() gave. code() is its code then.
    void tell(const mesh::messages::Failed& failed);

    /// What a model is, as ask() gives events; in JSON mode only a failure is printed.
    std::optional<mesh::messages::DescribeReply> describe(const std::string& model);

    /// The final event as the alternative that belongs to the request.
    /// Throws Error when the daemon answered with another.
    template <typename T>
    static const T& expect(const mesh::messages::Event& event) {
        const T* value = std::get_if<T>(&event);
        if (value == nullptr) unexpected();
        return *value;
    }

    /// Waits; true when the user wants to stop.
    bool interrupted_within(std::chrono::milliseconds time);

    /// Readable when the user wants to stop, which interrupted_within() then tells.
    int signals() const noexcept { return signals_.descriptor(); }

    /// What follows starts on a line of its own. JSON lines end by themselves.
    void end_line();

    int code() const noexcept { return code_; }
    Output& output() noexcept { return output_; }
    ProgressLine& progress() noexcept { return progress_; }
    const Terminal& terminal() const noexcept { return terminal_; }

  private:
    [[noreturn]] static void unexpected();
    int report(const mesh::messages::Failed& failed);

    const Common& common_;
    bool print_result_ = true;
    Signals signals_;
    Terminal terminal_;
    Output output_;
    ProgressLine progress_;
    Client client_;
    int code_ = 0;
};

/// Text on standard error as it is, which must be harmless.
void print_error(std::string_view text);
/// Text on standard error: "shoal: " and the message.
void complain(std::string_view message);

}  // namespace shoal::cli
