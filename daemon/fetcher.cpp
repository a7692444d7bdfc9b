#include "daemon/fetcher.hpp"

#include <algorithm>
#include <atomic>

#include "daemon/model/hparams.hpp"

namespace shoal {
namespace {

using mesh::wire::kMaxPieceBytes;
using mesh::wire::PieceReply;
using mesh::wire::PieceRequest;
using mesh::wire::PlanFrame;
using model::ModelError;
using model::Piece;

// Requests that are remembered after they were not answered in time.
constexpr std::size_t kMaxLate = 64;

}  // namespace

Fetcher::Fetcher(std::unique_ptr<PieceStore> store, const mesh::ModelHash& model,
                 std::uint64_t file_bytes, Callbacks callbacks)
    : store_(std::move(store)),
      model_(model),
      file_bytes_(file_bytes),
      callbacks_(std::move(callbacks)) {
    if (!store_->have_header().complete) begin_header();
}

std::uint64_t Fetcher::next_id() noexcept {
    static std::atomic<std::uint64_t> next{1};
    return next++;
}

void Fetcher::forget_requests() noexcept {
    asked_.clear();
    late_.clear();
    again_.clear();
}

void Fetcher::begin_header() {
    stage_ = Stage::header;
    header_came_ = true;
    const std::uint64_t here = store_->have_header().bytes;
    forget_requests();
    items_.clear();
    items_.push_back({std::nullopt, 0, here, here, {}});
}

void Fetcher::tick(Clock::time_point now) {
    if (stage_ == Stage::finished) return;
    // Whoever does not answer in time is not waited for, but may have a slow link.
    for (auto it = asked_.begin(); it != asked_.end();) {
        if (now - it->second.when > kTimeout) {
            again_.push_back(it->second);
            late_.insert(asked_.extract(it++));
            if (late_.size() > kMaxLate) late_.erase(late_.begin());
        } else {
            ++it;
        }
    }
    try {
        const auto complete = [](const Item& i) { return i.total != 0 && i.written == i.total; };
        while (stage_ != Stage::finished && std::all_of(items_.begin(), items_.end(), complete)) {
            begin_pieces();
        }
        if (stage_ != Stage::finished) ask_more(now);
    } catch (const std::exception& e) {
        return finish(e.what());
    }
    if (stage_ == Stage::finished || !asked_.empty()) {
        stuck_since_.reset();
    } else if (!stuck_since_) {
        stuck_since_ = now;
    } else if (now - *stuck_since_ > kPatience) {
        finish(refusal_.empty() ? "no device that holds the model's file can be reached"
                                : refusal_);
    }
}

// The model's description. A header that makes no sense is of no use to a later fetch either; one
// that lay here before may have been damaged, so it is fetched once more.
std::shared_ptr<const OpenModel> Fetcher::describe() {
    try {
        return store_->open("", file_bytes_, false);
    } catch (const ModelError&) {
        store_->discard_header();
        if (header_came_) throw;
        begin_header();
        return nullptr;
    }
}

// The next stage's items: what describes the model, then what `wanted` names.
void Fetcher::begin_pieces() {
    if (stage_ == Stage::pieces) return finish("");
    if (stage_ == Stage::header) {
        std::unique_ptr<const model::WeightSource> source;
        try {
            source = store_->source(file_bytes_);
        } catch (const ModelError&) {
            store_->discard_header();
            if (header_came_) throw;
            return begin_header();
        }
        stage_ = Stage::first_pieces;
        const auto* freqs = source->header().find_tensor(model::tensor_name::kRopeFreqs);
        std::vector<Piece> pieces;
        if (freqs != nullptr) pieces.push_back(model::whole(*freqs));
        return queue(std::move(pieces), source->header());
    }
    const auto described = describe();
    if (!described) return;
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
        const PieceStore::Have have = store_->have(info, piece);
        const std::uint64_t total = model::piece_bytes(info, piece);
        total_bytes_ += total;
        done_bytes_ += have.complete ? total : have.bytes;
        if (!have.complete) items_.push_back({piece, total, have.bytes, have.bytes, {}});
    }
}

