#include "daemon/core/whole_fetch.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "daemon/log/log.hpp"
#include "daemon/pieces/piece_file.hpp"

namespace shoal {

using mesh::messages::FileReply;
using mesh::messages::FileRequest;
using mesh::messages::Severity;

void WholeFetch::start() {
    if (files_ == nullptr) return;
    looking_ = loop_.after(
        kLook,
        [this] {
            start();
            look();
        },
        "files of models to fetch");
}

// What is computed is noticed by what changed since the last call: the first call after a pause may
// say no once too often.
bool WholeFetch::quiet() {
    const std::uint64_t exchanges = std::exchange(exchanges_, links_.exchanges());
    if (links_.busy() || exchanges != exchanges_) busy_at_ = loop_.now();
    return loop_.now() - busy_at_ >= kQuiet;
}

// ---- for others ----

void WholeFetch::on_request(const mesh::DeviceId& from, std::uint64_t id,
                            const FileRequest& request) {
    FileReply reply;
    if (files_ != nullptr && quiet()) {
        // Whoever cannot be reached asks again.
        return files_->read(request, [this, from, id](FileReply read) {
            static_cast<void>(links_.send(from, {id, std::move(read)}));
        });
    }
    reply.busy = files_ != nullptr;
    if (!reply.busy) reply.error = "this device gives no files";
    static_cast<void>(links_.send(from, {id, std::move(reply)}));
}

// ---- for this device ----

void WholeFetch::look() {
    const bool quiet = this->quiet();
    files_->pause(!quiet);
    const std::vector<KnownModel> wanted = links_.wanted();
    if (wanted.empty()) {
        leave();
        return links_.tell(std::nullopt);
    }
    const Loop::Time now = loop_.now();
    const auto model = std::ranges::find_if(wanted, [&](const KnownModel& m) {
        const auto it = given_up_.find(m.hash);
        return it == given_up_.end() || it->second <= now;
    });
    if (model == wanted.end()) return leave();
    if (!model_ || model_->hash != model->hash) {
        leave();
        model_ = *model;
    }
    if (asked_ && now - asked_->when >= kTimeout) {
        pauses_[asked_->holder] = now + kPause;
        asked_.reset();
    }
    if (quiet && !resting_) ask();
}

// What has come stays on the disk.
void WholeFetch::leave() {
    if (!model_) return;
    model_.reset();
    ++visit_;
    part_ = {};
    begun_ = storing_ = false;
    here_ = before_ = 0;
    asked_.reset();
    resting_.reset();
    files_->leave();
}

void WholeFetch::ask() {
    if (!model_ || asked_ || storing_) return;
    const Loop::Time now = loop_.now();
    std::erase_if(pauses_, [&](const auto& pause) { return pause.second <= now; });
    std::vector<mesh::DeviceId> holders = links_.holders(model_->hash);
    std::erase_if(holders, [&](const mesh::DeviceId& id) { return pauses_.contains(id); });
    if (holders.empty()) return;
    const mesh::DeviceId holder = holders[next_holder_++ % holders.size()];
    FileRequest request;
    request.model = model_->hash.bytes;
    request.part = part_.number;
    if (begun_) {
        request.offset = here_;
        request.bytes = static_cast<std::uint32_t>(piece_file::chunk_bytes(part_.total, here_));
    }
    asked_ = {next_id_++, holder, now, request.bytes};
    if (links_.send(holder, {asked_->id, request})) return;
    pauses_[holder] = now + kQuiet;
    asked_.reset();
}

void WholeFetch::on_reply(const mesh::DeviceId& from, std::uint64_t id, FileReply reply) {
    if (!asked_ || asked_->id != id || asked_->holder != from) return;
    const Asked asked = *std::exchange(asked_, std::nullopt);
    const Loop::Time now = loop_.now();
    // Another holder may do better at once.
    const auto pause = [&](Loop::Clock::duration time) {
        pauses_[from] = now + time;
        if (quiet()) ask();
    };
    if (reply.busy) return pause(kQuiet);
    const bool good = reply.error.empty() && reply.data.size() == asked.bytes &&
                      (!begun_ || (reply.total == part_.total && reply.parts == part_.parts));
    if (!good) {
        log::info("the file of {} is not had from device {} now: {}", model_->name,
                  from.hex().substr(0, 8),
                  reply.error.empty() ? "it sent other bytes than it was asked for" : reply.error);
        return pause(kPause);
    }
    resting_ = loop_.after(
        now - asked.when,
        [this] {
            resting_.reset();
            if (quiet()) ask();
        },
        "a file of a model");
    store(std::move(reply));
}

// For what happens to the model that is fetched now.
template <typename Next>
WholeFiles::Done WholeFetch::of_this(Next next) {
    storing_ = true;
    return [this, visit = visit_, next](std::uint64_t here, const FileTrouble& trouble) {
        if (visit != visit_) return;
        storing_ = false;
        trouble ? give_up(trouble) : next(here);
    };
}

void WholeFetch::store(FileReply reply) {
    const auto came = of_this([this](std::uint64_t here) {
        here_ = here;
        tell();
        if (here_ == part_.total) return next_part();
        if (!resting_ && quiet()) ask();
    });
    if (begun_) return files_->write(here_, std::move(reply.data), came);
    part_.parts = reply.parts;
    part_.total = reply.total;
    begun_ = true;
    files_->begin(*model_, part_, came);
}

void WholeFetch::next_part() {
    begun_ = false;
    before_ += std::exchange(here_, 0);
    if (part_.number < part_.parts) {
        ++part_.number;
        if (!resting_ && quiet()) ask();
        return;
    }
    files_->finish(of_this([this](std::uint64_t) {
        // It is here, and not wanted any more as soon as the folder has been looked through.
        given_up_[model_->hash] = Loop::Time::max();
        leave();
        links_.tell(std::nullopt);
    }));
}

void WholeFetch::give_up(const FileTrouble& trouble) {
    given_up_[model_->hash] = trouble.lasting ? Loop::Time::max() : loop_.now() + kAgain;
    if (trouble.removed) {
        // By somebody who knows.
        leave();
        return links_.tell(std::nullopt);
    }
    links_.tell(mesh::messages::Warning{
        "whole-file", Severity::notice, links_.self.hex(),
        fmt::format(
            "the file of {} is not fetched from other devices, without which this one takes "
            "no tokens of long prompts: {}",
            model_->name, trouble.text),
        "copy the file into its folder of models, or set models.whole_file = \"never\""});
    leave();
}

// By tenths, as each is told to all and logged.
void WholeFetch::tell() {
    const std::uint64_t all = std::max<std::uint64_t>(1, model_->file_bytes);
    const std::uint64_t tenths = std::min<std::uint64_t>(10, (before_ + here_) / ((all + 9) / 10));
    links_.tell(mesh::messages::Warning{
        "whole-file", Severity::notice, links_.self.hex(),
        fmt::format(
            "it fetches the file of {}, {:.1f} GiB, while nothing is computed, so as to take "
            "tokens of long prompts: {} % are here",
            model_->name, static_cast<double>(all) / (1 << 30), tenths * 10),
        ""});
}

}  // namespace shoal
