// Messages of plans and pieces, and steps on the data plane: whatever bytes come, decoding never
// crashes, and a plan message that was accepted can be encoded and read again.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

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

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto bytes = std::as_bytes(std::span(data, size));
    if (const auto frame = mesh::messages::decode_plan(bytes)) {
        check_offer_of(*frame);
        const auto again = mesh::messages::decode_plan(mesh::messages::encode(*frame));
        if (!again || mesh::messages::encode(*again) != mesh::messages::encode(*frame))
            std::abort();
    }
    static_cast<void>(exec::decode_order(bytes, 64));
    static_cast<void>(exec::decode_scores(bytes));
    return 0;
}
