// The messages by which the devices of a cluster carry out a plan: offers and their progress,
// and the pieces of models. Sent between members on the control channel.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "mesh/messages/device_profile.hpp"
#include "mesh/messages/slice.hpp"
#include "mesh/messages/warning.hpp"
#include "mesh/wire/codec.hpp"
#include "mesh/wire/identity.hpp"

namespace shoal::mesh::messages {

inline constexpr std::size_t kMaxPlanDevices = 1024;
inline constexpr std::size_t kMaxAnnouncedModels = 1024;
/// Files of one device that are no usable models, and of the reason of each.
inline constexpr std::size_t kMaxAnnouncedProblems = 256;
inline constexpr std::size_t kMaxProblemText = 1024;
inline constexpr std::size_t kMaxTensorName = 256;
inline constexpr std::size_t kMaxText = 4096;
inline constexpr std::size_t kMaxLinkEnds = 2;
/// Bytes of a model in one message: many fit a second of a slow link, so progress shows and a
/// heartbeat is never far behind.
inline constexpr std::size_t kMaxPieceBytes = 1u << 20;

/// A plan's identity on the wire.
struct PlanRef {
    std::uint64_t counter = 0;
    std::array<std::uint8_t, 16> candidate{};
    std::uint32_t number = 0;
    bool operator==(const PlanRef&) const = default;

