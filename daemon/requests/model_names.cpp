#include "daemon/requests/model_names.hpp"

#include <algorithm>
#include <utility>
#include <variant>
#include <vector>

#include "daemon/requests/near_names.hpp"

namespace shoal {
namespace {

using mesh::messages::ModelInfo;
using mesh::messages::ModelsReply;

// A hash, or as much of it as 'shoal models' shows and a person copies.
constexpr std::size_t kHashDigits = 64;
constexpr std::size_t kFewestDigits = 8;

bool is_hash(const std::string& name) {
    return name.size() >= kFewestDigits && name.size() <= kHashDigits &&
           name.find_first_not_of("0123456789abcdefABCDEF") == std::string::npos;
}

std::string lower(std::string text) {
    std::transform(text.begin(), text.end(), text.begin(), [](char c) {
        return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    return text;
}

// Why a name stands for no model, or for several.
std::string why_not(const std::string& name, const ModelsReply& known, bool several) {
    const std::string quoted = "\"" + name + "\"";
    if (name.empty()) {
        return std::all_of(known.models.begin(), known.models.end(),
                           [](const auto& info) { return !info.problem.empty(); })
                   ? "no device of the cluster holds a model; give the path of a GGUF file, or put "
                     "one into a folder of [models] directories"
                   : "which model? 'shoal models' lists those of the cluster";
    }
    if (several) {
        return "several models are called " + quoted + "; give the hash from 'shoal models'";
    }
    std::vector<std::string> names;
    for (const ModelInfo& info : known.models) {
        if (info.problem.empty()) {
            names.push_back(info.name);
        } else if (info.name == name || info.name + ".gguf" == name) {
            return "the file called " + quoted + " on device " + info.devices.at(0).substr(0, 8) +
                   " cannot be used: " + info.problem;
        }
    }
    std::string why = "no device of the cluster holds a model called " + quoted;
    std::string meant;
    for (const std::string& near : near_names(name, names)) {
        meant += (meant.empty() ? "; did you mean \"" : "\" or \"") + near;
    }
    return why + (meant.empty() ? "; 'shoal models' lists those there are" : meant + "\"?");
}

}  // namespace

const std::string* model_of(const mesh::messages::Request& request) {
    return std::visit(
        [](const auto& body) -> const std::string* {
            if constexpr (requires { body.model; }) return &body.model;
            return nullptr;
        },
        request);
}

std::string* model_of(mesh::messages::Request& request) {
    return const_cast<std::string*>(model_of(std::as_const(request)));
}

FoundModel find_model(const ModelsReply& known, const std::string& name) {
    std::vector<const ModelInfo*> found;
    const auto find = [&](auto&& fits) {
        if (!found.empty()) return;
        for (const ModelInfo& info : known.models) {
            if (info.problem.empty() && fits(info)) found.push_back(&info);
        }
    };
    if (name.empty()) {
        find([](const ModelInfo& info) { return info.at_work; });
        find([](const ModelInfo&) { return true; });
    } else {
        find([&](const ModelInfo& i) { return i.name == name || i.name + ".gguf" == name; });
        if (is_hash(name)) {
            find([&](const ModelInfo& i) { return i.hash.starts_with(lower(name)); });
        }
    }
    // One content under several names is one model.
    const auto same = [&](const ModelInfo* info) { return info->hash == found[0]->hash; };
    if (!found.empty() && std::all_of(found.begin(), found.end(), same)) {
        return {KnownModel{*mesh::ModelHash::from_hex(found[0]->hash), found[0]->name,
                           found[0]->file_bytes},
                "", false};
    }
    return {std::nullopt, why_not(name, known, !found.empty()), found.empty()};
}

}  // namespace shoal
