#include "daemon/exec/step.hpp"

#include <bit>
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

void put_score(Writer& w, const ScoreRequest& s) {
    w.put(s.temperature);
    w.put(s.repeat_penalty);
    w.put(s.presence_penalty);
    w.put(s.frequency_penalty);
    w.put(s.seed);
    w.put(s.position);
    w.put(s.candidates);
    w.put(static_cast<std::uint8_t>(s.draw));
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
}

ScoreRequest get_score(Reader& r) {
    ScoreRequest s;
    s.temperature = r.get_float();
    s.repeat_penalty = r.get_float();
    s.presence_penalty = r.get_float();
    s.frequency_penalty = r.get_float();
    s.seed = r.get<std::uint64_t>();
    s.position = r.get<std::uint64_t>();
    s.candidates = r.get<std::uint32_t>();
    s.draw = r.get<std::uint8_t>() != 0;
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
    return s;
}

bool get_step(Reader& r, std::uint32_t dim, Step& step) {
    step.releases.resize(r.get_count(kMaxStepChanges, 4));
    for (SequenceId& id : step.releases) id = r.get<std::uint32_t>();
    step.forks.resize(r.get_count(kMaxStepChanges, 12));
    for (Fork& fork : step.forks) {
        fork.from = r.get<std::uint32_t>();
        fork.to = r.get<std::uint32_t>();
        fork.positions = r.get<std::uint32_t>();
    }
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
        output.score = get_score(r);
    }
    step.embedding_type = static_cast<kernels::DType>(r.get<std::uint32_t>());
    if (r.failed() || !kernels::is_known(step.embedding_type) ||
        dim % kernels::block_shape(step.embedding_type).elements != 0) {
        return false;
    }
    const auto bytes = r.get_bytes(step.rows.size() * kernels::row_bytes(step.embedding_type, dim));
    step.embeddings.assign(bytes.begin(), bytes.end());
    return true;
}

}  // namespace

void encode_step(const Step& step, std::vector<std::byte>& out) {
    Writer w(out);
    w.put(static_cast<std::uint8_t>(Command::step));
    w.put(static_cast<std::uint32_t>(step.releases.size()));
    for (const SequenceId id : step.releases) w.put(id);
    w.put(static_cast<std::uint32_t>(step.forks.size()));
    for (const Fork& fork : step.forks) {
        w.put(fork.from);
        w.put(fork.to);
        w.put(fork.positions);
    }
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
}

void encode_more(std::uint32_t output, std::uint32_t candidates, std::vector<std::byte>& out) {
    Writer w(out);
    w.put(static_cast<std::uint8_t>(Command::more_candidates));
    w.put(output);
    w.put(candidates);
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
        case Command::step:
            if (!get_step(r, dim, order.step)) return std::nullopt;
            break;
        case Command::more_candidates:
            order.output = r.get<std::uint32_t>();
            order.candidates = r.get<std::uint32_t>();
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
        w.put_id(s.drawn.id);
        w.put(s.drawn.logit);
        w.put(static_cast<std::uint32_t>(s.best.size()));
        for (const Candidate& c : s.best) {
            w.put_id(c.id);
            w.put(c.logit);
        }
    }
}

std::optional<std::vector<Scores>> decode_scores(std::span<const std::byte> bytes) {
    Reader r(bytes);
    std::vector<Scores> scores(r.get_count(kMaxStepRows, 24));
    for (Scores& s : scores) {
        s.max = r.get_float();
        s.sum_exp = r.get_double();
        s.drawn.id = r.get_id();
        s.drawn.logit = r.get_float();
        s.best.resize(r.get_count(UINT32_MAX, 8));
        for (Candidate& c : s.best) {
            c.id = r.get_id();
            c.logit = r.get_float();
        }
    }
    if (!r.done()) return std::nullopt;
    return scores;
}

}  // namespace shoal::exec
