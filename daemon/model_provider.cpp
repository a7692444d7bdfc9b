#include "daemon/model_provider.hpp"

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
        if (model) opened_ = model;
        want.done(model, error);
    });
}

void ModelProvider::get(Want want) {
    want.asked_at = cancelled_[want.owner];
    const auto entry = catalogue_.find(want.hash);
    if (!entry) return fetch(std::move(want));
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
        deliver(want, std::move(model), std::move(error));
    });
}

void ModelProvider::fetch(Want want) {
    std::unique_ptr<PieceStore> store;
    try {
        store = std::make_unique<PieceStore>(store_folder_, want.hash);
    } catch (const std::exception& e) {
        return deliver(std::move(want), nullptr, e.what());
    }
    Fetch& fetch = fetches_.emplace_back();
    fetch.want = std::move(want);
    Fetcher::Callbacks callbacks;
    callbacks.send = links_.send;
    callbacks.holders = [this, hash = fetch.want.hash] { return links_.holders(hash); };
    callbacks.wanted = fetch.want.pieces;
    callbacks.progress = fetch.want.progress;
    callbacks.done = [&fetch](std::string error) {
        fetch.finished = true;
        fetch.error = std::move(error);
    };
    fetch.fetcher = std::make_unique<Fetcher>(std::move(store), fetch.want.hash,
                                              fetch.want.file_bytes, std::move(callbacks));
    fetch.fetcher->tick(Fetcher::Clock::now());
}

void ModelProvider::tick() {
    const auto now = Fetcher::Clock::now();
    for (auto it = fetches_.begin(); it != fetches_.end();) {
        if (!it->finished) it->fetcher->tick(now);
        if (it->finished) {
            finish(*it);
            it = fetches_.erase(it);
        } else {
            ++it;
        }
    }
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
        if (!fetch.finished) fetch.fetcher->on_reply(id, from, reply, Fetcher::Clock::now());
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
