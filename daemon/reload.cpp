// Settings of a daemon that runs.
#include <stdexcept>

#include "config/keys.hpp"
#include "daemon/daemon.hpp"
#include "daemon/log/log.hpp"

namespace shoal {

void set_log_level(config::LogLevel level) {
    switch (level) {
        case config::LogLevel::error:
            return log::set_level(log::Level::error);
        case config::LogLevel::warn:
            return log::set_level(log::Level::warn);
        case config::LogLevel::info:
            return log::set_level(log::Level::info);
        case config::LogLevel::debug:
            return log::set_level(log::Level::debug);
    }
}

void Daemon::reload(const Supervisor& supervisor) {
    supervisor.reloading();
    try {
        apply(supervisor.settings());
    } catch (const std::runtime_error& error) {
        log::error("the settings stay as they were, as what was to be read cannot be used: {}",
                   error.what());
    }
    supervisor.ready();
}

void Daemon::apply(const config::Settings& wanted) {
    const config::ModelSettings models = settings_.models;
    const config::PlanSettings plan = settings_.plan;
    const auto changed = config::changed_keys(settings_, wanted);
    if (changed.empty()) return log::info("the settings were read again and are the same");
    for (const config::Key* key : changed) {
        const auto text = [&](const config::Settings& of) {
            return key->secret ? "another" : config::toml_text(*key, key->read(*key, of));
        };
        if (!config::is_live(*key)) {
            log::warn("{} = {} takes a restart of the daemon; until then it is {}", key->name,
                      text(wanted), key->secret ? "what it was" : text(settings_));
            continue;
        }
        key->assign(*key, settings_, key->read(*key, wanted));
        log::info("{} is now {}", key->name, text(wanted));
    }
    set_log_level(settings_.log.level);
    if (models != settings_.models || plan != settings_.plan) {
        core_.set(settings_.models, settings_.plan);
    }
    if (models.directories != settings_.models.directories) {
        models_.watch(settings_.models.directories);
        files_.look();
        core_.warnings().clear("models-folder", identity_.id.hex());
        warn_of_setup();
    }
    if (http_) {
        http_->allow(settings_.http.allowed_hosts, settings_.http.allowed_origins);
        http_->limit_clients(settings_.http.client_requests);
    }
}

}  // namespace shoal
