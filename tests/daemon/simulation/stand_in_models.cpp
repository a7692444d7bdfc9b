#include "tests/daemon/simulation/stand_in_models.hpp"

#include <algorithm>
#include <utility>

#include "tests/daemon/support.hpp"

namespace shoal::tests::simulation {

using mesh::messages::PieceReply;
using mesh::messages::PieceRequest;
using std::chrono::milliseconds;

namespace {

// Messages that a model's header and pieces come in.
constexpr std::uint64_t kMessages = 3;
constexpr auto kLook = milliseconds(100);
constexpr auto kAnswerPatience = std::chrono::seconds(3);

const ModelFile* file_of(const mesh::ModelHash& hash) {
    const auto& files = model_files();
    const auto it = std::find_if(files.begin(), files.end(),
                                 [&](const ModelFile& f) { return f.entry.hash == hash; });
    return it == files.end() ? nullptr : &*it;
}

}  // namespace

const std::vector<ModelFile>& model_files() {
    static const std::vector<ModelFile> files = [] {
        std::vector<ModelFile> out;
        TemporaryFolder state;
        Catalogue catalogue(state.folder);
        for (const auto& path : {tiny_model(), other_model()}) {
            const CatalogueEntry entry = catalogue.add(path);
            out.push_back({Catalogue::open(entry), entry});
        }
        return out;
    }();
    return files;
}

StandInModels::StandInModels(Surroundings around, ModelProvider::Links links)
    : around_(around), links_(std::move(links)) {
    read_ = around_.loop.after(within(milliseconds(3000)), [this] {
        reading_ = false;
        links_.catalogue_changed();
    });
}

Loop::Clock::duration StandInModels::within(milliseconds most) {
    return std::chrono::microseconds(
        std::uniform_int_distribution<std::int64_t>(1, most.count() * 1000)(around_.random));
}

void StandInModels::announce(mesh::messages::Announcement& announcement) const {
    announcement.reading = reading_;
    for (const std::size_t file : around_.disk) {
        announcement.models.push_back(announced(model_files()[file].entry));
    }
}

bool StandInModels::holds(const mesh::ModelHash& hash) const {
    return std::any_of(around_.disk.begin(), around_.disk.end(),
                       [&](std::size_t file) { return model_files()[file].entry.hash == hash; });
}

void StandInModels::add(std::string path, Added done) {
    tasks_.push_back(around_.loop.after(
        within(milliseconds(500)), [this, path = std::move(path), done = std::move(done)] {
            for (std::size_t file = 0; file < model_files().size(); ++file) {
                const CatalogueEntry& entry = model_files()[file].entry;
                if (entry.path != path) continue;
                around_.disk.insert(file);
                links_.catalogue_changed();
                return done(entry.hash, "");
            }
            done({}, "there is no file " + path);
        }));
}

void StandInModels::get(Want want) {
    Wanted& wanted = wanted_.emplace_back();
    wanted.want = std::move(want);
    wanted.number = next_++;
    wanted.timer = around_.loop.after(within(milliseconds(50)),
                                      [this, number = wanted.number] { go_on(number); });
}

void StandInModels::cancel(const void* owner) noexcept {
    wanted_.remove_if([&](const Wanted& wanted) { return wanted.want.owner == owner; });
}

std::list<StandInModels::Wanted>::iterator StandInModels::find(std::uint64_t number) {
    return std::find_if(wanted_.begin(), wanted_.end(),
                        [&](const Wanted& wanted) { return wanted.number == number; });
}

void StandInModels::finish(std::uint64_t number, const std::shared_ptr<const OpenModel>& model,
                           const std::string& error) {
    const auto it = find(number);
    if (it == wanted_.end()) return;
    const Want want = std::move(it->want);
    wanted_.erase(it);
    want.done(model, error);
}

void StandInModels::go_on(std::uint64_t number) {
    const auto it = find(number);
    if (it == wanted_.end()) return;
    const ModelFile* file = file_of(it->want.model.hash);
    if (file == nullptr) return finish(number, nullptr, "no such model");
    const bool readable = around_.loop.now() >= around_.faults.unreadable_until;
    if (readable && holds(it->want.model.hash)) return finish(number, file->open, "");
    if (it->received == kMessages) {
        try {
            static_cast<void>(it->want.pieces(*file->open));
        } catch (const std::exception& e) {
            return finish(number, nullptr, e.what());
        }
        return finish(number, file->open, "");
    }
    fetch(*it);
    it->timer = around_.loop.after(kLook, [this, number] { go_on(number); });
}

void StandInModels::fetch(Wanted& wanted) {
    const auto now = around_.loop.now();
    const auto holders = links_.holders(wanted.want.model.hash);
    const bool asked = wanted.asked && now - wanted.asked_at < kAnswerPatience &&
                       std::find(holders.begin(), holders.end(), *wanted.asked) != holders.end();
    if (asked) return;
    if (holders.empty()) {
        if (!std::exchange(wanted.waits, true)) wanted.want.progress(0, 0);
        return;
    }
    wanted.waits = false;
    const mesh::DeviceId holder =
        holders[std::uniform_int_distribution<std::size_t>(0, holders.size() - 1)(around_.random)];
    PieceRequest request;
    request.model = wanted.want.model.hash.bytes;
    request.offset = wanted.received;
    request.bytes = 1;
    wanted.request = next_++;
    if (!links_.send(holder, {wanted.request, request})) return;
    wanted.asked = holder;
    wanted.asked_at = now;
}

void StandInModels::on_piece_request(const mesh::DeviceId& from, std::uint64_t id,
                                     const PieceRequest& request) {
    tasks_.push_back(around_.loop.after(within(milliseconds(50)), [this, from, id, request] {
        PieceReply reply;
        const bool readable = around_.loop.now() >= around_.faults.unreadable_until;
        if (!readable || !holds({request.model})) reply.error = "this device does not hold it";
        static_cast<void>(links_.send(from, {id, reply}));
    }));
}

void StandInModels::on_piece_reply(const mesh::DeviceId& from, std::uint64_t id, PieceReply reply) {
    const auto it = std::find_if(wanted_.begin(), wanted_.end(), [&](const Wanted& wanted) {
        return wanted.request == id && wanted.asked == from;
    });
    if (it == wanted_.end()) return;
    it->asked.reset();
    if (!reply.error.empty()) return;
    const std::uint64_t number = it->number;
    ++it->received;
    it->want.progress(it->received, kMessages);
    go_on(number);
}

}  // namespace shoal::tests::simulation
