// shoal add: models put into this device's folder of models.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <set>

#include "cli/arrival.hpp"
#include "cli/commands.hpp"
#include "cli/exit_codes.hpp"
#include "cli/store.hpp"
#include "daemon/model/hparams.hpp"
#include "daemon/model/split.hpp"

namespace shoal::cli {
namespace messages = mesh::messages;
namespace fs = std::filesystem;
namespace {

/// Throws Error when there is none.
std::vector<fs::path> models_in(const std::string& what) {
    std::error_code error;
    const fs::path path = fs::absolute(what).lexically_normal();
    if (!fs::is_directory(path, error)) {
        if (fs::exists(path, error)) return {model::model_files(path).front()};
        throw Error(kNotFound, fmt::format("there is no file {}", one_line(what)));
    }
    std::set<fs::path> found;
    for (const auto& entry : fs::directory_iterator(path, error)) {
        if (entry.path().extension() == ".gguf") {
            found.insert(model::model_files(entry.path()).front());
        }
    }
    if (error) throw Error(kFailed, fmt::format("{}: {}", one_line(what), error.message()));
    if (found.empty()) {
        throw Error(kNotFound, fmt::format("there are no *.gguf files in {}", one_line(what)));
    }
    return {found.begin(), found.end()};
}

/// Before gigabytes are copied: the description, and that tensors end where the file does.
void check_model(const fs::path& path) {
    try {
        static_cast<void>(model::read_hparams(model::GgufFile(path)));
    } catch (const model::ModelError& error) {
        throw Error(kFailed, one_line(error.what()));
    }
}

fs::path store_of(Session& session) {
    const std::string store = known_models(session).store;
    if (store.empty()) {
        throw Error(kFailed, "the daemon has no folder of models; name one in models.directories");
    }
    return store;
}

std::string fit_text(const messages::PlanReply& plan) {
    const auto chosen = std::ranges::find_if(plan.counts, [](const auto& c) { return c.chosen; });
    if (chosen == plan.counts.end()) return "";
    std::string text = fmt::format("With a context of {} it takes {} of memory on {} device{}",
                                   plan.context, bytes_text(chosen->memory_bytes), chosen->devices,
                                   chosen->devices == 1 ? "" : "s");
    if (!chosen->decode.empty()) {
        text += fmt::format(", for about {:.{}f} tokens/s", chosen->decode.front(),
                            chosen->decode.front() < 9.95 ? 1 : 0);
    }
    return text + ".\n";
}

/// Takes one model into the folder.
void add_one(const Common& common, Session& session, const fs::path& from, const fs::path& store,
             Transfer how) {
    check_model(from);
    Arrival arrival(store);
    const std::string name = model::model_name(from);
    arrival.bring(model::model_files(from), how, [&](std::uint64_t done, std::uint64_t total) {
        if (session.interrupted_within(std::chrono::milliseconds(0))) throw Stopped();
        session.progress().show("copying " + one_line(name), done, total);
    });
    // The daemon reads it, for its hash, and says what it needs here.
    const fs::path file = arrival.brought().front();
    const auto final = session.inquire(messages::PlanRequest{file.string(), 0});
    if (!final) throw Stopped();
    const auto* failed = std::get_if<messages::Failed>(&*final);
    if (failed != nullptr && failed->code == messages::ErrorCode::not_found) {
        throw Error(kFailed, one_line(failed->message));
    }
    arrival.keep();
    std::uint64_t bytes = 0;
    for (const fs::path& path : arrival.brought()) bytes += fs::file_size(path);
    const auto* plan = std::get_if<messages::PlanReply>(&*final);
    if (common.json) {
        session.output().write(
            json_added({name, file.string(), bytes, plan == nullptr ? 0 : plan->context,
                        failed == nullptr ? "" : failed->message}));
    } else {
        session.output().write(fmt::format(
            "{} is there, {} in {}. {}", one_line(name), bytes_text(bytes),
            one_line(store.string()),
            plan != nullptr ? fit_text(*plan)
            : failed == nullptr
                ? "\n"
                : "It cannot run here as things are: " + one_line(failed->message) + "\n"));
    }
}

}  // namespace

int add(const Common& common, const AddOptions& options) {
    const std::vector<fs::path> models = models_in(options.what);
    const Transfer how = options.move   ? Transfer::move
                         : options.link ? Transfer::link
                                        : Transfer::copy;
    Session session(common);
    int code = kOk;
    try {
        const fs::path store = store_of(session);
        remove_leftovers(store);
        for (const fs::path& path : models) {
            try {
                add_one(common, session, path, store, how);
                session.progress().clear();
            } catch (const Error& error) {
                // Of a folder the others are taken in all the same.
                session.progress().clear();
                if (models.size() == 1) throw;
                complain(error.what());
                code = error.code();
            }
        }
    } catch (const Stopped&) {
        return session.code();
    }
    return code;
}

}  // namespace shoal::cli