bool Fetcher::ask(std::size_t index, std::uint64_t offset, std::uint32_t bytes,
                  Clock::time_point now) {
    const std::vector<mesh::DeviceId> holders = callbacks_.holders();
    const Item& item = items_[index];
    PieceRequest request;
    request.model = model_.bytes;
    if (item.piece) {
        request.tensor = item.piece->tensor;
        request.row_begin = item.piece->row_begin;
        request.row_end = item.piece->row_end;
        request.col_begin = item.piece->col_begin;
        request.col_end = item.piece->col_end;
    }
    request.offset = offset;
    request.bytes = bytes;
    bool any_left = holders.empty();
    for (std::size_t i = 0; i < holders.size(); ++i) {
        const mesh::DeviceId& holder = holders[next_holder_++ % holders.size()];
        if (refused_.contains(holder)) continue;
        any_left = true;
        const std::uint64_t id = next_id();
        if (!callbacks_.send(holder, {id, request})) continue;
        asked_[id] = {index, offset, bytes, holder, now};
        return true;
    }
    if (!any_left) throw ModelError(refusal_);
    return false;
}

void Fetcher::ask_more(Clock::time_point now) {
    for (; !again_.empty() && asked_.size() < kWindow; again_.pop_front()) {
        const Asked a = again_.front();
        if (!ask(a.item, a.offset, a.bytes, now)) return;
    }
    for (std::size_t i = 0; i < items_.size() && asked_.size() < kWindow; ++i) {
        Item& item = items_[i];
        // The header's length is known from its first answer.
        const auto wants = [&] {
            return item.total == 0 ? item.asked == item.written && asked_.empty()
                                   : item.asked < item.total && item.asked - item.written < kAhead;
        };
        while (asked_.size() < kWindow && wants()) {
            const std::uint64_t left = item.total == 0 ? kMaxPieceBytes : item.total - item.asked;
            const auto bytes =
                static_cast<std::uint32_t>(std::min<std::uint64_t>(left, kMaxPieceBytes));
            if (!ask(i, item.asked, bytes, now)) return;
            item.asked += bytes;
        }
    }
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
    try {
        // What a late answer lacks has been asked for again already.
        if (!take(answered, std::move(reply)) && !late) again_.push_back(answered);
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
    if (!items_[asked.item].piece) return take_header(asked, std::move(reply));
    if (reply.data.size() != asked.bytes) {
        return refuse(asked.holder, " sent a piece of the wrong length");
    }
    write(asked.item, asked.offset, std::move(reply.data));
    return true;
}

bool Fetcher::take_header(const Asked& asked, PieceReply reply) {
    Item& item = items_[asked.item];
    const bool first = item.total == 0;
    const bool known =
        first ? reply.total != 0 && reply.total <= file_bytes_ : reply.total == item.total;
    if (known && asked.offset > reply.total) {
        // More than the whole header lay here.
        store_->discard_header();
        begin_header();
        return true;
    }
    // The first answer may be short, and there is nothing to send when all was here already.
    const std::size_t size = reply.data.size();
    if (!known || size > asked.bytes || size > reply.total - asked.offset ||
        (first ? size == 0 && asked.offset != reply.total : size != asked.bytes)) {
        return refuse(asked.holder, " sent a header of the wrong length");
    }
    item.total = reply.total;
    if (first) item.asked = asked.offset + size;
    write(asked.item, asked.offset, std::move(reply.data));
    return true;
}

// The store appends, so what came early waits for what lies before it.
void Fetcher::write(std::size_t index, std::uint64_t offset, std::vector<std::byte> data) {
    Item& item = items_[index];
    if (offset >= item.written) item.early.emplace(offset, std::move(data));
    while (!item.early.empty() && item.early.begin()->first == item.written) {
        const std::vector<std::byte> next = std::move(item.early.begin()->second);
        item.early.erase(item.early.begin());
        if (item.piece) {
            store_->append(*item.piece, next, item.total);
            done_bytes_ += next.size();
        } else {
            store_->append_header(next, item.total);
        }
        item.written += next.size();
        if (next.empty()) break;
    }
    // Nobody needs to answer any more what has come.
    const auto here = [&](const Asked& a) { return a.item == index && a.offset < item.written; };
    std::erase_if(asked_, [&](const auto& entry) { return here(entry.second); });
    std::erase_if(late_, [&](const auto& entry) { return here(entry.second); });
    std::erase_if(again_, here);
    if (total_bytes_ != 0) callbacks_.progress(done_bytes_, total_bytes_);
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
        reply.error = std::string(e.what()).substr(0, mesh::wire::kMaxText);
    }
    return reply;
}

}  // namespace shoal
