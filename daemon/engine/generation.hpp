// A generation on the root: the record from which all else can be recomputed, and its text.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "daemon/engine/answer_grammar.hpp"
#include "daemon/engine/answer_stream.hpp"
#include "daemon/exec/runner.hpp"
#include "daemon/model/tokenizer.hpp"
#include "daemon/pieces/open_model.hpp"
#include "mesh/messages/requests.hpp"

namespace shoal {

using JobId = std::uint64_t;
using Clock = std::chrono::steady_clock;

/// A request on its way through the root's queue. What was generated is kept in
/// request.resume_ids, so that a job can run again under another plan or another root.
struct Job {
    JobId id = 0;
    mesh::messages::Generate request;
    Clock::time_point queued_at;
    Clock::duration loading{};                     ///< of its wait, what the model's loading took
    std::optional<Clock::time_point> first_token;  ///< when an earlier plan chose it
};

/// A running job. Begun by any thread, then owned by the engine's.
class Generation {
  public:
    struct Room {
        std::uint64_t positions = 0;          ///< what the KV cache holds
        std::uint32_t max_prompt_tokens = 0;  ///< 0: the positions are the limit
    };

    /// What became of a job: Failed when the request does not fit the model or the cache, or was
    /// stopped.
    using Begun = std::variant<std::unique_ptr<Generation>, mesh::messages::Failed>;

    /// Makes a prompt of a conversation, tokenises it, compiles a grammar and replays resume_ids,
    /// which takes long when they are long: not for the engine's thread. `model` outlives the
    /// generation and has a tokenizer.
    static Begun begin(Job job, const OpenModel& model, const Room& room,
                       const std::stop_token& stop = {});

    /// After each step, before accept(): the tokens of the prompt that are to be shown by now, as
    /// many as the step scored. A request without an answer ends with its prompt.
    std::optional<mesh::messages::PromptTokens> advance();
    /// Take the chosen token; the event to show.
    mesh::messages::Token accept(model::TokenId id, std::span<const exec::Logprob> scores = {});
    /// The cache has lost it: its tokens are to be computed again. Nothing else begins anew.
    void forget() noexcept;
    void cancel() noexcept { reason_ = mesh::messages::StopReason::cancelled; }
    bool cancelled() const noexcept { return reason_ == mesh::messages::StopReason::cancelled; }
    bool finished() const noexcept { return reason_ || failed_; }
    /// Why it cannot go on: nothing is left that its grammar allows.
    const std::optional<mesh::messages::Failed>& failed() const noexcept { return failed_; }
    /// The final event. Requires: finished() and not failed().
    mesh::messages::Done done(const std::string& model, std::uint32_t devices);

    /// Which of two has room first: by priority, then as they came.
    using Place = std::pair<std::int32_t, std::uint64_t>;
    /// It was the `number`th of its plan.
    void set_number(std::uint64_t number) noexcept { place_ = {job_.request.priority, number}; }
    const Place& place() const noexcept { return place_; }

    /// Its id is 0 until it has room in the cache.
    exec::Sequence& sequence() noexcept { return sequence_; }
    const Job& job() const noexcept { return job_; }
    const exec::Sequence& sequence() const noexcept { return sequence_; }
    /// What others computed serves it: it may, and it wants no more of its first tokens than their
    /// K and V.
    bool may_reuse() const noexcept {
        return job_.request.cache_prompt && !sequence_.pool &&
               sequence_.scored_from >= sequence_.scored_until;
    }
    /// The devices' disks are looked at once for its beginning.
    bool sought() const noexcept { return sought_; }
    void set_sought() noexcept { sought_ = true; }
    /// Tokens of the prompt that were there already when it began.
    void set_cached(std::uint32_t tokens) noexcept { cached_tokens_ = tokens; }
    std::uint32_t prompt_tokens() const noexcept { return prompt_tokens_; }
    /// Tokens that other plans chose before.
    std::uint32_t resumed_tokens() const noexcept { return resumed_; }
    /// Positions that it may come to use.
    std::uint64_t most_positions() const noexcept { return most_positions_; }
    bool prefilling() const noexcept { return sequence_.computed + 1 < sequence_.tokens.size(); }

  private:
    Generation(Job job, const OpenModel& model);
    std::optional<mesh::messages::Failed> take_prompt(const Room& room,
                                                      const std::stop_token& stop);
    std::optional<mesh::messages::Failed> take_chat(std::size_t limit, const std::stop_token& stop);
    std::optional<mesh::messages::Failed> take_infill(std::size_t limit,
                                                      const std::stop_token& stop);
    std::shared_ptr<const grammar::Vocabulary> vocabulary() const {
        return model_.vocabulary.of(tokenizer_, model_.hparams.n_vocab);
    }
    bool answers() const noexcept { return job_.request.task == mesh::messages::Task::answer; }
    std::optional<mesh::messages::Failed> take_task();
    std::optional<mesh::messages::Failed> take_constraint();
    std::optional<mesh::messages::Failed> replay(const std::stop_token& stop);
    void constrain(model::TokenId id);
    void look_ahead();
    std::vector<mesh::messages::TokenScore> told(std::span<const exec::Logprob> scores) const;
    void decide_end(model::TokenId id);

    Job job_;
    const OpenModel& model_;
    const model::Tokenizer& tokenizer_;
    exec::Sequence sequence_;
    std::optional<AnswerStream> answer_;  // once the prompt is known
    Place place_{};
    std::uint32_t prompt_tokens_ = 0;
    std::uint32_t cached_tokens_ = 0;
    bool sought_ = false;
    std::uint32_t prompt_shown_ = 0;  // tokens of it that advance() gave
    std::uint32_t limit_ = 0;         // tokens to generate at most, resumed ones included
    std::uint64_t most_positions_ = 0;
    std::optional<AnswerGrammar> grammar_;
    std::optional<mesh::messages::StopReason> reason_;
    std::optional<mesh::messages::Failed> failed_;
    std::uint32_t resumed_ = 0;
    Clock::time_point started_;
    std::optional<Clock::time_point> first_token_;
};

/// The executor's settings of a request's sampling.
exec::Sampling sampling_of(const mesh::messages::Sampling& sampling);

}  // namespace shoal
