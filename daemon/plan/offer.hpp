// The root's offer of a plan, read: whether it makes sense, and what it asks of a device.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "daemon/exec/executor.hpp"
#include "daemon/model/hparams.hpp"
#include "daemon/shard/slice.hpp"
#include "mesh/messages/plan.hpp"
#include "mesh/wire/identity.hpp"

namespace shoal {

/// What is wrong with an offer whatever its model, or nothing. `term` is ours.
std::optional<std::string> check_sender(const mesh::messages::PlanOffer& offer,
                                        const mesh::DeviceId& from, const mesh::DeviceId& self,
                                        const mesh::Term& term);

/// What is wrong with an offer for this model, or nothing: every range within the model, every
/// head, column and row dealt out once, KV heads exactly those that the query heads read, FFN cuts
/// on multiples of `ffn_step` (shard::ffn_cut_step).
std::optional<std::string> check_offer(const mesh::messages::PlanOffer& offer,
                                       const model::Hparams& hparams, std::uint32_t ffn_step);

/// A slice as messages carry it, as the arithmetic takes it.
shard::Slice slice_of(const mesh::messages::Slice& slice) noexcept;
mesh::messages::Slice message_of(const shard::Slice& slice) noexcept;

/// "tcp://*:41234" at an address: a device does not know how others reach it.
std::string with_host(const std::string& endpoint, const std::string& host);

/// Requires: check_offer() found nothing wrong.
exec::ExecutorOptions executor_options(const mesh::messages::PlanOffer& offer);

}  // namespace shoal
