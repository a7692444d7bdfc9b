#include "daemon/pieces/whole_file_store.hpp"

#include <algorithm>
#include <chrono>
#include <map>
#include <system_error>
#include <utility>

#include "daemon/log/log.hpp"
#include "daemon/model/split.hpp"

namespace shoal {

using mesh::messages::FileReply;
using mesh::messages::FileRequest;
using model::ModelError;

namespace {

// What nobody has written to for longer is of a model that this device has no use for.
constexpr auto kForgotten = std::chrono::hours(24 * 30);
constexpr auto kLookAgain = std::chrono::hours(24);

bool lists(const std::vector<mesh::ModelHash>& list, const mesh::ModelHash& hash) {
    return std::ranges::find(list, hash) != list.end();
}

struct Begun {
    std::vector<mesh::ModelHash> found, forgotten;
};

// The models of which parts lie in a folder.
Begun look_through(const std::filesystem::path& folder) {
    struct Parts {
        std::vector<std::filesystem::path> paths;
        std::filesystem::file_time_type written;  // last
    };
    std::map<mesh::ModelHash, Parts> models;
    std::error_code error;
    auto it = std::filesystem::directory_iterator(folder, error);
    for (; !error && it != std::filesystem::directory_iterator(); it.increment(error)) {
        const std::string name = it->path().filename();
        if (!name.starts_with(model::kArriving)) continue;
        const auto hash = mesh::ModelHash::from_hex(
            name.substr(model::kArriving.size(), 2 * mesh::ModelHash{}.bytes.size()));
        std::error_code unknown;
        const auto written = it->last_write_time(unknown);
        if (!hash || unknown) continue;
        Parts& parts = models[*hash];
        parts.written = parts.paths.empty() ? written : std::max(parts.written, written);
        parts.paths.push_back(it->path());
    }
    Begun begun;
    const auto now = std::filesystem::file_time_type::clock::now();
    for (const auto& [hash, parts] : models) {
        const bool forgotten = now - parts.written > kForgotten;
        (forgotten ? begun.forgotten : begun.found).push_back(hash);
        if (!forgotten) continue;
        for (const auto& path : parts.paths) std::filesystem::remove(path, error);
    }
    return begun;
}

}  // namespace

WholeFileStore::WholeFileStore(Loop& loop, Catalogue& catalogue,
                               std::function<std::string()> folder)
    : loop_(loop), catalogue_(catalogue), folder_(std::move(folder)) {}

WholeFileStore::~WholeFileStore() {
    worker_.stop();
}

void WholeFileStore::look() {
    looking_ = loop_.after(
        kLookAgain, [this] { look(); }, "files of models begun");
    worker_.post([this, folder = folder_()] {
        loop_.post([this, now = look_through(folder)] {
            for (const mesh::ModelHash& hash : now.forgotten) std::erase(begun_, hash);
            for (const mesh::ModelHash& hash : now.found) {
                if (!lists(begun_, hash)) begun_.push_back(hash);
            }
        });
    });
}

std::stop_source WholeFileStore::at_disk(
    Done done, std::function<std::uint64_t(const std::stop_token&)> work) {
    return worker_.post(Background::Task([this, done = std::move(done), work = std::move(work),
                                          hash = coming_](const std::stop_token& stop) {
        std::uint64_t here = 0;
        FileTrouble trouble;
        try {
            here = work(stop);
        } catch (const NotNow& e) {
            trouble = {e.what(), false, false};
        } catch (const Removed& e) {
            trouble = {e.what(), true, true};
        } catch (const std::exception& e) {
            trouble = {e.what(), true, false};
        }
        loop_.post([this, done, here, trouble, hash] {
            if (trouble.lasting) std::erase(begun_, hash);
            done(here, trouble);
        });
    }));
}

// Waits while the device is busy; false when it is not to be gone on with.
bool WholeFileStore::go_on(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    return resumed_.wait(lock, stop, [this] { return !paused_; }) && !stop.stop_requested();
}

void WholeFileStore::pause(bool busy) {
    const std::lock_guard lock(mutex_);
    paused_ = busy;
    resumed_.notify_all();
}

void WholeFileStore::begin(const KnownModel& model, const FilePart& part, Done done) {
    if (!lists(begun_, model.hash)) begun_.push_back(model.hash);
    coming_ = model.hash;
    beginning_ = at_disk(std::move(done),
                         [this, model, part, folder = folder_()](const std::stop_token& stop) {
                             if (part.number == 1) {
                                 arriving_.reset();  // it has the lock
                                 arriving_ = std::make_unique<ArrivingModel>(folder, model);
                             }
                             if (!arriving_ || arriving_->model().hash != model.hash) {
                                 throw NotNow("its first part is not here");
                             }
                             return arriving_->begin(part, [&] { return go_on(stop); });
                         });
}

void WholeFileStore::write(std::uint64_t offset, std::vector<std::byte> bytes, Done done) {
    at_disk(std::move(done), [this, offset, bytes = std::move(bytes)](const std::stop_token&) {
        if (!arriving_) throw NotNow("it was left");
        return arriving_->write(offset, bytes);
    });
}

void WholeFileStore::finish(Done done) {
    at_disk(std::move(done), [this](const std::stop_token&) {
        const auto arrived = std::exchange(arriving_, nullptr);
        if (!arrived) throw NotNow("it was left");
        // Names wake those who watch the folder, who would read all of it.
        const auto path = arrived->finish([&](const auto& first, const model::FileStamp& stamp) {
            catalogue_.vouch(first, stamp, arrived->model().hash);
        });
        log::info("{} has come from another device: {}", arrived->model().name, path.string());
        loop_.post([this, hash = arrived->model().hash] { std::erase(begun_, hash); });
        return arrived->model().file_bytes;
    });
}

void WholeFileStore::leave() {
    beginning_.request_stop();
    worker_.post([this] { arriving_.reset(); });
}

void WholeFileStore::read(const FileRequest& request, std::function<void(FileReply)> done) {
    worker_.post([this, request, done = std::move(done)] {
        loop_.post([this, done, reply = answer(request)] {
            unused_ = loop_.after(
                kUnused, [this] { worker_.post([this] { served_.reset(); }); },
                "a file that others read");
            done(reply);
        });
    });
}

FileReply WholeFileStore::answer(const FileRequest& request) {
    FileReply reply;
    try {
        if (request.bytes > mesh::messages::kMaxPieceBytes) {
            throw ModelError("more bytes than one message takes");
        }
        const Served& model = served({request.model});
        if (request.part == 0 || request.part > model.files.size()) {
            throw ModelError("the model has no such part");
        }
        const model::StableFile& file = *model.files[request.part - 1];
        reply.parts = static_cast<std::uint32_t>(model.files.size());
        reply.total = file.stamp().bytes;
        if (request.offset > reply.total || request.bytes > reply.total - request.offset) {
            throw ModelError("bytes beyond the end of the file");
        }
        reply.data.resize(request.bytes);
        if (request.bytes != 0) file.read(request.offset, reply.data);
    } catch (const std::exception& e) {
        // What is wrong with the file its next reader tells this device's user.
        served_.reset();
        reply = {};
        reply.error = std::string(e.what()).substr(0, mesh::messages::kMaxText);
    }
    return reply;
}

const WholeFileStore::Served& WholeFileStore::served(const mesh::ModelHash& hash) {
    const auto entry = catalogue_.find(hash);
    if (!entry) throw ModelError("this device does not hold the model's file");
    if (served_ && served_->hash == hash) return *served_;
    served_.reset();
    auto model = std::make_unique<Served>();
    model->hash = hash;
    std::vector<model::FileStamp> stamps;
    for (const auto& path : model::model_files(entry->path)) {
        model->files.push_back(std::make_unique<const model::StableFile>(path));
        stamps.push_back(model->files.back()->stamp());
    }
    if (model::combined(stamps) != entry->stamp) {
        throw ModelError(entry->path.string() + ": is not the file any more that it was");
    }
    served_ = std::move(model);
    return *served_;
}

}  // namespace shoal
