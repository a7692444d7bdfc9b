// shoal add: models put into this device's folder of models.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>
#include <set>

#include "cli/arrival.hpp"
#include "cli/commands.hpp"
#include "cli/download.hpp"
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

/// Has the daemon read what was brought, for its hash, and say what it needs here.
void settle_in(const Common& common, Session& session, Arrival& arrival, const fs::path& store) {
    const fs::path file = arrival.brought().front();
    const std::string name = model::model_name(file);
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
        return;
    }
    session.output().write(fmt::format(
        "{} is there, {} in {}. {}", one_line(name), bytes_text(bytes), one_line(store.string()),
        plan != nullptr ? fit_text(*plan)
        : failed == nullptr
            ? "\n"
            : "It cannot run here as things are: " + one_line(failed->message) + "\n"));
}

/// Shows how far something is. Throws Stopped when the user wants to stop.
void show(Session& session, const std::string& what, std::uint64_t done, std::uint64_t total) {
    if (session.interrupted_within(std::chrono::milliseconds(0))) throw Stopped();
    session.progress().show(what, done, total);
}

void add_file(const Common& common, Session& session, const fs::path& from, const fs::path& store,
              Transfer how) {
    check_model(from);
    Arrival arrival(store);
    arrival.bring(model::model_files(from), how, [&](std::uint64_t done, std::uint64_t total) {
        show(session, "copying " + one_line(model::model_name(from)), done, total);
    });
    settle_in(common, session, arrival, store);
}

void add_from_web(const Common& common, Session& session, const std::string& address,
                  const std::string& sha256, const fs::path& store) {
    const std::vector<WebFile> files = files_at(address);
    if (files.size() > 1 && !sha256.empty()) {
        throw Error(kUsage, "--sha256 is of one file, and this model is in several");
    }
    for (const WebFile& file : files) refuse_if_there(store / file.name);
    std::vector<std::unique_ptr<Download>> downloads;
    for (const WebFile& file : files) {
        auto& download = downloads.emplace_back(std::make_unique<Download>(file, store, sha256));
        download->run([&](std::uint64_t done, std::uint64_t total) {
            show(session, "downloading " + one_line(file.name), done, total);
        });
    }
    Arrival arrival(store);
    for (const auto& download : downloads) arrival.adopt(download->path(), download->name());
    check_model(arrival.brought().front());
    // All of it has come: whatever the daemon has to say, nobody wants to wait for it again.
    arrival.keep();
    for (const auto& download : downloads) download->forget();
    settle_in(common, session, arrival, store);
}

/// Of several the others are taken in all the same when one is no model.
int add_files(const Common& common, Session& session, const std::vector<fs::path>& models,
              Transfer how, const fs::path& store) {
    int code = kOk;
    for (const fs::path& path : models) {
        try {
            add_file(common, session, path, store, how);
        } catch (const Error& error) {
            session.progress().clear();
            if (models.size() == 1) throw;
            complain(error.what());
            code = error.code();
        }
    }
    return code;
}

}  // namespace

int add(const Common& common, const AddOptions& options) {
    const bool web = is_address(options.what);
    if (web && (options.move || options.link)) {
        throw Error(kUsage, "--move and --link are for files of this device");
    }
    if (!web && !options.sha256.empty()) throw Error(kUsage, "--sha256 is for web addresses");
    const auto models = web ? std::vector<fs::path>() : models_in(options.what);
    const Transfer how = options.move   ? Transfer::move
                         : options.link ? Transfer::link
                                        : Transfer::copy;
    Session session(common);
    try {
        const fs::path store = store_of(session);
        remove_leftovers(store);
        if (!web) return add_files(common, session, models, how, store);
        add_from_web(common, session, options.what, options.sha256, store);
        return kOk;
    } catch (const Stopped&) {
        return session.code();
    }
}

}  // namespace shoal::cli
