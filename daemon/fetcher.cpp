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

}  // namespace

Fetcher::Fetcher(std::unique_ptr<PieceStore> store, const mesh::ModelHash& model,
                 std::uint64_t file_bytes, Callbacks callbacks)
    : store_(std::move(store)),
      model_(model),
      file_bytes_(file_bytes),
      callbacks_(std::move(callbacks)) {
    const PieceStore::Have header = store_->have_header();
    if (!header.complete) {
        items_.push_back({std::nullopt, 0, header.bytes, header.bytes, {}});
    }
}

std::uint64_t Fetcher::next_id() noexcept {
    static std::atomic<std::uint64_t> next{1};
    return next++;
}

void Fetcher::tick(Clock::time_point now) {
    if (stage_ == Stage::finished) return;
    // Whoever does not answer in time is not waited for.
    std::vector<Asked> late;
    for (auto it = asked_.begin(); it != asked_.end();) {
        if (now - it->second.when > kTimeout) {
            late.push_back(it->second);
            it = asked_.erase(it);
        } else {
            ++it;
        }
    }
    for (const Asked& a : late) {
        if (!ask(a.item, a.offset, a.bytes, now))
            items_[a.item].asked = std::min(items_[a.item].asked, a.offset);
    }
    try {
        const auto complete = [](const Item& i) { return i.total != 0 && i.written == i.total; };
        while (stage_ != Stage::finished && asked_.empty() &&
               std::all_of(items_.begin(), items_.end(), complete)) {
            begin_pieces();
        }
        ask_more(now);
    } catch (const std::exception& e) {
        finish(e.what());
    }
}

// The next stage's items: what describes the model, then what `wanted` names.
void Fetcher::begin_pieces() {
    if (stage_ == Stage::pieces) return finish("");
    if (stage_ == Stage::header) {
        stage_ = Stage::first_pieces;
        const auto source = store_->source(file_bytes_);
        const auto* freqs = source->header().find_tensor(model::tensor_name::kRopeFreqs);
        std::vector<Piece> pieces;
        if (freqs != nullptr) pieces.push_back(model::whole(*freqs));
        queue(std::move(pieces), source->header());
    } else {
        stage_ = Stage::pieces;
        const auto described = store_->open("", file_bytes_, false);
        queue(callbacks_.wanted(*described), described->source->header());
    }
}

void Fetcher::queue(std::vector<Piece> pieces, const model::GgufHeader& header) {
    items_.clear();
    for (Piece& piece : pieces) {
        const model::TensorInfo& info = header.tensor(piece.tensor);
        const PieceStore::Have have = store_->have(piece);
        const std::uint64_t total = model::piece_bytes(info, piece);
        total_bytes_ += total;
        done_bytes_ += have.complete ? total : have.bytes;
        if (!have.complete) {
            items_.push_back({std::move(piece), total, have.bytes, have.bytes, {}});
        }
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
    for (std::size_t i = 0; i < holders.size(); ++i) {
        const mesh::DeviceId& holder = holders[next_holder_++ % holders.size()];
        const std::uint64_t id = next_id();
        if (!callbacks_.send(holder, {id, request})) continue;
        asked_[id] = {index, offset, bytes, holder, now};
        return true;
    }
    return false;
}

void Fetcher::ask_more(Clock::time_point now) {
    for (std::size_t i = 0; i < items_.size() && asked_.size() < kWindow; ++i) {
        Item& item = items_[i];
        // The header's length is known from its first answer.
        while (asked_.size() < kWindow &&
               (item.total == 0 ? item.asked == item.written && asked_.empty()
                                : item.asked < item.total)) {
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
    const auto it = asked_.find(id);
    if (stage_ == Stage::finished || it == asked_.end() || it->second.holder != from) return;
    const Asked asked = it->second;
    asked_.erase(it);
    Item& item = items_[asked.item];
    if (!reply.error.empty()) {
        return finish("device " + from.hex().substr(0, 8) + ": " + reply.error);
    }
    const bool header = !item.piece.has_value();
    if (header ? reply.data.empty() || reply.data.size() > asked.bytes
               : reply.data.size() != asked.bytes) {
        return finish("device " + from.hex().substr(0, 8) + " sent a piece of the wrong length");
    }
    try {
        if (header) {
            item.total = reply.total;
            item.asked = asked.offset + reply.data.size();
        }
        write(item, asked.offset, std::move(reply.data));
    } catch (const std::exception& e) {
        return finish(e.what());
    }
    tick(now);
}

// The store appends, so what came early waits for what lies before it.
void Fetcher::write(Item& item, std::uint64_t offset, std::vector<std::byte> data) {
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
    }
    if (total_bytes_ != 0) callbacks_.progress(done_bytes_, total_bytes_);
}

void Fetcher::finish(std::string error) {
    stage_ = Stage::finished;
    asked_.clear();
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
