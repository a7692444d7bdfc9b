#include "daemon/requests/warnings.hpp"

#include <algorithm>
#include <utility>

#include "daemon/log/log.hpp"

namespace shoal {

using mesh::messages::Severity;
using mesh::messages::Warning;

namespace {

void cut(std::string& text) {
    if (text.size() > mesh::messages::kMaxWarningText) text.resize(mesh::messages::kMaxWarningText);
}

void say(const Warning& warning) {
    const auto level = warning.severity == Severity::notice    ? log::Level::info
                       : warning.severity == Severity::warning ? log::Level::warn
                                                               : log::Level::error;
    log::write(level, "{}: {}{}{}", warning.name, warning.text, warning.remedy.empty() ? "" : "; ",
               warning.remedy);
}

auto find(std::vector<Warning>& list, std::string_view name, std::string_view device) {
    return std::find_if(list.begin(), list.end(),
                        [&](const Warning& w) { return w.name == name && w.device == device; });
}

}  // namespace

Warnings::Warnings(std::function<void()> changed) : changed_(std::move(changed)) {}

void Warnings::raise(Warning warning) {
    for (std::string* text : {&warning.name, &warning.device, &warning.text, &warning.remedy}) {
        cut(*text);
    }
    const auto it = find(list_, warning.name, warning.device);
    if (it != list_.end() && *it == warning) return;
    say(warning);
    if (it != list_.end()) {
        *it = std::move(warning);
    } else if (list_.size() < mesh::messages::kMaxWarnings) {
        list_.push_back(std::move(warning));
    } else {
        return;
    }
    changed_();
}

void Warnings::clear(std::string_view name, std::string_view device) {
    const auto it = find(list_, name, device);
    if (it == list_.end()) return;
    log::info("{}: no longer so ({})", it->name, it->text);
    list_.erase(it);
    changed_();
}

void Warnings::replace(std::string_view name, std::vector<Warning> warnings) {
    std::vector<std::string> over;
    for (const Warning& old : list_) {
        if (old.name == name && find(warnings, name, old.device) == warnings.end()) {
            over.push_back(old.device);
        }
    }
    for (const std::string& device : over) clear(name, device);
    for (Warning& warning : warnings) raise(std::move(warning));
}

void merge(std::vector<Warning>& list, const std::vector<Warning>& more) {
    for (const Warning& warning : more) {
        const auto it = find(list, warning.name, warning.device);
        if (it == list.end()) {
            list.push_back(warning);
        } else if (it->severity < warning.severity) {
            *it = warning;
        }
    }
}

}  // namespace shoal
