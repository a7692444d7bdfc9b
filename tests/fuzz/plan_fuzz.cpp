// Messages of plans and pieces, and steps on the data plane: whatever bytes come, decoding never
// crashes, and a plan message that was accepted can be encoded and read again. Steps and scores
// have one form each: what was accepted is encoded to the same bytes.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <vector>

#include "daemon/exec/step.hpp"
#include "daemon/plan/offer.hpp"
#include "mesh/messages/plan.hpp"

using namespace shoal;

namespace {

void check_offer_of(const mesh::messages::PlanFrame& frame) {
    const auto* offer = std::get_if<mesh::messages::PlanOffer>(&frame.body);
    if (offer == nullptr) return;
    model::Hparams hparams;
    hparams.n_heads = 8;
    hparams.n_kv_heads = 4;
    hparams.n_ff = 256;
    hparams.n_vocab = 512;
    static_cast<void>(check_offer(*offer, hparams, 32));
}

void require_same(std::span<const std::byte> bytes, const std::vector<std::byte>& again) {
    if (bytes.size() != again.size()) std::abort();
    if (std::memcmp(bytes.data(), again.data(), again.size()) != 0) std::abort();
}

void check_step(std::span<const std::byte> bytes) {
    std::vector<std::byte> again;
    const auto order = exec::decode_order(bytes, 64);
    if (order && order->command == exec::Command::step) {
        exec::encode_step(order->step, again);
        require_same(bytes, again);
    }
    if (order && order->command == exec::Command::write_blocks) {
        exec::encode_blocks(order->step, order->blocks, again);
        require_same(bytes, again);
    }
    if (const auto scores = exec::decode_scores(bytes)) {
        exec::encode_scores(*scores, again);
        require_same(bytes, again);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto bytes = std::as_bytes(std::span(data, size));
    if (const auto frame = mesh::messages::decode_plan(bytes)) {
        check_offer_of(*frame);
        const auto again = mesh::messages::decode_plan(mesh::messages::encode(*frame));
        if (!again || mesh::messages::encode(*again) != mesh::messages::encode(*frame))
            std::abort();
    }
    check_step(bytes);
    return 0;
}