    static PlanRef of(const PlanId& id) noexcept {
        return {id.term.counter, id.term.candidate.bytes, id.number};
    }
    PlanId id() const noexcept { return {{counter, {candidate}}, number}; }
};

/// One device of a plan and its slice.
struct PlanDevice {
    std::array<std::uint8_t, 16> id{};
    std::array<std::uint8_t, 32> public_key{};
    std::string endpoint;
    Slice slice;
    std::uint32_t row_share = 0;    ///< of sequence-parallel steps, beside the others'
    std::uint64_t whole_bytes = 0;  ///< of memory for whole layers; 0 without a share
    bool wants_file = false;        ///< with the model's file it would have a share
};

/// The root asks a device to load its slice. devices[0] is the root.
struct PlanOffer {
    PlanRef plan;
    std::array<std::uint8_t, 32> model{};
    std::string model_name;
    std::uint64_t file_bytes = 0;
    std::string kv_type, collectives;
    std::uint64_t kv_positions = 0;
    std::uint32_t max_rows = 0, max_outputs = 0;
    std::vector<PlanDevice> devices;
    std::uint32_t scatter_rows = 0;   ///< from so many rows on sums go in two hops; 0: never
    std::uint32_t sequence_rows = 0;  ///< prompts from so many on are shared out by rows; 0: none
    bool overlap = false;             ///< large steps compute in two halves, in turns
};
/// A device loads: fetching pieces, then reading them into memory.
struct PlanProgress {
    PlanRef plan;
    std::string what;
    std::uint64_t done = 0, total = 0;
};
/// A device holds its slice and waits for the start.
struct PlanLoaded {
    PlanRef plan;
    std::uint64_t weight_bytes = 0, planned_weight_bytes = 0, kv_bytes = 0, buffer_bytes = 0;
    bool keeps_blocks = false;  ///< of its KV cache, on its disk
};
/// Everyone has loaded: join the data plane. `run` is another number each time, which no plan of
/// the term has, but the first: 0, for the plan's own.
struct PlanStart {
    PlanRef plan;
    std::uint32_t run = 0;
    bool keeps_blocks = false;  ///< all its devices do
};
/// Whose fault it is that a plan ends, as its sender sees it.
enum class Fault : std::uint8_t {
    none = 0,   ///< it simply ended, or because of others who say so themselves
    own = 1,    ///< the sender cannot do its part
    peers = 2,  ///< the sender hears nothing from PlanEnd::peers
};
/// The plan is over; `error` is empty when it simply ended. Either side sends it.
struct PlanEnd {
    PlanRef plan;
    std::string error;
    Fault fault = Fault::none;
    std::vector<std::array<std::uint8_t, 16>> peers;
};

/// Ask a holder of a model for bytes: of its header (tensor empty), or of a piece, counted in
/// the piece's dense layout.
struct PieceRequest {
    std::array<std::uint8_t, 32> model{};
    std::string tensor;
    std::uint64_t row_begin = 0, row_end = 0, col_begin = 0, col_end = 0;
    std::uint64_t offset = 0;
    std::uint32_t bytes = 0;  ///< at most kMaxPieceBytes
};
/// The answer to the PieceRequest of the same frame id. A header's answer may be shorter than
/// asked for; `total` is then its whole length.
struct PieceReply {
    std::vector<std::byte> data;
    std::uint64_t total = 0;
    std::string error;  ///< not empty: there is no data
};

/// Ask a holder of a model for bytes of its files as they lie there, when neither device has
/// anything better to do.
struct FileRequest {
    std::array<std::uint8_t, 32> model{};
    std::uint32_t part = 0;  ///< of a model in several files; 1 is the first
    std::uint64_t offset = 0;
    std::uint32_t bytes = 0;  ///< at most kMaxPieceBytes; 0: only how long it is
};
/// The answer to the FileRequest of the same frame id.
struct FileReply {
    std::vector<std::byte> data;  ///< all that was asked for
    std::uint64_t total = 0;      ///< bytes of this file
    std::uint32_t parts = 0;      ///< files of the model
    bool busy = false;            ///< the device computes: ask again later. There is no data
    std::string error;            ///< not empty: there is no data
};

/// What a device says of the models it holds (DeviceDescription::models).
struct AnnouncedModel {
    std::array<std::uint8_t, 32> hash{};
    std::string name, architecture, quantisation;
    std::uint64_t file_bytes = 0, parameters = 0;
    std::uint32_t context = 0;
};
/// A file in its folders that it cannot use.
struct AnnouncedProblem {
    std::string name;    ///< as a model's
    std::string reason;  ///< with the file's path
};
struct Announcement {
    std::vector<AnnouncedModel> models;
    bool reading = false;  ///< its folders are still being looked through: there may be more
    std::vector<Warning> warnings;  ///< what it finds wrong, with itself or with others
    std::vector<std::array<std::uint8_t, 16>> sees;  ///< the members that it has a connection to
    std::uint32_t plan = 0;                          ///< that it takes part in; what follows is its
    std::uint64_t steps = 0;
    double compute_seconds = 0;  ///< of arithmetic in these steps
    std::vector<AnnouncedProblem> problems;
    DeviceProfile profile;        ///< all zeros: an older version, which tells its speed alone
    std::uint32_t link_port = 0;  ///< TCP, for LinkTest; 0: it measures no links
};

/// One of two devices that measure the link between them.
struct LinkEnd {
    std::array<std::uint8_t, 16> id{};
    std::array<std::uint8_t, 32> public_key{};
    std::uint32_t port = 0;  ///< Announcement::link_port
};
/// The root asks two devices to measure the link between them; no ends: to give that up.
struct LinkTest {
    PlanRef test;               ///< numbered apart from plans
    std::vector<LinkEnd> ends;  ///< two, in rank order
};
/// Rank 0's word of what was measured, or either's of why it was not.
struct LinkResult {
    PlanRef test;
    std::string error;                ///< not empty: there are no figures
    double exchange_seconds = 0;      ///< both have the other's kTimedExchangeBytes
    double out_bytes_per_second = 0;  ///< from rank 0
    double in_bytes_per_second = 0;
    std::string transport, cipher;
};

using PlanMessage =
    std::variant<PlanOffer, PlanProgress, PlanLoaded, PlanStart, PlanEnd, PieceRequest, PieceReply,
                 Announcement, LinkTest, LinkResult, FileRequest, FileReply>;
struct PlanFrame {
    std::uint64_t id = 0;  ///< pairs a PieceReply or FileReply with its request; 0 elsewhere
    PlanMessage body;
};

/// Throws std::length_error beyond a limit.
std::vector<std::byte> encode(const PlanFrame& frame);
wire::DecodeResult<PlanFrame> decode_plan(std::span<const std::byte> bytes) noexcept;

}  // namespace shoal::mesh::messages
