// shoal rm: models taken out of this device's folder of models.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>

#include "cli/commands.hpp"
#include "cli/exit_codes.hpp"
#include "cli/store.hpp"
#include "daemon/model/split.hpp"

namespace shoal::cli {
namespace messages = mesh::messages;
namespace fs = std::filesystem;
namespace {

/// A model that was removed is listed no longer than this.
constexpr auto kGone = std::chrono::seconds(5);

/// The one that is meant; throws Error when there is none, or several.
messages::ModelInfo model_called(const messages::ModelsReply& known, const std::string& name) {
    std::vector<messages::ModelInfo> found;
    for (const messages::ModelInfo& info : known.models) {
        const bool is_it = info.name == name || info.name + ".gguf" == name ||
                           (name.size() >= 8 && info.hash.starts_with(name));
        if (is_it && (found.empty() || !info.path.empty())) found.push_back(info);
    }
    std::erase_if(found, [&](const auto& i) { return found.size() > 1 && i.path.empty(); });
    if (found.empty()) {
        throw Error(kNotFound, fmt::format("there is no model called \"{}\"; see `shoal models`",
                                           one_line(name)));
    }
    if (found.size() > 1) {
        throw Error(kUsage, fmt::format("several models are called \"{}\"; give the hash from "
                                        "`shoal models`",
                                        one_line(name)));
    }
    return found.front();
}

/// Throws Error when the model answers now, and cannot be had from elsewhere.
void refuse_in_use(Session& session, const messages::ModelInfo& info) {
    if (!info.loaded || info.devices.size() > 1) return;
    const auto final = session.inquire(messages::StatusRequest{});
    if (!final) throw Stopped();
    const auto* status = std::get_if<messages::StatusReply>(&*final);
    if (status == nullptr || status->running + status->queued == 0) return;
    throw Error(kBusy, fmt::format("{} answers now, and no other device has its file; try again "
                                   "when it is done",
                                   one_line(info.name)));
}

/// Removes what has come of a model's file from other devices so far. The first such file; none:
/// nothing has come.
fs::path remove_arriving(const fs::path& store, const messages::ModelInfo& info) {
    fs::path first;
    for (std::uint32_t part = 1; part <= model::kMaxParts; ++part) {
        const fs::path path = store / model::arriving_name(info.hash, part);
        if (::unlink(path.c_str()) == 0) {
            if (first.empty()) first = path;
        } else if (errno == ENOENT) {
            break;
        } else {
            throw Error(kFailed, fmt::format("{}: cannot be removed: {}", one_line(path.string()),
                                             std::strerror(errno)));
        }
    }
    return first;
}

bool is_listed(const messages::ModelsReply& known, const std::string& path) {
    return std::ranges::any_of(known.models, [&](const auto& m) { return m.path == path; });
}

}  // namespace

int rm(const Common& common, const std::string& name) {
    Session session(common);
    try {
        const messages::ModelsReply known = known_models(session);
        const messages::ModelInfo info = model_called(known, name);
        if (info.path.empty()) {
            const fs::path arriving = remove_arriving(known.store, info);
            if (!arriving.empty()) {
                if (common.json) {
                    session.output().write(json_removed(info.name, arriving));
                } else if (!common.quiet) {
                    session.output().write(
                        fmt::format("What had come of {} from another device is removed.\n",
                                    one_line(info.name)));
                }
                return kOk;
            }
            throw Error(kFailed,
                        fmt::format("this device has no file of {}; remove it on device {}",
                                    one_line(info.name),
                                    info.devices.empty() ? "?" : info.devices[0].substr(0, 8)));
        }
        const fs::path path = info.path;
        if (path.parent_path() != fs::path(known.store)) {
            throw Error(kFailed, fmt::format("{} lies outside of {}, so it is not removed; it is "
                                             "{}",
                                             one_line(info.name), one_line(known.store),
                                             one_line(info.path)));
        }
        refuse_in_use(session, info);
        for (const fs::path& file : model::model_files(path)) {
            if (::unlink(file.c_str()) != 0 && errno != ENOENT) {
                throw Error(kFailed, fmt::format("{}: cannot be removed: {}",
                                                 one_line(file.string()), std::strerror(errno)));
            }
        }
        const auto end = std::chrono::steady_clock::now() + kGone;
        while (is_listed(known_models(session), info.path) &&
               std::chrono::steady_clock::now() < end) {
            if (session.interrupted_within(std::chrono::milliseconds(50))) throw Stopped();
        }
        if (common.json) {
            session.output().write(json_removed(info.name, info.path));
        } else if (!common.quiet) {
            session.output().write(fmt::format(
                "{} is removed{}.\n", one_line(info.name),
                info.loaded ? "; it stays in memory until it is unloaded, or another needs the room"
                            : ""));
        }
    } catch (const Stopped&) {
        return session.code();
    }
    return kOk;
}

}  // namespace shoal::cli
