#include "daemon/engine/generation.hpp"

#include <algorithm>

#include "daemon/engine/chat_prompt.hpp"
#include "daemon/engine/forced_calls.hpp"
#include "daemon/engine/infill.hpp"

namespace shoal {
namespace {

using mesh::messages::ErrorCode;
using mesh::messages::Failed;
using mesh::messages::PromptTokens;
using mesh::messages::StopReason;
using mesh::messages::Task;
using mesh::messages::TokenScore;

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

// What the model file says; without a word the mean. Nothing for models that are no embedding's.
std::optional<exec::Pooling> pooling_of(const model::Hparams& hparams) {
    switch (hparams.pooling_type) {
        case 0:
        case 1:
            return exec::Pooling::mean;
        case 2:
            return exec::Pooling::first;
        case 3:
            return exec::Pooling::last;
        default:
            return std::nullopt;
    }
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

Generation::Generation(Job job, const OpenModel& model)
    : job_(std::move(job)),
      model_(model),
      tokenizer_(*model.tokenizer),
      started_(Clock::now()),
      first_token_(job_.first_token) {}

// The prompt's tokens, or why there are none.
std::optional<Failed> Generation::take_prompt(const Room& room, const std::stop_token& stop) {
    const mesh::messages::Generate& request = job_.request;
    std::vector<std::int32_t>& tokens = sequence_.tokens;
    // One position is left for an answer.
    const std::uint64_t positions = room.positions - (answers() ? 1 : 0);
    const bool short_prompts = room.max_prompt_tokens != 0 && room.max_prompt_tokens <= positions;
    const std::uint64_t limit = short_prompts ? room.max_prompt_tokens : positions;
    const bool chat = !request.chat.empty();
    const bool ids = !chat && !request.prompt_ids.empty();
    if (chat) {
        if (auto failed = take_chat(limit, stop)) return failed;
    } else if (!request.suffix.empty()) {
        if (auto failed = take_infill(limit, stop)) return failed;
    } else {
        answer_.emplace(tokenizer_, request.stop, std::nullopt);
        tokens = ids ? request.prompt_ids
                     : tokenizer_.encode(request.prompt, {.max_tokens = limit, .stop = &stop});
    }
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
                            (answers() ? " for prompt and answer together" : "")};
}

// The prompt for a text between two others.
std::optional<Failed> Generation::take_infill(std::size_t limit, const std::stop_token& stop) {
    const mesh::messages::Generate& request = job_.request;
    if (!request.prompt_ids.empty()) {
        return Failed{ErrorCode::bad_request,
                      "suffix: what stands before it has to be a text, not token ids"};
    }
    const auto with = infill_tokens(model_.source->header(), model_.hparams.n_vocab);
    if (!with) {
        return Failed{ErrorCode::bad_request,
                      "suffix: " + model_.name +
                          " was not made to fill in: its file names no tokens for it; leave suffix "
                          "out, or take a model that fills in"};
    }
    sequence_.tokens =
        infill_prompt(*with, tokenizer_, request.prompt, request.suffix, limit, stop);
    answer_.emplace(tokenizer_, request.stop, std::nullopt);
    return std::nullopt;
}

std::optional<Failed> Generation::take_chat(std::size_t limit, const std::stop_token& stop) {
    const mesh::messages::Generate& request = job_.request;
    auto made = chat_prompt(request.chat, model_);
    if (auto* why = std::get_if<std::string>(&made)) {
        return Failed{ErrorCode::bad_request, std::move(*why)};
    }
    auto& prompt = std::get<ChatPrompt>(made);
    // What a grammar says is the answer; within reasoning it would be none.
    const bool held = request.constraint.kind != mesh::messages::Constraint::Kind::none;
    if (held && answers()) end_reasoning(prompt);
    if (forces_call(prompt.conversation) && answers()) {
        if (held) {
            return Failed{ErrorCode::bad_request,
                          "tool_choice wants a call and a grammar another answer; leave one out"};
        }
        auto calls = forced_calls(prompt);
        if (auto* why = std::get_if<std::string>(&calls)) {
            return Failed{ErrorCode::bad_request, std::move(*why)};
        }
        grammar_.emplace(std::get<0>(std::move(calls)), vocabulary());
    }
    sequence_.tokens = tokens_of(prompt, tokenizer_, limit, stop);
    answer_.emplace(tokenizer_, request.stop, chat_answers(prompt, request.sampling.seed));
    return std::nullopt;
}

// What steps are to find out about the prompt.
std::optional<Failed> Generation::take_task() {
    const mesh::messages::Generate& request = job_.request;
    sequence_.answers = answers();
    if (!answers() && !request.resume_ids.empty()) {
        return Failed{ErrorCode::bad_request, "resume_ids belong to an answer, and none is wanted"};
    }
    const bool reads = request.task == Task::read;
    sequence_.logprobs = reads ? std::max(request.logprobs, 1U) : request.logprobs;
    // Once a token was chosen its prompt has been told.
    if (reads || (request.prompt_logprobs && answers() && request.resume_ids.empty())) {
        sequence_.scored_until = prompt_tokens_;
    }
    if (request.task != Task::embed) return std::nullopt;
    const auto pooling = pooling_of(model_.hparams);
    if (!pooling) {
        return Failed{ErrorCode::bad_request,
                      "the model gives no embeddings: its file has " + model_.hparams.architecture +
                          ".pooling_type " + std::to_string(model_.hparams.pooling_type) +
                          ", and known are 0 (none, taken for the mean), 1 (mean), 2 (first token) "
                          "and 3 (last token)"};
    }
    sequence_.logprobs = 0;
    sequence_.pool.emplace(*pooling, prompt_tokens_);
    return std::nullopt;
}

// Compiles the grammar that the answer is held to, if there is one.
std::optional<Failed> Generation::take_constraint() {
    const mesh::messages::Generate& request = job_.request;
    if (request.constraint.kind == mesh::messages::Constraint::Kind::none) return std::nullopt;
    if (!answers()) {
        return Failed{ErrorCode::bad_request, "a grammar is for answers, and none is wanted"};
    }
    if (request.ignore_eos) {
        return Failed{
            ErrorCode::bad_request,
            "ignore_eos and a grammar exclude each other: an answer ends where its grammar "
            "does; leave one of them out"};
    }
    auto compiled = AnswerGrammar::compile(request.constraint, vocabulary());
    if (auto* failed = std::get_if<Failed>(&compiled)) return std::move(*failed);
    grammar_.emplace(std::move(std::get<AnswerGrammar>(compiled)));
    return std::nullopt;
}

// What was generated under other plans.
std::optional<Failed> Generation::replay(const std::stop_token& stop) {
    const auto& ids = job_.request.resume_ids;
    if (!ids.empty()) sequence_.prompt = static_cast<std::uint32_t>(sequence_.tokens.size());
    for (const std::int32_t id : ids) {
        if (stop.stop_requested()) return Failed{ErrorCode::cancelled, "cancelled while waiting"};
        sequence_.tokens.push_back(id);
        static_cast<void>(answer_->push(id));
        constrain(id);
        if (failed_) return failed_;
    }
    resumed_ = static_cast<std::uint32_t>(ids.size());
    look_ahead();
    if (failed_) return failed_;
    // Its last token may already have been shown when the generation moved here.
    if (!ids.empty()) decide_end(ids.back());
    return std::nullopt;
}

// The answer goes on by this token in its grammar.
void Generation::constrain(model::TokenId id) {
    if (!grammar_ || tokenizer_.is_end(id) || grammar_->accept(tokenizer_.piece(id))) return;
    failed_ = Failed{ErrorCode::internal, "token " + std::to_string(id) +
                                              " of the answer is none that its grammar allows"};
}

// Which tokens may be next.
void Generation::look_ahead() {
    if (!grammar_ || failed_) return;
    failed_ = grammar_->look();
    sequence_.allowed = failed_ ? nullptr : grammar_->allowed();
}

Generation::Begun Generation::begin(Job job, const OpenModel& model, const Room& room,
                                    const std::stop_token& stop) {
    std::unique_ptr<Generation> g(new Generation(std::move(job), model));
    const mesh::messages::Generate& request = g->job_.request;
    const std::size_t n_vocab = model.hparams.n_vocab;
    if (auto failed = check_ids(request.prompt_ids, n_vocab, "prompt")) return *failed;
    if (auto failed = check_ids(request.resume_ids, n_vocab, "resume_ids")) return *failed;
    if (auto failed = g->take_prompt(room, stop)) return *failed;
    if (auto failed = g->take_task()) return *failed;

    std::vector<std::int32_t>& tokens = g->sequence_.tokens;
    const std::uint64_t left = g->answers() ? room.positions - tokens.size() : 0;
    const std::uint64_t wanted = request.max_tokens == 0 ? left : request.max_tokens;
    g->limit_ = static_cast<std::uint32_t>(std::min(wanted, left));
    g->most_positions_ = tokens.size() + g->limit_;
    g->sequence_.sampling = sampling_of(request.sampling);
    if (auto failed = g->take_constraint()) return *failed;
    if (auto failed = g->replay(stop)) return *failed;
    return g;
}

void Generation::decide_end(model::TokenId id) {
    const bool ends = tokenizer_.is_end(id) && !job_.request.ignore_eos;
    if (ends || answer_->ended()) {
        reason_ = StopReason::end;
    } else if (answer_->stopped()) {
        reason_ = StopReason::stop;
    } else if (grammar_ && grammar_->over()) {
        reason_ = StopReason::end;
    } else if (job_.request.resume_ids.size() >= limit_) {
        reason_ = StopReason::length;
    }
}

std::vector<TokenScore> Generation::told(std::span<const exec::Logprob> scores) const {
    std::vector<TokenScore> out;
    out.reserve(scores.size());
    for (const exec::Logprob& score : scores) {
        out.push_back({score.id, score.logprob, std::string(tokenizer_.text(score.id))});
    }
    return out;
}

std::optional<PromptTokens> Generation::advance() {
    exec::Sequence& s = sequence_;
    if (!answers() && s.computed == s.tokens.size()) reason_ = StopReason::length;
    if (s.computed == 0 || prompt_shown_ == s.scored_until) return std::nullopt;
    PromptTokens out;
    out.first = prompt_shown_;
    const auto show = [&](std::vector<TokenScore> scores) {
        const std::int32_t id = s.tokens[prompt_shown_++];
        out.tokens.push_back({id, std::string(tokenizer_.text(id)), std::move(scores)});
    };
    if (prompt_shown_ == 0) show({});
    for (const auto& scores : s.prompt_scores) show(told(scores));
    s.prompt_scores.clear();
    if (out.tokens.empty()) return std::nullopt;
    return out;
}

void Generation::forget() noexcept {
    sequence_.computed = 0;
    sequence_.scored_from = std::max(1U, prompt_shown_);
    if (sequence_.pool) sequence_.pool->clear();
}

mesh::messages::Token Generation::accept(model::TokenId id, std::span<const exec::Logprob> scores) {
    if (!first_token_) first_token_ = Clock::now();
    const auto index = static_cast<std::uint32_t>(job_.request.resume_ids.size());
    sequence_.tokens.push_back(id);
    job_.request.resume_ids.push_back(id);
    mesh::messages::Token token;
    token.index = index;
    token.id = id;
    AnswerPart part = answer_->push(id);
    token.text = std::move(part.text);
    token.reasoning = std::move(part.reasoning);
    token.calls = std::move(part.calls);
    token.scores = told(scores);
    constrain(id);
    if (!tokenizer_.is_end(id)) look_ahead();
    decide_end(id);
    if (reason_) failed_.reset();  // What could follow does not matter any more.
    return token;
}

mesh::messages::Done Generation::done(const std::string& model, std::uint32_t devices) {
    const Clock::time_point now = Clock::now();
    const Clock::time_point first = first_token_.value_or(now);
    mesh::messages::Done done;
    done.reason = *reason_;
    AnswerPart rest =
        answer_->finish(done.reason == StopReason::end || done.reason == StopReason::stop);
    done.text = std::move(rest.text);
    done.reasoning = std::move(rest.reasoning);
    done.calls = std::move(rest.calls);
    done.reasoning_tokens = answer_->reasoning_tokens();
    if (done.reason == StopReason::stop) done.stopped_by = answer_->stopped_by();
    done.prompt_tokens = prompt_tokens_;
    done.cached_tokens = std::min(cached_tokens_, prompt_tokens_);
    done.generated_tokens = static_cast<std::uint32_t>(job_.request.resume_ids.size());
    done.model = model;
    done.load_seconds = seconds(job_.loading);
    // Under another plan it starts anew, which is part of the time for its tokens.
    done.queue_seconds =
        std::max(0.0, seconds(std::min(started_, first) - job_.queued_at - job_.loading));
    done.prefill_seconds = std::max(0.0, seconds(first - started_));
    done.decode_seconds = seconds(now - first);
    done.devices = devices;
    if (sequence_.pool && done.reason == StopReason::length) {
        done.embedding = sequence_.pool->vector();
    }
    return done;
}

}  // namespace shoal
