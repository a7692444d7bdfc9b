// shoal models, load, tokenize, detokenize.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "cli/commands.hpp"
#include "cli/exit_codes.hpp"
#include "cli/json.hpp"
#include "cli/table.hpp"

namespace shoal::cli {
namespace messages = mesh::messages;
namespace {

/// Enough of a hash to name a model by.
constexpr std::size_t kHashDigits = 12;

std::string parameters_text(std::uint64_t count) {
    if (count == 0) return "";
    if (count < 1'000'000) return fmt::format("{:.0f} K", static_cast<double>(count) / 1e3);
    if (count < 1'000'000'000) return fmt::format("{:.1f} M", static_cast<double>(count) / 1e6);
    return fmt::format("{:.1f} B", static_cast<double>(count) / 1e9);
}

std::string fit_text(const Fits& fits, const std::string& hash) {
    const auto it = fits.find(hash);
    if (it == fits.end()) return "?";
    return it->second == 0 ? "no" : fmt::format("with {}", it->second);
}

/// `fits`: null when nobody asked.
std::string models_text(const messages::ModelsReply& reply, const Fits* fits,
                        const Terminal& terminal) {
    const std::string reading =
        reply.reading_models
            ? "Folders of models are still being read; ask again for what is not here yet.\n"
            : "";
    if (reply.models.empty()) {
        return "No models yet. " +
               (reading.empty() ? "`shoal add FILE` adds one, also from an address; `shoal run "
                                  "./model.gguf \"...\"` takes one where it lies.\n"
                                : reading);
    }
    std::string unusable;
    Table table{{{"NAME", false, 9},
                 {"ARCHITECTURE", false, 2},
                 {"TYPE", false, 5},
                 {"PARAMETERS", true, 4},
                 {"SIZE", true, 7},
                 {"CONTEXT", true, 3},
                 {"DEVICES", true, 6},
                 {"LOADED", false, 8},
                 {"HASH", false, 1}},
                {}};
    if (fits != nullptr) table.columns.push_back({"FITS", false, 8});
    for (const auto& m : reply.models) {
        if (!m.problem.empty()) {
            unusable += fmt::format("  {}, on device {}: {}\n", one_line(m.name),
                                    m.devices.empty() ? "?" : one_line(m.devices[0].substr(0, 8)),
                                    one_line(m.problem));
            continue;
        }
        table.rows.push_back({one_line(m.name), one_line(m.architecture), one_line(m.quantisation),
                              parameters_text(m.parameters), bytes_text(m.file_bytes),
                              std::to_string(m.context), std::to_string(m.devices.size()),
                              m.loaded ? "yes" : "", one_line(m.hash.substr(0, kHashDigits))});
        if (fits != nullptr) table.rows.back().push_back(fit_text(*fits, m.hash));
    }
    std::string text = table.rows.empty() ? "No usable models yet.\n" : table.text(terminal);
    if (!unusable.empty()) text += "\nFiles that cannot be used:\n" + unusable;
    return text + reading;
}

/// With which context each would run here. False when the user wants to stop.
bool ask_fits(Session& session, const messages::ModelsReply& reply, Fits& fits) {
    for (const auto& m : reply.models) {
        if (!m.problem.empty() || fits.contains(m.hash)) continue;
        const auto final = session.inquire(messages::PlanRequest{m.hash, 0});
        if (!final) return false;
        const auto* plan = std::get_if<messages::PlanReply>(&*final);
        const auto* failed = std::get_if<messages::Failed>(&*final);
        if (plan != nullptr) fits[m.hash] = plan->context;
        if (failed != nullptr && failed->code == messages::ErrorCode::too_large) fits[m.hash] = 0;
    }
    return true;
}

/// A piece of a vocabulary as text in quotes.
std::string quote(std::string_view piece) {
    std::string out = "\"";
    for (const char c : piece) {
        const auto byte = static_cast<unsigned char>(c);
        if (c == '\n') {
            out += "\\n";
        } else if (c == '\t') {
            out += "\\t";
        } else if (c == '"' || c == '\\') {
            out += '\\';
            out += c;
        } else if (byte < 0x20 || byte == 0x7F) {
            out += fmt::format("\\x{:02x}", byte);
        } else {
            out += c;
        }
    }
    return out + '"';
}

std::int32_t token_id(const std::string& text) {
    std::int32_t id = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
    if (error != std::errc() || end != text.data() + text.size() || id < 0) {
        throw Error(kUsage, fmt::format("\"{}\" is not a token id; ids are whole numbers from 0",
                                        one_line(text)));
    }
    return id;
}

}  // namespace

int models(const Common& common, const ModelsOptions& options) {
    Session session(common);
    const auto final = session.inquire(messages::ModelsRequest{});
    if (!final) return session.code();
    if (const auto* failed = std::get_if<messages::Failed>(&*final)) {
        session.tell(*failed);
        return session.code();
    }
    const auto& reply = Session::expect<messages::ModelsReply>(*final);
    Fits fits;
    if (options.fits && !ask_fits(session, reply, fits)) return session.code();
    session.output().write(
        common.json ? json_line(reply, fits)
                    : models_text(reply, options.fits ? &fits : nullptr, session.terminal()));
    return session.code();
}

int load(const Common& common, const std::string& model) {
    const messages::LoadRequest request{model_name(model)};
    Session session(common);
    const auto final = session.ask(request);
    if (!final || common.json || common.quiet) return session.code();
    const auto& done = Session::expect<messages::Done>(*final);
    session.output().write(fmt::format(
        "{} is ready on {} device{}, after {}\n", one_line(done.model.empty() ? model : done.model),
        done.devices, done.devices == 1 ? "" : "s", seconds_text(done.load_seconds)));
    return session.code();
}

int unload(const Common& common, const std::string& model) {
    const messages::UnloadRequest request{model_name(model)};
    Session session(common);
    const auto final = session.ask(request);
    if (!final || common.json || common.quiet) return session.code();
    const auto& done = Session::expect<messages::Done>(*final);
    session.output().write(
        fmt::format("{} leaves the memory as soon as no request wants it\n", one_line(done.model)));
    return session.code();
}

int tokenize(const Common& common, const TokenizeOptions& options) {
    const messages::TokenizeRequest request{model_name(options.model),
                                            read_text(options.text, "text"), !options.no_special,
                                            !options.no_parse_special};
    Session session(common);
    const auto final = session.ask(request);
    if (!final || common.json) return session.code();
    const auto& reply = Session::expect<messages::TokenizeReply>(*final);
    std::string text;
    if (options.ids_only) {
        text = fmt::format("{}\n", fmt::join(reply.ids, " "));
    } else {
        for (std::size_t i = 0; i < reply.ids.size(); ++i) {
            const std::string piece = i < reply.pieces.size() ? quote(reply.pieces[i]) : "";
            text += fmt::format("{:>7}  {}\n", reply.ids[i], piece);
        }
    }
    session.output().write(text);
    return session.code();
}

int detokenize(const Common& common, const DetokenizeOptions& options) {
    messages::DetokenizeRequest request{model_name(options.model), {}};
    if (!options.ids.empty()) {
        for (const std::string& id : options.ids) request.ids.push_back(token_id(id));
    } else {
        const std::string text = read_text({}, "list of token ids");
        constexpr std::string_view kSpace = " \t\r\n,";
        for (std::size_t at = 0; (at = text.find_first_not_of(kSpace, at)) != std::string::npos;) {
            const auto end = std::min(text.find_first_of(kSpace, at), text.size());
            request.ids.push_back(token_id(text.substr(at, end - at)));
            at = end;
        }
    }
    Session session(common);
    const auto final = session.ask(request);
    if (!final || common.json) return session.code();
    const auto& text = Session::expect<messages::DetokenizeReply>(*final).text;
    session.output().write(session.terminal().interactive ? harmless(text) : text);
    session.end_line();
    return session.code();
}

}  // namespace shoal::cli
