#include "tests/daemon/scripted_holders.hpp"

#include <stdexcept>

#include "tests/daemon/support.hpp"

namespace shoal::tests {

ScriptedHolders::ScriptedHolders(const std::filesystem::path& model, std::filesystem::path store)
    : holders{device_id(8), device_id(9)},
      file_(model),
      source_(file_),
      hparams_(model::read_hparams(file_)),
      store_(std::move(store)) {
    hash.bytes[0] = 0xAB;
    claimed_bytes = file_bytes();
}

void ScriptedHolders::start(const shard::Slice& slice) {
    start(shard::slice_pieces(source_.header(), hparams_, slice));
}

void ScriptedHolders::start(std::vector<model::Piece> pieces) {
    requests.clear();
    done.reset();
    sent = 0;
    progress_done = progress_total = 0;
    Fetcher::Callbacks callbacks;
    callbacks.send = [this](const mesh::DeviceId& holder, const mesh::messages::PlanFrame& frame) {
        if (!reachable(holder)) return false;
        requests.push_back({holder, frame.id, std::get<mesh::messages::PieceRequest>(frame.body)});
        ++sent;
        return true;
    };
    callbacks.holders = [this] { return holders; };
    callbacks.wanted = [pieces = std::move(pieces)](const OpenModel&) { return pieces; };
    callbacks.progress = [this](std::uint64_t part, std::uint64_t total) {
        progress_done = part;
        progress_total = total;
    };
    callbacks.done = [this](std::string error) {
        if (done) throw std::logic_error("a fetch that ends twice");
        done = std::move(error);
    };
    fetcher_ = std::make_unique<Fetcher>(std::make_unique<PieceStore>(store_, hash, memory), hash,
                                         claimed_bytes, std::move(callbacks));
    fetcher_->tick(now_);
}

mesh::messages::PieceReply ScriptedHolders::answer(const Asked& asked) const {
    return answer_piece_request(asked.request, source_, source_.header_bytes());
}

void ScriptedHolders::reply(const Asked& asked, mesh::messages::PieceReply reply) {
    fetcher_->on_reply(asked.id, asked.holder, std::move(reply), now_);
}

Asked ScriptedHolders::take() {
    if (requests.empty()) throw std::logic_error("nothing was asked for");
    Asked asked = std::move(requests.front());
    requests.pop_front();
    return asked;
}

void ScriptedHolders::serve() {
    while (!done && !requests.empty()) {
        const Asked asked = take();
        reply(asked, answer(asked));
    }
}

void ScriptedHolders::pass(std::chrono::milliseconds time) {
    now_ += time;
    fetcher_->tick(now_);
}

shard::Slice ScriptedHolders::whole_slice() const {
    return {
        {0, hparams_.n_heads}, {0, hparams_.n_kv_heads}, {0, hparams_.n_ff}, {0, hparams_.n_vocab}};
}

}  // namespace shoal::tests
