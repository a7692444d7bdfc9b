#include "daemon/exec/step.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <type_traits>

namespace shoal::exec {
namespace {

class Writer {
  public:
    explicit Writer(std::vector<std::byte>& out) : out_(out) { out_.clear(); }

    template <typename T>
    void put(T value) {
        static_assert(std::is_unsigned_v<T>);
        for (std::size_t i = 0; i < sizeof(T); ++i) {
            out_.push_back(static_cast<std::byte>(value >> (8 * i) & 0xff));
        }
    }
    void put(float value) { put(std::bit_cast<std::uint32_t>(value)); }
    void put(double value) { put(std::bit_cast<std::uint64_t>(value)); }
    void put_id(std::int32_t id) { put(static_cast<std::uint32_t>(id)); }
    void put_bytes(std::span<const std::byte> bytes) {
        out_.insert(out_.end(), bytes.begin(), bytes.end());
    }

  private:
    std::vector<std::byte>& out_;
};

// Reads past the end give zero and set failed(), so that a decoder checks once at the end and
// where a count decides over memory.
class Reader {
  public:
    explicit Reader(std::span<const std::byte> bytes) : bytes_(bytes) {}

    template <typename T>
    T get() {
        static_assert(std::is_unsigned_v<T>);
        if (bytes_.size() < sizeof(T)) return fail<T>();
        std::uint64_t value = 0;
        for (std::size_t i = 0; i < sizeof(T); ++i) {
            value |= std::to_integer<std::uint64_t>(bytes_[i]) << (8 * i);
        }
        bytes_ = bytes_.subspan(sizeof(T));
        return static_cast<T>(value);
    }
    float get_float() { return std::bit_cast<float>(get<std::uint32_t>()); }
    double get_double() { return std::bit_cast<double>(get<std::uint64_t>()); }
    std::int32_t get_id() { return static_cast<std::int32_t>(get<std::uint32_t>()); }

    // A count of items that take at least `item_bytes` each; zero and failed() when the message
    // is too short to hold them or the count exceeds `limit`.
    std::uint32_t get_count(std::uint32_t limit, std::size_t item_bytes) {
        const auto count = get<std::uint32_t>();
        if (count > limit || count > bytes_.size() / item_bytes) return fail<std::uint32_t>();
        return count;
    }
    std::span<const std::byte> get_bytes(std::size_t n) {
        if (bytes_.size() < n) {
            failed_ = true;
            return {};
        }
        const auto out = bytes_.subspan(0, n);
        bytes_ = bytes_.subspan(n);
        return out;
    }
    bool empty() const { return bytes_.empty(); }
    bool done() const { return !failed_ && bytes_.empty(); }
    bool failed() const { return failed_; }

  private:
    template <typename T>
    T fail() {
        failed_ = true;
        bytes_ = {};
        return 0;
    }

