#include "daemon/pieces/fetcher.hpp"

#include <algorithm>
#include <atomic>

#include "daemon/model/hparams.hpp"

namespace shoal {
namespace {

using mesh::messages::kMaxPieceBytes;
using mesh::messages::PieceReply;
using mesh::messages::PieceRequest;
using model::ModelError;
using model::Piece;

// Requests that are remembered after they were not answered in time.
constexpr std::size_t kMaxLate = 64;

// Far beyond every slice; there is a word of memory for each chunk.
constexpr std::uint64_t kMaxFetchBytes = std::uint64_t{1} << 40;

}  // namespace

Fetcher::Fetcher(std::unique_ptr<PieceStore> store, const mesh::ModelHash& model,
                 std::uint64_t file_bytes, Callbacks callbacks)
    : store_(std::move(store)),
      model_(model),
      file_bytes_(file_bytes),
      callbacks_(std::move(callbacks)) {
    if (!store_->has_header()) begin_header();
}

std::uint64_t Fetcher::next_id() noexcept {
    static std::atomic<std::uint64_t> next{1};
    return next++;
}

void Fetcher::forget_requests() noexcept {
    missing_.clear();
    to_ask_.clear();
    asked_.clear();
    late_.clear();
}

void Fetcher::want(const Chunk& chunk) {
    missing_.insert(chunk);
    to_ask_.push_back(chunk);
}

void Fetcher::begin_header() {
    stage_ = Stage::header;
    header_came_ = true;
    store_->discard_header();
    forget_requests();
    items_.assign(1, {});
    want({0, 0});
}

// Whoever does not answer in time is not waited for, but may have a slow link.
void Fetcher::give_up_on_the_slow(Clock::time_point now) {
    for (auto it = asked_.begin(); it != asked_.end();) {
        if (now - it->second.when <= kTimeout) {
            ++it;
            continue;
        }
        to_ask_.push_front(it->second.chunk);
        late_.insert(asked_.extract(it++));
        if (late_.size() > kMaxLate) late_.erase(late_.begin());
    }
}

void Fetcher::tick(Clock::time_point now) {
    if (stage_ == Stage::finished) return;
    if (out_of_patience(now)) return;
    give_up_on_the_slow(now);
    try {
        while (stage_ != Stage::finished && missing_.empty()) next_stage();
        while (!to_ask_.empty() && asked_.size() < kWindow) {
            const Chunk next = to_ask_.front();
            if (missing_.contains(next) && !ask(next, now)) break;
            to_ask_.pop_front();
        }
    } catch (const std::exception& e) {
        finish(e.what());
    }
}

bool Fetcher::out_of_patience(Clock::time_point now) {
    if (heard_ && now - *heard_ > kSilence) {
        finish("the devices that hold the model's file do not answer");
        return true;
    }
    if (!asked_.empty()) {
        stuck_since_.reset();
    } else if (!stuck_since_) {
        stuck_since_ = now;
    } else if (now - *stuck_since_ > kPatience) {
        finish(refusal_.empty() ? "no device that holds the model's file can be reached"
                                : refusal_);
        return true;
    }
    return false;
}

// False when the header makes no sense: it is of no use to a later fetch either. One that lay here
// before is fetched once more.
bool Fetcher::describes(const std::function<void()>& describe) {
    try {
        describe();
        return true;
    } catch (const ModelError&) {
        store_->discard_header();
        if (header_came_) throw;
        begin_header();
        return false;
    }
}

// What describes the model, then what `wanted` names.
void Fetcher::next_stage() {
    if (stage_ == Stage::pieces) {
        store_->settle();
        return finish("");
    }
    if (stage_ == Stage::header) {
        std::unique_ptr<const model::WeightSource> source;
        if (!describes([&] { source = store_->source(file_bytes_); })) return;
        stage_ = Stage::first_pieces;
        // One that is too long for what it should be is refused by the description.
        const auto* freqs = source->header().find_tensor(model::tensor_name::kRopeFreqs);
        std::vector<Piece> pieces;
        if (freqs != nullptr && freqs->bytes <= PieceStore::kChunk) {
            pieces.push_back(model::whole(*freqs));
        }
        return queue(std::move(pieces), source->header());
    }
    std::shared_ptr<const OpenModel> described;
    if (!describes([&] { described = store_->open("", file_bytes_, false); })) return;
    stage_ = Stage::pieces;
    queue(callbacks_.wanted(*described), described->source->header());
}

void Fetcher::queue(std::vector<Piece> pieces, const model::GgufHeader& header) {
    items_.clear();
    forget_requests();
    done_bytes_ = total_bytes_ = 0;
    for (std::size_t i = 0; i < pieces.size(); ++i) {
        // A piece within another one comes with it; of two equal ones the first is fetched.
        const Piece& piece = pieces[i];
        bool comes = false;
        for (std::size_t k = 0; k < pieces.size() && !comes; ++k) {
            comes = k != i && contains(pieces[k], piece) && (pieces[k] != piece || k < i);
        }
        if (comes) continue;
        const model::TensorInfo& info = header.tensor(piece.tensor);
        const std::uint64_t total = model::piece_bytes(info, piece);
        total_bytes_ += total;
        done_bytes_ += total;
        if (total_bytes_ > kMaxFetchBytes)
            throw ModelError("more is to be fetched than any model has");
        for (const std::uint64_t offset : store_->missing(info, piece)) {
            want({items_.size(), offset});
            done_bytes_ -= std::min<std::uint64_t>(PieceStore::kChunk, total - offset);
        }
        items_.push_back({piece, total});
    }
}

bool Fetcher::ask(const Chunk& chunk, Clock::time_point now) {
    const std::vector<mesh::DeviceId> holders = callbacks_.holders();
    const Item& item = items_[chunk.item];
    PieceRequest request;
    request.model = model_.bytes;
    if (item.piece) {
        request.tensor = item.piece->tensor;
        request.row_begin = item.piece->row_begin;
        request.row_end = item.piece->row_end;
        request.col_begin = item.piece->col_begin;
        request.col_end = item.piece->col_end;
    }
    request.offset = chunk.offset;
    // The header's length is known from its first answer.
    request.bytes = static_cast<std::uint32_t>(
        item.total == 0 ? PieceStore::kChunk
                        : std::min<std::uint64_t>(PieceStore::kChunk, item.total - chunk.offset));
    bool any_left = holders.empty();
    for (std::size_t i = 0; i < holders.size(); ++i) {
        const mesh::DeviceId& holder = holders[next_holder_++ % holders.size()];
        if (refused_.contains(holder)) continue;
        any_left = true;
        const std::uint64_t id = next_id();
        if (!callbacks_.send(holder, {id, request})) continue;
        asked_[id] = {chunk, request.bytes, holder, now};
        if (!heard_) heard_ = now;
        return true;
    }
    if (!any_left) throw ModelError(refusal_);
    return false;
}

void Fetcher::on_unsent(std::uint64_t id) {
    const auto it = asked_.find(id);
    if (it == asked_.end()) return;
    to_ask_.push_front(it->second.chunk);
    asked_.erase(it);
}

void Fetcher::on_reply(std::uint64_t id, const mesh::DeviceId& from, PieceReply reply,
                       Clock::time_point now) {
    if (stage_ == Stage::finished) return;
    const bool late = late_.contains(id);
    auto& asked = late ? late_ : asked_;
    const auto it = asked.find(id);
    if (it == asked.end() || it->second.holder != from) return;
    const Asked answered = it->second;
    asked.erase(it);
    heard_ = now;
    stuck_since_.reset();
    try {
        // What a late answer lacks has been asked for again already.
        if (!take(answered, std::move(reply)) && !late) to_ask_.push_front(answered.chunk);
    } catch (const std::exception& e) {
        return finish(e.what());
    }
    tick(now);
}

bool Fetcher::refuse(const mesh::DeviceId& holder, const std::string& why) {
    refused_.insert(holder);
    refusal_ = "device " + holder.hex().substr(0, 8) + why;
    return false;
}

// False when another holder is to be asked. Throws what the store throws.
bool Fetcher::take(const Asked& asked, PieceReply reply) {
    if (!reply.error.empty()) return refuse(asked.holder, ": " + reply.error);
    const Chunk& chunk = asked.chunk;
    Item& item = items_[chunk.item];
    if (!item.piece && !take_header(asked, reply)) return false;
    if (item.piece && reply.data.size() != asked.bytes) {
        return refuse(asked.holder, " sent a piece of the wrong length");
    }
    if (missing_.erase(chunk) == 0) return true;  // It came from somebody else meanwhile.
    store_->write(item.piece, chunk.offset, reply.data, item.total);
    // Nobody needs to answer any more what has come.
    const auto here = [&](const auto& entry) { return entry.second.chunk == chunk; };
    std::erase_if(asked_, here);
    std::erase_if(late_, here);
    if (stage_ != Stage::pieces) return true;
    done_bytes_ += reply.data.size();
    callbacks_.progress(done_bytes_, total_bytes_);
    return true;
}

bool Fetcher::take_header(const Asked& asked, const PieceReply& reply) {
    Item& item = items_[asked.chunk.item];
    const std::uint64_t most = std::min(file_bytes_, model::kMaxHeaderFileBytes);
    const bool known =
        item.total == 0 ? reply.total != 0 && reply.total <= most : reply.total == item.total;
    if (!known || reply.data.size() != std::min<std::uint64_t>(PieceStore::kChunk,
                                                               reply.total - asked.chunk.offset)) {
        return refuse(asked.holder, " sent a header of the wrong length");
    }
    if (item.total != 0) return true;
    item.total = reply.total;
    for (std::uint64_t at = PieceStore::kChunk; at < item.total; at += PieceStore::kChunk) {
        want({asked.chunk.item, at});
    }
    return true;
}

void Fetcher::finish(std::string error) {
    stage_ = Stage::finished;
    forget_requests();
    callbacks_.done(std::move(error));
}

PieceReply answer_piece_request(const PieceRequest& request, const model::WeightSource& source,
                                std::span<const std::byte> header) {
    PieceReply reply;
    if (request.bytes > kMaxPieceBytes) {
        reply.error = "more than " + std::to_string(kMaxPieceBytes) + " bytes asked for at once";
        return reply;
    }
    if (request.tensor.empty()) {
        reply.total = header.size();
        if (request.offset <= header.size()) {
            const auto part = header.subspan(request.offset);
            const auto end = part.begin() + static_cast<std::ptrdiff_t>(
                                                std::min<std::size_t>(request.bytes, part.size()));
            reply.data.assign(part.begin(), end);
        }
        return reply;
    }
    const Piece piece{request.tensor, request.row_begin, request.row_end, request.col_begin,
                      request.col_end};
    try {
        reply.data.resize(request.bytes);
        source.read(piece, request.offset, reply.data);
        reply.total = model::piece_bytes(source.header().tensor(piece.tensor), piece);
    } catch (const ModelError& e) {
        reply.data.clear();
        reply.error = std::string(e.what()).substr(0, mesh::messages::kMaxText);
    }
    return reply;
}

}  // namespace shoal
