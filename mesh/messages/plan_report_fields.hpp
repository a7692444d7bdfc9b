// The fields of the answer to `shoal plan MODEL` on the wire. Private to the codecs.
#pragma once

#include "mesh/messages/plan_report.hpp"
#include "mesh/messages/record.hpp"
#include "mesh/messages/requests.hpp"

namespace shoal::mesh::messages {

template <typename F, Of<PlanSeconds> S>
void fields(F&& f, S& s) {
    f(0, "attention", s.attention);
    f(1, "ffn", s.ffn);
    f(2, "lm_head", s.lm_head);
    f(3, "between", s.between);
    f(4, "exchange", s.exchange);
}

template <typename F, Of<PlanCount> S>
void fields(F&& f, S& s) {
    f(0, "devices", s.devices);
    f(1, "fits", s.fits);
    f(2, "chosen", s.chosen);
    f(3, "decode", s.decode, kMaxPositions);
    f(4, "prefill", s.prefill);
    f(5, "exchange", s.exchange);
    f(6, "memory_bytes", s.memory_bytes);
    f(7, "redundant_kv_outputs", s.redundant_kv_outputs);
    f(8, "seconds", s.seconds);
}

template <typename F, Of<PlannedDevice> S>
void fields(F&& f, S& s) {
    f(0, "name", s.name, kMaxRequestBytes);
    f(1, "takes_part", s.takes_part);
    f(2, "spare", s.spare);
    f(3, "q_heads", s.slice.q_heads);
    f(4, "kv_heads", s.slice.kv_heads);
    f(5, "ffn_columns", s.slice.ffn);
    f(6, "vocab_rows", s.slice.vocab);
    f(7, "memory_bytes", s.memory_bytes);
    f(8, "part", s.part);
    f(9, "reason", s.reason, kMaxRequestBytes);
    f(10, "row_share", s.row_share);
    f(11, "whole_bytes", s.whole_bytes);
}

template <typename F, Of<PlannedLink> S>
void fields(F&& f, S& s) {
    f(0, "exchange_seconds", s.exchange_seconds);
    f(1, "bytes_per_second", s.bytes_per_second);
}

template <typename F, Of<PlannedLinks> S>
void fields(F&& f, S& s) {
    f(0, "pairs", s.pairs);
    f(1, "measured", s.measured);
    f(2, "usual", s.usual);
    f(3, "best", s.best);
    f(4, "worst", s.worst);
}

template <typename F, Of<PlanReply> S>
void fields(F&& f, S& s) {
    f(0, "model", s.model, kMaxRequestBytes);
    f(1, "context", s.context);
    f(2, "positions", s.positions, kMaxPositions);
    f(3, "prompt", s.prompt);
    f(4, "request_prompt", s.request_prompt);
    f(5, "request_answer", s.request_answer);
    f(6, "min_devices", s.min_devices);
    f(7, "counts", s.counts, kMaxListedDevices);
    f(8, "shown", s.shown);
    f(9, "devices", s.devices, kMaxListedDevices);
    f(10, "token", s.token);
    f(11, "sharing_kv", s.sharing_kv);
    f(12, "links", s.links);
    f(13, "sharing_from", s.sharing_from);
    f(64, "beside", s.beside, kMaxListedModels, kMaxModelBytes);
    f(65, "leaving", s.leaving, kMaxListedModels, kMaxModelBytes);
    f(66, "overlap", s.overlap);
}

}  // namespace shoal::mesh::messages