    std::span<const std::byte> bytes_;
    bool failed_ = false;
};

/// Which parts a score has.
enum ScoreFlags : std::uint8_t {
    kDraws = 1,
    kReports = 2,  ///< logprobs and target
    kMasked = 4,
    kAllFlags = kDraws | kReports | kMasked,
};

void put_candidate(Writer& w, const Candidate& c) {
    w.put_id(c.id);
    w.put(c.logit);
}

void put_candidates(Writer& w, std::span<const Candidate> candidates) {
    w.put(static_cast<std::uint32_t>(candidates.size()));
    for (const Candidate& c : candidates) put_candidate(w, c);
}

/// False for NaN, which could not be sorted.
bool get_candidate(Reader& r, Candidate& c) {
    c.id = r.get_id();
    c.logit = r.get_float();
    return !std::isnan(c.logit);
}

bool get_candidates(Reader& r, std::vector<Candidate>& candidates) {
    candidates.resize(r.get_count(UINT32_MAX, 8));
    return std::all_of(candidates.begin(), candidates.end(),
                       [&](Candidate& c) { return get_candidate(r, c); });
}

void put_score(Writer& w, const ScoreRequest& s) {
    w.put(s.temperature);
    w.put(s.repeat_penalty);
    w.put(s.presence_penalty);
    w.put(s.frequency_penalty);
    w.put(s.seed);
    w.put(s.position);
    w.put(s.candidates);
    w.put(static_cast<std::uint8_t>((s.draw ? kDraws : 0) | (s.logprobs != 0 ? kReports : 0) |
                                    (s.mask.empty() ? 0 : kMasked)));
    w.put(static_cast<std::uint32_t>(s.seen.size()));
    for (const SeenToken& seen : s.seen) {
        w.put_id(seen.id);
        w.put(seen.count);
    }
    w.put(static_cast<std::uint32_t>(s.logit_bias.size()));
    for (const auto& [id, bias] : s.logit_bias) {
        w.put_id(id);
        w.put(bias);
    }
    if (s.logprobs != 0) {
        w.put(s.logprobs);
        w.put_id(s.target);
    }
    if (s.mask.empty()) return;
    w.put(static_cast<std::uint32_t>(s.mask.size()));
    w.put_bytes(std::as_bytes(std::span(s.mask)));
}

bool get_score(Reader& r, ScoreRequest& s) {
    s.temperature = r.get_float();
    s.repeat_penalty = r.get_float();
    s.presence_penalty = r.get_float();
    s.frequency_penalty = r.get_float();
    s.seed = r.get<std::uint64_t>();
    s.position = r.get<std::uint64_t>();
    s.candidates = r.get<std::uint32_t>();
    const auto flags = r.get<std::uint8_t>();
    s.draw = (flags & kDraws) != 0;
    s.seen.resize(r.get_count(kMaxSeenTokens, 8));
    for (SeenToken& seen : s.seen) {
        seen.id = r.get_id();
        seen.count = r.get<std::uint32_t>();
    }
    s.logit_bias.resize(r.get_count(kMaxSeenTokens, 8));
    for (auto& [id, bias] : s.logit_bias) {
        id = r.get_id();
        bias = r.get_float();
    }
    if ((flags & kReports) != 0) {
        s.logprobs = r.get<std::uint32_t>();
        s.target = r.get_id();
        if (s.logprobs == 0) return false;
    }
    if ((flags & kMasked) != 0) {
        const auto bytes = r.get_bytes(r.get_count(kMaxMaskBytes, 1));
        s.mask.resize(bytes.size());
        std::transform(bytes.begin(), bytes.end(), s.mask.begin(),
                       [](std::byte b) { return static_cast<char>(b); });
        if (s.mask.empty()) return false;
    }
    return (flags & ~kAllFlags) == 0;
}

bool get_hidden(Reader& r, Step& step) {
    step.hidden.resize(r.get_count(kMaxStepRows, 8));
    std::size_t after = 0;
    for (RowRange& range : step.hidden) {
        range.first = r.get<std::uint32_t>();
        range.count = r.get<std::uint32_t>();
        const std::uint64_t end = std::uint64_t{range.first} + range.count;
        if (range.first < after || range.count == 0 || end > step.rows.size()) return false;
        after = end;
    }
    return !step.hidden.empty();
}

void put_changes(Writer& w, const Step& step) {
    w.put(static_cast<std::uint32_t>(step.releases.size()));
    for (const SequenceId id : step.releases) w.put(id);
    w.put(static_cast<std::uint32_t>(step.forks.size()));
    for (const Fork& fork : step.forks) {
        w.put(fork.from);
        w.put(fork.to);
        w.put(fork.positions);
    }
}

void get_changes(Reader& r, Step& step) {
    step.releases.resize(r.get_count(kMaxStepChanges, 4));
    for (SequenceId& id : step.releases) id = r.get<std::uint32_t>();
    step.forks.resize(r.get_count(kMaxStepChanges, 12));
    for (Fork& fork : step.forks) {
        fork.from = r.get<std::uint32_t>();
        fork.to = r.get<std::uint32_t>();
        fork.positions = r.get<std::uint32_t>();
    }
}

bool get_blocks(Reader& r, Order& order) {
    get_changes(r, order.step);
    order.blocks.sequence = r.get<std::uint32_t>();
    order.blocks.first = r.get<std::uint32_t>();
    order.blocks.names.resize(r.get_count(kMaxOrderBlocks, sizeof(BlockName)));
    for (BlockName& name : order.blocks.names) {
        const auto bytes = r.get_bytes(name.size());
        std::memcpy(name.data(), bytes.data(), bytes.size());
    }
    return !order.blocks.names.empty();
}

bool get_step(Reader& r, std::uint32_t dim, Step& step) {
    get_changes(r, step);
    step.rows.resize(r.get_count(kMaxStepRows, 8));
    for (Row& row : step.rows) {
        row.sequence = r.get<std::uint32_t>();
        row.position = r.get<std::uint32_t>();
    }
    step.outputs.resize(r.get_count(kMaxStepRows, 4));
    std::size_t after = 0;  // the last output's row
    for (Output& output : step.outputs) {
        output.row = r.get<std::uint32_t>();
        if (output.row < after || output.row >= step.rows.size()) return false;
        after = std::size_t{output.row} + 1;
        if (!get_score(r, output.score)) return false;
    }
    step.embedding_type = static_cast<kernels::DType>(r.get<std::uint32_t>());
    if (r.failed() || !kernels::is_known(step.embedding_type) ||
        dim % kernels::block_shape(step.embedding_type).elements != 0) {
        return false;
    }
    const auto bytes = r.get_bytes(step.rows.size() * kernels::row_bytes(step.embedding_type, dim));
    step.embeddings.assign(bytes.begin(), bytes.end());
    return r.empty() || get_hidden(r, step);
}

}  // namespace

void encode_step(const Step& step, std::vector<std::byte>& out) {
    Writer w(out);
    w.put(
        static_cast<std::uint8_t>(step.sequence_parallel ? Command::sequence_step : Command::step));
    put_changes(w, step);
    w.put(static_cast<std::uint32_t>(step.rows.size()));
    for (const Row& row : step.rows) {
        w.put(row.sequence);
        w.put(row.position);
    }
    w.put(static_cast<std::uint32_t>(step.outputs.size()));
    for (const Output& output : step.outputs) {
        w.put(output.row);
        put_score(w, output.score);
    }
    w.put(static_cast<std::uint32_t>(step.embedding_type));
    w.put_bytes(step.embeddings);
    if (step.hidden.empty()) return;
    w.put(static_cast<std::uint32_t>(step.hidden.size()));
    for (const RowRange& range : step.hidden) {
        w.put(range.first);
        w.put(range.count);
    }
}

void encode_more(std::uint32_t output, std::uint32_t candidates, std::vector<std::byte>& out) {
    Writer w(out);
    w.put(static_cast<std::uint8_t>(Command::more_candidates));
    w.put(output);
    w.put(candidates);
}

void encode_blocks(const Step& changes, const BlockOrder& blocks, std::vector<std::byte>& out) {
    Writer w(out);
    w.put(static_cast<std::uint8_t>(blocks.read ? Command::read_blocks : Command::write_blocks));
    put_changes(w, changes);
    w.put(blocks.sequence);
    w.put(blocks.first);
    w.put(static_cast<std::uint32_t>(blocks.names.size()));
    for (const BlockName& name : blocks.names) w.put_bytes(std::as_bytes(std::span(name)));
}

void encode_stop(std::vector<std::byte>& out) {
    Writer w(out);
    w.put(static_cast<std::uint8_t>(Command::stop));
}

std::optional<Order> decode_order(std::span<const std::byte> bytes, std::uint32_t dim) {
    Reader r(bytes);
    Order order;
    order.command = static_cast<Command>(r.get<std::uint8_t>());
    switch (order.command) {
        case Command::sequence_step:
            order.command = Command::step;
            order.step.sequence_parallel = true;
            [[fallthrough]];
        case Command::step:
            if (!get_step(r, dim, order.step)) return std::nullopt;
            break;
        case Command::more_candidates:
            order.output = r.get<std::uint32_t>();
            order.candidates = r.get<std::uint32_t>();
            break;
        case Command::read_blocks:
            order.command = Command::write_blocks;
            order.blocks.read = true;
            [[fallthrough]];
        case Command::write_blocks:
            if (!get_blocks(r, order)) return std::nullopt;
            break;
        case Command::stop:
            break;
        default:
            return std::nullopt;
    }
    if (!r.done()) return std::nullopt;
    return order;
}

void encode_scores(std::span<const Scores> scores, std::vector<std::byte>& out) {
    Writer w(out);
    w.put(static_cast<std::uint32_t>(scores.size()));
    for (const Scores& s : scores) {
        w.put(s.max);
        w.put(s.sum_exp);
        put_candidate(w, s.drawn);
        put_candidates(w, s.best);
    }
    for (std::size_t i = 0; i < scores.size(); ++i) {
        if (!scores[i].raw) continue;
        w.put(static_cast<std::uint32_t>(i));
        w.put(scores[i].raw->max);
        w.put(scores[i].raw->sum_exp);
        put_candidates(w, scores[i].raw->best);
        put_candidates(w, scores[i].raw->known);
    }
}

namespace {

bool get_report(Reader& r, RawScores& report) {
    report.max = r.get_float();
    report.sum_exp = r.get_double();
    return get_candidates(r, report.best) && get_candidates(r, report.known);
}

}  // namespace

std::optional<std::vector<Scores>> decode_scores(std::span<const std::byte> bytes) {
    Reader r(bytes);
    std::vector<Scores> scores(r.get_count(kMaxStepRows, 24));
    for (Scores& s : scores) {
        s.max = r.get_float();
        s.sum_exp = r.get_double();
        if (!get_candidate(r, s.drawn) || !get_candidates(r, s.best)) return std::nullopt;
    }
    for (std::size_t after = 0; !r.failed() && !r.empty();) {
        const auto i = r.get<std::uint32_t>();
        if (i < after || i >= scores.size()) return std::nullopt;
        after = std::size_t{i} + 1;
        if (!get_report(r, scores[i].raw.emplace())) return std::nullopt;
    }
    if (!r.done()) return std::nullopt;
    return scores;
}

void encode_block_count(std::uint32_t count, std::vector<std::byte>& out) {
    Writer w(out);
    w.put(count);
}

std::optional<std::uint32_t> decode_block_count(std::span<const std::byte> bytes,
                                                std::size_t most) {
    Reader r(bytes);
    const auto count = r.get<std::uint32_t>();
    if (!r.done() || count > most) return std::nullopt;
    return count;
}

}  // namespace shoal::exec
