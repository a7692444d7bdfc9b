#include "daemon/model_provider.hpp"

#include <algorithm>
#include <utility>

namespace shoal {

using mesh::wire::PieceReply;
using mesh::wire::PieceRequest;

ModelProvider::ModelProvider(ControlLoop& loop, Worker& worker, Catalogue& catalogue,
                             std::filesystem::path store_folder, Links links)
    : loop_(loop),
      worker_(worker),
      catalogue_(catalogue),
      store_folder_(std::move(store_folder)),
      links_(std::move(links)) {}

std::shared_ptr<const OpenModel> ModelProvider::opened(const mesh::ModelHash& hash) const noexcept {
    auto model = opened_.lock();
    return model && model->hash == hash ? model : nullptr;
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
    const auto entry = catalogue_.find(want.hash);
    if (!entry) {
        fetches_.emplace_back().want = std::move(want);
        return begin_fetches();
    }
    if (auto model = opened(want.hash)) return deliver(std::move(want), std::move(model), "");
    open_file(std::move(want), *entry);
}

void ModelProvider::open_file(Want want, const CatalogueEntry& entry) {
    worker_.post([this, want = std::move(want), entry] {
        std::shared_ptr<const OpenModel> model;
        std::string error;
        try {
            model = Catalogue::open(entry);
        } catch (const std::exception& e) {
            error = e.what();
        }
        loop_.post([this, model] {
            if (model) opened_ = model;
        });
        deliver(want, std::move(model), std::move(error));
    });
}

// Two fetches of one model would write the same files: one after the other, and the second finds
// there what the first has fetched.
void ModelProvider::begin_fetches() {
    for (auto it = fetches_.begin(); it != fetches_.end(); ++it) {
        const bool first = std::none_of(fetches_.begin(), it, [&](const Fetch& other) {
            return other.want.hash == it->want.hash;
        });
        if (first && !it->fetcher && !it->finished) begin(*it);
    }
}

void ModelProvider::begin(Fetch& fetch) {
    Fetcher::Callbacks callbacks;
    callbacks.send = links_.send;
    callbacks.holders = [this, hash = fetch.want.hash] { return links_.holders(hash); };
    callbacks.wanted = fetch.want.pieces;
    callbacks.progress = fetch.want.progress;
    callbacks.done = [&fetch](std::string error) {
        fetch.finished = true;
        fetch.error = std::move(error);
    };
    try {
        fetch.fetcher =
            std::make_unique<Fetcher>(std::make_unique<PieceStore>(store_folder_, fetch.want.hash),
                                      fetch.want.hash, fetch.want.file_bytes, std::move(callbacks));
        fetch.fetcher->tick(Fetcher::Clock::now());
    } catch (const std::exception& e) {
        fetch.finished = true;
        fetch.error = e.what();
    }
}

void ModelProvider::tick() {
    const auto now = Fetcher::Clock::now();
    for (auto it = fetches_.begin(); it != fetches_.end();) {
        if (it->fetcher && !it->finished) it->fetcher->tick(now);
        if (it->finished) {
            finish(*it);
            it = fetches_.erase(it);
        } else {
            ++it;
        }
    }
    begin_fetches();
}

void ModelProvider::finish(Fetch& fetch) {
    std::shared_ptr<const OpenModel> model;
    if (fetch.error.empty()) {
        try {
            model = fetch.fetcher->store().open(fetch.want.name, fetch.want.file_bytes,
                                                fetch.want.tokenizer);
        } catch (const std::exception& e) {
            fetch.error = e.what();
        }
    }
    deliver(std::move(fetch.want), std::move(model), std::move(fetch.error));
}

void ModelProvider::on_piece_reply(const mesh::DeviceId& from, std::uint64_t id, PieceReply reply) {
    for (Fetch& fetch : fetches_) {
        if (!fetch.fetcher || fetch.finished) continue;
        fetch.fetcher->on_reply(id, from, reply, Fetcher::Clock::now());
    }
}

void ModelProvider::on_piece_request(const mesh::DeviceId& from, std::uint64_t id,
                                     const PieceRequest& request) {
    // Files are mapped and read on the worker, so that a slow disk does not hold up heartbeats.
    worker_.post([this, from, id, request] {
        PieceReply reply;
        const mesh::ModelHash hash{request.model};
        try {
            if (!serving_ || serving_->hash != hash) {
                const auto entry = catalogue_.find(hash);
                if (!entry) throw model::ModelError("this device does not hold the model's file");
                serving_ = Catalogue::open(*entry);
            }
            reply =
                answer_piece_request(request, *serving_->source, serving_->source->header_bytes());
        } catch (const std::exception& e) {
            reply.error = std::string(e.what()).substr(0, mesh::wire::kMaxText);
        }
        loop_.post([this, from, id, reply = std::move(reply)] {
            // Whoever cannot be reached asks another holder.
            static_cast<void>(links_.send(from, {id, reply}));
        });
    });
}

}  // namespace shoal
