#include "daemon/pieces/model_provider.hpp"

#include <algorithm>
#include <utility>

#include "daemon/log/log.hpp"

namespace shoal {

using mesh::messages::PieceReply;
using mesh::messages::PieceRequest;
using mesh::messages::Severity;
using model::FileFailed;

namespace {

constexpr const char* kChanged = "model-file-changed";
// Raised where settings are checked, at the start.
constexpr const char* kNoFolder = "models-folder";

// Model folders are looked through this often, though nothing is heard of them: where changes are
// heard, and where they may not be. Only what is new is read.
constexpr auto kRescan = std::chrono::minutes(10);
constexpr auto kPoll = std::chrono::seconds(10);

// A look through the folders that takes longer is announced: there are files to be read.
constexpr auto kLongScan = std::chrono::milliseconds(200);

// Fetches are looked at this often: who holds the file now, what was not answered in time.
constexpr auto kLook = std::chrono::milliseconds(100);

bool is_good(const std::shared_ptr<const OpenModel>& model, const mesh::ModelHash& hash) {
    if (!model || model->hash != hash) return false;
    try {
        model->source->check();
        return true;
    } catch (const FileFailed&) {
        return false;
    }
}

}  // namespace

ModelProvider::ModelProvider(Loop& loop, Background& background, Catalogue& catalogue,
                             std::filesystem::path store_folder, Links links)
    : loop_(loop),
      background_(background),
      catalogue_(catalogue),
      store_folder_(std::move(store_folder)),
      links_(std::move(links)) {}

void ModelProvider::watch(std::vector<std::string> directories) {
    directories_ = std::move(directories);
    store_ = directories_.empty() ? "" : directories_.front();
    ++watches_;
    first_scan_ = true;
    scan();
}

void ModelProvider::hear() {
    if (folders_.take()) scan();
}

// One at a time; what is heard meanwhile is looked at by the next.
void ModelProvider::scan() {
    rescan_.reset();
    scan_again_ = scanning_;
    if (scanning_) return;
    scanning_ = true;
    long_scan_due_ = loop_.after(kLongScan, [this] {
        long_scan_ = true;
        links_.catalogue_changed();
    });
    background_.post([this, directories = directories_, news = folders_.news(), watch = watches_] {
        Looked looked;
        looked.watches = folders_.arrange(directories);
        looked.scan = catalogue_.scan(directories, news);
        for (const std::string& complaint : looked.scan.complaints) {
            log::warn("left out: {}", complaint);
        }
        std::error_code error;
        if (!directories.empty()) {
            looked.store = std::filesystem::canonical(directories.front(), error).string();
        }
        loop_.post([this, watch, looked] { scanned(watch, looked); });
    });
}

void ModelProvider::scanned(std::uint64_t watch, Looked looked) {
    const bool first = first_scan_ && watch == watches_;
    const bool tell = looked.scan.changed || first || long_scan_;
    if (first) first_scan_ = false;
    if (!looked.store.empty() && watch == watches_) store_ = looked.store;
    scanning_ = long_scan_ = false;
    long_scan_due_.reset();
    if (looked.scan.all_folders) links_.unwarn(kNoFolder);
    if (tell) links_.catalogue_changed();
    if (folders_.adopt(std::move(looked.watches)) || scan_again_) return scan();
    for (const auto& done : std::exchange(settling_, {})) done();
    if (folders_.trouble() != trouble_) {
        trouble_ = folders_.trouble();
        if (!trouble_.empty()) {
            log::warn("{}; folders of models are looked through every {} s instead", trouble_,
                      std::chrono::seconds(kPoll).count());
        }
    }
    Loop::Clock::duration wait = folders_.hears_all() ? kRescan : Loop::Clock::duration(kPoll);
    if (looked.scan.again) wait = std::min<Loop::Clock::duration>(wait, *looked.scan.again);
    rescan_ = loop_.after(
        wait, [this] { scan(); }, "folders of models");
}

void ModelProvider::settle(std::function<void()> done) {
    hear();
    if (!scanning_) return loop_.post(std::move(done));
    settling_.push_back(std::move(done));
}

void ModelProvider::announce(mesh::messages::Announcement& announcement) const {
    announcement.reading = first_scan_ || long_scan_;
    std::set<std::pair<mesh::ModelHash, std::string>> told;
    for (const CatalogueEntry& entry : catalogue_.list()) {
        // The others can do without the rest: requests name them by path.
        if (announcement.models.size() == mesh::messages::kMaxAnnouncedModels) break;
        if (!told.emplace(entry.hash, entry.name).second) continue;
        announcement.models.push_back(announced(entry));
    }
    for (const UnusableFile& file : catalogue_.unusable()) {
        announcement.problems.push_back(announced(file));
    }
}

void ModelProvider::locate(mesh::messages::ModelsReply& list) const {
    list.store = store_;
    const std::filesystem::path store = store_;
    // Of several files with one name and content that in the store counts.
    std::map<std::pair<std::string, std::string>, std::filesystem::path> paths;
    const auto put = [&](const std::string& what, const std::string& name,
                         const std::filesystem::path& path) {
        const bool is_new = paths.emplace(std::pair(what, name), path).second;
        if (!is_new && path.parent_path() == store) paths[{what, name}] = path;
    };
    for (const CatalogueEntry& e : catalogue_.list()) put(e.hash.hex(), e.name, e.path);
    for (const UnusableFile& u : catalogue_.unusable()) {
        const auto told = announced(u);
        put(told.reason, told.name, u.path);
    }
    for (auto& info : list.models) {
        const auto it = paths.find({info.problem.empty() ? info.hash : info.problem, info.name});
        if (it != paths.end()) info.path = it->second.string();
    }
}

bool ModelProvider::holds(const mesh::ModelHash& hash) const {
    return catalogue_.find(hash).has_value();
}

void ModelProvider::add(std::string path, Added done) {
    background_.post([this, path = std::move(path), done = std::move(done)] {
        mesh::ModelHash hash;
        std::string error;
        try {
            hash = catalogue_.add(path).hash;
        } catch (const std::exception& e) {
            error = e.what();
        }
        loop_.post([this, done, hash, error] {
            if (error.empty()) links_.catalogue_changed();
            done(hash, error);
        });
    });
}

void ModelProvider::cancel(const void* owner) noexcept {
    ++cancelled_[owner];
    fetches_.remove_if([owner](const Fetch& f) { return f.want.owner == owner; });
}

// Later, so that callers can count on get() having returned, and only if nobody gave it up.
void ModelProvider::deliver(Want want, std::shared_ptr<const OpenModel> model, std::string error) {
    loop_.post([this, want = std::move(want), model = std::move(model), error = std::move(error)] {
        if (cancelled_[want.owner] != want.asked_at) return;
        want.done(model, error);
    });
}

void ModelProvider::get(Want want) {
    want.asked_at = cancelled_[want.owner];
    const auto entry = catalogue_.find(want.model.hash);
    if (!entry) return fetch(std::move(want), "");
    open_file(std::move(want), *entry);
}

void ModelProvider::open_file(Want want, const CatalogueEntry& entry) {
    reading_.post([this, want = std::move(want), entry]() mutable {
        auto model = opened_.lock();
        std::string error;
        bool failed = false;
        try {
            if (!is_good(model, entry.hash)) model = open_again(entry);
        } catch (const FileFailed& e) {
            failed = true;
            error = e.what();
        } catch (const std::exception& e) {
            error = e.what();
        }
        if (!failed) return deliver(std::move(want), error.empty() ? model : nullptr, error);
        // Another file or device may have the same content.
        loop_.post([this, want = std::move(want), entry, error] {
            file_failed(entry, error);
            if (cancelled_[want.owner] != want.asked_at) return;
            const auto other = catalogue_.find(entry.hash);
            other && other->path != entry.path ? open_file(want, *other) : fetch(want, error);
        });
    });
}

// A file that could not be read through the last time is not tried again before it has been read
// for its hash.
std::shared_ptr<const OpenModel> ModelProvider::open_again(const CatalogueEntry& entry) {
    auto model = Catalogue::open(entry);
    if (failed_ && *failed_ && opened_stamp_ == entry.stamp) {
        throw FileFailed(entry.path.string() + ": could not be read; is its disk or card failing?");
    }
    opened_ = model;
    opened_stamp_ = entry.stamp;
    failed_ = model->source->failed();
    return model;
}

// A file that is not what it was is no copy any more, until it has been read again.
void ModelProvider::file_failed(const CatalogueEntry& entry, const std::string& why) {
    if (!catalogue_.drop(entry)) return;
    links_.warn({kChanged, Severity::warning, links_.self.hex(), why,
                 "other devices' copies are used; copy the file again, or rename a new one over "
                 "it"});
    links_.catalogue_changed();
    read_again(entry);
}

void ModelProvider::read_again(const CatalogueEntry& entry) {
    background_.post([this, entry] {
        bool same = false;
        try {
            same = catalogue_.add(entry.path).hash == entry.hash;
        } catch (const std::exception&) {
            // The catalogue says why.
        }
        loop_.post([this, entry, same] {
            links_.catalogue_changed();
            if (same) links_.unwarn(kChanged);
            if (same || !links_.holders(entry.hash).empty()) return;
            std::vector<std::uint64_t> hopeless;
            for (const Fetch& fetch : fetches_) {
                if (fetch.want.model.hash == entry.hash) hopeless.push_back(fetch.id);
            }
            for (const std::uint64_t id : hopeless) {
                finish(id, nullptr, "no other device holds the model's file");
            }
        });
    });
}

void ModelProvider::fetch(Want want, std::string lost) {
    Fetch& fetch = fetches_.emplace_back();
    fetch.id = next_fetch_++;
    fetch.want = std::move(want);
    fetch.lost = std::move(lost);
    begin_fetches();
    look_soon();
}

void ModelProvider::look_soon() {
    if (looking_ || fetches_.empty()) return;
    looking_ = loop_.after(
        kLook,
        [this] {
            looking_.reset();
            look();
            look_soon();
        },
        "fetches");
}

// Two fetches of one model would write the same files: one after the other, and the second finds
// there what the first has fetched.
void ModelProvider::begin_fetches() {
    for (auto it = fetches_.begin(); it != fetches_.end(); ++it) {
        const bool first = std::none_of(fetches_.begin(), it, [&](const Fetch& other) {
            return other.want.model.hash == it->want.model.hash;
        });
        if (first && !it->running) begin(*it);
    }
}

void ModelProvider::begin(Fetch& fetch) {
    fetch.running = std::make_shared<Running>();
    fetch.running->holders = links_.holders(fetch.want.model.hash);
    fetching_.post([this, id = fetch.id, running = fetch.running, want = fetch.want] {
        auto store =
            std::make_unique<PieceStore>(store_folder_, want.model.hash, links_.spare_memory());
        running->fetcher =
            std::make_unique<Fetcher>(std::move(store), want.model.hash, want.model.file_bytes,
                                      callbacks(id, *running, want));
        running->fetcher->tick(Fetcher::Clock::now());
        look_at(id, *running);
    });
}

// Called by the fetching thread, on which `running` lives as long as the fetcher.
Fetcher::Callbacks ModelProvider::callbacks(std::uint64_t id, Running& running, const Want& want) {
    Fetcher::Callbacks c;
    c.send = [this, id](const mesh::DeviceId& holder, const mesh::messages::PlanFrame& frame) {
        loop_.post([this, id, holder, frame] { send_for(id, holder, frame); });
        return true;
    };
    c.holders = [&running] { return running.holders; };
    c.wanted = want.pieces;
    c.progress = [this, id](std::uint64_t done, std::uint64_t total) {
        loop_.post([this, id, done, total] {
            if (const Fetch* fetch = find(id)) fetch->want.progress(done, total);
        });
    };
    c.done = [this, id, &running, want](std::string error) {
        open_pieces(id, running, want, std::move(error));
    };
    return c;
}

void ModelProvider::open_pieces(std::uint64_t id, Running& running, const Want& want,
                                std::string error) {
    std::shared_ptr<const OpenModel> model;
    if (error.empty()) {
        try {
            model = running.fetcher->store().open(want.model.name, want.model.file_bytes,
                                                  want.tokenizer);
        } catch (const std::exception& e) {
            error = e.what();
        }
    }
    const bool stored = model && !running.fetcher->store().trouble();
    loop_.post([this, id, stored, model = std::move(model), error = std::move(error)] {
        if (stored) links_.unwarn("disk-full"), links_.unwarn("state-folder");
        finish(id, model, error);
    });
}

void ModelProvider::send_for(std::uint64_t id, const mesh::DeviceId& holder,
                             const mesh::messages::PlanFrame& frame) {
    Fetch* fetch = find(id);
    if (fetch == nullptr) return;
    if (links_.send(holder, frame)) {
        fetch->asked.insert(frame.id);
        return;
    }
    fetching_.post(
        [running = fetch->running, request = frame.id] { running->fetcher->on_unsent(request); });
}

// What a person should know of a fetch: that it waits, that the disk takes nothing.
void ModelProvider::look_at(std::uint64_t id, Running& running) {
    const bool waiting = running.fetcher->is_waiting() && running.holders.empty();
    if (waiting && !running.waiting) {
        loop_.post([this, id] {
            if (const Fetch* fetch = find(id)) fetch->want.progress(0, 0);
        });
    }
    running.waiting = waiting;
    const auto& trouble = running.fetcher->store().trouble();
    if (!trouble || trouble->name == running.trouble) return;
    running.trouble = trouble->name;
    loop_.post([this, warning = *trouble]() mutable {
        warning.device = links_.self.hex();
        links_.warn(std::move(warning));
    });
}

ModelProvider::Fetch* ModelProvider::find(std::uint64_t id) noexcept {
    const auto it =
        std::find_if(fetches_.begin(), fetches_.end(), [id](const Fetch& f) { return f.id == id; });
    return it == fetches_.end() ? nullptr : &*it;
}

void ModelProvider::look() {
    for (auto it = fetches_.begin(); it != fetches_.end();) {
        // A file that was read again, or came meanwhile.
        const auto entry = catalogue_.find(it->want.model.hash);
        if (entry) {
            open_file(std::move(it->want), *entry);
            it = fetches_.erase(it);
            continue;
        }
        if (it->running && !it->ticking) {
            it->ticking = true;
            fetching_.post([this, id = it->id, running = it->running,
                            holders = links_.holders(it->want.model.hash)]() mutable {
                running->holders = std::move(holders);
                running->fetcher->tick(Fetcher::Clock::now());
                look_at(id, *running);
                loop_.post([this, id] {
                    if (Fetch* fetch = find(id)) fetch->ticking = false;
                });
            });
        }
        ++it;
    }
    begin_fetches();
}

void ModelProvider::finish(std::uint64_t id, const std::shared_ptr<const OpenModel>& model,
                           const std::string& error) {
    const auto it =
        std::find_if(fetches_.begin(), fetches_.end(), [id](const Fetch& f) { return f.id == id; });
    if (it == fetches_.end()) return;
    const std::string lost =
        error.empty() || it->lost.empty()
            ? ""
            : "; the copy of device " + links_.self.hex().substr(0, 8) + ", " + it->lost;
    deliver(std::move(it->want), model, error + lost);
    fetches_.erase(it);
    begin_fetches();
}

void ModelProvider::on_piece_reply(const mesh::DeviceId& from, std::uint64_t id, PieceReply reply) {
    for (Fetch& fetch : fetches_) {
        if (fetch.asked.erase(id) == 0) continue;
        fetching_.post([this, fetch = fetch.id, running = fetch.running, id, from,
                        reply = std::move(reply)]() mutable {
            running->fetcher->on_reply(id, from, std::move(reply), Fetcher::Clock::now());
            look_at(fetch, *running);
        });
        return;
    }
}

void ModelProvider::on_piece_request(const mesh::DeviceId& from, std::uint64_t id,
                                     const PieceRequest& request) {
    reading_.post([this, from, id, request] {
        PieceReply reply;
        const mesh::ModelHash hash{request.model};
        const auto entry = catalogue_.find(hash);
        try {
            if (!entry) throw model::ModelError("this device does not hold the model's file");
            if (!is_good(serving_, hash)) serving_ = Catalogue::open(*entry);
            reply =
                answer_piece_request(request, *serving_->source, serving_->source->header_bytes());
        } catch (const FileFailed& e) {
            reply.error = e.what();
            serving_.reset();
            loop_.post([this, entry = *entry, why = reply.error] { file_failed(entry, why); });
        } catch (const std::exception& e) {
            reply.error = e.what();
        }
        reply.error.resize(std::min(reply.error.size(), mesh::messages::kMaxText));
        loop_.post([this, from, id, reply = std::move(reply)] {
            // Whoever cannot be reached asks another holder.
            static_cast<void>(links_.send(from, {id, reply}));
        });
    });
}

}  // namespace shoal
