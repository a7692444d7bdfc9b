// shoal doctor: what is wrong on this device and with its cluster, and what to do.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/commands.hpp"
#include "cli/daemon_process.hpp"
#include "cli/doctor/finding.hpp"
#include "cli/exit_codes.hpp"

namespace shoal::cli {
namespace {

using doctor::Finding;
using doctor::Severity;
using Results = std::vector<doctor::Result>;
using Json = nlohmann::ordered_json;

/// A daemon that answers at all does so at once.
constexpr double kPatienceSeconds = 10;

doctor::DaemonFacts ask_daemon(Common common) {
    doctor::DaemonFacts facts;
    facts.socket = common.socket;
    common.json = false;
    common.quiet = true;
    common.patience_seconds = std::min(common.patience_seconds, kPatienceSeconds);
    try {
        Session session(common);
        const auto final = session.ask(mesh::messages::StatusRequest{});
        if (!final) return facts;
        facts.status = Session::expect<mesh::messages::StatusReply>(*final);
        facts.process = daemon_process(common.socket);
    } catch (const Error& error) {
        if (error.code() == kUsage) throw;
        facts.silence = error.what();
    }
    return facts;
}

struct Told {
    const doctor::Check* check;
    const Finding* finding;
};

/// The gravest first, else in the order of the checks.
std::vector<Told> in_order(const Results& results) {
    std::vector<Told> all;
    for (const auto& result : results) {
        if (!result.found) continue;
        for (const Finding& finding : *result.found) all.push_back({result.check, &finding});
    }
    std::ranges::stable_sort(all, [](const Told& a, const Told& b) {
        return a.finding->severity > b.finding->severity;
    });
    return all;
}

Style style_of(Severity severity) noexcept {
    return severity == Severity::notice    ? Style::bold
           : severity == Severity::warning ? Style::warning
                                           : Style::bad;
}

std::string plural(std::size_t count, const char* word) {
    return fmt::format("{} {}{}", count, word, count == 1 ? "" : "s");
}

/// "error    memory: ..." and below it the command and the advice.
std::string finding_text(const Told& told, const Terminal& terminal) {
    constexpr std::size_t kIndent = 9;
    const Finding& f = *told.finding;
    const std::string name = mesh::messages::name(f.severity);
    const std::string space(kIndent, ' ');
    std::string text = styled(terminal, style_of(f.severity), name) +
                       space.substr(std::min(name.size(), kIndent)) +
                       fmt::format("{}: {}", told.check->name, one_line(f.text));
    text = wrapped(terminal, text, kIndent) + '\n';
    // Commands are not broken: they are copied.
    if (!f.command.empty()) {
        text += space + styled(terminal, Style::bold, one_line(f.command)) + '\n';
    }
    if (!f.advice.empty()) text += wrapped(terminal, space + one_line(f.advice), kIndent) + '\n';
    return text;
}

std::string report_text(const Results& results, const Terminal& terminal) {
    std::string text;
    std::size_t fixable = 0;
    for (const Told& told : in_order(results)) {
        text += finding_text(told, terminal);
        fixable += !told.finding->fixes.empty();
    }
    std::vector<const char*> fine, absent;
    for (const auto& result : results) {
        if (!result.found) absent.push_back(result.check->about);
        if (result.found && result.found->empty()) fine.push_back(result.check->about);
    }
    if (!text.empty()) text += '\n';
    text += wrapped(terminal, fmt::format("Fine: {}.", fmt::join(fine, ", ")), 6) + '\n';
    if (!absent.empty()) {
        text += wrapped(terminal,
                        fmt::format("Nothing to look at here: {}.", fmt::join(absent, ", ")), 6) +
                '\n';
    }
    const std::size_t problems = doctor::problems(results);
    text += '\n' + (problems == 0 ? std::string("No problems") : plural(problems, "problem"));
    if (fixable > 0) text += fmt::format("; `sudo shoal doctor --fix` sees to {}", fixable);
    return text + ".\n";
}

Json finding_json(const Told& told) {
    const Finding& f = *told.finding;
    return {{"check", told.check->name},
            {"severity", mesh::messages::name(f.severity)},
            {"text", f.text},
            {"command", f.command},
            {"advice", f.advice},
            {"fixable", !f.fixes.empty()}};
}

std::string report_json(const Results& results) {
    Json json = {{"event", "doctor"}, {"problems", doctor::problems(results)}};
    json["findings"] = Json::array();
    for (const Told& told : in_order(results)) json["findings"].push_back(finding_json(told));
    json["checks"] = Json::object();
    for (const auto& result : results) {
        json["checks"][result.check->name] = !result.found           ? "absent"
                                             : result.found->empty() ? "fine"
                                                                     : "found";
    }
    return json.dump(-1, ' ', false, Json::error_handler_t::replace) + '\n';
}

/// Whether anything is another now. Tells of each on standard error.
bool fix(const Results& results, const doctor::Tree& tree) {
    bool changed = false;
    for (const Told& told : in_order(results)) {
        const Finding& finding = *told.finding;
        if (finding.fixes.empty()) continue;
        std::string why;
        for (const doctor::Fix& one : finding.fixes) {
            if (why.empty()) why = doctor::apply(one, tree);
        }
        changed = changed || why.empty();
        complain(why.empty() ? fmt::format("done: {}", finding.command)
                             : fmt::format("not done: {} ({}){}", finding.command, why,
                                           geteuid() == 0 ? "" : "; it takes root, so use sudo"));
    }
    return changed;
}

}  // namespace

int run_doctor(const Common& common, const DoctorOptions& options) {
    const doctor::Tree tree(options.root);
    const auto look = [&] {
        auto facts = doctor::read_facts(tree, options.config, ask_daemon(common));
        facts.client_version = options.version;
        return doctor::examine(facts);
    };
    Results results = look();
    if (options.fix && fix(results, tree)) results = look();
    const Terminal terminal = terminal_of(STDOUT_FILENO, common.color);
    Output(-1).write(common.json ? report_json(results) : report_text(results, terminal));
    return doctor::problems(results) == 0 ? kOk : kFailed;
}

}  // namespace shoal::cli
