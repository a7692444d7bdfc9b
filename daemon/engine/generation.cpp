#include "daemon/engine/generation.hpp"

#include <algorithm>

namespace shoal {
namespace {

using mesh::messages::ErrorCode;
using mesh::messages::Failed;
using mesh::messages::StopReason;

double seconds(Clock::duration d) {
    return std::chrono::duration<double>(d).count();
}

std::optional<Failed> check_ids(const std::vector<std::int32_t>& ids, std::size_t vocab,
                                const char* field) {
    for (const std::int32_t id : ids) {
        if (id >= 0 && static_cast<std::size_t>(id) < vocab) continue;
        return Failed{ErrorCode::bad_request, std::string(field) + ": token id " +
                                                  std::to_string(id) + " is not in 0.." +
                                                  std::to_string(vocab - 1)};
    }
    return std::nullopt;
}

}  // namespace

exec::Sampling sampling_of(const mesh::messages::Sampling& s) {
    exec::Sampling out;
    out.temperature = s.temperature;
    out.top_k = s.top_k;
    out.top_p = s.top_p;
    out.min_p = s.min_p;
    out.repeat_penalty = s.repeat_penalty;
    out.presence_penalty = s.presence_penalty;
    out.frequency_penalty = s.frequency_penalty;
    out.penalty_last_n = s.penalty_last_n;
    out.seed = s.seed;
    out.logit_bias.assign(s.logit_bias.begin(), s.logit_bias.end());
    return out;
}

Generation::Generation(Job job, const model::Tokenizer& tokenizer)
    : job_(std::move(job)),
      tokenizer_(tokenizer),
      text_(tokenizer, job_.request.stop),
      started_(Clock::now()),
      first_token_(job_.first_token) {}

// The prompt's tokens, or why there are none.
std::optional<Failed> Generation::take_prompt(const Room& room, const std::stop_token& stop) {
    const mesh::messages::Generate& request = job_.request;
    std::vector<std::int32_t>& tokens = sequence_.tokens;
    // One position is left for an answer.
    const bool short_prompts =
        room.max_prompt_tokens != 0 && room.max_prompt_tokens < room.positions;
    const std::uint64_t limit = short_prompts ? room.max_prompt_tokens : room.positions - 1;
    const bool ids = !request.prompt_ids.empty();
    tokens = ids ? request.prompt_ids
                 : tokenizer_.encode(request.prompt, {.max_tokens = limit, .stop = &stop});
    if (stop.stop_requested()) return Failed{ErrorCode::cancelled, "cancelled while waiting"};
    if (tokens.empty()) {
        return Failed{ErrorCode::bad_request,
                      "the prompt is empty and the model has no token to begin a text with"};
    }
    prompt_tokens_ = static_cast<std::uint32_t>(tokens.size());
    if (tokens.size() <= limit) return std::nullopt;
    // A text is not read further than it takes to see this.
    const std::string has =
        (ids ? "the prompt has " : "the prompt has at least ") + std::to_string(tokens.size());
    return Failed{ErrorCode::context_length,
                  short_prompts
                      ? has + " tokens, models.max_prompt_tokens allows " +
                            std::to_string(room.max_prompt_tokens)
                      : has + " tokens, the context holds " + std::to_string(room.positions) +
                            " for prompt and answer together"};
}

Generation::Begun Generation::begin(Job job, exec::SequenceId sequence,
                                    const model::Tokenizer& tokenizer,
                                    const model::Hparams& hparams, const Room& room,
                                    const std::stop_token& stop) {
    std::unique_ptr<Generation> g(new Generation(std::move(job), tokenizer));
    const mesh::messages::Generate& request = g->job_.request;
    if (auto failed = check_ids(request.prompt_ids, hparams.n_vocab, "prompt")) return *failed;
    if (auto failed = check_ids(request.resume_ids, hparams.n_vocab, "resume_ids")) return *failed;
    if (auto failed = g->take_prompt(room, stop)) return *failed;

    std::vector<std::int32_t>& tokens = g->sequence_.tokens;
    const std::uint64_t left = room.positions - tokens.size();
    const std::uint64_t wanted = request.max_tokens == 0 ? left : request.max_tokens;
    g->limit_ = static_cast<std::uint32_t>(std::min(wanted, left));
    g->reserved_ = tokens.size() + g->limit_;
    g->sequence_.id = sequence;
    g->sequence_.sampling = sampling_of(request.sampling);
    for (const std::int32_t id : request.resume_ids) {
        if (stop.stop_requested()) return Failed{ErrorCode::cancelled, "cancelled while waiting"};
        tokens.push_back(id);
        static_cast<void>(g->text_.push(id));
    }
    g->resumed_ = static_cast<std::uint32_t>(request.resume_ids.size());
    // Its last token may already have been shown when the generation moved here.
    if (!request.resume_ids.empty()) g->decide_end(request.resume_ids.back());
    return g;
}

void Generation::decide_end(model::TokenId id) {
    const bool ends = tokenizer_.is_end(id) && !job_.request.ignore_eos;
    if (ends) {
        reason_ = StopReason::end;
    } else if (text_.stopped()) {
        reason_ = StopReason::stop;
    } else if (job_.request.resume_ids.size() >= limit_) {
        reason_ = StopReason::length;
    }
}

mesh::messages::Token Generation::accept(model::TokenId id) {
    if (!first_token_) first_token_ = Clock::now();
    const auto index = static_cast<std::uint32_t>(job_.request.resume_ids.size());
    sequence_.tokens.push_back(id);
    job_.request.resume_ids.push_back(id);
    mesh::messages::Token token{index, id, text_.push(id)};
    decide_end(id);
    return token;
}

mesh::messages::Done Generation::done(const std::string& model, std::uint32_t devices) {
    const Clock::time_point now = Clock::now();
    const Clock::time_point first = first_token_.value_or(now);
    mesh::messages::Done done;
    done.reason = *reason_;
    if (done.reason != StopReason::stop) done.text = text_.finish();
    done.prompt_tokens = prompt_tokens_;
    done.generated_tokens = static_cast<std::uint32_t>(job_.request.resume_ids.size());
    done.model = model;
    done.load_seconds = seconds(job_.loading);
    // Under another plan it starts anew, which is part of the time for its tokens.
    done.queue_seconds =
        std::max(0.0, seconds(std::min(started_, first) - job_.queued_at - job_.loading));
    done.prefill_seconds = std::max(0.0, seconds(first - started_));
    done.decode_seconds = seconds(now - first);
    done.devices = devices;
    return done;
}

}  // namespace shoal
